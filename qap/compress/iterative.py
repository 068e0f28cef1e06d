"""Iterative pruning: prune a part, train with quantization, prune on; each training has its own decay of the learning rate.

Each round removes the same fraction of what is left (Renda, Frankle, Carbin, "Comparing rewinding and fine-tuning in
neural network pruning", arXiv:2003.02389, there with learning-rate rewinding).
"""

from __future__ import annotations

import numpy as np

from qap.candidate import Candidate
from qap.compress.context import Context
from qap.compress.masking import in_rounds
from qap.compress.method import Method, Steps


def _steps(candidate: Candidate, context: Context) -> Steps:
    rounds = context.prune.rounds
    most = max((layer.sparsity for _, layer in candidate.plan.items()), default=0.0)
    numbers = np.arange(1, rounds + 1) / rounds
    levels = [float(level) for level in (1 - (1 - most) ** numbers) / most] if most else [0.0] * rounds
    levels[-1] = 1.0 if most else 0.0
    ends = [round(float(part) * context.steps) for part in numbers]
    return (yield from in_rounds(candidate, context, levels, ends, quantized=True, one_decay=False))


METHOD = Method(_steps, "prune and train with quantization in rounds", prunes=True)
