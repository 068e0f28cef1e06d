"""What a candidate of the search costs: exact counts, and what csynth would report, in about a millisecond."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from qap.candidate import Candidate, Cost, Figure
from qap.config.schema import Firmware, Timing
from qap.cost.counts import TRACED, count, traced_ebops
from qap.cost.csynth import Prediction, csynth_cost, predict
from qap.cost.features import dense_features
from qap.cost.hls_source import HLSType
from qap.cost.model import Model
from qap.cost.terms import Network, widths
from qap.cost.timing import Budget, timing_figures
from qap.models.builders import quantize_weights
from qap.precision import Precision


def budget(firmware: Firmware, timing: Timing) -> Budget:
    """Return the timing budget of a study."""
    return Budget(firmware.ClockPeriod, timing.time_multiplexing, timing.bunch_crossing_ns, timing.latency_ns)


def _type(precision: Precision) -> HLSType:
    return HLSType(precision.signed, precision.bits, precision.integer + precision.sign_bits)


def _reuse(firmware: Firmware, layer: str) -> int:
    chosen = firmware.ReuseFactor
    return chosen if isinstance(chosen, int) else chosen.get(layer, chosen.get("Model", 1))


def networks(candidate: Candidate, counted: Cost, inputs: Precision, firmware: Firmware) -> list[Network]:
    """Return the matrix multiplications of a candidate as its firmware will have them.

    Parameters
    ----------
    candidate : Candidate
        With weights.
    counted : Cost
        Of `qap.cost.counts.count`.
    inputs : Precision
        Type of the network's inputs.
    firmware : Firmware
    """
    quantized, inputs = quantize_weights(candidate.plan, candidate.weights or {}), candidate.plan.entering(inputs)
    found = []
    for name, layer in candidate.plan.items():
        width = int(counted.layers[name]["accumulator_bits"].value)
        features = dense_features(
            quantized[f"{name}/kernel"], quantized[f"{name}/bias"],
            weight=_type(layer.weight), inputs=_type(inputs), accum=HLSType(True, width, width),
        )  # fmt: skip
        found.append(Network(widths(features), firmware.Strategy.lower(), _reuse(firmware, name), clock_ns=firmware.ClockPeriod))
        inputs = layer.activation or inputs
    return found


def prediction(candidate: Candidate, counted: Cost, inputs: Precision, firmware: Firmware, model: Model) -> Prediction:
    """Estimate what csynth would report for a candidate.

    Parameters
    ----------
    candidate, counted, inputs, firmware
        As for `networks`.
    model : Model
    """
    if any(layer.kernel for layer in candidate.architecture.layers):
        return Prediction({}, False, ("no report of a convolution is at hand: no number",))
    if firmware.IOType != "io_parallel":
        return Prediction({}, False, (f"no report of a network with {firmware.IOType} is at hand: no number",))
    return predict(model, networks(candidate, counted, inputs, firmware), part=firmware.Part)


def candidate_cost(
    candidate: Candidate,
    inputs: Precision,
    firmware: Firmware,
    timing: Timing,
    model: Model,
    largest: Sequence[np.ndarray] | None = None,
) -> Cost:
    """Count a candidate and estimate its csynth figures.

    Parameters
    ----------
    candidate : Candidate
        With weights.
    inputs : Precision
        Type of the network's inputs.
    firmware : Firmware
        Strategy, reuse factors, clock and part.
    timing : Timing
    model : Model
        For the estimates.
    largest : sequence of arrays, optional
        Of `qap.training.population.engine.PopulationEngine.largest`, for ``ebops_traced``.

    Returns
    -------
    Cost
        The figures of `qap.cost.counts.count`; ``LUT, FF, DSP, BRAM_18K, latency_cycles, II, latency_ns, latency_bx`` where
        reports of the kind are at hand.
    """
    counted = count(candidate.architecture, candidate.plan, candidate.weights or {}, inputs)
    estimated = csynth_cost(prediction(candidate, counted, inputs, firmware, model))
    traced = {}
    if largest is not None:
        value = traced_ebops(candidate.plan, candidate.weights or {}, inputs, largest)
        traced["ebops_traced"] = Figure(value, TRACED)
    figures: Mapping[str, Figure] = {
        **counted.figures, **traced, **estimated, **timing_figures(estimated, budget(firmware, timing)),
    }  # fmt: skip
    return Cost(figures, counted.layers)
