"""Train again what a study has trained, in its order and from the same weights, whoever has trained it then."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from pathlib import Path

from qap.candidate import Candidate
from qap.config.schema import Study as Config
from qap.errors import InputError
from qap.models.builders import Weights
from qap.search.hybrid import SUPERNET
from qap.search.record import RUNG, Record
from qap.search.searcher import Searcher
from qap.search.study import Study, first_difference
from qap.search.supernet import prepare
from qap.search.work import FINAL, Start


def recorded(directory: Path, config: Config) -> list[Record]:
    """Return the trainings of a study in their order.

    Raises
    ------
    InputError
        No study, one of another configuration, one that does not say what its trainings started from, or one of the ramp.
    """
    study = Study.open(directory)
    if (different := first_difference(study.config, config)) is not None:
        raise InputError(f"--replay: {directory}: a study of another configuration: {different}")
    if config.search.strategy == "ramp":
        raise InputError("--replay: the ramp trains one circuit after another: the same seed gives the same search")
    if study.format < 2:
        raise InputError(f"--replay: {directory}: study format {study.format} does not say what its trainings started from")
    return list(study.records())


class Replay:
    """Source of the trainings of another study (see `qap.search.loop.Source`).

    Parameters
    ----------
    searcher : Searcher
    records : sequence of Record

    Attributes
    ----------
    different : list of str
        Candidates that came out differently.
    """

    def __init__(self, searcher: Searcher, records: Sequence[Record]) -> None:
        self._searcher, self._records = searcher, {one.key: one for one in records}
        self._left = deque(records)
        supernet = any(one.origin == SUPERNET for one in records)
        self._promising = prepare(searcher) if supernet else None
        self.different: list[str] = []

    def ask(self, most: int) -> list[Start]:
        """Return the next trainings whose starting weights are there."""
        starts: list[Start] = []
        while self._left and len(starts) < most:
            origin = self._left[0].origin
            if origin is not None and origin != SUPERNET and origin not in self._searcher.seen:
                break
            starts.append(self._start(self._left.popleft()))
        return starts

    def tell(self, start: Start, record: Record | None) -> None:
        """Note what came out differently."""
        before = self._records[start.key]
        if record is None or record.error != before.error or _scores(record.candidate) != _scores(before.candidate):
            self.different.append(start.candidate.id)

    def learn(self, record: Record) -> None:
        """Nothing is learnt."""

    def _start(self, record: Record) -> Start:
        one, final = record.candidate, record.rung == FINAL
        candidate = one.with_(weights=self._weights(record), metrics={}, cost=None, losses={})
        return Start(candidate, record.epochs, record.rung, record.point, record.origin, final)

    def _weights(self, record: Record) -> Weights:
        one, searcher = record.candidate, self._searcher
        if record.origin == SUPERNET:
            weights = None if self._promising is None else self._promising.start(record.point or {}, one.plan)
            if weights is None:
                raise InputError(f"--replay: candidate {one.id} began with a supernet that is not found again")
            return weights
        if record.origin is not None:
            origin = searcher.seen[record.origin].candidate
            return searcher.study.weights(origin.with_(metrics={RUNG: record.origin[1]}))
        searcher.parent(one.architecture)
        if record.point is not None:
            return searcher.from_point(record.point).weights or {}
        return searcher.from_plan(one.architecture, one.plan).weights or {}


def _scores(candidate: Candidate) -> dict[str, float]:
    return {name: value for name, value in candidate.metrics.items() if name.endswith("_validation")}
