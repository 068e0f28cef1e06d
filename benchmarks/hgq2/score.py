"""Score the fronts that `train.py` wrote: hypervolume and accuracy at a few costs.

    python benchmarks/hgq2/score.py front_60_11.npz …

Needs NumPy only. EBOPs here are those of both rivals: over all weights, the digits of \\|weight\\| from its highest to its lowest
set bit times the traced bits of its input element, signs and biases left out, neurons that reach no output removed. The front is
chosen on the validation split; what is printed is the test split's.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

FLOAT_ACCURACY, LOWEST = 0.7623, 0.2
WHOLE, MIDDLE = (2.0, 5.5), (np.log10(300), np.log10(30000))
MARKS = (500, 1000, 2000, 5000, 10000)


def digits(weights: np.ndarray) -> np.ndarray:
    """Return the digits of each \\|weight\\| from its highest to its lowest set bit, 0 for a zero."""
    mantissa, _ = np.frexp(np.abs(weights.astype(np.float64)))
    whole = np.round(mantissa * 2.0**24).astype(np.int64)  # float32 has 24 digits
    if not np.array_equal(whole / 2.0**24, mantissa):
        raise ValueError("a weight has more than 24 digits")
    lowest = whole & -whole
    return np.where(whole > 0, 25 - np.frexp(np.maximum(lowest, 1).astype(np.float64))[1], 0)


def ebops(kernels: Sequence[np.ndarray], bits: Sequence[np.ndarray]) -> float:
    """Return the EBOPs of one network: kernels (inputs, outputs) and bits of their input elements (inputs,), no signs."""
    total, alive = 0.0, np.ones(kernels[-1].shape[1], bool)
    for kernel, width in zip(reversed(kernels), reversed(bits), strict=True):
        counted = digits(kernel) * alive
        total += float((counted * width[:, None]).sum())
        alive = counted.any(axis=1)
    return total


def network(result: Mapping[str, np.ndarray], number: int) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Return the kernels of one snapshot and the bits of their input elements."""
    count = sum(1 for name in result if name.startswith("kernel_"))
    return [result[f"kernel_{n}"][number] for n in range(count)], [result[f"input_bits_{n}"][number] for n in range(count)]


def choose(costs: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Return the places of the points that none beats, by rising cost."""
    order = np.lexsort((-scores, costs))
    best = np.maximum.accumulate(np.concatenate([[-1.0], scores[order][:-1]]))
    return order[scores[order] > best]


def hypervolume(costs: np.ndarray, scores: np.ndarray, best: float, span: tuple[float, float]) -> float:
    """Return the share of the box (log10 EBOPs in span, accuracy from `LOWEST` to best) that the points dominate."""
    cheap = np.clip((span[1] - np.log10(np.maximum(costs, 1.0))) / (span[1] - span[0]), 0.0, 1.0)
    good = np.clip((scores - LOWEST) / (best - LOWEST), 0.0, 1.0)
    volume = reached = 0.0
    for place in np.argsort(-cheap, kind="stable"):
        if good[place] > reached:
            volume += (good[place] - reached) * cheap[place]
            reached = good[place]
    return float(volume)


def score(result: Mapping[str, np.ndarray], best: float) -> dict[str, float]:
    """Return the figures of one front."""
    valid, test = result["validation_accuracy"], result["test_accuracy"]
    costs = np.array([ebops(*network(result, number)) for number in range(len(valid))])
    front = choose(costs, valid)
    found = {"front": float(len(front))}
    for name, scores in (("validation", valid), ("test", test)):
        found[f"hv_{name}"] = hypervolume(costs[front], scores[front], best, WHOLE)
        found[f"hv_middle_{name}"] = hypervolume(costs[front], scores[front], best, MIDDLE)
        for mark in MARKS:
            below = [place for place in front if costs[place] <= mark]
            found[f"{mark}_{name}"] = float(scores[below[-1]]) if below else float("nan")
    return found


def cheapest(result: Mapping[str, np.ndarray], least: float) -> int | None:
    """Return the number of the cheapest snapshot with at least that validation accuracy."""
    places = np.flatnonzero(result["validation_accuracy"] >= least)
    return int(min(places, key=lambda number: ebops(*network(result, number)))) if len(places) else None


def main() -> int:
    """Run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("fronts", type=Path, nargs="+")
    parser.add_argument("--best", type=float, default=FLOAT_ACCURACY, help=f"accuracy of the float network ({FLOAT_ACCURACY})")
    parser.add_argument("--split", choices=("test", "validation"), default="test")
    parser.add_argument("--points", type=float, nargs="*", default=[], help="name the cheapest snapshots this far below --best")
    options = parser.parse_args()
    columns = ["hv", "hv_middle", *map(str, MARKS)]
    print(f"{'front of the ' + options.split + ' split':32} points " + " ".join(f"{name:>9}" for name in columns))
    for path in options.fronts:
        with np.load(path) as file:
            result = dict(file)
        found = score(result, options.best)
        values = " ".join(f"{found[f'{name}_{options.split}']:9.4f}" for name in columns)
        print(f"{path.stem:32} {found['front']:6.0f} {values}")
        for points in options.points:
            number = cheapest(result, options.best - points / 100)
            if number is None:
                print(f"    float - {points:g}: none")
            else:
                cost, accuracy = ebops(*network(result, number)), result["test_accuracy"][number]
                print(f"    float - {points:g}: snapshot {number}, {cost:.0f} EBOPs, test accuracy {accuracy:.4f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
