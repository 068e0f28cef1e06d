"""A candidate's estimate in the search is that of the project which its conversion writes."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
import pytest

from qap.candidate import Candidate
from qap.config.schema import Firmware, Timing
from qap.cost.candidate_cost import candidate_cost, networks
from qap.cost.counts import count
from qap.cost.hls_project import read_project
from qap.cost.model import shipped_model
from qap.cost.project_cost import project_cost
from qap.cost.project_networks import networks as project_networks
from qap.firmware import convert
from qap.models.architecture import Architecture
from qap.models.builders import build, set_weights
from qap.plan import LayerPlan, Plan
from qap.precision import Precision

INPUT = Precision(9, 3)
ARCHITECTURE = Architecture.mlp(7, [11, 6], 3)


def _candidate(seed: int = 0) -> Candidate:
    """Heterogeneous bits, some weights pruned, rows and columns that are all zero left out."""
    generator = np.random.default_rng(seed)
    bits = {"fc1": (6, 7), "fc2": (4, 5), "output": (9, 0)}
    layers, weights = [], {}
    for name, (inputs, units) in ARCHITECTURE.shapes.items():
        weight, activation = bits[name]
        relu = Precision(activation, 2, signed=False) if activation else None
        layers.append((name, LayerPlan(Precision(weight, 0), Precision(10, 2), relu, 0.4)))
        kernel = generator.uniform(-0.95, 0.95, (inputs, units)).astype(np.float32)
        weights[f"{name}/kernel"] = np.where(generator.random((inputs, units)) < 0.4, 0, kernel).astype(np.float32)
        weights[f"{name}/bias"] = generator.uniform(-1, 1, units).astype(np.float32)
    return Candidate(ARCHITECTURE, Plan(tuple(layers)), weights)


@pytest.mark.parametrize(("strategy", "reuse"), [("Latency", 1), ("Resource", {"Model": 1, "fc1": 7, "fc2": 11})])
def test_networks_are_those_of_the_converted_project(
    tmp_path: Path, strategy: Literal["Latency", "Resource"], reuse: int | dict[str, int]
) -> None:
    candidate, firmware = _candidate(), Firmware(Strategy=strategy, ReuseFactor=reuse, ClockPeriod=4.0)
    counted = count(candidate.architecture, candidate.plan, candidate.weights or {}, INPUT)
    model = build(candidate.architecture, candidate.plan)
    set_weights(model, candidate.weights or {})
    convert(model, INPUT, tmp_path / "p", firmware)
    found = networks(candidate, counted, INPUT, firmware)
    read = project_networks(read_project(tmp_path / "p"))
    assert read.names == tuple(name for name, _ in candidate.plan.items())
    for name, one, other in zip(read.names, found, read.layers, strict=True):
        features = {key: (value, other.features[key]) for key, value in one.features.items() if value != other.features[key]}
        width = {"ab", "add_bits"}  # the firmware's accumulator is that of the grid's bounds, the candidate's of the weights
        assert set(features) <= width, (name, features)
        if features:
            assert abs(one.features["ab"] - other.features["ab"]) <= 1, (name, features)
        assert (one.strategy, one.reuse_factor, one.clock_ns) == (other.strategy, other.reuse_factor, other.clock_ns)
    whole = project_cost(tmp_path / "p", shipped_model())
    cost = candidate_cost(candidate, INPUT, firmware, Timing(), shipped_model())
    for name in ("LUT", "FF", "DSP", "II", "latency_cycles"):
        assert cost[name] == pytest.approx(whole.csynth[name], rel=0.1), name
    assert cost["ebops"] == whole.operations.totals()["ebops"]
    biases = sum(10 * units for _, units in ARCHITECTURE.shapes.values())  # the firmware declares them as narrow as they are
    assert cost["weight_memory_bits"] - biases < whole.weight_memory_bits <= cost["weight_memory_bits"]


def test_figures_come_with_band_and_stage() -> None:
    cost = candidate_cost(_candidate(), INPUT, Firmware(), Timing(), shipped_model())
    for name in ("LUT", "FF", "latency_cycles", "latency_ns"):
        figure = cost.figures[name]
        assert figure.source.startswith("csynth-equivalent")
        assert figure.low is not None and figure.high is not None  # noqa: PT018
        assert figure.low <= figure.value <= figure.high
    assert cost["latency_ns"] == 5 * cost["latency_cycles"]
    assert cost["latency_bx"] == pytest.approx(cost["latency_ns"] / 25)
    assert cost["II"] == 1


def test_no_number_without_reports() -> None:
    for firmware in (Firmware(IOType="io_stream"), Firmware(Strategy="distributed_arithmetic")):
        cost = candidate_cost(_candidate(), INPUT, firmware, Timing(), shipped_model())
        assert "LUT" not in cost.figures
        assert "latency_ns" not in cost.figures
        assert cost["ebops"] > 0


def test_more_zeros_cost_less() -> None:
    dense, sparse = _candidate(), _candidate()
    assert sparse.weights is not None
    pruned = {key: np.where(np.abs(value) < 0.6, 0, value) if "kernel" in key else value for key, value in sparse.weights.items()}
    sparse = sparse.with_(weights=pruned)
    one, other = (candidate_cost(c, INPUT, Firmware(), Timing(), shipped_model()) for c in (dense, sparse))
    assert other["LUT"] < one["LUT"]
