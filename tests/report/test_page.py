"""The page: complete, well-formed, escaped and self-contained. What its script does is in test_browser.py."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from qap.candidate import Cost, Figure, Parity
from qap.report.data import Report
from qap.report.figures import front as front_figure
from qap.report.figures import roc as roc_figure
from qap.report.page import duration, render, write_page
from qap.report.sections import RtlSection
from qap.report.view import best, near

VOID = {"meta", "br", "link", "img", "input", "hr"}
EVIL = '"><script>alert(1)</script><img src=x onerror=alert(2)>'
SVG = "http://www.w3.org/2000/svg"
"""The one address in the page: the name of SVG's elements, never asked for."""


class Page(HTMLParser):
    """Elements, attributes and visible text; errors of nesting; the JSON within."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.errors: list[str] = []
        self.words: list[str] = []
        self.scripts: list[str] = []
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
        if self.open and self.open[-1] == "script":
            self.scripts.append(data)
        elif not self.open or self.open[-1] != "style":
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())

    @property
    def data(self):
        return json.loads(self.scripts[0])

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


def test_every_candidate_is_in_the_table_without_a_script(report):
    page = page_of(report)
    for entry in report.front:
        for text in (entry.id, f"{100 * entry.accuracy.value:.2f} %", f"{entry.ebops:,.0f}", f"{100 * entry.auc:.2f} %"):
            assert text in page.text, (entry.id, text)
    for text in (report.command, "seed 1", *report.versions.values(), "ap_fixed<10,4>", "ClockPeriod 5.0 ns"):
        assert text in page.text
    places = [attributes["id"] for _, attributes in page.elements if attributes.get("id")]
    assert len(places) == len(set(places))
    assert {link["href"] for link in page.all("a")} == {f"#c-{entry.id}" for entry in report.front}


def test_no_request_leaves_the_page(report, regression_report):
    for text in (render(report), render(regression_report)):
        page = Page(text)
        policy = [meta["content"] for meta in page.all("meta") if meta.get("http-equiv") == "Content-Security-Policy"]
        digest = base64.b64encode(hashlib.sha256(page.scripts[1].encode()).digest()).decode()
        assert policy == [f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"], (
            "this script alone runs"
        )
        assert page.all("script") == [{"type": "application/json", "id": "data"}, {}]
        for tag in ("link", "img", "iframe", "object", "base", "form"):
            assert page.all(tag) == []
        for tag, attributes in page.elements:
            assert "src" not in attributes, tag
            assert not re.match(r"\s*(\w+:|//)", attributes.get("href") or ""), attributes
        assert text.count(SVG) == 1
        assert not re.search(r"url\(|@import|https?://|fetch\(|XMLHttpRequest|import\(|innerHTML|eval\(", text.replace(SVG, ""))


def evil(report: Report) -> Report:
    """Put markup into every text that a user may choose."""
    data = report.data.model_copy(update={"name": EVIL, "classes": (EVIL, *"qwzt"), "features": (EVIL,)})
    entry = report.front[0]
    cost = Cost({**entry.cost.figures, "ebops": Figure(entry.ebops, EVIL), EVIL: Figure(1.0, EVIL)}, entry.cost.layers)
    layers = (entry.layers[0].model_copy(update={"name": EVIL}), *entry.layers[1:])
    changes = {"cost": cost, "layers": layers, "architecture": EVIL, "parity": Parity(9, 1, 1.0, EVIL), "remarks": (EVIL,)}
    changes["parity_rtl"] = changes["parity"]
    return report.model_copy(
        update={
            "name": EVIL, "command": EVIL, "data": data, "versions": {EVIL: EVIL}, "refused": {EVIL: EVIL},
            "rtl": RtlSection(adders_per_stage=5, missing=(EVIL,)),
            "front": (entry.model_copy(update=changes), *report.front[1:]),
        }
    )  # fmt: skip


def test_a_malicious_name_stays_text(report):
    found = evil(report)
    page = page_of(found)
    assert len(page.all("script")) == 2
    assert page.all("img") == []
    assert not [name for _, attributes in page.elements for name in attributes if name.startswith("on")]
    assert page.text.count("alert(1)") > 8  # shown as text
    assert page.data["classes"][0] == EVIL
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
    ("parity", "verdict", "phrases"),
    [
        (None, {"good": False, "verdict": "No firmware was built: nothing is proven."}, ["not built", "11 of 12 bit-exact"]),
        (
            Parity(4000, 3990, 0.125, "fc2"),
            {
                "good": False, "verdict": "The firmware is not bit-exact:", "events": 4000, "exact": 3990,
                "said": "10 of 4,000 test events differ, by up to 0.125; the first layer that differs is fc2.",
            },
            ["3,990 of 4,000", "11 of 12 bit-exact do not use the others"],
        ),
    ],
)  # fmt: skip
def test_what_is_not_exact_is_said(report, parity, verdict, phrases):
    entry = report.front[0].model_copy(update={"parity": parity, "firmware": None if parity is None else "candidates/x"})
    page = page_of(report.model_copy(update={"front": (entry, *report.front[1:])}))
    assert page.data["front"][0]["parities"] == [verdict]
    assert page.data["front"][1]["parities"][0]["verdict"] == "The firmware is bit-exact"
    for phrase in phrases:
        assert phrase in page.text, phrase


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
    assert [axis["name"] for axis in page.data["axes"]["y"]] == ["rmse", "resolution"]


def test_candidates_of_another_depth(report):
    short = report.front[-1].model_copy(update={"layers": report.front[-1].layers[1:]})
    page = page_of(report.model_copy(update={"front": (*report.front[:-1], short)}))
    assert len(page.data["front"][-1]["layers"]) == len(page.data["front"][0]["layers"]) - 1


def test_write_page(report, tmp_path):
    write_page(report, tmp_path / "report.html")
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]
    assert (tmp_path / "report.html").read_text() == render(report)
    assert (tmp_path / "report.html").stat().st_size < 250_000


@pytest.mark.parametrize(("seconds", "text"), [(6.42, "6.42 s"), (59.99, "60 s"), (420.5, "7 min 0 s"), (7500, "2 h 5 min")])
def test_duration(seconds, text):
    assert duration(seconds) == text


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
    page = page_of(report.model_copy(update={"front": front, "rtl": section}))
    for phrase in (
        f"RTL against QKeras 1 of {len(front)} bit-exact do not use the others", "RTL not simulated (z): no time",
        "at most 4 levels of adders in a stage. Its LUTs and registers are those after synthesis by Yosys, not Vivado's.",
        "LUT of the RTL, Yosys",
    ):  # fmt: skip
        assert phrase in page.text, phrase
    verdicts = [one["parities"][1]["verdict"] for one in page.data["front"]]
    assert verdicts[:3] == ["The RTL is bit-exact", "The RTL is not bit-exact:", "The RTL was not simulated."]
    assert verdicts[3:] == ["No RTL was made."] * len(others)
    assert page.data["front"][1]["parities"][1]["said"].endswith("the first layer that differs is output[2].")
    assert page.data["front"][0]["cost"]["LUT_yosys"] == [345]
    assert page.text.count("not simulated") == 2
    assert page.text.count("no RTL") == len(others)
    assert "RTL" not in page_of(report).text
