"""Make the layer table: which layers are exact, bounded or refused, measured on real conversions.

    python benchmarks/layer_table.py                     all cases, writes docs/layers.md
    python benchmarks/layer_table.py --json              one JSON object per case on the screen, writes nothing
    python benchmarks/layer_table.py --cases cnn,po2_w --io io_stream --backend Vivado --strategy Resource

Each case is built with pruning, trained for some steps, stripped, saved, reloaded, prepared, converted, C-simulated and
compared on random, boundary and extreme inputs.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from layer_cases import CASES, Case, Kit

from qap.backend import custom_objects, stack, versions
from qap.config.schema import Firmware
from qap.errors import InputError, QapError
from qap.firmware import build, compare, convert, parity_vectors, prepare
from qap.precision import Precision

INPUT = Precision(8, 2)
EVENTS = 1000
PAGE = Path(__file__).parent.parent / "docs" / "layers.md"


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    case: str
    backend: str
    io_type: str
    strategy: str
    status: str
    exact_fraction: float | None
    events: int
    reason: str
    max_difference: float | None = None


def make_model(case: Case, folder: Path, seed: int = 3) -> Any:
    """Build a case under pruning, train it for some steps, strip, save and reload it."""
    keras, sparsity = stack().keras, stack().sparsity
    keras.backend.clear_session()
    keras.utils.set_random_seed(seed)
    names = [f"inputs{i or ''}" for i in range(len(case.shapes))]
    inputs = [keras.layers.Input(shape, name=name) for shape, name in zip(case.shapes, names, strict=True)]
    outputs = case.build(Kit(), *inputs)
    model = keras.Model(inputs if len(inputs) > 1 else inputs[0], outputs)
    set_weights(model, seed)
    rng = np.random.default_rng(seed)
    x = [rng.normal(size=(64, *shape)) for shape in case.shapes]
    y = [rng.normal(size=(64, *tensor.shape[1:])) for tensor in model.outputs]
    model.compile(keras.optimizers.legacy.Adam(1e-3), "mse")
    model.fit(x if len(x) > 1 else x[0], y, batch_size=32, verbose=0, callbacks=[sparsity.UpdatePruningStep()])
    path = folder / "model.keras"
    sparsity.strip_pruning(model).save(path)
    return keras.models.load_model(path, custom_objects=custom_objects(), compile=False)


def set_weights(model: Any, seed: int) -> None:
    """Draw weights that reach the ends of the quantizers, and batch normalizations that are not the identity."""
    rng = np.random.default_rng(seed)
    for variable in model.variables:
        name, shape = variable.name, tuple(variable.shape)
        if "moving_mean" in name or "beta" in name:
            variable.assign(rng.normal(size=shape) * 0.3)
        elif "moving_variance" in name or "gamma" in name:
            variable.assign(rng.uniform(0.4, 1.6, shape))
        elif "bias" in name:
            variable.assign(rng.normal(size=shape) * 0.2)
        elif "kernel" in name:
            variable.assign(variable.numpy() * 1.3)


def measure(case: Case, settings: Firmware, folder: Path, accept: bool = True) -> Row:
    """Run one case from building to comparison."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Keras and QKeras warn on every save and load
        return _measure(case, settings, folder, accept)


def _measure(case: Case, settings: Firmware, folder: Path, accept: bool) -> Row:
    key = case.name, settings.Backend, settings.IOType, settings.Strategy
    try:
        model = make_model(case, folder)
    except Exception as error:  # whatever QKeras raises is the reason why the case is refused
        return Row(*key, "refused", None, 0, f"QKeras does not build or save it: {first_line(error)}")
    try:
        model, changes = (prepared := prepare(model)).model, prepared.changes
        accepted = [layer.name for layer in model.layers if case.table and layer.name.startswith(("softmax", "q_activation"))]
        project = convert(model, INPUT, folder / "project", settings, accept=accepted if accept else ())
        build(project)
        comparison = compare(model, project, parity_vectors(model, INPUT, EVENTS))
    except InputError as error:
        return Row(*key, "refused", None, 0, str(error))
    except QapError as error:
        return Row(*key, "failed", None, 0, str(error))
    parity = comparison.parity
    reason = "; ".join(changes)
    if parity.proven:
        status = "exact"
    elif project.bounds:
        status, reason = (
            "bounded",
            f"largest difference {parity.max_difference:.3g}: {'; '.join(project.bounds.values())}",
        )
    else:
        status, reason = "wrong", f"differs first in {parity.first_layer}"
    return Row(*key, status, parity.fraction, parity.events, reason, parity.max_difference)


