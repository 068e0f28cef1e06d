"""The model zoo: every study file of configs/zoo trained, pruned, proven and counted; a table of all of them.

    python benchmarks/zoo.py [NAME …] [--output studies] [--table docs/zoo.md]

For each study: its data where they are missing (`qap data build`, extra generator), then `qap search configs/zoo/NAME.yaml`; a
study that is there already is only read, one that was stopped goes on. Beside it gradient-boosted trees of scikit-learn on
the same events (100 trees at most, early stopping). Of each front the table takes the member that scores best. The SVHN images
are not at hand: that network is built with untrained weights, converted, C-simulated and compared on random images. With
--table the table between the marks of that file is replaced. About an hour on two quiet cores, Pythia's events included.
"""

from __future__ import annotations

import argparse
import json
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

from qap.compress.ranges import Calibration
from qap.config.load import load_config
from qap.config.schema import Study as Config
from qap.cost.counts import count
from qap.datasets.load import load_dataset
from qap.files import write_text
from qap.firmware.convert import convert
from qap.firmware.csim import build_all
from qap.firmware.parity import compare
from qap.models.architecture import Architecture
from qap.models.builders import build, fold_batchnorm, set_weights
from qap.precision import Precision
from qap.search.space import PlanSpace

FOLDER = Path("configs/zoo")
NAMES = (
    "jet_mlp", "residual_mlp", "jet_mass", "deepsets", "cnn_1d", "cnn_digits", "cnn_mnist", "cnn_svhn", "autoencoder",
    "anomaly_student",
)  # fmt: skip
DATA = {
    "constituents.npz": "constituents n=50000 constituents=16 seed=1",
    "l1.npz": "l1 n=36000 seed=1 pileup=20",
}
"""File of the folder data → what `qap data build` makes it with."""
WITHOUT_DATA = "cnn_svhn"
IMAGES = 200
BEGIN, END = "<!-- table -->", "<!-- end of the table -->"
HEADER = (
    "study", "network", "data", "score", "float", "trees", "quantized, pruned", "weight bits", "zeros", "EBOPs", "LUT",
    "latency", "bit-exact",
)  # fmt: skip
Row = Sequence[str]


def run(words: Sequence[str]) -> None:
    """Run a command of qap, ending with it where it fails."""
    print(f"$ qap {shlex.join(words)}", flush=True)
    found = subprocess.run([sys.executable, "-m", "qap", *words], check=False)
    if found.returncode:
        raise SystemExit(found.returncode)


def make_data(config: Config) -> None:
    """Make the events of a study where they are missing."""
    path = (FOLDER / config.data.name).resolve()
    if path.name in DATA and not path.exists():
        path.parent.mkdir(exist_ok=True)
        run(["data", "build", *DATA[path.name].split(), "--output", str(path)])


def search(name: str, output: Path) -> Mapping[str, Any]:
    """Run a study to its end and return its report."""
    report = output / "report.json"
    if not report.exists():
        make_data(load_config(FOLDER / f"{name}.yaml"))
        resume = ["--resume"] if (output / "study.json").exists() else []
        run(["search", str(FOLDER / f"{name}.yaml"), "--output", str(output), *resume])
    found: Mapping[str, Any] = json.loads(report.read_text())
    return found


def trees(config: Config) -> str:
    """Return the score of gradient-boosted trees on the test split; what has several targets has none."""
    data = load_dataset(config.data, FOLDER)
    train, test = data.train, data.test
    settings = {"max_iter": 100, "early_stopping": True, "random_state": 1}
    if data.task == "classification":
        model = HistGradientBoostingClassifier(**settings).fit(train.x, train.y, train.weight)
        return f"{np.average(model.predict(test.x) == test.y, weights=test.weight):.4f}"
    if data.outputs > 1:
        return "–"
    model = HistGradientBoostingRegressor(**settings).fit(train.x, train.y[:, 0], train.weight)
    return f"{np.sqrt(np.average((model.predict(test.x) - test.y[:, 0]) ** 2, weights=test.weight)):.4f}"


