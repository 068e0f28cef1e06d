"""The pages in a real headless Chromium: what they show, what a click does, and that they are quiet and ask for nothing."""

from __future__ import annotations

import re
from collections.abc import Iterator
from math import log
from pathlib import Path

import numpy as np
import pytest

from qap.candidate import Cost, Figure, Parity
from qap.report.data import FrontEntry, Report
from qap.report.page import write_page
from qap.report.quality import Quality
from qap.report.studies_page import write_studies_page
from qap.report.view import near

from .chromium import PROGRAM, Chromium, chromium
from .test_page import EVIL, evil

pytestmark = pytest.mark.skipif(PROGRAM is None, reason="no Chromium on PATH")

ESTIMATES = {
    "LUT": (20_000, 15_000, 30_000), "FF": (5_000, 1_000, 9_000), "DSP": (0, 0, 0), "BRAM_18K": (0, 0, 0),
    "latency_cycles": (20, 10, 30), "latency_ns": (100, 50, 150), "II": (1, 1, 1),
}  # fmt: skip


@pytest.fixture(scope="module")
def browser() -> Iterator[Chromium]:
    with chromium() as found:
        yield found


def estimated(entry: FrontEntry, k: int = 0) -> FrontEntry:
    """Add estimates of resources and timing, larger for each k."""
    figures = {name: Figure(v * (1 + k), "estimate", "", lo * (1 + k), hi * (1 + k)) for name, (v, lo, hi) in ESTIMATES.items()}
    return entry.model_copy(update={"cost": Cost({**entry.cost.figures, **figures}, entry.cost.layers)})


@pytest.fixture(scope="module")
def full(report: Report) -> Report:
    """A report with everything that is drawn."""
    front = tuple(estimated(entry, k) for k, entry in enumerate(report.front))
    return report.model_copy(update={"front": front})


