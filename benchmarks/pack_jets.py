"""Pack a jets file into the embedded set: features as 16-bit integers with a power-of-two LSB of at most σ/512.

python benchmarks/pack_jets.py SOURCE.npz qap/datasets/jets.npz
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

FINEST = 512  # steps per standard deviation: finer than any input grid of up to 10 fractional bits after standardisation


def pack(source: Path, destination: Path) -> None:
    """Write the packed set; the destination appears only when it is whole."""
    with np.load(source, allow_pickle=False) as file:
        arrays = dict(file)
    lsb = 2.0 ** np.floor(np.log2(arrays["features"].std(axis=0) / FINEST))
    features = np.rint(arrays["features"] / lsb)
    if np.abs(features).max() > np.iinfo(np.int16).max:
        raise SystemExit(f"{source}: a feature needs more than 16 bits at its LSB")
    temporary = destination.with_suffix(".part.npz")
    np.savez_compressed(
        temporary,
        features=features.astype(np.int16),
        lsb=lsb.astype(np.float32),
        labels=arrays["labels"].astype(np.int8),
        jet_pt=np.rint(arrays["jet_pt"]).astype(np.uint16),
        feature_names=arrays["feature_names"],
        class_names=arrays["class_names"],
    )
    temporary.replace(destination)
    print(f"{destination}: {len(features):,} jets, {destination.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        raise SystemExit(__doc__)
    pack(Path(sys.argv[1]), Path(sys.argv[2]))
