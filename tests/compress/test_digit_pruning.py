"""The method `digits`: what goes, along which schedule, and that a plain QKeras model is left."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from qap.candidate import Candidate
from qap.compress.digit_pruning import start, without_digits
from qap.compress.pipeline import compress, outputs, parse_chain
from qap.datasets.dataset import Dataset
from qap.digits import significant_bits
from qap.errors import InputError
from qap.granularity import Granularity
from qap.models.builders import quantize_weights
from qap.models.circuit import traced_ebops
from qap.models.scaling import rounded_inputs
from qap.plan import Plan
from qap.precision import Precision
from qap.training.job import Failed
from qap.training.keras_engine import KerasEngine
from qap.training.population.engine import traced_events

from .helpers import candidate, context, shared_engine

DIGIT = Granularity("digit")


def numpy_network(found: Candidate, x: np.ndarray) -> tuple[np.ndarray, list[np.ndarray]]:
    """Outputs, and what each layer is given, by plain arithmetic on the plan's types."""
    weights, given = quantize_weights(found.plan, found.weights or {}), [rounded_inputs(found.plan.inputs, x)]
    for name, layer in found.plan.items():
        total = given[-1].astype(np.float64) @ weights[f"{name}/kernel"] + weights[f"{name}/bias"]
        if layer.activation is None:
            return total, given
        step = layer.activation.step
        given.append(np.clip(np.round(np.maximum(total, 0) / step), 0, 2**layer.activation.bits - 1) * step)
    raise AssertionError("no output layer")


def ebops(found: Candidate, data: Dataset) -> float:
    """Traced EBOPs by NumPy."""
    _, given = numpy_network(found, data.train.x[traced_events(data).ravel()])
    types = [layer.activation for _, layer in found.plan.items() if layer.activation]
    steps = [found.plan.entering(data.input).step, *(one.step for one in types)]
    total, heard = 0.0, np.ones(found.architecture.layers[-1].units, bool)
    kernels = [(found.weights or {})[f"{name}/kernel"] for name in found.architecture.shapes]
    for kernel, values, step in list(zip(kernels, given, steps, strict=True))[::-1]:
        largest = np.abs(values).max(axis=0) / step
        bits = significant_bits(kernel) * heard
        total += float((bits * np.where(largest >= 1, np.floor(np.log2(np.maximum(largest, 1))) + 1, 0)[:, None]).sum())
        heard = bits.any(axis=1)
    return total


@pytest.mark.slow
@pytest.mark.parametrize("schedule", ["polynomial", "constant"])
def test_the_plans_sparsity_of_the_cost_goes_and_a_qkeras_model_is_left(schedule: str, data: Dataset) -> None:
    begun = candidate(0.7, DIGIT)
    here = context(data, prune={"schedule": schedule})
    circuit = start(begun, data.input)
    seen = shared_engine().trainer(data, None).probe(circuit, traced_events(data))
    found = without_digits(begun, here)
    first, last = traced_ebops(circuit, seen.largest), ebops(found, data)
    assert 0 < last <= 0.3 * first, f"{first:,.0f} EBOPs at first, {last:,.0f} left"
    expected, _ = numpy_network(found, data.test.x)
    scores = outputs(found, data.test.x)
    assert (scores == expected).all(), f"{(scores != expected).sum()} of {scores.size} outputs differ from NumPy's"


def test_digits_are_those_of_the_plan_at_first(data: Dataset) -> None:
    """What the circuit begins with computes what the plan's own network computes."""
    begun = candidate(0.5, DIGIT)
    circuit = start(begun, data.input)
    named = circuit.layout.unpack(circuit.quantized)
    for name, layer in begun.plan.items():
        for part, precision in (("kernel", layer.weight), ("bias", layer.bias)):
            inside = np.abs(named[f"{name}/{part}"]) < precision.high
            expected = precision.quantize((begun.weights or {})[f"{name}/{part}"])
            assert (named[f"{name}/{part}"] == expected)[inside].all(), f"{name}/{part}"


@pytest.mark.slow
def test_chains_with_either_engine_and_a_teacher(data: Dataset) -> None:
    chain, runs = parse_chain(["digits"]), []
    for engine in (shared_engine(), KerasEngine()):
        (one,) = compress([candidate(0.5, DIGIT)], context(data, engine), chain)
        assert isinstance(one, Candidate), one
        runs.append(one)
    assert runs[0].plan == runs[1].plan, "circuits are trained by the population engine's program in both cases"
    assert runs[0].plan != candidate(0.5, DIGIT).plan


def test_what_it_cannot_treat_is_refused_in_one_sentence(data: Dataset) -> None:
    begun = candidate(0.5, DIGIT)
    ternary = Plan(tuple((name, replace(layer, weight=Precision.parse("ternary()"))) for name, layer in begun.plan.items()))
    with pytest.raises(InputError, match="expected a fixed-point weight"):
        without_digits(replace(begun, plan=ternary), context(data))
    (end,) = compress([candidate(0.999, DIGIT)], context(data), parse_chain(["digits"]))
    assert isinstance(end, Failed), end
    assert "nothing is left" in end.reason

