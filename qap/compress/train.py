"""Training of the float network: the baseline's share of the budget; with a teacher it is plain distillation."""

from __future__ import annotations

from qap.candidate import Candidate
from qap.compress.context import Context
from qap.compress.masking import zeros_kept
from qap.compress.method import Method, Steps


def _steps(candidate: Candidate, context: Context) -> Steps:
    result = yield context.job(candidate, masks=zeros_kept(candidate), quantized=False)
    return candidate.with_(weights=result.weights)


METHOD = Method(_steps, "train the float network on; zeros stay zero", quantized=False)
