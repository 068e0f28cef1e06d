"""The model that is made of reports, and the one that the package ships."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from importlib.resources import files

import numpy as np
import pytest

from qap.cost.fit import MANY_GROUPS, NARROWEST_FIT
from qap.cost.model import Model, family, make_model, shipped_model
from qap.cost.report_table import Pair, Row
from qap.cost.scopes import FIGURES, RECIPES
from qap.cost.terms import terms
from qap.errors import InputError

from .rows import layer, row

SHIPPED = shipped_model()
SHAPES = ((16, 64), (32, 32), (64, 16), (48, 40), (24, 96))


def _reports(noise: float = 0.0) -> list[Row]:
    """LUT = add_bits + 2 · shift_bits + 8 · DSPs + 500, DSPs with the sharing 0.5."""
    generator = np.random.default_rng(5)
    reports = []
    for index, (inputs, outputs) in enumerate(SHAPES):
        for bits in (4, 6, 8, 10):
            network = layer(inputs, outputs, bits=bits, seed=index)
            found = terms(network, 0.5)
            lut = (found["add_bits"] + 2 * found["shift_bits"] + 8 * found["dsp"] + 500) * np.exp(noise * generator.normal())
            figures = {"LUT": float(lut), "FF": found["add_bits"] / 10 + 1, "DSP": found["dsp"]}
            reports.append(row(network, f"{inputs}x{outputs}", "xcvu13p-flga2577-2-e", **figures))
    return reports


def test_the_law_behind_the_reports_is_found() -> None:
    model = make_model(_reports(), [])
    (name,) = model.scopes
    assert name == "one layer, latency, R = 1"
    assert model.sharing == pytest.approx(0.5, abs=0.01)
    made = model.scopes[name]
    assert made.families == ("UltraScale+",)
    assert made.sizes == (1024, 2304)
    lut = made.fits["LUT"]
    assert dict(zip(lut.terms, lut.coefficients, strict=True)) == pytest.approx(
        {"add_bits": 1, "shift_bits": 2, "dsp": 8, "one": 500}, rel=0.02
    )
    assert lut.error.largest < 1e-3
    assert lut.band == (NARROWEST_FIT, NARROWEST_FIT)  # few groups never prove less
    assert made.fits["II"].band == (0, 0)  # a rule that all reports obey


def test_kinds_with_fewer_than_three_shapes_are_left_out() -> None:
    two = [one for one in _reports() if one.group in ("16x64", "32x32")]
    with pytest.raises(InputError, match="three shapes"):
        make_model(two, [])
    resource = [row(layer(*shape, strategy="resource"), str(shape)) for shape in SHAPES[:2]]
    assert list(make_model([*_reports(), *resource], []).scopes) == ["one layer, latency, R = 1"]


def test_ratios_after_synthesis() -> None:
    pairs = [Pair({"LUT": 0.4, "FF": 0.8}, "a"), Pair({"LUT": 0.5}, "b"), Pair({"LUT": 0.9}, "c")]
    model = make_model(_reports(), pairs)
    lut = model.synthesis["LUT"]
    assert (lut.median, lut.low, lut.high, lut.designs) == (0.5, 0.4, 0.9, 3)
    assert set(model.synthesis) == {"LUT", "FF"}
    assert model.sources == ("a", "b", "by hand", "c")


def test_the_file_gives_the_same_model_and_refuses_another_format() -> None:
    model = make_model(_reports(0.1), [Pair({"LUT": 0.4}, "a")])
    assert Model.from_dict(json.loads(json.dumps(model.to_dict()))) == model
    with pytest.raises(InputError, match="format"):
        Model.from_dict({**model.to_dict(), "format": 99})


@pytest.mark.parametrize(
    ("part", "name"),
    [
        ("xcvu13p-flga2577-2-e", "UltraScale+"), ("xcvu9p-flgb2104-2-i", "UltraScale+"), ("xcu250-figd2104-2L-e", "UltraScale+"),
        ("xczu9eg-ffvb1156-2-e", "UltraScale+"), ("xcku15p-ffva1156-2-e", "UltraScale+"), ("xck26-sfvc784-2LV-c", "UltraScale+"),
        ("xcku115-flvb2104-2-i", "UltraScale"), ("xcvu095-ffva2104-2-e", "UltraScale"), ("xcku040-ffva1156-2-e", "UltraScale"),
        ("xc7z020clg400-1", "7 series"), ("xc7vx690tffg1927-2", "7 series"), ("xc7k325tffg900-2", "7 series"),
        ("xcvc1902-vsva2197-2MP-e-S", "Versal"), ("xcvm1802-vsva2197-2MP-e-S", "Versal"), ("XCVU13P-FLGA2577-2-E", "UltraScale+"),
        ("5CSEMA5F31C6", None), ("", None), (None, None), ("Agilex", None),
    ],
)  # fmt: skip
def test_families(part: str | None, name: str | None) -> None:
    assert family(part) == name


def test_the_package_has_every_kind_and_no_machine_in_it() -> None:
    text = files("qap.cost").joinpath("data/csynth.json").read_text(encoding="utf-8")
    assert not re.search(r"(^|[\"\s])(/|~|[A-Za-z]:\\)|/home|/root|/tmp|/work|\.csv|file://", text)
    assert set(SHIPPED.scopes) == set(RECIPES)
    assert set(SHIPPED.synthesis) == set(FIGURES[:4])
    assert all(source.strip() for source in SHIPPED.sources)
    assert not SHIPPED.learned
    for name, made in SHIPPED.scopes.items():
        for figure, one in made.fits.items():
            assert one.terms == RECIPES[name][figure].terms
            assert all(0 <= value < float("inf") for value in one.coefficients)
            few = one.error.groups < MANY_GROUPS
            assert one.error.covered >= (0.75 if few else 0.85), (name, figure, one.error)


def _errors(figure: str, words: str) -> dict[str, tuple[float, float, float]]:
    found = {name: made.fits[figure].error for name, made in SHIPPED.scopes.items() if words in name}
    assert found
    return {name: (error.median, error.p90, error.largest) for name, error in found.items()}


def test_the_errors_of_shapes_left_out_keep_what_was_asked_for() -> None:
    lut = {name: error for name, error in _errors("LUT", "latency, R = 1").items() if "100" not in name}
    assert len(lut) == 2
    assert all(median <= 0.10 and p90 <= 0.30 for median, p90, _ in lut.values()), lut
    for figure, words, index, limit in (
        ("FF", "", 0, 0.20),
        ("DSP", "weights of 8 bits or more", 2, 0.0),
        ("DSP", "narrower weights", 1, 0.05),
        ("latency_cycles", "latency", 0, 0.25),
        ("II", "resource, R ≥ 384", 2, 0.0),
    ):
        errors = _errors(figure, words)
        assert all(error[index] <= limit for error in errors.values()), (figure, errors)
    for name, made in SHIPPED.scopes.items():
        if "resource" in name:
            assert max(made.fits["latency_cycles"].band) <= 2, name  # cycles, or a factor below one cycle more
        if "resource, R ≥ 384" in name:
            block = made.fits["BRAM_18K"]
            assert max(block.band) < 2
            assert block.error.covered >= 0.8


def test_a_network_takes_no_share_of_other_kinds() -> None:
    """Rows of one kind change only the fits of that kind."""
    reports = _reports(0.05)
    others = [replace(one, network=replace(one.network, strategy="resource"), group=one.group) for one in reports]
    alone, both = make_model(reports, []), make_model([*reports, *others], [])
    name = "one layer, latency, R = 1"
    assert both.scopes[name] == alone.scopes[name]
    assert set(both.scopes) == {name, "one layer, resource, R = 1"}