def first_line(error: Exception) -> str:
    """Return the line of a message that says what is wrong: Keras wraps it into a trace of its own."""
    lines = str(error).splitlines() or [""]
    named = [line.strip() for line in lines if re.match(r"\s+\w+Error: ", line)]
    return (named or lines)[-1 if named else 0][:200]


def rows(names: Sequence[str], settings: Sequence[Firmware]) -> Iterator[Row]:
    """Measure cases in all settings; io_stream only where the short table says so, unless it is asked for alone."""
    for name in names:
        for setting in settings:
            if setting.IOType == "io_stream" and len(settings) > 1 and not CASES[name].stream:
                continue
            with tempfile.TemporaryDirectory() as folder:
                yield measure(CASES[name], setting, Path(folder))


def page(table: Sequence[Row]) -> str:
    """Write the table as Markdown."""
    counts = {status: sum(row.status == status for row in table) for status in ("exact", "bounded", "refused", "wrong", "failed")}
    found = versions()
    lines = [
        "# Layer table",
        "",
        "Made by `python benchmarks/layer_table.py`. Each case is built with pruning, trained for some steps, "
        "stripped, saved, "
        "reloaded, prepared (`qap.firmware.prepare`), converted, C-simulated and compared at the outputs on random, "
        "boundary and "
        f"extreme inputs of type {INPUT}.",
        "",
        f"{', '.join(f'{count} {status}' for status, count in counts.items() if count)}; "
        f"QKeras {found['qkeras']}, hls4ml {found['hls4ml']}, TensorFlow {found['tensorflow']}.",
        "",
        "| case | backend | io type | strategy | status | exact fraction | events | remark |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in table:
        fraction = "" if row.exact_fraction is None else f"{row.exact_fraction:.4g}"
        remark = row.reason.replace("|", "\\|")
        lines.append(
            f"| {row.case} | {row.backend} | {row.io_type} | {row.strategy} | {row.status} | {fraction} | "
            f"{row.events or ''} | {remark} |"
        )
    return "\n".join(lines) + "\n"


def main(arguments: Sequence[str] | None = None) -> int:
    """Return 1 when a case is silently wrong or fails."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print one object per case instead of writing docs/layers.md")
    parser.add_argument("--cases", default=",".join(CASES), help="names, separated by commas")
    parser.add_argument("--backend", default="Vitis", help="Vitis, Vivado, or both separated by a comma")
    parser.add_argument("--io", default="io_parallel,io_stream")
    parser.add_argument("--strategy", default="Latency", help="Latency, Resource, distributed_arithmetic, Unrolled")
    options = parser.parse_args(arguments)
    names = options.cases.split(",")
    unknown = [name for name in names if name not in CASES]
    if unknown:
        parser.error(f"unknown cases {', '.join(unknown)}; known: {', '.join(CASES)}")
    settings = [
        Firmware(Backend=backend, IOType=io_type, Strategy=strategy)
        for backend in options.backend.split(",")
        for strategy in options.strategy.split(",")
        for io_type in options.io.split(",")
    ]
    table = []
    for row in rows(names, settings):
        table.append(row)
        text = json.dumps(asdict(row)) if options.json else f"{row.case:18} {row.io_type:12} {row.status:8} {row.reason[:80]}"
        print(text, flush=True)
    if not options.json:
        PAGE.write_text(page(table))
    return int(any(row.status in ("wrong", "failed") for row in table))


if __name__ == "__main__":
    sys.exit(main())
