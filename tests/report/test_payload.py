"""What the page draws from: thinned curves, short numbers, nothing that could be markup."""

from __future__ import annotations

import itertools
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qap.candidate import Cost, Figure
from qap.report.axes import axes
from qap.report.curves import SEEN, losses, residuals, thinned
from qap.report.page import ROOM, fitted
from qap.report.payload import embedded, payload
from qap.report.quality import Residuals
from qap.report.view import logarithmic, part_of, shown_losses


@given(st.lists(st.tuples(st.floats(0, 0.1), st.floats(0, 0.1)), min_size=2, max_size=60))
def test_no_point_lies_far_from_a_thinned_curve(steps):
    x, y = np.cumsum(np.array(steps), axis=0).T
    kept = thinned(x, y)
    assert (kept[0], kept[-1]) == (0, len(x) - 1)
    for first, last in itertools.pairwise(kept):
        for i in range(first + 1, last):
            along = np.array([x[last] - x[first], y[last] - y[first]])
            off = np.array([x[i] - x[first], y[i] - y[first]])
            share = np.clip(along @ off / (along @ along), 0, 1) if along @ along else 0.0
            assert np.hypot(*(off - share * along)) <= SEEN * 1.001


def test_curves_stay_where_they_were(report):
    values = payload(report)
    for entry, found in zip(report.front, values["front"], strict=True):
        for curve, (signal, height) in zip(entry.roc, found["roc"], strict=True):
            shown = np.array(curve.background) >= 1e-3
            x, y = np.array(curve.signal)[shown], 1 + np.log10(np.array(curve.background)[shown]) / 3
            assert len(signal) <= len(x)
            drawn = np.stack([np.cumsum(signal), np.cumsum(height)], axis=1) / 1000
            for point in np.stack([x, y], axis=1):
                along, off = np.diff(drawn, axis=0), point - drawn[:-1]
                share = np.clip((along * off).sum(axis=1) / np.maximum((along**2).sum(axis=1), 1e-12), 0, 1)
                assert np.hypot(*(off - share[:, None] * along).T).min() < SEEN + 8e-4


def test_efficiencies_by_cut_stay_where_they_were(report):
    for entry, found in zip(report.front, payload(report)["front"], strict=True):
        for curve, sides in zip(entry.efficiency, found["efficiency"], strict=True):
            for values, (cuts, kept) in zip((curve.signal, curve.background), sides, strict=True):
                cuts, kept = np.cumsum(cuts), np.cumsum(kept)
                assert (cuts[0], cuts[-1], kept[0]) == (0, 40, 1000)
                drawn = np.stack([cuts / 40, kept / 1000], axis=1)
                for point in zip(np.linspace(0, 1, 41), values, strict=True):
                    along, off = np.diff(drawn, axis=0), point - drawn[:-1]
                    share = np.clip((along * off).sum(axis=1) / np.maximum((along**2).sum(axis=1), 1e-12), 0, 1)
                    assert np.hypot(*(off - share[:, None] * along).T).min() < SEEN + 1e-3


def test_a_spike_is_kept():
    """Losses rise and fall: what sticks out of a steep line is not left out."""
    x, y = [0.0, 0.01, 0.02, 0.03, 1.0], [0.0, 1.0, 0.5, 0.5, 0.5]
    assert thinned(x, y)[:3] == [0, 1, 2]
    assert thinned([0.0], [3.0]) == [0]
    assert thinned([0.0, 0.0, 1.0], [0.0, 0.0, 0.0]) == [0, 2]


def test_losses_are_drawn_where_they_were():
    lines = {"total": [1.5, 0.9, 0.8], "hard": [2.0, 1.0, 0.9], "soft": [1.0, 0.8, 0.04]}
    assert losses(lines) == {name: [[1, 2, 3], values] for name, values in lines.items()}
    assert losses({"total": [2.0, 1.0], "hard": [2.0, 1.0]}) == {"hard": [[1, 2], [2, 1]]}, "one line, not two on one another"
    straight = [2.0 - 0.001 * epoch for epoch in range(1000)]
    assert losses({"hard": straight}) == {"hard": [[1, 1000], [2, 1.001]]}
    assert losses({}) == shown_losses({}) == {}
    assert losses({"hard": [0.0]}) == {"hard": [[1], [0]]}
    assert [logarithmic(v) for v in ([0.1, 2.0], [0.0, 2.0], [1.0, 2.0], [])] == [True, False, False, False]


