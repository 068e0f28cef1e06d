"""What is predicted inside and outside of the reports, with the package's model."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qap.cost.csynth import Guess, Prediction, csynth_cost, predict, synthesis_cost, whole_network
from qap.cost.model import shipped_model
from qap.cost.scopes import FIGURES
from qap.cost.terms import Network, terms

from .rows import layer

MODEL = shipped_model()
PLUS, SEVEN = "xcu250-figd2104-2L-e", "xc7z020clg400-1"


def _mlp(*, strategy: str = "latency", reuse: int = 1, multipliers: str | None = "dsp", bits: int = 6) -> list[Network]:
    shapes = ((16, 64), (64, 32), (32, 32), (32, 5))
    return [
        layer(*shape, bits=bits, strategy=strategy, reuse=reuse, multipliers=multipliers, seed=index)
        for index, shape in enumerate(shapes)
    ]


def _width(guess: Guess) -> float:
    return math.log((guess.high + 1) / (guess.low + 1))


def test_a_layer_like_those_in_the_reports() -> None:
    network = layer(32, 64, bits=8, x=16, accum=16)
    found = predict(MODEL, [network], part=PLUS)
    assert found.covered
    assert found.notes == ()
    assert found.kind == "one layer, latency, R = 1"
    values = terms(network, MODEL.sharing)
    for figure, one in MODEL.scopes[found.kind].fits.items():
        by_hand = sum(c * values[name] for name, c in zip(one.terms, one.coefficients, strict=True))
        assert found.guesses[figure].value == pytest.approx(by_hand)
    assert found.guesses["LUT"].low < found.guesses["LUT"].value < found.guesses["LUT"].high


def test_exact_rules_stay_exact() -> None:
    found = predict(MODEL, [layer(64, 64, bits=10, strategy="resource", reuse=512)], part=PLUS)
    assert found.covered
    exact = {figure: (guess.low, guess.value, guess.high) for figure, guess in found.guesses.items()}
    assert exact["II"] == (512, 512, 512)
    assert exact["DSP"] == (8, 8, 8)
    assert exact["latency_cycles"] == (514, 514, 514)
    shown = csynth_cost(found)
    assert (shown["II"].low, shown["II"].value, shown["II"].high) == (512, 512, 512)
    # far outside of the sizes and of the families of the reports too
    other = predict(MODEL, [layer(512, 512, bits=10, strategy="resource", reuse=4096)], part=SEVEN)
    assert not other.covered
    assert (other.guesses["DSP"].low, other.guesses["DSP"].high) == (64, 64)
    assert (other.guesses["II"].low, other.guesses["II"].high) == (4096, 4096)


@pytest.mark.parametrize(
    ("layers", "part", "words"),
    [
        ([layer(reuse=16)], PLUS, "between 1 and 384"),
        ([layer(512, 256)], PLUS, "products"),
        ([layer(4, 2)], PLUS, "products"),
        ([layer(32, 64)], SEVEN, "7 series"),
        (_mlp(reuse=8), SEVEN, "reuse factor 8"),
        (_mlp(reuse=400), SEVEN, "above 100"),
        (_mlp(), PLUS, "slower FPGAs"),
        (_mlp(multipliers=None), SEVEN, "the tool chooses"),
        (_mlp(strategy="resource", reuse=8), PLUS, "sum of single layers"),
        ([layer(32, 64), layer(64, 8, strategy="resource", reuse=8)], PLUS, "sum of single layers"),
    ],
)
def test_what_is_outside_is_said(layers: list[Network], part: str, words: str) -> None:
    found = predict(MODEL, layers, part=part)
    assert not found.covered
    assert any(words in note for note in found.notes), found.notes
    assert set(found.guesses) == set(FIGURES)
    assert all("outside the reports" in figure.source for figure in csynth_cost(found).values())


def test_networks_like_those_in_the_reports_are_covered() -> None:
    for reuse in (1, 2, 100):
        for multipliers in ("dsp", "lut"):
            found = predict(MODEL, _mlp(reuse=reuse, multipliers=multipliers), part=SEVEN)
            assert found.covered, found.notes
            assert all("outside" not in figure.source for figure in csynth_cost(found).values())


@pytest.mark.parametrize("strategy", ["unrolled", "distributed_arithmetic", "compressed"])
def test_no_number_without_reports(strategy: str) -> None:
    found = predict(MODEL, [layer(strategy=strategy)], part=PLUS)
    assert (dict(found.guesses), found.covered) == ({}, False)
    assert strategy in found.notes[0]
    assert csynth_cost(found) == {}
    assert synthesis_cost(found, MODEL).figures == {}
    assert predict(MODEL, [layer(), layer(strategy=strategy)], part=PLUS).guesses == {}
    assert predict(MODEL, [], part=PLUS).notes == ("no matrix multiplication in it",)


SHAPES = st.tuples(st.integers(2, 200), st.integers(2, 200))
SETTINGS = {
    "shapes": st.lists(SHAPES, min_size=1, max_size=4), "bits": st.integers(2, 12), "x": st.integers(2, 18),
    "strategy": st.sampled_from(["latency", "resource"]), "reuse": st.sampled_from([1, 2, 3, 16, 100, 384, 1000]),
    "multipliers": st.sampled_from([None, "dsp", "lut"]), "part": st.sampled_from([None, PLUS, SEVEN]),
    "softmax": st.sampled_from([0, 5]), "clock": st.sampled_from([2.5, 5.0]),
}  # fmt: skip


@given(**SETTINGS)
def test_every_value_lies_in_its_band(
    shapes: list[tuple[int, int]], bits: int, x: int, strategy: str, reuse: int, multipliers: str | None, part: str | None,
    softmax: int, clock: float,
) -> None:  # fmt: skip
    layers = [
        layer(*shape, bits=bits, x=x, strategy=strategy, reuse=reuse, clock=clock, multipliers=multipliers) for shape in shapes
    ]
    found = predict(MODEL, layers, softmax=softmax, part=part)
    assert set(found.guesses) == set(FIGURES)
    wrong = {
        name: guess
        for name, guess in found.guesses.items()
        if not 0 <= guess.low <= guess.value + 1e-6 <= guess.high + 2e-6 < math.inf
    }
    assert not wrong
    for name, figure in csynth_cost(found).items():
        assert figure.low is not None
        assert figure.high is not None
        assert 0 <= figure.low <= figure.value <= figure.high, name
        guess = found.guesses[name]
        assert figure.low <= max(guess.low, 1 if name == "II" else 0) + 1e-6, name  # an II is never below 1
        assert figure.high >= guess.high - 1e-6, name


@given(SHAPES, st.integers(3, 12), st.sampled_from(["latency", "resource"]), st.sampled_from([2, 16, 64, 200, 383]))
def test_no_band_is_narrower_outside_than_inside(shape: tuple[int, int], bits: int, strategy: str, reuse: int) -> None:
    """Between the reuse factors of the reports the bands of both ends are kept, unless a rule is exact at both."""
    network = layer(*shape, bits=bits, strategy=strategy)
    near = predict(MODEL, [network], part=PLUS).guesses
    far = predict(MODEL, [replace(network, reuse_factor=384)], part=PLUS).guesses
    between = predict(MODEL, [replace(network, reuse_factor=reuse)], part=PLUS)
    assert not between.covered
    for figure in ("LUT", "FF"):
        assert _width(between.guesses[figure]) >= min(_width(near[figure]), _width(far[figure])) - 1e-9, figure
    assert between.guesses["LUT"].low <= near["LUT"].low + 1e-6 or strategy == "resource"


@pytest.mark.parametrize("factor", [3, 8, 40])
def test_bands_grow_with_the_distance_in_size(factor: int) -> None:
    inside, outside = (predict(MODEL, [layer(48, 64 * scale, bits=6)], part=PLUS).guesses for scale in (1, factor))
    for figure in ("LUT", "FF"):
        assert _width(outside[figure]) > _width(inside[figure]) + 0.05


def test_a_tool_that_chooses_has_both_bands() -> None:
    free = predict(MODEL, _mlp(multipliers=None), part=SEVEN).guesses
    for multipliers in ("dsp", "lut"):
        forced = predict(MODEL, _mlp(multipliers=multipliers), part=SEVEN).guesses
        for figure, guess in forced.items():
            assert free[figure].low <= guess.low + 1e-9, figure
            assert free[figure].high >= guess.high - 1e-9, figure


def test_operands_too_narrow_for_a_dsp_take_none() -> None:
    found = predict(MODEL, _mlp(multipliers=None, bits=3), part=SEVEN)
    assert (found.guesses["DSP"].value, found.guesses["DSP"].high) == (0, 0)


def test_layers_of_the_resource_strategy_add_up() -> None:
    layers = _mlp(strategy="resource", reuse=512, bits=8)
    alone = [predict(MODEL, [one], part=PLUS).guesses for one in layers]
    found = predict(MODEL, layers, part=PLUS).guesses
    assert found["II"].value == 512
    assert found["DSP"].value == sum(guesses["DSP"].value for guesses in alone)
    cycles = found["latency_cycles"]  # exact for a layer, not for a network
    assert cycles.value == sum(guesses["latency_cycles"].value for guesses in alone) + len(layers)
    assert cycles.low <= cycles.value - len(layers)
    assert cycles.high >= cycles.value + 2 * len(layers)
    assert found["LUT"].value == pytest.approx(sum(guesses["LUT"].value for guesses in alone))
    assert found["LUT"].high > sum(guesses["LUT"].high for guesses in alone)


def test_a_softmax_costs() -> None:
    for layers in (_mlp(), _mlp(strategy="resource", reuse=512)):
        without, with_one = (predict(MODEL, layers, softmax=count, part=SEVEN).guesses for count in (0, 5))
        assert with_one["LUT"].value > without["LUT"].value + 100
        assert with_one["BRAM_18K"].value == without["BRAM_18K"].value + 5


def test_the_whole_network_is_the_sum() -> None:
    layers = [layer(16, 8, reuse=2), layer(8, 4, reuse=4)]
    whole = whole_network(layers, softmax=4)
    assert (whole.layers, whole.softmax, whole.reuse_factor) == (2, 4, 4)
    assert whole.features["n_mac"] == 16 * 8 + 8 * 4
    assert whole.features["add_bits"] == sum(one.features["add_bits"] for one in layers)


@pytest.mark.parametrize(
    ("guess", "shown"),
    [
        (Guess(12345.6, 9876.5, 15432.1), (12000, 9000, 16000)),
        (Guess(12345.6, 12300.2, 12400.7), (12346, 12300, 12401)),
        (Guess(87.4, 60.2, 120.3), (87, 60, 121)),
        (Guess(149.6, 100.1, 200.9), (150, 100, 210)),
        (Guess(7.0, 7.0, 7.0), (7, 7, 7)),
        (Guess(0.0, 0.0, 0.0), (0, 0, 0)),
        (Guess(0.4, 0.0, 1.2), (0, 0, 2)),
    ],
)
def test_no_more_digits_than_the_band_deserves(guess: Guess, shown: tuple[float, float, float]) -> None:
    figure = csynth_cost(Prediction({"LUT": guess}, True, ()))["LUT"]
    assert (figure.value, figure.low, figure.high) == shown
    assert figure.source == "csynth-equivalent"


def test_after_synthesis_the_ratios_of_designs_are_applied() -> None:
    prediction = Prediction({"LUT": Guess(10000.0, 8000.0, 12000.0), "II": Guess(4.0, 4.0, 4.0)}, True, ())
    cost = synthesis_cost(prediction, MODEL)
    ratio, figure = MODEL.synthesis["LUT"], cost.figures["LUT"]
    assert set(cost.figures) == {"LUT"}  # II does not change, and no ratio is known
    assert figure.value == pytest.approx(10000 * ratio.median, abs=100)
    assert figure.low == pytest.approx(8000 * ratio.low, abs=100)
    assert figure.high == pytest.approx(12000 * ratio.high, abs=100)
    assert "post-synthesis" in figure.source
    assert f"{ratio.designs} designs" in figure.source