@pytest.fixture(scope="module")
def page(full: Report, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "report.html"
    write_page(full, path)
    return path


def quiet(browser: Chromium, path: Path) -> None:
    """Nothing on the console, nothing asked for but the page itself."""
    browser.run("new Promise((done) => requestAnimationFrame(() => setTimeout(done, 20)))")
    assert browser.complaints == []
    assert {url.partition("#")[0] for url in browser.requests} == {f"file://{path}"}


def chosen(browser: Chromium) -> str:
    """Return the candidate that is shown, marked in the table and in the front alike."""
    found = browser.run(
        "[[...document.querySelectorAll('article')].map((e) => e.id),"
        " [...document.querySelectorAll('tr.on')].map((e) => e.dataset.candidate),"
        " [...document.querySelectorAll('#front a.on')].map((e) => 'c-' + e.dataset.id)]"
    )
    (shown,) = found[0]
    assert found[1] == [shown]
    assert found[2] in ([shown], []), "it may lie outside the axes"
    return shown.removeprefix("c-")


def words(browser: Chromium, selector: str) -> str:
    return " ".join(browser.run(f"document.querySelector({selector!r}).innerText").split())


def test_the_first_screen(browser, page, full):
    paint = browser.open(page)
    quiet(browser, page)
    assert paint < 2.0
    shown = near(full)
    assert chosen(browser) == shown.id
    assert browser.run("scrollY") == 0, "the page begins at its beginning"
    brief = words(browser, "#brief")
    assert f"{shown.id} 16-32-16-5 {100 * shown.accuracy.value:.2f} %" in brief
    assert "The firmware is bit-exact on all 4,000 test events: C-simulation against float32 QKeras." in brief
    for layer in shown.layers:
        assert f"{layer.name}: {layer.weight}" in brief
    close = sum(entry.score.value >= 0.9 * full.reference.score.value for entry in full.front)
    assert browser.run("document.querySelectorAll('#front .point').length") == close
    assert words(browser, "#front-note").startswith(f"{len(full.front) - close} of the front are far from the float model")


def test_every_panel_of_a_candidate(browser, page, full):
    entry = full.front[4]
    browser.open(page, f"#c-{entry.id}")
    quiet(browser, page)
    assert chosen(browser) == entry.id
    titles = browser.run("[...document.querySelectorAll('article h4')].map((e) => e.textContent)")
    assert titles == [
        "Bits and zero weights by layer", "Firmware against QKeras, bit by bit", "Resources, share of xcvu13p",
        "Timing, in bunch crossings", "ROC, each class against the rest, test split", "Efficiency against the cut", "Reliability",
        "Confusion, test split [% of the true class]", "Training, mean loss of each epoch",
        "Weights and activations before they are quantized, and the chosen ranges",
        "Plan and what became of it", "Cost", "Make it again",
    ]  # fmt: skip
    text = words(browser, "article")
    for figure in entry.cost.figures.values():
        assert figure.source in text
    for k, name in enumerate(full.data.classes):
        assert f"{name} tagger, AUC = {100 * entry.auc_per_class[k]:.1f} %" in text
    for layer in entry.layers:
        assert str(layer.weight) in text
        assert str(layer.bias) in text
        shares = [float(share) for share in re.findall(r"([\d.]+) %", text)]
        assert min(abs(share - 100 * layer.sparsity) for share in shares) <= 0.051
    assert "LUT 100,000 (75,000–150,000)" in text
    assert f"qap train config.yaml --plan candidates/{entry.id}/plan.yaml" in text
    assert f"Expected calibration error {100 * entry.calibration.expected_error:.1f} %" in text
    assert f"on the labels, at the end {entry.losses['hard'][-1]:.4g}" in text
    assert browser.run("document.querySelectorAll('.losses li').length") == 1, "without a teacher total and hard are one line"
    assert browser.run("document.querySelectorAll('article .histograms figure svg').length") == 5, (
        "three weights, two activations"
    )


def test_drawings_are_where_the_numbers_are(browser, page, full):
    """LUTs as a share of the part, the latency in bunch crossings and a confusion are read back from the drawing."""
    entry = full.front[0]
    browser.open(page, f"#c-{entry.id}")
    drawn = browser.run(
        "[...document.querySelectorAll('article .panel')].slice(2, 4).map((panel) => { const s = panel.querySelector('svg');"
        " const ticks = [...s.querySelectorAll('line.grid')].map((e) => Number(e.getAttribute('x1')));"
        " const texts = [...s.querySelectorAll('text:not(.label)')].map((e) => parseFloat(e.textContent));"
        " const b = s.querySelector('rect.fill'); const w = s.querySelector('path.whisker').getBBox(); const unit ="
        " (texts.at(-1) - texts[0]) / (ticks.at(-1) - ticks[0]);"
        " return [Number(b.getAttribute('width')) * unit, (w.x - ticks[0]) * unit, (w.x + w.width - ticks[0]) * unit,"
        " s.querySelectorAll('line.limit').length]; })"
    )
    share = [100 * value / 1_728_000 for value in ESTIMATES["LUT"]]
    assert drawn[0] == pytest.approx([*share, 0], rel=0.01)
    assert drawn[1] == pytest.approx([4, 2, 6, 2], rel=0.01), "100 ns are 4 bunch crossings; limits on latency and interval"
    cells = browser.run("[...document.querySelectorAll('.confusion td')].map((e) => Number(e.textContent))")
    rows = [[100 * value / sum(row) for value in row] for row in entry.confusion]
    assert cells == pytest.approx([value for row in rows for value in row], abs=0.051)


def test_points_lie_at_their_values(browser, page, full):
    """The logarithm of the EBOPs and the score are read back from the drawing."""
    browser.open(page)
    browser.click("#whole")
    found = browser.run(
        "[...document.querySelectorAll('#front a')].map((a) => [a.dataset.id,"
        " ...['cx', 'cy'].map((n) => Number(a.querySelector('circle').getAttribute(n)))])"
    )
    assert [one[0] for one in found] == [entry.id for entry in full.front]
    (_, x0, y0), *_, (_, x1, y1) = found
    first, last = full.front[0], full.front[-1]
    for entry, (_, x, y) in zip(full.front, found, strict=True):
        across = log(entry.ebops / first.ebops) / log(last.ebops / first.ebops)
        up = (entry.score.value - first.score.value) / (last.score.value - first.score.value)
        assert (x - x0) / (x1 - x0) == pytest.approx(across, abs=1e-3)
        assert (y - y0) / (y1 - y0) == pytest.approx(up, abs=1e-3)


@pytest.mark.parametrize(
    ("selector", "index"), [("#front a .point", 2), (".front-table tbody tr td:last-child", 0), (".front-table a", 1)]
)
def test_a_click_selects(browser, page, full, selector, index):
    browser.open(page)
    browser.click("#whole")
    browser.click(selector, index)
    assert chosen(browser) == full.front[index].id
    assert words(browser, "#brief").startswith(full.front[index].id)
    assert browser.run("location.hash") == f"#c-{full.front[index].id}"
    quiet(browser, page)


def test_steps_go_along_the_front(browser, page, full):
    browser.open(page, f"#c-{full.front[3].id}")
    browser.click("article nav button", 1)
    assert chosen(browser) == full.front[4].id
    browser.click("article nav button", 0)
    browser.click("article nav button", 0)
    assert chosen(browser) == full.front[2].id
    browser.run(f"location.hash = 'c-{full.front[0].id}'")
    quiet(browser, page)
    assert chosen(browser) == full.front[0].id
    assert browser.run("document.querySelector('article nav button').disabled")


def test_hover_shows_the_plan(browser, page, full):
    browser.open(page)
    browser.mouse(*browser.point("#front a .point", 3))
    id_ = browser.run("document.querySelectorAll('#front a')[3].dataset.id")
    entry = next(entry for entry in full.front if entry.id == id_)
    tip = words(browser, ".tip")
    for text in (entry.id, entry.architecture, f"{100 * entry.accuracy.value:.2f} %", f"EBOPs: {entry.ebops:,.0f}"):
        assert text in tip
    for layer in entry.layers:
        assert f"{layer.name}: {layer.weight}" in tip
    browser.mouse(5, 5)
    assert browser.run("document.querySelector('.tip').hidden")


def test_a_candidate_off_the_front_shows_what_is_known_of_it(browser, page, full):
    browser.open(page)
    on = {entry.id for entry in full.front}
    (off, *_) = [one for one in full.tried if one.id not in on]
    browser.run(f"location.hash = 'c-{off.id}'")
    quiet(browser, page)
    text = words(browser, "#brief")
    assert off.id in text
    assert f"{100 * off.score_validation:.2f} % on the validation split" in text
    assert "Not on the front" in text
    assert f"fc1: {off.plan[0].weight} → {off.plan[0].activation}" in text
    assert chosen(browser) == near(full).id


def test_axes_switch(browser, page, full):
    browser.open(page)
    names = {side: browser.run(f"[...document.getElementById('axis-{side}').options].map((e) => e.value)") for side in "xy"}
    assert names["x"] == ["ebops", "LUT", "FF", "latency_ns", "II", "weight_memory_bits", "nonzero_weights", "bops"]
    assert names["y"] == ["accuracy", "auc", "auc_worst"]
    seen = set()
    for x in names["x"]:
        for y in names["y"]:
            browser.choose("#axis-x", x)
            browser.choose("#axis-y", y)
            labels = browser.run("[...document.querySelectorAll('#front .label')].map((e) => e.textContent)")
            assert browser.run("document.querySelectorAll('#front .point').length") > 2
            seen.add(tuple(labels))
    assert len(seen) == 24
    assert ("LUT, csynth-equivalent", "AUC of the worst class [%]") in seen
    quiet(browser, page)
    assert chosen(browser) == near(full).id, "the choice stays"


def test_the_class_of_the_cut(browser, page, full):
    browser.open(page, f"#c-{full.front[-1].id}")
    browser.choose(".cut-class", "4")
    assert "cut on the probability of t" in browser.run("document.querySelector('article').textContent")
    quiet(browser, page)


def test_a_regression(browser, regression_report, tmp_path):
    write_page(regression_report, tmp_path / "report.html")
    browser.open(tmp_path / "report.html")
    quiet(browser, tmp_path / "report.html")
    text = words(browser, "article")
    shown = next(entry for entry in regression_report.front if entry.id == chosen(browser))
    for target in shown.targets:
        assert f"{target.name} {float(f'{target.rmse:.4g}'):g}" in text
    assert "ROC" not in text
    for k, target in enumerate(shown.targets):
        browser.choose(".residual-target", str(k))
        text = words(browser, "article")
        assert f"{100 * target.residuals.below:.2f} % of the events below" in text
        drawn = browser.run(
            "[...document.querySelector('.panel:has(.residual-target) polyline.k0').points].map((p) => [p.x, p.y])"
        )
        heights = np.array([bottom - y for _, y in drawn[1:-1:2] for bottom in (drawn[0][1],)])
        expected = np.array(target.residuals.shares)
        np.testing.assert_allclose(heights / heights.max(), expected / expected.max(), atol=0.02)
    quiet(browser, tmp_path / "report.html")
    assert "No number for LUT" in text


def test_without_estimates_the_page_says_so(browser, report, tmp_path):
    remark, architecture = "no report of a convolution is at hand: no number", "8×8×1-conv(3×3,8)-max(2)-32-10"
    entry = report.front[0].model_copy(update={"remarks": (remark,), "architecture": architecture})
    write_page(report.model_copy(update={"front": (entry,), "part": None, "timing": None}), tmp_path / "report.html")
    browser.open(tmp_path / "report.html")
    quiet(browser, tmp_path / "report.html")
    text = words(browser, "article")
    for phrase in ("No number for LUT, FF, DSP and BRAM", "No number for latency", remark, architecture):
        assert phrase in text
    assert browser.run("[...document.getElementById('axis-x').options].map((e) => e.value)")[0] == "ebops"


def test_without_losses_the_page_says_so(browser, report, tmp_path):
    """One epoch of training is a point, none is said."""
    first, second = (report.front[k].model_copy(update={"losses": lines}) for k, lines in enumerate(({}, {"hard": (0.5,)})))
    write_page(report.model_copy(update={"front": (first, second)}), tmp_path / "report.html")
    browser.open(tmp_path / "report.html", f"#c-{first.id}")
    assert "There are no training curves: the candidate was not trained, or" in words(browser, "article")
    browser.click("article nav button", 1)
    assert browser.run("document.querySelectorAll('.panel:has(.losses) circle.point').length") == 1
    quiet(browser, tmp_path / "report.html")


def test_a_malicious_name_stays_text(browser, report, tmp_path):
    found = evil(report)
    write_page(found, tmp_path / "report.html")
    browser.open(tmp_path / "report.html", f"#c-{found.front[0].id}")
    browser.mouse(*browser.point("#front svg"))
    quiet(browser, tmp_path / "report.html")
    assert browser.run("document.querySelectorAll('img, iframe, object, [onerror]').length") == 0
    assert browser.run("document.querySelectorAll('script').length") == 2
    assert EVIL in browser.run("document.querySelector('article').textContent")


def test_the_policy_stops_any_other_script(browser, page, tmp_path):
    text = page.read_text().replace("</body>", "<script>document.title = 'broken in'</script></body>")
    (tmp_path / "report.html").write_text(text)
    browser.open(tmp_path / "report.html")
    assert browser.run("document.title") == "jets: front of synthetic"
    assert any("Content Security Policy" in said for said in browser.complaints)


def test_dark_narrow_and_printed(browser, page, full):
    browser.open(page, dark=True)
    dark = browser.run("getComputedStyle(document.body).backgroundColor")
    browser.open(page, width=390, height=800)
    assert browser.run("document.documentElement.scrollWidth") == 390, "nothing sticks out on a telephone"
    assert browser.run("getComputedStyle(document.body).backgroundColor") != dark
    one = browser.pdf()
    assert one.startswith(b"%PDF")
    browser.run("(() => { window.print = () => {}; document.getElementById('print-all').click(); })()")
    assert browser.run("document.querySelectorAll('article').length") == len(full.front)
    assert browser.pdf().count(b"/Type /Page\n") > 2 * one.count(b"/Type /Page\n")
    browser.run("dispatchEvent(new Event('afterprint'))")
    assert chosen(browser) == near(full).id


def test_without_a_script_the_table_is_there(browser, page, full):
    browser.open(page, script=False)
    found = browser.call("DOM.getDocument", depth=-1)
    assert "The drawings and what belongs to one candidate need JavaScript" in str(found)
    browser.call("Emulation.setScriptExecutionDisabled", value=False)


def many(report: Report, count: int) -> Report:
    """Return a report whose front has so many candidates, with everything that one of a study has."""
    front, tried = [], []
    for k in range(count):
        one = report.front[k % len(report.front)]
        figures = {name: Figure(f.value + k, f.source, f.unit, f.low + k, f.high + 2 * k) for name, f in one.cost.figures.items()}
        entry = one.model_copy(
            update={"id": f"{k:012x}", "cost": Cost(figures, one.cost.layers), "parity": Parity(4000, 4000, 0.0)}
        )
        front.append(entry)
        tried.append(report.tried[k % len(report.tried)].model_copy(update={"id": f"{k:012x}" if k % 2 else f"{k:011x}f"}))
    return report.model_copy(update={"front": tuple(front), "tried": tuple(tried)})


def doubled(report: Report) -> Report:
    """Return a report of twice as many classes, each as its first half."""

    def twice(model: Quality) -> Quality:
        names = ("auc_per_class", "roc", "efficiency")
        confusion = tuple(row + row for row in model.confusion) * 2
        return model.model_copy(update={"confusion": confusion} | {name: getattr(model, name) * 2 for name in names})

    classes = tuple(f"{name} {side}" for side in ("left", "right") for name in report.data.classes)
    return report.model_copy(
        update={
            "data": report.data.model_copy(update={"classes": classes}),
            "reference": twice(report.reference),
            "front": tuple(map(twice, report.front)),
        }
    )


@pytest.mark.parametrize("classes", [5, pytest.param(10, marks=pytest.mark.slow)])
def test_five_hundred_candidates(browser, full, tmp_path, classes):
    path, found = tmp_path / "report.html", many(full, 500)
    write_page(found if classes == 5 else doubled(found), path)
    size, paint = path.stat().st_size, browser.open(path)
    print(f"500 candidates of {classes} classes on the front: {size / 1e6:.2f} MB, first paint {paint:.2f} s")
    quiet(browser, path)
    assert size < 5_000_000
    assert paint < 2.0
    assert browser.run("document.querySelectorAll('#front .point').length") > 200
    browser.click("article nav button", 1)
    chosen(browser)
    quiet(browser, path)


def test_studies_side_by_side(browser, full, report, tmp_path):
    named = []
    other = report.model_copy(update={"name": "other <b>", "front": report.front[3:]})
    for one in (full, other):
        folder = tmp_path / f"study {len(named)}"
        folder.mkdir()
        write_page(one, folder / "report.html")
        named.append((folder, one))
    path = tmp_path / "pages" / "studies.html"
    path.parent.mkdir()
    write_studies_page([folder for folder, _ in named], [one for _, one in named], path)
    paint = browser.open(path)
    quiet(browser, path)
    assert paint < 2.0
    browser.click("#whole")
    assert browser.run("document.querySelectorAll('#front .point').length") == 2 * len(full.front) - 3
    browser.choose("#axis-x", "LUT")
    assert words(browser, "#front-note").endswith(f"{len(report.front) - 3} of the front have no such figure.")
    browser.choose("#axis-x", "ebops")
    browser.mouse(*browser.point("#front a .point", 1))
    assert words(browser, ".tip").startswith(f"jets {full.front[1].id}")
    target = named[1][1].front[-1]
    browser.click(f"#front a[data-id='{target.id}']", 1)
    browser.run("new Promise((done) => setTimeout(done, 200))")
    assert browser.run("decodeURI(location.pathname)") == str(tmp_path / "study 1" / "report.html")
    assert chosen(browser) == target.id