def _interval(value: Mapping[str, float]) -> str:
    return f"{value['value']:.4f} ({value['low']:.4f} to {value['high']:.4f})"


def _figure(figures: Mapping[str, Any], name: str, unit: str = "") -> str:
    if name not in figures:
        return "no number"
    value, low, high = (figures[name][key] for key in ("value", "low", "high"))
    return f"{value:,.0f} ({low:,.0f} to {high:,.0f}){unit}"


def row(name: str, report: Mapping[str, Any], config: Config) -> Row:
    """Return the line of a study."""
    score = "accuracy" if report["data"]["task"] == "classification" else "rmse"
    best = min(report["front"], key=lambda one: one[score]["value"] * (-1 if score == "accuracy" else 1))
    figures, parity = best["cost"]["figures"], best["parity"]
    bits = sorted({str(Precision.parse(layer["weight"]).bits) for layer in best["layers"]})
    return (
        f"[{name}](../configs/zoo/{name}.yaml)", best["architecture"], report["data"]["name"], score,
        _interval(report["float"][score]), trees(config), _interval(best[score]), ", ".join(bits),
        f"{figures['sparsity']['value']:.0%}", f"{figures['ebops']['value']:,.0f}", _figure(figures, "LUT"),
        _figure(figures, "latency_ns", " ns"), f"{parity['exact']:,} of {parity['events']:,}",
    )  # fmt: skip


def untrained(name: str, config: Config) -> Row:
    """Build, convert and C-simulate a network whose data are not at hand, with untrained weights, on random images."""
    shape = config.model.shape or []
    features = int(np.prod(shape))
    architecture, grid = Architecture.of(config.model, features, 10), Precision(config.data.input.bits, config.data.input.integer)
    x = grid.quantize(np.random.default_rng(1).integers(0, 256, (IMAGES, features)) / 256).astype(np.float32)
    model = build(architecture)
    weights = fold_batchnorm(model, architecture)
    space = PlanSpace(config.search.space, config.model, features, 10, grid)
    plan = space.plan({}, architecture, Calibration.of(architecture, weights, x))
    quantized = build(architecture, plan)
    set_weights(quantized, weights)
    with tempfile.TemporaryDirectory() as folder:
        project = convert(quantized, grid, Path(folder) / "firmware", config.firmware)
        (built,) = build_all([project])
        if not isinstance(built, Path):
            raise SystemExit(str(built))
        parity = compare(quantized, project, x).parity
    cost = count(architecture, plan, weights, grid)
    bits = ", ".join(sorted({str(layer.weight.bits) for _, layer in plan.items()}))
    return (
        f"[{name}](../configs/zoo/{name}.yaml)", str(architecture), "none: untrained weights, random images", "–", "–", "–", "–",
        bits, f"{cost['sparsity']:.0%}", f"{cost['ebops']:,.0f}", "no number", "no number", f"{parity.exact} of {parity.events}",
    )  # fmt: skip


def table(rows: Sequence[Row]) -> str:
    """Return the rows as Markdown."""
    lines = [HEADER, ("---",) * len(HEADER), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def main() -> None:
    """Run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(NAMES)} (default: all)")
    parser.add_argument("--output", type=Path, default=Path("studies"))
    parser.add_argument("--table", type=Path, help="Markdown file whose table is replaced")
    options = parser.parse_args()
    for name in options.names:
        if name not in NAMES:
            parser.error(f"no study {name!r} in {FOLDER}: expected one of {', '.join(NAMES)}")
    rows = []
    for name in options.names or NAMES:
        config = load_config(FOLDER / f"{name}.yaml")
        found = untrained(name, config) if name == WITHOUT_DATA else row(name, search(name, options.output / name), config)
        print(dict(zip(HEADER, found, strict=True)), flush=True)
        rows.append(found)
    if options.table:
        text = options.table.read_text()
        begin, end = text.index(BEGIN) + len(BEGIN), text.index(END)
        write_text(options.table, f"{text[:begin]}\n\n{table(rows)}\n\n{text[end:]}")
    else:
        print(table(rows))


if __name__ == "__main__":
    main()
