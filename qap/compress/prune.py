"""Pruning of the float network along a schedule: the first half of the control, prune and then quantize.

TF-MOT's schedules after Zhu and Gupta, "To prune, or not to prune", arXiv:1710.01878.
"""

from __future__ import annotations

from qap.candidate import Candidate
from qap.compress.context import Context
from qap.compress.masking import by_schedule, tfmot_prunes
from qap.compress.method import Method, Steps
from qap.compress.qap import schedules


def _steps(candidate: Candidate, context: Context) -> Steps:
    if not tfmot_prunes(candidate, context):
        return (yield from by_schedule(candidate, context, quantized=False))
    result = yield context.job(candidate, pruning=schedules(candidate, context), quantized=False)
    return candidate.with_(weights=result.weights)


METHOD = Method(_steps, "prune the float network along a schedule", quantized=False, prunes=True)
