"""The winners of a search, rebuilt as QKeras models and scored again on the events that it never saw."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from qap.backend import read_model, stack
from qap.candidate import Candidate
from qap.compress.context import Context
from qap.datasets.dataset import Split
from qap.datasets.hold_back import hold_back
from qap.errors import QapError
from qap.files import write_text
from qap.metrics.evaluate import Metrics, evaluate
from qap.models.architecture import Architecture
from qap.models.builders import set_weights
from qap.search.objectives import DROP, front, limits, violations, wanted_metrics
from qap.search.study import Study
from qap.training.keras_engine import logits

STORED = "held_back.json"


def _noted(candidate: Candidate, study: Study, context: Context) -> Metrics:
    """Return the metrics that the search has noted for a candidate, at the study's working point."""
    names = tuple(name.removesuffix("_validation") for name in candidate.metrics if name.endswith("_validation"))
    return replace(wanted_metrics(study.config, context.data.class_names), names=names)


def rebuild(study: Study, candidate: Candidate, context: Context) -> Any:
    """Build a candidate as a QKeras model without pruning wrappers, save it, load it again and hold it to its score.

    Parameters
    ----------
    study : Study
    candidate : Candidate
        With weights and the metrics that the search has noted.
    context : Context
        Its validation split is what the search saw.

    Returns
    -------
    keras.Model
        As loaded from ``candidates/<id>/model.keras``.

    Raises
    ------
    QapError
        The reloaded model scores otherwise on the validation split than the search has noted.
    """
    keras = stack().keras
    keras.backend.clear_session()
    path = study.candidate_directory(candidate) / "model.keras"
    model = context.builder(candidate.architecture, candidate.plan)
    set_weights(model, candidate.weights or {})
    temporary = path.with_name(".part.keras")
    model.save(temporary)
    temporary.replace(path)
    model = read_model(path, trust=True)  # written a moment ago
    split = context.data.validation
    again = evaluate(context.data.task, split, logits(model, split.x), _noted(candidate, study, context))
    for name, value in again.items():
        noted = candidate.metrics[f"{name}_validation"]
        if value != noted:
            raise QapError(
                f"{candidate.id}: rebuilt from its file the model has {name} {value:.6f} on the validation split, the search "
                f"noted {noted:.6f}: the study was made on another machine or with other versions; search again"
            )
    return model


@dataclass(eq=False)
class Rescorer:
    """Rebuilds candidates and scores them on the part of the validation split that was held back.

    Parameters
    ----------
    study : Study
    context : Context
        Its validation split is what the search saw.
    held : Split
        What the search did not see; empty where nothing was held back.
    """

    study: Study
    context: Context
    held: Split
    _models: dict[str, Any] = field(default_factory=dict)
    _scored: dict[str, Candidate] = field(default_factory=dict)
    _parents: dict[str, float] = field(default_factory=dict)
    _told: set[str] = field(default_factory=set)

    @classmethod
    def of(cls, study: Study, context: Context) -> Rescorer:
        """Divide the validation split as the search did.

        Parameters
        ----------
        study : Study
        context : Context
            With the whole dataset.
        """
        searched, held = hold_back(context.data, study.config.search.holdback, study.config.seed)
        return cls(study, replace(context, data=searched), held)

    def model(self, candidate: Candidate) -> Any:
        """Return a candidate's QKeras model, held to the score that the search has noted (see `rebuild`)."""
        if candidate.id not in self._models:
            self._models[candidate.id] = rebuild(self.study, candidate.with_(weights=self.study.weights(candidate)), self.context)
        return self._models[candidate.id]

    def score(self, candidate: Candidate) -> Candidate:
        """Return a candidate with its score on the held-back part.

        Parameters
        ----------
        candidate : Candidate
            As the search has noted it.

        Returns
        -------
        Candidate
            What ended in ``_validation`` ends in ``_selection``, and ``_validation`` is the held-back part;
            ``accuracy_drop`` is taken there too. The candidate itself where nothing was held back.
        """
        if not len(self.held):
            return candidate
        if candidate.id not in self._scored:
            again = self._stored(candidate) or self._measured(candidate)
            metrics = dict(candidate.metrics)
            for name, value in again.items():
                metrics[f"{name}_selection"], metrics[f"{name}_validation"] = metrics[f"{name}_validation"], value
            if DROP in metrics:
                metrics[DROP] = self._parent(candidate.architecture) - again["accuracy"]
            self._scored[candidate.id] = candidate.with_(metrics=metrics)
        return self._scored[candidate.id]

    def _stored(self, candidate: Candidate) -> dict[str, float] | None:
        """Read what was measured earlier; None where there is nothing, or of another training."""
        try:
            noted = json.loads((self.study.candidate_directory(candidate) / STORED).read_text())
            found = noted["held_back"] if noted["search"] == dict(candidate.metrics) else None
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return found

    def _measured(self, candidate: Candidate) -> dict[str, float]:
        outputs = logits(self.model(candidate), self.held.x)
        again = evaluate(self.context.data.task, self.held, outputs, _noted(candidate, self.study, self.context))
        values = {"search": dict(candidate.metrics), "held_back": again}
        write_text(self.study.candidate_directory(candidate) / STORED, json.dumps(values, indent=1) + "\n")
        return again

    def _parent(self, architecture: Architecture) -> float:
        """Return the float parent's accuracy on the held-back part."""
        if architecture.id not in self._parents:
            outputs = logits(self.study.parent_model(architecture), self.held.x)
            found = evaluate(self.context.data.task, self.held, outputs, Metrics(()))
            self._parents[architecture.id] = found["accuracy"]
        return self._parents[architecture.id]

    def front(self, candidates: Sequence[Candidate]) -> tuple[list[Candidate], list[Candidate]]:
        """Choose a front on what the search saw, and of its members those that are a front on the held-back part too.

        Parameters
        ----------
        candidates : sequence of Candidate
            As the search has noted them.

        Returns
        -------
        kept : list of Candidate
            Cheapest first, scored on the held-back part.
        left : list of Candidate
            The others, scored on the held-back part; the log says why each has left.

        Both are empty where no candidate keeps the constraints.
        """
        names, allowed = self.study.config.search.objectives, limits(self.study.config)
        scored = [self.score(candidate) for candidate in front(candidates, names, allowed)]
        kept = front(scored, names, allowed)
        left = [candidate for candidate in scored if candidate not in kept]
        for candidate in left:
            if candidate.id not in self._told:
                self._told.add(candidate.id)
                over = [name for name, by in zip(allowed, violations(candidate, allowed), strict=True) if by > 0]
                why = f"{', '.join(over)} beyond the constraint" if over else "others are as good or better in everything"
                self.study.log(f"candidate {candidate.id} left the front: on the events held back {why}")
        return kept, left
