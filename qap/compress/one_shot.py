"""One-shot pruning: all weights that are to go, go at once; then the rest is trained with quantization."""

from __future__ import annotations

from qap.candidate import Candidate
from qap.compress.context import Context
from qap.compress.masking import in_rounds
from qap.compress.method import Method, Steps


def _steps(candidate: Candidate, context: Context) -> Steps:
    return (yield from in_rounds(candidate, context, [1.0], [context.steps], quantized=True, one_decay=True))


METHOD = Method(_steps, "prune at once, then train with quantization", prunes=True)
