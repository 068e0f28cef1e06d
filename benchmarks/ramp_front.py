"""The front of the strategy `ramp` in the form in which `hgq2/score.py` judges both rivals.

    python benchmarks/ramp_front.py events jets jets.npz                 the events, for hgq2/train.py too
    python benchmarks/ramp_front.py train jets.npz ramp_60_11.npz --hidden 64 32 32 --seconds 60 --seed 11
    python benchmarks/hgq2/score.py ramp_60_11.npz

`train … --designs folder --points 3 2 1 --best 0.7623` also writes the Verilog of the cheapest circuits that are so many points
below the float accuracy on the validation split, proven against QKeras with Verilator; `lut.py` synthesises them.

`events digits` writes scikit-learn's digits: 8 × 8 pixels of 0 to 16 as multiples of 1/16, the largest value at 15/16. CPU
seconds are those of the search, float parent and compilation included, imports and the final export left out, as for the
rival. EBOPs are traced on the training and validation split.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from qap.backend import stack
from qap.candidate import Candidate
from qap.compress import coarsen
from qap.config.load import load_config
from qap.datasets.dataset import Dataset, Split
from qap.datasets.load import load_dataset
from qap.files import write_arrays, write_text
from qap.firmware.vectors import parity_vectors
from qap.models.builders import build, quantize_weights, set_weights
from qap.models.scaling import rounded_inputs
from qap.precision import Precision
from qap.rtl import compare_rtl, write_design
from qap.search import ramp
from qap.search.run import run_search, search_front
from qap.search.study import Study
from qap.training.keras_engine import logits

SPLITS = ("train", "validation", "test")
BATCH, SHARE = 512, 8
"""Events of a batch, at most one in so many of the training split."""
PARENT = ((120.0, 12), (float("inf"), 30))
"""Epochs of the float parent for budgets up to so many seconds, of 100 steps at least, as the ramp's. Chosen like the batch and
the learning rate on the validation split of the jets, seeds 1 and 2."""


WITHOUT: dict[str, tuple[Any, str, Any]] = {
    "units": (coarsen, "_without_units", lambda *_: None),
    "activation bits": (coarsen, "FEWEST_BITS", 99),
    "smaller programs": (coarsen, "WORTH", 0.0),
    "returns": (ramp, "RETURNS", 0),
}
"""Pieces of the ramp that no setting turns off: module, name, and what stands for it."""
SETTINGS = {
    "distillation": "search.ramp.distill=0", "polish": "search.ramp.polish=0", "regrowth": "search.ramp.regrow=false",
}  # fmt: skip


def events(name: str) -> dict[str, np.ndarray]:
    """Return the events of a data set by the names of the file."""
    if name == "jets":
        data = load_dataset(load_config(None, []).data)
        parts = {split: getattr(data, split) for split in SPLITS}
        return {f"{axis}_{split}": getattr(part, axis) for split, part in parts.items() for axis in "xy"}
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    pixels, labels = load_digits(return_X_y=True)
    x, y = np.minimum(pixels / 16, 15 / 16).astype(np.float32), labels.astype(np.int32)
    rest, x_test, rest_y, y_test = train_test_split(x, y, test_size=0.2, random_state=0, stratify=y)
    x_train, x_valid, y_train, y_valid = train_test_split(rest, rest_y, test_size=0.25, random_state=0, stratify=rest_y)
    arrays = (x_train, x_valid, x_test, y_train, y_valid, y_test)
    return dict(zip([f"{axis}_{split}" for axis in "xy" for split in SPLITS], arrays, strict=True))


def dataset(path: Path) -> Dataset:
    """Read such a file: the input grid is the coarsest that holds all events."""
    with np.load(path) as file:
        arrays = dict(file)
    every = np.concatenate([arrays[f"x_{split}"] for split in SPLITS]).astype(np.float64)
    integer = max(int(np.ceil(np.log2(np.abs(every).max() + 2.0**-20))), 0)
    fractional = next(bits for bits in range(24) if np.array_equal(np.rint(every * 2**bits), every * 2**bits))
    parts = [
        Split(arrays[f"x_{split}"], arrays[f"y_{split}"].astype(np.int32), np.ones(len(arrays[f"y_{split}"]), np.float32))
        for split in SPLITS
    ]
    features, classes = every.shape[1], int(arrays["y_train"].max()) + 1
    names = tuple(f"x{i}" for i in range(features)), tuple(f"class {i}" for i in range(classes))
    grid = Precision(1 + integer + fractional, integer)
    return Dataset(path.stem, parts[0], parts[1], parts[2], *names, grid, np.zeros(features), np.ones(features))


def train(data: Dataset, hidden: list[int], seconds: float, seed: int, overrides: list[str]) -> list[Candidate]:
    """Search, and return the front."""
    batch = min(BATCH, len(data.train) // SHARE)
    passes = max(round(ramp.FEWEST_STEPS * batch / len(data.train)), 1)
    parent = passes * next(epochs for limit, epochs in PARENT if seconds <= limit)
    config = load_config(None, [
        "search.strategy=ramp", "search.trials=null", f"search.seconds={seconds}", "search.clock=cpu", f"seed={seed}",
        "search.objectives=[accuracy,ebops_traced]", "search.holdback=0", f"model.hidden={hidden}", "model.batchnorm=false",
        f"train.batch={batch}", f"train.parent_epochs={parent}", "firmware.build=false", *overrides,
    ])  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        study: Study = run_search(config, Path(folder) / "study", data=data)
        return search_front(study)


def exported(front: list[Candidate], data: Dataset) -> dict[str, np.ndarray]:
    """Return the arrays of a front: weights, traced bits of the input elements, scores."""
    rows: dict[str, list[np.ndarray]] = {}
    for candidate in front:
        weights = quantize_weights(candidate.plan, candidate.weights or {})
        h = {split: rounded_inputs(candidate.plan.inputs, getattr(data, split).x) for split in SPLITS}
        step = candidate.plan.entering(data.input).step
        for number, (name, layer) in enumerate(candidate.plan.items()):
            kernel, bias = weights[f"{name}/kernel"], weights[f"{name}/bias"]
            largest = np.maximum(*(np.abs(h[split]).max(axis=0) for split in ("train", "validation")))
            bits = np.where(largest > 0, np.floor(np.log2(np.maximum(largest / step, 1))) + 1, 0)
            for key, value in (("kernel", kernel), ("bias", bias), ("input_bits", bits)):
                rows.setdefault(f"{key}_{number}", []).append(value)
            h = {split: value @ kernel + bias for split, value in h.items()}
            if layer.activation is not None:
                h = {split: layer.activation.quantize(np.maximum(value, 0)) for split, value in h.items()}
                step = layer.activation.step
        for split in ("validation", "test"):
            truth = getattr(data, split).y
            rows.setdefault(f"{split}_accuracy", []).append(np.mean(h[split].argmax(axis=1) == truth))
    return {name: np.stack(values) for name, values in rows.items()}


def designs(front: list[Candidate], data: Dataset, least: list[float], folder: Path) -> None:
    """Write and prove the Verilog of the cheapest circuits that reach accuracies on the validation split."""
    for accuracy in least:
        good = [one for one in front if one.metrics["accuracy_validation"] >= accuracy]
        if not good:
            print(f"no circuit reaches {accuracy:.4f}")
            continue
        candidate = min(good, key=lambda one: one.cost["ebops_traced"])
        model = build(candidate.architecture, candidate.plan)
        set_weights(model, candidate.weights or {})
        design = write_design(model, data.input, folder / f"{accuracy:.4f}")
        vectors = np.concatenate([data.test.x, parity_vectors(model, data.input)[0]])
        parity = compare_rtl(model, design, vectors)
        scores = np.mean(logits(model, data.test.x).argmax(axis=1) == data.test.y)
        known = {"test_accuracy": float(scores), "ebops": candidate.cost["ebops_traced"], "parity_rtl": parity.fraction}
        write_text(design.directory / "point.json", json.dumps({**known, "vectors": len(vectors)}) + "\n")
        print(json.dumps({**known, "da4ml": design.cost, "stages": design.stages}), flush=True)


def main() -> int:
    """Run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    verbs = parser.add_subparsers(dest="verb", required=True)
    writes = verbs.add_parser("events", help="write the events of a data set")
    writes.add_argument("name", choices=("jets", "digits"))
    writes.add_argument("output", type=Path)
    trains = verbs.add_parser("train", help="search and write the front")
    trains.add_argument("events", type=Path)
    trains.add_argument("output", type=Path)
    trains.add_argument("--hidden", type=int, nargs="+", required=True)
    trains.add_argument("--seconds", type=float, default=60.0)
    trains.add_argument("--seed", type=int, default=1)
    trains.add_argument("--set", nargs="*", default=[], dest="overrides", help="settings, for example search.ramp.distill=0")
    trains.add_argument("--designs", type=Path, help="folder for the Verilog of points of the front")
    trains.add_argument("--points", type=float, nargs="+", default=[3, 2, 1], help="below --best (3 2 1)")
    trains.add_argument("--best", type=float, default=0.7623, help="accuracy of the float network (0.7623)")
    trains.add_argument("--without", choices=[*WITHOUT, *SETTINGS], help="a piece of the ramp to switch off")
    options = parser.parse_args()
    if options.verb == "events":
        write_arrays(options.output, events(options.name))
        return 0
    data = dataset(options.events)
    stack()  # imports are left out, as for the rival
    overrides = [*options.overrides, *([SETTINGS[options.without]] if options.without in SETTINGS else [])]
    if options.without in WITHOUT:
        setattr(*WITHOUT[options.without])
    front = train(data, options.hidden, options.seconds, options.seed, overrides)
    write_arrays(options.output, exported(front, data))
    print(f"{len(front)} circuits on the front: {options.output}")
    if options.designs:
        designs(front, data, [options.best - points / 100 for points in options.points], options.designs)
    return 0


if __name__ == "__main__":
    sys.exit(main())
