"""Front: the candidates that no other dominates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import overload

from qap.candidate import Candidate
from qap.search.objectives import OBJECTIVES, front, values
from qap.tables import Table


@dataclass(frozen=True, eq=False, repr=False)
class Front(Sequence[Candidate]):
    """Candidates of a front, cheapest first.

    Parameters
    ----------
    candidates : tuple of Candidate
    objectives : tuple of str
        What they were chosen by, on the validation split.
    """

    candidates: tuple[Candidate, ...]
    objectives: tuple[str, ...]

    @classmethod
    def of(cls, candidates: Sequence[Candidate], objectives: Sequence[str], allowed: Mapping[str, float] | None = None) -> Front:
        """Choose those within all limits that no other dominates (see `qap.search.objectives.front`)."""
        return cls(tuple(front(candidates, objectives, allowed)), tuple(objectives))

    @overload
    def __getitem__(self, place: int) -> Candidate: ...
    @overload
    def __getitem__(self, place: slice) -> Front: ...
    def __getitem__(self, place: int | slice) -> Candidate | Front:
        return Front(self.candidates[place], self.objectives) if isinstance(place, slice) else self.candidates[place]

    def __len__(self) -> int:
        return len(self.candidates)

    @property
    def best(self) -> Candidate:
        """The candidate with the best first objective, whatever it costs: as a rule the most accurate one."""
        name = self.objectives[0]
        better = max if OBJECTIVES[name].direction == "maximize" else min
        return better(self.candidates, key=lambda candidate: values(candidate, [name]))

    @property
    def table(self) -> Table:
        """Objectives, bits by layer and zero weights of each candidate."""
        rows = []
        for one in self.candidates:
            layers = [layer for _, layer in one.plan.items()]
            rows.append((
                one.id,
                *(f"{value:,.0f}" if abs(value) > 10 else f"{value:.4f}" for value in values(one, self.objectives)),
                " ".join(str(layer.weight.bits) for layer in layers),
                " ".join(str(layer.activation.bits) for layer in layers if layer.activation),
                "" if one.cost is None else f"{100 * one.cost['sparsity']:.0f} %",
            ))  # fmt: skip
        return Table.of(("candidate", *self.objectives, "weight bits", "activation bits", "zero weights"), rows)

    def __str__(self) -> str:
        return str(self.table)

    def __repr__(self) -> str:
        return f"Front({len(self)} candidates by {', '.join(self.objectives)})"

    def _repr_html_(self) -> str:
        return self.table._repr_html_()
