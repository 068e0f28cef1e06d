"""Quantization-aware pruning: the masks are renewed in the same training pass that quantizes.

For magnitudes of single weights the layers are QKeras's, wrapped in TF-MOT's ``prune_low_magnitude``; other granularities
and criteria renew their masks along the same schedule. The training starts from the candidate's weights. After
Hawks et al., "Ps and Qs: Quantization-aware pruning for efficient low latency neural network inference", Front. Artif.
Intell. 4 (2021) 676564, arXiv:2102.11289.
"""

from __future__ import annotations

from collections.abc import Sequence

from qap.candidate import Candidate
from qap.compress.context import Context
from qap.compress.masking import by_schedule, tfmot_prunes
from qap.compress.method import Method, Steps
from qap.errors import InputError, suggestion
from qap.training.job import Pruning


def _pruning(name: str, context: Context) -> Pruning:
    section = context.prune.layers.get(name, context.prune)
    return Pruning.from_fractions(section.schedule, section.begin, section.end, section.frequency, context.steps)


def check(context: Context, layers: Sequence[str]) -> None:
    """Refuse a budget or a schedule that cannot be kept, before anything is trained.

    Parameters
    ----------
    context : Context
    layers : sequence of str
        Every layer that an architecture of the study may have.

    Raises
    ------
    InputError
        ``prune.layers`` names a layer that does not exist, no step lies between begin and end, or a batch is larger than
        the training split.
    """
    for name in context.prune.layers:
        if name not in layers:
            raise InputError(f"prune.layers: no layer {name!r}{suggestion(name, layers)}")
    for name in layers:
        _pruning(name, context)


def schedules(candidate: Candidate, context: Context) -> dict[str, Pruning]:
    """Return the pruning schedule of each layer that the plan prunes."""
    return {name: _pruning(name, context) for name, layer in candidate.plan.items() if layer.sparsity}


def _steps(candidate: Candidate, context: Context) -> Steps:
    if not tfmot_prunes(candidate, context):
        return (yield from by_schedule(candidate, context, quantized=True))
    result = yield context.job(candidate, pruning=schedules(candidate, context))
    return candidate.with_(weights=result.weights)


METHOD = Method(_steps, "prune while training with quantization", prunes=True)
