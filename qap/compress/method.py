"""What every compression method is: a function of a candidate and a context that returns a candidate.

It is written as a generator: it yields the trainings that it needs and is sent their results. So many candidates can be
compressed side by side by one engine (`qap.compress.pipeline`), and a single one by a call of the method.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass

from qap.candidate import Candidate
from qap.compress.context import Context
from qap.errors import QapError
from qap.training.job import Failed, Job, Trained

Steps = Generator[Job, Trained, Candidate]


@dataclass(frozen=True)
class Method:
    """A compression method.

    Parameters
    ----------
    steps : callable
        (candidate, context) → generator that yields trainings, is sent what they gave, and returns the candidate with its
        new weights.
    purpose : str
        One line.
    trains : bool, default True
        Takes a share of the budget in epochs.
    quantized : bool, default True
        The result is a network with the plan's quantizers, else a float network.
    keeps_plan : bool, default True
        Architecture and plan of the result are those of the candidate.
    prunes : bool, default False
        Its masks have the plan's sparsities.
    """

    steps: Callable[[Candidate, Context], Steps]
    purpose: str
    trains: bool = True
    quantized: bool = True
    keeps_plan: bool = True
    prunes: bool = False

    def __call__(self, candidate: Candidate, context: Context) -> Candidate:
        """Compress one candidate.

        Raises
        ------
        QapError
            A training came to nothing.
        InputError
            The candidate is none that the method can treat.
        """
        running = self.steps(candidate, context)
        try:
            job = next(running)
            while True:
                result = next(iter(context.engine.train([job], context.data)))
                if isinstance(result, Failed):
                    raise QapError(f"{candidate.id}: {result.reason}")
                job = running.send(result)
        except StopIteration as end:
            compressed: Candidate = end.value
            return compressed


def instant(change: Callable[[Candidate, Context], Candidate]) -> Callable[[Candidate, Context], Steps]:
    """Turn a function that needs no training into the steps of a method."""

    def steps(candidate: Candidate, context: Context) -> Steps:
        yield from ()
        return change(candidate, context)

    return steps
