"""Lottery ticket: train, prune, set the survivors back to their early values, train them again.

Frankle and Carbin, "The lottery ticket hypothesis", arXiv:1803.03635, with late rewinding (arXiv:1912.05671). It begins at
Keras's initialisation, not at the float parent: its budget is that of parent and candidate together, half for the network
that finds the ticket and half for the ticket. Both are trained with quantization.
"""

from __future__ import annotations

from qap.candidate import Candidate
from qap.compress.context import Context
from qap.compress.masking import choose, cut_off, masked, shrunk
from qap.compress.method import Method, Steps


def _steps(candidate: Candidate, context: Context) -> Steps:
    half = (context.train.parent_epochs * context.epoch + context.steps) // 2
    early = max(round(context.prune.rewind * half), 1)
    begun = yield context.job(candidate, steps=early, part="/early", weights=None, window=(0, half))
    rewound = candidate.with_(weights=begun.weights)
    found = yield context.job(rewound, steps=half - early, part="/dense", window=(early, half))
    masks = cut_off(candidate, choose(candidate.with_(weights=found.weights), context))
    ticket = masked(rewound, masks)
    result = yield context.job(ticket, steps=half, part="/ticket", masks=masks)
    return shrunk(masked(ticket.with_(weights=result.weights), masks))


METHOD = Method(_steps, "train, prune, rewind the survivors to early values, train again", prunes=True)
