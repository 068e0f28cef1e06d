"""Chains of compression methods, and their run over many candidates side by side."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from qap.candidate import Candidate
from qap.compress import (
    allocate,
    cluster,
    digit_pruning,
    equalize,
    iterative,
    lottery,
    low_rank,
    one_shot,
    prune,
    ptq,
    qap,
    qat,
    sensitivity,
    train,
    weight_only,
)
from qap.compress.context import Context
from qap.compress.method import Method, Steps
from qap.errors import InputError, suggestion
from qap.metrics.evaluate import evaluate
from qap.models.architecture import OUTPUT
from qap.models.builders import Builder, build, float_logits, set_weights
from qap.training.job import Failed, Job, Losses, Trained
from qap.training.keras_engine import logits

METHODS: dict[str, Method] = {
    "train": train.METHOD,
    "ptq": ptq.METHOD,
    "weight_only": weight_only.METHOD,
    "equalize": equalize.METHOD,
    "qat": qat.METHOD,
    "prune": prune.METHOD,
    "qap": qap.METHOD,
    "one_shot": one_shot.METHOD,
    "iterative": iterative.METHOD,
    "lottery": lottery.METHOD,
    "digits": digit_pruning.METHOD,
    "low_rank": low_rank.METHOD,
    "cluster": cluster.METHOD,
    "sensitivity": sensitivity.METHOD,
    "allocate": allocate.METHOD,
}
DISTILL = "distill"


@dataclass(frozen=True)
class Link:
    """A method of a chain, with or without a teacher."""

    name: str
    method: Method
    distilled: bool = False


Chain = tuple[Link, ...]


def parse_chain(names: Sequence[str]) -> Chain:
    """Read the names of a chain; ``distill`` trains the float network with a teacher, ``distill+qap`` prunes with one.

    Raises
    ------
    InputError
        A method that does not exist, ``distill+`` before one that does not train, or no method at all.
    """
    if not names:
        raise InputError("compress: expected one method or more, received none")
    return tuple(_link(name) for name in names)


def _link(text: str) -> Link:
    if text == DISTILL:
        return Link(text, train.METHOD, distilled=True)
    prefix, _, name = text.rpartition("+")
    if name not in METHODS or prefix not in ("", DISTILL):
        known = [*METHODS, DISTILL, *(f"{DISTILL}+{name}" for name, method in METHODS.items() if method.trains)]
        names = ", ".join([*METHODS, DISTILL])
        raise InputError(
            f"compress: expected of {names}, or {DISTILL}+ before one that trains; received {text!r}{suggestion(text, known)}"
        )
    method = METHODS[name]
    if prefix and not method.trains:
        raise InputError(f"compress: {name} does not train, it cannot learn from a teacher: write [{DISTILL}, {name}]")
    return Link(text, method, bool(prefix))


def quantizes(chain: Chain) -> bool:
    """Tell whether a chain ends in a quantized network."""
    return chain[-1].method.quantized


def _run(candidate: Candidate, context: Context, chain: Chain) -> Steps:
    """Run a chain on one candidate, the budget in equal parts for the methods that train."""
    parts = sum(link.method.trains for link in chain)
    epochs = context.train.epochs if context.epochs is None else context.epochs
    if parts > 1:
        context = replace(context, epochs=epochs / parts)
    for link in chain:
        if not link.method.keeps_plan and (candidate.plan.inputs or any(layer.exponents for _, layer in candidate.plan.items())):
            raise InputError(f"compress: {link.name} has no rule for a plan with rounded inputs or exponents: leave it out")
        candidate = yield from link.method.steps(candidate, context if link.distilled else replace(context, teacher=None))
    return candidate


def outputs(candidate: Candidate, x: np.ndarray, *, quantized: bool = True, builder: Builder = build) -> np.ndarray:
    """Return the outputs of a candidate as a QKeras model, or of its float network; (events, outputs)."""
    weights, architecture = candidate.weights or {}, candidate.architecture
    if not quantized:
        return float_logits(architecture, weights, x, OUTPUT)[OUTPUT]
    model = builder(architecture, candidate.plan)
    set_weights(model, weights)
    return logits(model, x)


@dataclass(eq=False)
class _Running:
    """A chain under way: the training that it waits for, the last one that it got, and the losses of all."""

    steps: Steps
    job: Job | None = None
    last: Trained | None = None
    history: list[Losses] = field(default_factory=list)

    def advance(self, result: Trained | None) -> Candidate | Failed | None:
        """Send a result; return what the chain ends with, None when it wants another training."""
        self.last = result
        if result is not None:
            self.history.extend(result.history)
        try:
            job = next(self.steps) if result is None else self.steps.send(result)
        except StopIteration as end:
            candidate: Candidate = end.value
            return candidate
        except InputError as error:
            return Failed(str(error))
        self.job = job
        return None

    @property
    def losses(self) -> dict[str, tuple[float, ...]]:
        """The losses by name and epoch; only those that every training has."""
        found = {name: [getattr(one, name) for one in self.history] for name in ("total", "hard", "soft")}
        whole = {name: values for name, values in found.items() if values and None not in values}
        return {name: tuple(float(f"{value:.6g}") for value in values) for name, values in whole.items()}

    def is_of(self, candidate: Candidate, *, quantized: bool) -> bool:
        """Tell whether the last training's validation outputs are those of the candidate."""
        job, last = self.job, self.last
        if job is None or last is None or candidate.weights is not last.weights:
            return False
        return job.quantized == quantized and job.plan == candidate.plan


