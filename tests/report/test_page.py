"""The page: complete, well-formed, escaped, self-contained, and alive in a real browser where one is installed."""

from __future__ import annotations

import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import pytest

from qap.candidate import Cost, Figure, Parity
from qap.report.data import Report
from qap.report.figures import front as front_figure
from qap.report.figures import roc as roc_figure
from qap.report.page import duration, render, write_page
from qap.report.sections import RtlSection
from qap.report.svg import Scale
from qap.report.view import best, near, window

VOID = {"meta", "br", "link", "img", "input", "hr"}
EVIL = '"><script>alert(1)</script><img src=x onerror=alert(2)>'
BROWSER = shutil.which("chromium") or shutil.which("google-chrome")


class Page(HTMLParser):
    """Elements, attributes and visible text; errors of nesting."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.errors: list[str] = []
        self.words: list[str] = []
        self.feed(text)
        self.close()
        self.errors += [f"<{tag}> never closed" for tag in self.open]

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if len(dict(attrs)) != len(attrs):
            self.errors.append(f"<{tag}>: an attribute twice")
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.errors.append(f"</{tag}> at {self.getpos()} closes another element")

    def handle_data(self, data):
        if not self.open or self.open[-1] not in ("style", "script"):
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


def page_of(report: Report) -> Page:
    page = Page(render(report))
    assert page.errors == []
    return page


def test_first_screen_answers(report):
    page = page_of(report)
    lead = page.text[: page.text.index("The front, by rising EBOPs")]
    float_score = report.reference.accuracy
    for phrase in (
        "30 candidates of 16-32-16-5 tried on synthetic (classification of g, q, w, z, t, 16 features)",
        "searched by grid for accuracy and EBOPs in 3 min 3 s",
        "12 of 12 bit-exact each on all 4,000 test events",
        f"{100 * float_score.value:.2f} % ({100 * float_score.low:.2f}–{100 * float_score.high:.2f}) accuracy of the parent",
        "central 68 % of 50 bootstrap replicas of the test events",
        "All 30 candidates tried, on the validation split",
        "chosen on validation and judged on test",
        near(report).id,
        best(report).id,
    ):
        assert phrase in lead, phrase


def test_every_candidate_and_its_numbers(report):
    page = page_of(report)
    assert len(page.all("article")) == len(report.front)
    for entry in report.front:
        for text in (entry.id, f"{100 * entry.accuracy.value:.2f} %", f"{entry.ebops:,.0f}", f"{100 * entry.auc:.2f} %"):
            assert text in page.text, (entry.id, text)
        for layer in entry.layers:
            assert str(layer.weight) in page.text
            assert f"{100 * layer.sparsity:.1f} %" in page.text
        for k, name in enumerate(report.data.classes):
            assert f"{name} tagger, AUC = {100 * entry.auc_per_class[k]:.1f} %" in page.text
        for figure in entry.cost.figures.values():
            assert figure.source in page.text
    for text in (report.command, "seed 1", *report.versions.values(), "ap_fixed<10,4>", "ClockPeriod 5.0 ns"):
        assert text in page.text


def test_drawings_hold_every_point(report):
    page = page_of(report)
    circles = [attributes.get("class") for attributes in page.all("circle")]
    assert circles.count("point") == len(report.front) + 1  # and the one of the legend
    assert circles.count("tried") == 30 - window(report).outside + 1
    curves = [line for line in page.all("polyline") if (line["class"] or "").startswith("curve")]
    assert len(curves) == 5 * (len(report.front) + 1)
    for line in curves:
        points = [tuple(map(float, pair.split(","))) for pair in line["points"].split()]
        assert len(points) >= 2
        assert all(0 <= x <= 560 and 0 <= y <= 500 for x, y in points)
        assert [x for x, _ in points] == sorted(x for x, _ in points)
        assert [y for _, y in points] == sorted((y for _, y in points), reverse=True)


def test_links_lead_somewhere(report):
    page = page_of(report)
    places = {attributes["id"] for _, attributes in page.elements if attributes.get("id")}
    assert len(places) == sum("id" in attributes for _, attributes in page.elements)
    inner = [link["href"] for link in page.all("a") if link["href"].startswith("#")]
    assert len(inner) >= 3 * len(report.front)
    assert {link[1:] for link in inner} <= places
    outer = {link["href"] for link in page.all("a")} - set(inner)
    assert outer == {f"candidates/{entry.id}/firmware/" for entry in report.front}


def test_no_request_leaves_the_page(report, regression_report):
    for text in (render(report), render(regression_report)):
        page = Page(text)
        policy = [meta["content"] for meta in page.all("meta") if meta.get("http-equiv") == "Content-Security-Policy"]
        assert policy == ["default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'"]
        for tag in ("link", "img", "iframe", "object", "base", "form"):
            assert page.all(tag) == []
        for tag, attributes in page.elements:
            assert "src" not in attributes, tag
            assert not re.match(r"\s*(\w+:|//)", attributes.get("href") or ""), attributes
        assert not re.search(r"url\(|@import|https?://|fetch\(|XMLHttpRequest|import\(", text)


def test_a_malicious_name_stays_text(report):
    data = report.data.model_copy(update={"name": EVIL, "classes": (EVIL, *"qwzt"), "features": (EVIL,)})
    entry = report.front[0]
    cost = Cost({**entry.cost.figures, "ebops": Figure(entry.ebops, EVIL)}, entry.cost.layers)
    layers = (entry.layers[0].model_copy(update={"name": EVIL}), *entry.layers[1:])
    changes = {"cost": cost, "layers": layers, "architecture": EVIL, "parity": Parity(9, 1, 1.0, EVIL)}
    changes["parity_rtl"] = changes["parity"]
    found = report.model_copy(
        update={
            "name": EVIL, "command": EVIL, "data": data, "versions": {EVIL: EVIL}, "refused": {EVIL: EVIL},
            "rtl": RtlSection(adders_per_stage=5, missing=(EVIL,)),
            "front": (entry.model_copy(update=changes), *report.front[1:]),
        }
    )  # fmt: skip
    page = page_of(found)
    assert len(page.all("script")) == 1
    assert page.all("img") == []
    assert not [name for _, attributes in page.elements for name in attributes if name.startswith("on")]
    assert page.text.count("alert(1)") > 10  # shown as text
    front_figure(found)
    roc_figure(found, found.front[1])


def test_names_that_figures_could_misread(report):
    data = report.data.model_copy(update={"name": "50 $ of \\data$", "classes": ("τ → ν", "$\\frac{", "a_b", "^", "b")})
    found = report.model_copy(update={"data": data})
    front_figure(found).savefig(Path("/dev/null"), format="png", dpi=30)
    figure = roc_figure(found, found.front[0])
    figure.savefig(Path("/dev/null"), format="png", dpi=30)
    assert figure.axes[0].get_legend().get_texts()[1].get_text().startswith("$\\frac{ tagger")


@pytest.mark.parametrize(
    ("parity", "phrases"),
    [
        (None, ["not built", "No firmware was built: nothing is proven.", "11 of 12 bit-exact"]),
        (
            Parity(4000, 3990, 0.125, "fc2"),
            ["3,990 of 4,000", "Not bit-exact : 10 of 4,000 test events differ, by up to 0.125", "differs is fc2",
             "11 of 12 bit-exact do not use the others"],
        ),
    ],
)  # fmt: skip
def test_what_is_not_exact_is_said(report, parity, phrases):
    entry = report.front[0].model_copy(update={"parity": parity, "firmware": None if parity is None else "candidates/x"})
    text = page_of(report.model_copy(update={"front": (entry, *report.front[1:])})).text
    for phrase in phrases:
        assert phrase in text, phrase


def test_refused_candidates_and_missing_firmware_are_said(report):
    front = tuple(entry.model_copy(update={"parity": None, "firmware": None}) for entry in report.front)
    found = report.model_copy(update={"front": front, "refused": {"abc": "an accumulator of 40 bits"}, "firmware": {}})
    text = page_of(found).text
    assert "Firmware against QKeras not built nothing is proven" in text
    assert "of the firmware's outputs" not in text
    assert "abc : an accumulator of 40 bits" in text


def test_regression(regression_report):
    page = page_of(regression_report)
    assert "RMSE, test" in page.text
    assert "AUC" not in page.text
    for target in regression_report.front[-1].targets:
        assert f"{target.name} {target.rmse:.4g} {target.bias:.3g} {target.resolution:.4g}" in page.text
    assert not [line for line in page.all("polyline") if "curve" in (line["class"] or "")]


def test_candidates_of_another_depth_and_unknown_figures(report):
    entry = report.front[-1]
    cost = Cost({**entry.cost.figures, "lut": Figure(1234.5, "csynth", "", 1000, 1500)}, entry.cost.layers)
    short = entry.model_copy(update={"layers": entry.layers[1:], "cost": cost})
    text = page_of(report.model_copy(update={"front": (*report.front[:-1], short)})).text
    assert "lut 1,234 (1,000–1,500)" in text


def test_write_page(report, tmp_path):
    write_page(report, tmp_path / "report.html")
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]
    assert (tmp_path / "report.html").read_text() == render(report)
    assert (tmp_path / "report.html").stat().st_size < 400_000


@pytest.mark.parametrize(("seconds", "text"), [(6.42, "6.42 s"), (59.99, "60 s"), (420.5, "7 min 0 s"), (7500, "2 h 5 min")])
def test_duration(seconds, text):
    assert duration(seconds) == text


def test_scale_ticks():
    assert Scale(800, 60_000, 0, 1, log=True).ticks() == [1e3, 2e3, 5e3, 1e4, 2e4, 5e4]
    assert Scale(1e-3, 1, 0, 1, log=True).ticks() == [1e-3, 1e-2, 1e-1, 1]
    assert Scale(71.7, 76.4, 0, 1).ticks() == [72, 73, 74, 75, 76]
    assert Scale(1, 100, 0, 50, log=True)(10) == 25
    assert Scale(0, 1, 100, 0)(7) == 0  # kept on the axis


def in_browser(path: Path, fragment: str = "") -> Page:
    """Load a page in Chromium and return what its script made of it; complaints on the console fail."""
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--dump-dom"]
    command = [str(BROWSER), *options, f"file://{path}{fragment}"]
    run = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    assert not re.search(r"CONSOLE|Refused to|ERR_", run.stderr), run.stderr
    return Page(run.stdout)


def chosen(page: Page) -> str:
    """Return the candidate that is shown, marked in the table and in the front alike."""
    (shown,) = [element["id"] for element in page.all("article") if "on" in (element.get("class") or "").split()]
    assert [row["data-candidate"] for row in page.all("tr") if row.get("class") == "on"] == [shown]
    assert [link["href"] for link in page.all("a") if link.get("class") == "on"] == [f"#{shown}"]
    return shown


@pytest.mark.skipif(BROWSER is None, reason="no Chromium on PATH")
def test_in_a_browser_one_candidate_is_shown(report, tmp_path):
    write_page(report, tmp_path / "report.html")
    fifth = f"c-{report.front[4].id}"
    assert chosen(in_browser(tmp_path / "report.html", f"#{fifth}")) == fifth
    assert chosen(in_browser(tmp_path / "report.html", "#c-nothing")) == f"c-{near(report).id}"


@pytest.mark.skipif(BROWSER is None, reason="no Chromium on PATH")
@pytest.mark.parametrize(
    ("selector", "candidate"),
    [("svg a", 0), (".front-table tbody tr td:last-child", 0), (".front-table a", 0), ("article.on button:last-child", None)],
)
def test_in_a_browser_a_click_selects(report, tmp_path, selector, candidate):
    click = f"document.querySelector('{selector}').dispatchEvent(new MouseEvent('click', {{bubbles: true, cancelable: true}}))"
    page = tmp_path / "report.html"
    page.write_text(render(report).replace("</body>", f"<script>{click}</script></body>"))
    after = report.front[report.front.index(near(report)) + 1]
    expected = after if candidate is None else report.front[candidate]
    found = in_browser(page)
    assert chosen(found) == f"c-{expected.id}"
    brief = found.text[: found.text.index("The front, by rising EBOPs")]
    assert f"{expected.id} 16-32-16-5 {100 * expected.accuracy.value:.2f} %" in brief


def test_the_rtl_of_each_candidate_is_said(report):
    exact, wrong, unsimulated, *others = report.front
    costs = {"da4ml_cost": Figure(321.0, "da4ml"), "LUT_yosys": Figure(345.0, "Yosys")}
    cost = Cost({**exact.cost.figures, **costs}, exact.cost.layers)
    front = (
        exact.model_copy(update={"parity_rtl": Parity(4000, 4000, 0.0), "rtl": "candidates/x/rtl", "cost": cost}),
        wrong.model_copy(update={"parity_rtl": Parity(4000, 3990, 0.125, "output[2]"), "rtl": "candidates/y/rtl"}),
        unsimulated.model_copy(update={"rtl": "candidates/z/rtl"}),
        *others,
    )
    section = RtlSection(adders_per_stage=4, synthesis_seconds=60.0, missing=("RTL not simulated (z): no time",))
    text = page_of(report.model_copy(update={"front": front, "rtl": section})).text
    for phrase in (
        f"RTL against QKeras 1 of {len(front)} bit-exact do not use the others", "RTL not simulated (z): no time",
        "The RTL is bit-exact on all 4,000, clock by clock.",
        "The RTL is not bit-exact : 10 of 4,000 test events differ, by up to 0.125, first at output[2].",
        "at most 4 levels of adders in a stage. Its LUTs and registers are those after synthesis by Yosys, not Vivado's.",
        "LUT of the RTL, Yosys", "LUT of the RTL, by Yosys 345",
    ):  # fmt: skip
        assert phrase in text, phrase
    assert text.count("not simulated") == 2
    assert text.count("no RTL") == len(others)
    assert "RTL" not in page_of(report).text
