"""Weight-only quantization: the plan's bits for the weights, activations wide enough not to matter."""

from __future__ import annotations

from dataclasses import replace

from qap.candidate import Candidate
from qap.compress.context import Context
from qap.compress.method import Method, instant
from qap.compress.ptq import quantized
from qap.plan import LayerPlan
from qap.precision import Precision

ACTIVATION_BITS = 16


def _widened(name: str, layer: LayerPlan) -> LayerPlan:
    old = layer.activation
    return layer if old is None else replace(layer, activation=Precision(ACTIVATION_BITS, old.integer, old.signed))


def weight_only(candidate: Candidate, context: Context) -> Candidate:
    """Return the candidate quantized after training, its activations in 16 bits of fixed point."""
    return quantized(candidate.with_(plan=candidate.plan.map(_widened)), context)


METHOD = Method(
    instant(weight_only), "quantize the weights without training, activations in 16 bits", trains=False, keeps_plan=False
)
