"""Quantization-aware training: QKeras quantizers in the training pass, gradients straight through them.

What the candidate's kernels have of zeros stays zero, so that after `prune` this is the second half of the control,
prune and then quantize. Jacob et al., arXiv:1712.05877; Coelho et al., Nat. Mach. Intell. 3 (2021) 675, arXiv:2006.10159.
"""

from __future__ import annotations

from qap.candidate import Candidate
from qap.compress.context import Context
from qap.compress.masking import zeros_kept
from qap.compress.method import Method, Steps


def _steps(candidate: Candidate, context: Context) -> Steps:
    result = yield context.job(candidate, masks=zeros_kept(candidate))
    return candidate.with_(weights=result.weights)


METHOD = Method(_steps, "train with quantization; zeros stay zero")