def test_residuals_are_those_of_the_events():
    generator = np.random.default_rng(3)
    values, weights = generator.normal(0.3, 2.0, 5000), generator.uniform(0.5, 2.0, 5000)
    found = Residuals.of(values, weights)
    edges = np.linspace(-found.end, found.end, len(found.shares) + 1)
    for share, low, high in zip(found.shares, edges[:-1], edges[1:], strict=True):
        assert share == pytest.approx(weights[(values >= low) & (values < high)].sum() / weights.sum(), abs=1e-3)
    assert found.above == pytest.approx(weights[values > found.end].sum() / weights.sum(), abs=1e-6)
    assert sum(found.shares) + found.below + found.above == pytest.approx(1, abs=1e-4)
    assert found.below + found.above == pytest.approx(0.01, abs=1e-3)
    drawn = residuals(found)
    for height, share in zip(drawn["heights"], found.shares, strict=True):
        assert drawn["peak"] * height / 99 == pytest.approx(share, abs=max(found.shares) / 90)
        assert (height > 0) == (share > 0)
    assert Residuals.of(np.zeros(5)).end == 1.0


def test_too_many_curves_are_drawn_coarser(report, monkeypatch):
    fine = len(fitted(report))
    assert fine == len(embedded(payload(report))) < ROOM
    monkeypatch.setattr("qap.report.page.ROOM", fine - 1)
    assert len(fitted(report)) == len(embedded(payload(report, 2 * SEEN))) < fine


def test_figures_of_cost_keep_value_and_band(report):
    entry = report.front[2]
    cost = Cost({**entry.cost.figures, "LUT": Figure(26_000.0, "fit", "", 19_000, 44_000), "odd": Figure(1.5, "user")}, {})
    found = payload(report.model_copy(update={"front": (*report.front[:2], entry.model_copy(update={"cost": cost}))}))
    assert found["front"][2]["cost"]["LUT"] == [26_000, 19_000, 44_000]
    assert found["front"][2]["cost"]["odd"] == [1.5]
    assert found["labels"]["odd"] == "odd"
    assert found["sources"]["LUT"] == "fit"
    assert [axis["name"] for axis in found["axes"]["x"]] == ["ebops", "LUT", "weight_memory_bits", "nonzero_weights", "bops"]
    assert found["front"][0]["cost"]["ebops"] == [report.front[0].ebops]


def test_another_source_is_kept_with_its_candidate(report):
    entry = report.front[1]
    cost = Cost({**entry.cost.figures, "bops": Figure(7.0, "by hand")}, entry.cost.layers)
    found = payload(report.model_copy(update={"front": (report.front[0], entry.model_copy(update={"cost": cost}))}))
    assert found["front"][1]["sources"] == {"bops": "by hand"}
    assert "sources" not in found["front"][0]


def test_declared_and_traced_ebops_are_two_axes(report):
    entry = report.front[0]
    cost = Cost({**entry.cost.figures, "ebops_traced": Figure(5.0, "traced")}, entry.cost.layers)
    found = axes([report.model_copy(update={"front": (entry.model_copy(update={"cost": cost}),)})])
    assert [axis["label"] for axis in found["x"][:2]] == ["EBOPs, declared", "EBOPs, traced"]
    assert axes([report])["x"][0] == {"name": "ebops", "label": "EBOPs"}


def test_the_working_point_is_in_the_name_of_the_axis(report):
    search = report.search.model_copy(update={"signal": "t", "background_efficiency": 0.02})
    entry = report.front[0].model_copy(update={"signal_efficiency": 0.4})
    found = axes([report.model_copy(update={"search": search, "front": (entry,)})])
    assert found["y"][-1]["label"] == "signal efficiency of t at background 0.02"


@pytest.mark.parametrize("text", ["</script>", "<!--", "<script", "]]>", "&lt;", "\u2028", "é→"])
def test_json_in_a_page_holds_no_markup(text):
    found = embedded({"name": text})
    assert not set("<>&\u2028\u2029") & set(found)
    assert json.loads(found) == {"name": text}


def test_the_part_of_an_older_report_is_looked_up(report):
    assert part_of(report.model_copy(update={"part": None})) == report.part
    assert report.part.resources == {"LUT": 1_728_000, "FF": 3_456_000, "DSP": 12_288, "BRAM_18K": 5_376}
    assert part_of(report.model_copy(update={"part": None, "firmware": {"Part": "xyz"}})) is None
