"""ROOT files by uproot: TTrees and RNTuples."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from qap.datasets.readers.source import Column, Jagged, Source, Values, library, near, whole
from qap.errors import InputError

MOST_BYTES = 256e6
"""Of a chunk: clusters of the file stay whole up to here."""


class RootSource(Source):
    """A tree of a ROOT file.

    Parameters
    ----------
    path : path
    tree : str, optional
        Its name (default: the only one).
    """

    def __init__(self, path: Path, tree: str | None) -> None:
        self.path = path
        uproot = library("uproot", "ROOT")
        self._ak = library("awkward", "ROOT")
        interpretation = uproot.interpretation
        self._unknown = (interpretation.identify.UnknownInterpretation, interpretation.objects.CannotBeAwkward)
        with whole(path, "ROOT"):
            self._file = uproot.open(path)
            kinds = self._file.classnames(cycle=False)
            self._tree = self._find({name for name, kind in kinds.items() if kind in ("TTree", "ROOT::RNTuple")}, tree)
            self.columns = {name: self._column(self._tree[name]) for name in self._names() if self._has_values(name)}

    def _find(self, trees: set[str], tree: str | None) -> Any:
        if tree is None and len(trees) == 1:
            tree = next(iter(trees))
        if not trees:
            raise InputError(f"data.name: {self.path}: has no TTree and no RNTuple")
        if tree is None:
            raise InputError(f"data.tree: {self.path}: which one? (known: {', '.join(sorted(trees))})")
        if tree.partition(";")[0] not in trees:
            raise InputError(f"data.tree: {self.path}: no tree '{tree}'{near(tree, trees)}")
        return self._file[tree]

    def _names(self) -> list[str]:
        return [str(name) for name in self._tree.keys()]  # noqa: SIM118  (a TTree is no dictionary)

    def _has_values(self, name: str) -> bool:
        """Leave out branches that only hold other branches."""
        return not getattr(self._tree[name], "branches", None)

    def _column(self, branch: Any) -> Column:
        """Return what a branch holds, from the type of no events."""
        name = str(getattr(branch, "typename", "unknown"))
        try:
            content = branch.array(library="ak", entry_stop=0).type.content
        except (NotImplementedError, ValueError, TypeError, AttributeError, KeyError, *self._unknown):
            return Column("other", (), name)
        types, shape = self._ak.types, []
        if getattr(content, "parameters", {}).get("__array__") in ("string", "bytestring"):
            return Column("text", (), name)
        while isinstance(content, types.RegularType):
            shape.append(int(content.size))
            content = content.content
        if isinstance(content, types.NumpyType):
            return Column("number", tuple(shape), name)
        flat = isinstance(content, types.ListType) and isinstance(content.content, types.NumpyType)
        return Column("jagged" if flat and not shape else "other", (), name)

    def _edges(self, names: Sequence[str], rows: int) -> list[int]:
        """Return where chunks begin and end: between clusters, so that no basket is read twice."""
        events = int(self._tree.num_entries)
        offsets: list[Any] = getattr(self._tree, "common_entry_offsets", list)()
        clusters = [int(edge) for edge in offsets]
        most = max(rows, int(MOST_BYTES / (8 * max(len(names), 1))))
        edges = [0]
        for start, stop in zip([0, *clusters], [*clusters, events], strict=True):
            if stop - edges[-1] > most:
                if start > edges[-1]:
                    edges.append(start)
                edges += range(edges[-1] + most, stop, most)
            if stop - edges[-1] >= rows or stop == events:
                edges.append(stop)
        return sorted({*edges, events})

    def _values(self, name: str, start: int, stop: int) -> Values:
        column, branch = self.columns[name], self._tree[name]
        if column.kind == "number":
            values = branch.array(library="ak", entry_start=start, entry_stop=stop)
            return np.asarray(self._ak.to_numpy(values, allow_missing=False))
        array = branch.array(library="ak", entry_start=start, entry_stop=stop)
        if column.kind == "text":
            return np.asarray(self._ak.to_list(array), dtype=str)
        lengths = self._ak.to_numpy(self._ak.num(array))
        values = self._ak.to_numpy(self._ak.flatten(array))
        return Jagged(values, np.concatenate([[0], np.cumsum(lengths)]))

    def chunks(self, names: Sequence[str], rows: int) -> Iterator[tuple[float, dict[str, Values]]]:
        """Yield the part that has been read and the columns."""
        with whole(self.path, "ROOT"):
            edges = self._edges(names, rows)
            for start, stop in pairwise(edges):
                yield stop / edges[-1], {name: self._values(name, start, stop) for name in names}
