"""Granularities: exact masks of every kind, and hls4ml's own index arithmetic for the weights of a multiplier."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qap.backend import hls4ml
from qap.errors import InputError
from qap.granularity import Granularity, groups, kept_units, mask, mask_sparsity

positive = st.integers(1, 9)


@st.composite
def granularities(draw: st.DrawFn) -> Granularity:
    kind = draw(st.sampled_from(["weight", "neuron", "filter", "layer", "N:M", "block", "dsp"]))
    if kind == "N:M":
        width = draw(st.integers(2, 8))
        return Granularity(kind, (draw(st.integers(1, width - 1)), width))
    if kind == "block":
        return Granularity(kind, (draw(positive), draw(positive)))
    return Granularity(kind, (draw(positive),) if kind == "dsp" else ())


@st.composite
def shapes(draw: st.DrawFn) -> tuple[int, ...]:
    """Kernels of Dense, Conv1D and Conv2D."""
    kind = draw(st.integers(0, 2))
    return (*(draw(st.integers(1, 3)) for _ in range(kind)), draw(st.integers(1, 16)), draw(st.integers(1, 16)))


def attempt(call: Callable[[], np.ndarray]) -> tuple[np.ndarray | None, str]:
    """Give the result and no text, or nothing and the text of the refusal."""
    try:
        return call(), ""
    except InputError as error:
        return None, str(error)


@given(granularities())
def test_text_form_there_and_back(granularity: Granularity) -> None:
    assert Granularity.parse(str(granularity)) == granularity
    assert hash(Granularity.parse(f" {granularity} ")) == hash(granularity)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nueron", "did you mean 'neuron'"),
        ("block", "block"),
        ("block(4)", "block"),
        ("block(4,0)", "numbers from 1"),
        ("dsp(4,4)", "dsp"),
        ("dsp(0)", "numbers from 1"),
        ("4:2", "N below M, received 4:2"),
        ("4:4", "N below M"),
        ("0:4", "numbers from 1"),
        ("2:4:8", "2:4:8"),
        (124, "write N:M in quotes"),
        (None, "received None"),
    ],
)
def test_what_is_no_granularity_is_refused(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Granularity.parse(text)


@settings(max_examples=400, deadline=None)
@given(shapes(), granularities(), st.floats(0, 0.999), st.integers(0, 2**32 - 1), st.booleans())
def test_a_mask_has_the_requested_sparsity_or_is_refused(
    shape: tuple[int, ...], granularity: Granularity, sparsity: float, seed: int, ties: bool
) -> None:
    generator = np.random.default_rng(seed)
    scores = np.ones(shape) if ties else generator.uniform(0, 1, shape)
    if granularity.kind == "N:M":
        sparsity = granularity.numbers[0] / granularity.numbers[1]
    elif granularity.kind == "layer":
        sparsity = round(sparsity)
    number, refusal = attempt(lambda: groups(shape, granularity, where="fc1"))
    if number is None:
        assert granularity.kind in ("N:M", "dsp")
        assert refusal.startswith("fc1: ")
        return
    allowed = 0.5 / number.size if granularity.kind == "weight" else 0.01
    sizes = np.bincount(number.ravel())
    kept, refusal = attempt(lambda: mask(scores, sparsity, granularity, where="fc1"))
    if kept is None:
        assert "the nearest are" in refusal
        if len(set(sizes)) == 1:  # then no number of groups that leaves one would do
            counts = np.arange(len(sizes) + (granularity.kind == "layer"))
            assert np.abs(counts / len(sizes) - sparsity).min() > allowed, refusal
        return
    assert kept.shape == shape
    off = abs(mask_sparsity(kept) - sparsity)
    assert off <= allowed + 1e-9, (off, str(granularity), shape)
    assert kept.any() or granularity.kind == "layer"
    if granularity.kind == "N:M":
        zeros = np.bincount(number.ravel(), weights=~kept.ravel())
        assert (zeros == granularity.numbers[0]).all(), zeros
        channels = kept.reshape(-1, granularity.numbers[1], shape[-1])  # M neighbours along the input channels
        assert (channels.sum(axis=1) == granularity.numbers[1] - granularity.numbers[0]).all()
        return
    whole = np.bincount(number.ravel(), weights=kept.ravel()) / sizes
    assert set(whole) <= {0.0, 1.0}, "a group was cut in two"
    gone = int((whole == 0).sum())
    if len(set(sizes)) == 1 and granularity.kind != "layer":
        assert gone == min(round(sparsity * len(whole)), len(whole) - 1), (gone, sparsity, len(whole))
    sums = np.bincount(number.ravel(), weights=scores.ravel())
    if 0 < gone < len(whole):
        assert sums[whole == 0].max() <= sums[whole == 1].min()
    if ties and granularity.kind != "block" and gone > 0:
        assert (whole[:gone] == 0).all(), "of equals, the first go"


@settings(max_examples=100, deadline=None)
@given(shapes(), granularities(), st.floats(0, 0.999))
def test_the_steps_of_a_schedule_take_the_nearest(shape: tuple[int, ...], granularity: Granularity, sparsity: float) -> None:
    scores = np.random.default_rng(0).uniform(0, 1, shape)
    try:
        number = groups(shape, granularity, where="fc1")
    except InputError:
        return
    kept = mask(scores, sparsity, granularity, where="fc1", exact=False)
    group = granularity.numbers[1] if granularity.kind == "N:M" else np.bincount(number.ravel()).max()
    step = 1 / group if granularity.kind == "N:M" else group / kept.size
    assert abs(mask_sparsity(kept) - sparsity) <= step + 1e-9


def test_masks_by_hand() -> None:
    kernel = np.array([[5, 1, 8, 2], [6, 2, 7, 1], [1, 9, 2, 3], [2, 8, 1, 4]], float)
    rows = mask(kernel, 0.5, Granularity.parse("1:2"), where="k")
    assert (rows == [[0, 0, 1, 1], [1, 1, 0, 0], [0, 1, 1, 0], [1, 0, 0, 1]]).all()
    blocks = mask(kernel, 0.5, Granularity.parse("block(2,2)"), where="k")  # sums 14, 18, 20, 10
    assert (blocks == [[0, 0, 1, 1], [0, 0, 1, 1], [1, 1, 0, 0], [1, 1, 0, 0]]).all()
    units = mask(kernel, 0.5, Granularity.parse("neuron"), where="k")  # sums 14, 20, 18, 10
    assert (kept_units(units) == [False, True, True, False]).all()
    pairs = mask(kernel, 0.5, Granularity.parse("dsp(2)"), where="k")  # sums 11 3, 3 17, 15 3, 3 7
    assert (pairs == [[1, 0, 1, 0], [1, 0, 1, 0], [0, 1, 0, 1], [0, 1, 0, 1]]).all()
    single = mask(kernel, 0.25, where="k")
    assert set(kernel[~single]) == {1.0}
    assert not mask(kernel, 1, Granularity("layer"), where="k").any()


def test_n_of_m_runs_along_the_input_channels_of_a_convolution() -> None:
    scores = np.zeros((2, 2, 4, 3))
    scores[:, :, [0, 3]] = 1
    kept = mask(scores, 0.5, Granularity.parse("2:4"), where="conv")
    assert kept[:, :, [0, 3]].all()
    assert not kept[:, :, [1, 2]].any()
    with pytest.raises(InputError, match=r"conv: 2:4 needs input channels in multiples of 4, received 3"):
        mask(np.ones((2, 2, 3, 8)), 0.5, Granularity.parse("2:4"), where="conv")  # 12 rows, but 3 channels


@pytest.mark.parametrize(
    ("shape", "sparsity", "text", "message"),
    [
        ((16, 5), 0.5, "neuron", r"fc9: neuron has 5 groups .* the nearest are 0.4, 0.6"),
        ((4, 1), 0.9, "neuron", "the nearest are 0"),
        ((16, 8), 0.4, "2:4", "expected the sparsity 0.5, received 0.4"),
        ((16, 8), 0.5, "dsp(3)", r"fc9: hls4ml has no reuse factor 3 for 16 inputs and 8 units; the nearest are 1, 2, 4"),
        ((16, 8), 0.5, "dsp(24)", "the nearest are 8, 16, 32"),
        ((16, 8), 0.5, "layer", "the nearest are 0, 1"),
        ((16, 8), 1.0, "weight", "expected 0 to less than 1, received 1.0"),
        ((16, 8), -0.1, "weight", "received -0.1"),
        ((16, 8), float("nan"), "weight", "received nan"),
        ((16, 8), "0.5", "weight", "received '0.5'"),
        ((16,), 0.5, "weight", "expected a kernel"),
        ((2, 2), 0.9, "weight", "the nearest are 0.5, 0.75"),
    ],
)
def test_a_request_that_cannot_be_met_is_refused(shape: tuple[int, ...], sparsity: float, text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        mask(np.ones(shape), sparsity, Granularity.parse(text), where="fc9")


def test_scores_that_are_not_numbers_are_refused() -> None:
    with pytest.raises(InputError, match="fc1: expected finite scores, received 1"):
        mask(np.array([[1.0, np.nan]]), 0.5, where="fc1")


def test_valid_reuse_factors_are_those_of_hls4ml() -> None:
    with hls4ml() as module:
        backend = module.backends.get_backend("Vivado")
        wrong = []
        for inputs in range(1, 13):
            for units in range(1, 13):
                for reuse in range(1, inputs * units + 2):
                    valid = reuse <= inputs * units and backend._validate_reuse_factor(inputs, units, reuse)
                    try:
                        groups((inputs, units), Granularity("dsp", (reuse,)), where="k")
                        ours = True
                    except InputError:
                        ours = False
                    if ours != valid:
                        wrong.append((inputs, units, reuse, valid))
    assert not wrong, f"{len(wrong)} differ, first {wrong[:5]}"


PROGRAM = """
#include "nnet_utils/nnet_dense_resource.h"
#include <cstdio>
struct Recorder {{
    static int product(int, int weight) {{ std::printf("%d ", weight); return 0; }}
}};
template <int N, int M, int R> struct config {{
    static const unsigned n_in = N, n_out = M, reuse_factor = R;
    typedef int accum_t; typedef int weight_t; typedef int bias_t;
    template <class x_T, class w_T> using product = Recorder;
}};
namespace nnet {{ template <class data_T, class res_T, typename CONFIG_T> int cast(int x); }}
template <int N, int M, int R> void run() {{
    static int data[N], out[M], weights[N * M], biases[M];
    for (int i = 0; i < N * M; i++) weights[i] = i;
    nnet::dense_resource<int, int, config<N, M, R>>(data, out, weights, biases);
    std::printf("\\n");
}}
int main() {{ {runs} }}
"""


def test_the_weights_of_a_multiplier_are_those_of_the_source(tmp_path: Path) -> None:
    """Compile hls4ml's header with a product that writes down which weight each multiplier takes in each cycle."""
    cases = [(16, 8, 1), (16, 8, 4), (16, 8, 16), (12, 10, 6), (12, 10, 24), (12, 10, 60), (12, 10, 120), (7, 3, 7)]
    with hls4ml() as module:
        templates = Path(module.__file__).parent / "templates" / "vivado"
    runs = " ".join(f"run<{n}, {m}, {r}>();" for n, m, r in cases)
    (tmp_path / "walk.cpp").write_text(PROGRAM.format(runs=runs))
    command = ["g++", "-std=c++14", "-w", f"-I{templates}", f"-I{templates}/ap_types", "walk.cpp", "-o", "walk"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    lines = subprocess.run([tmp_path / "walk"], capture_output=True, text=True, check=True).stdout.splitlines()
    for (inputs, units, reuse), line in zip(cases, lines, strict=True):
        taken = np.array(line.split(), int).reshape(reuse, -1)  # one row a cycle, one column a multiplier
        number = groups((inputs, units), Granularity("dsp", (reuse,)), where="k")
        transposed = number.T.ravel()  # what hls4ml's Resource strategy makes of the kernel
        shared = transposed[taken]
        assert (shared == shared[0]).all(), (inputs, units, reuse)
        assert len(set(shared[0])) == taken.shape[1] == number.max() + 1, (inputs, units, reuse)
        convolution = groups((2, 2, inputs // 4, units), Granularity("dsp", (reuse,)), where="k") if inputs % 4 == 0 else number
        assert (convolution.ravel() == number.ravel()).all()