def _finished(running: _Running, candidate: Candidate, context: Context, chain: Chain) -> Candidate:
    """Add the metrics on the validation split, and the losses of the last training."""
    last, split, quantized = running.last, context.data.validation, quantizes(chain)
    if last is not None and running.is_of(candidate, quantized=quantized):
        scores = last.validation
    else:
        scores = outputs(candidate, split.x, quantized=quantized, builder=context.builder)
    metrics = {f"{k}_validation": v for k, v in evaluate(context.data.task, split, scores, context.metrics).items()}
    if last is not None:
        metrics["loss_train"] = last.loss
        if last.history and last.history[-1].soft is not None:
            metrics |= {"loss_train_hard": last.history[-1].hard, "loss_train_soft": last.history[-1].soft}
    return candidate.with_(metrics={**candidate.metrics, **metrics}, losses=running.losses)


def compress(candidates: Iterable[Candidate], context: Context, chain: Chain | None = None) -> Iterator[Candidate | Failed]:
    """Compress candidates by a chain of methods, all trainings of a round handed to the engine at once.

    Parameters
    ----------
    candidates : iterable of Candidate
        With start weights (the float parent's, BatchNormalization folded).
    context : Context
    chain : Chain, optional
        Of `parse_chain` (default: quantization-aware pruning).

    Yields
    ------
    Candidate or Failed
        Compressed, in the same order, with the context's metrics on the validation split (``accuracy_validation`` or
        ``rmse_validation`` at least); failed where a loss was not finite or a method refuses the candidate.
    """
    chain = chain or parse_chain(["qap"])
    starts = [_Running(_run(candidate, context, chain)) for candidate in candidates]
    found: dict[int, Candidate | Failed] = {}
    active, wanted = dict(enumerate(starts)), 0
    results: Iterator[Trained | Failed | None] = iter([None] * len(starts))  # a first round that only asks
    while active:
        following: dict[int, _Running] = {}
        for (number, running), result in zip(active.items(), results, strict=True):
            end = result if isinstance(result, Failed) else running.advance(result)
            if end is None:
                following[number] = running
            else:
                found[number] = _finished(running, end, context, chain) if isinstance(end, Candidate) else end
            while wanted in found:
                yield found.pop(wanted)
                wanted += 1
        active = following
        results = iter(context.engine.train([one.job for one in active.values() if one.job is not None], context.data))
