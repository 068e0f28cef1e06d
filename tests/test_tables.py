"""Tables: aligned text for a terminal, escaped HTML for Jupyter; what qap's records print as."""

from __future__ import annotations

from html.parser import HTMLParser

import pytest

from qap.candidate import Candidate, Cost, Figure, Parity
from qap.models.architecture import Architecture
from qap.models.layer import Layer
from qap.plan import Plan
from qap.search.front import Front
from qap.tables import Table, number

from .conftest import uniform_plan


class _Cells(HTMLParser):
    """Rows of cells, and whether every element is closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.open: list[str] = []
        self.feed(text)
        self.close()
        assert not self.open, f"left open: {self.open}"

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        assert self.open[-1] in ("td", "th", "caption"), f"{data!r} outside of a cell"
        if self.open[-1] != "caption":
            self.rows[-1][-1] += data


@pytest.fixture
def candidate() -> Candidate:
    architecture = Architecture.mlp(16, [8], 5)
    plan = uniform_plan(["fc1", "output"], activation=8, sparsity=0.5)
    figures = {"ebops": Figure(12345, "counted"), "LUT": Figure(900, "fit", "LUT", 700, 1200), "sparsity": Figure(0.51, "c")}
    layers = {name: {"ebops": Figure(value, "c"), "sparsity": Figure(0.5, "c")} for name, value in (("fc1", 12e3), ("output", 9))}
    metrics = {"accuracy_validation": 0.75123}
    return Candidate(architecture, plan, None, metrics, Cost(figures, layers), Parity(32000, 32000, 0.0))


def test_text_is_aligned_and_empty_columns_are_left_out() -> None:
    table = Table.of(("layer", "bits", "nothing"), [("fc1", 8, None), ("output", 16, None)], "a caption")
    assert str(table).splitlines() == ["a caption", "layer   bits", "fc1        8", "output    16"]


def test_html_is_escaped_and_has_the_cells_of_the_text() -> None:
    nasty = "<script>alert(1)</script> & \"q\""
    html = Table.of((nasty, "b"), [("x", nasty)], nasty)._repr_html_()
    assert "<script" not in html
    assert _Cells(html).rows == [[nasty, "b"], ["x", nasty]]


@pytest.mark.parametrize(("value", "text"), [(12345.0, "12,345"), (0.123456, "0.1235"), (3.0, "3"), (98765.4, "98,765")])
def test_numbers(value: float, text: str) -> None:
    assert number(value) == text


def test_every_record_prints_as_a_table(candidate: Candidate) -> None:
    records = [candidate, candidate.plan, candidate.cost, candidate.architecture, candidate.parity]
    for one in [*records, Front((candidate,), ("accuracy", "ebops"))]:
        rows = _Cells(one._repr_html_()).rows  # type: ignore[union-attr]
        assert rows, one
        assert all(any(row) for row in rows), f"{type(one).__name__} has an empty row: {rows}"
        assert "\n" not in repr(one)
        assert len(repr(one)) < 300, f"{type(one).__name__}: a repr of {len(repr(one))} letters"


def test_a_candidate_shows_plan_costs_and_proof(candidate: Candidate) -> None:
    text = str(candidate)
    for part in ("quantized_bits(6,", "12,345", "900 (700–1,200)", "32,000 of 32,000 events bit-exact", "0.7512", "50%"):
        assert part in text, f"{part!r} is missing in\n{text}"
    assert repr(candidate) == f"Candidate({candidate.id}, 16-8-5, accuracy_validation 0.7512, 12,345 EBOPs)"


def test_an_architecture_says_what_its_layers_are() -> None:
    layers = (Layer("conv1", 8, kernel=(3, 3), pool="max(2)", batchnorm=True), Layer("output", 10, "linear"))
    rows = _Cells(Architecture(64, layers, (8, 8, 1))._repr_html_()).rows
    assert rows[1] == ["conv1", "Conv2D", "3×3×1×8", "72", "BatchNormalization, relu, max(2)", "3×3×8"]
    assert rows[2] == ["output", "Dense", "72×10", "720", "", "10"]


def test_a_front_gives_its_best_its_parts_and_its_length(candidate: Candidate) -> None:
    small = Cost({"ebops": Figure(10, "c"), "sparsity": Figure(0, "c")})
    other = candidate.with_(metrics={"accuracy_validation": 0.7}, cost=small)
    plan = Plan.from_dict({name: {**layer, "sparsity": 0.25} for name, layer in candidate.plan.to_dict().items()})
    found = Front.of([candidate, other.with_(plan=plan)], ("accuracy", "ebops"))
    assert (len(found), [one.cost["ebops"] for one in found]) == (2, [10, 12345])  # type: ignore[index]
    assert found.best is candidate
    assert isinstance(found[:1], Front)
    assert found.table.titles == ("candidate", "accuracy", "ebops", "weight bits", "activation bits", "zero weights")
