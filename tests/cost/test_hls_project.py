"""Projects of all versions of hls4ml read back, and what is refused."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qap.backend import stack
from qap.config.schema import Firmware
from qap.cost.hls_project import HLSType, read_project
from qap.cost.hls_source import OVERFLOWS, ROUNDINGS, calls, evaluate, lookup, parse_type, structs
from qap.cost.hls_weights import expand_compressed
from qap.errors import InputError
from qap.firmware import convert
from qap.precision import Precision
from tests.cost.hls_projects import convert_plain, numbers, oldest, write
from tests.firmware.helpers import mlp


@given(
    signed=st.booleans(),
    bits=st.integers(1, 120),
    integer=st.integers(-40, 140),
    rounding=st.sampled_from(ROUNDINGS),
    overflow=st.sampled_from(OVERFLOWS),
    given_modes=st.integers(0, 3),
    space=st.sampled_from(["", " ", "\n "]),
    names=st.lists(st.sampled_from(["a_t", "b_t", "model_default_t", "layer2_t"]), unique=True),
    wrapper=st.sampled_from(["{}", "nnet::array<{}, 3*1>", "hls::stream<{}>", "hls::stream<nnet::array< {} ,4>>"]),
    macro=st.booleans(),
)
def test_fixed_point_types_are_parsed(
    signed: bool, bits: int, integer: int, rounding: str, overflow: str, given_modes: int, space: str, names: list[str],
    wrapper: str, macro: bool,
) -> None:  # fmt: skip
    modes = [rounding, overflow, "0"][:given_modes]
    width = "WIDTH" if macro else str(bits)
    text = f"ap_{'' if signed else 'u'}fixed{space}<{space}" + f",{space}".join([width, str(integer), *modes]) + f"{space}>"
    text = wrapper.format(text)
    table = dict(zip(names, [*names[1:], text], strict=False))
    found = parse_type(names[0] if names else text, table.get, {"WIDTH": bits}.get, "file")
    expected = HLSType(
        signed, bits, integer, rounding if given_modes > 0 else "AP_TRN", overflow if given_modes > 1 else "AP_WRAP"
    )
    assert found == expected
    assert found.fractional == bits - integer
    assert parse_type(str(found), {}.get, {}.get, "file") == found


@given(signed=st.booleans(), bits=st.integers(1, 64))
def test_integers_are_parsed(signed: bool, bits: int) -> None:
    found = parse_type(f"ap_{'' if signed else 'u'}int<{bits}>", {}.get, {}.get, "file")
    assert (found.signed, found.bits, found.integer, found.fractional) == (signed, bits, bits, 0)


@pytest.mark.parametrize(
    "text",
    ["float", "double", "ac_fixed<16,6,true>", "ap_fixed<16>", "ap_fixed<0,0>", "ap_fixed<W,6>", "weight_t", "ap_fixed<16,6,RND>",
     "std::complex<float>", "loop_t", "ap_int<8,8>", ""],
)  # fmt: skip
def test_other_types_are_refused_with_the_place(text: str) -> None:
    with pytest.raises(InputError, match=r"parameters\.h: accum_t: expected ap_fixed"):
        parse_type(text, {"loop_t": "loop2_t", "loop2_t": "loop_t"}.get, {}.get, "parameters.h: accum_t")


@given(a=st.integers(0, 500), b=st.integers(1, 50), c=st.integers(-9, 9))
def test_integer_expressions(a: int, b: int, c: int) -> None:
    known = {"a": a, "b": b, "c": c, "config2::n_in": a}.get
    assert evaluate("DIV_ROUNDUP(a * b, b) - a / b", known) == (a * b + b - 1) // b - a // b
    assert evaluate("(c == -1) ? a : c", known) == (a if c == -1 else c)
    assert evaluate("config2::n_in*2u + MIN(a, b) % 7", known) == a * 2 + min(a, b) % 7
    assert evaluate("nnet::io_parallel", known) is None
    assert evaluate("a / (b - b)", known) is None
    assert evaluate("__import__('os')", known) is None


def test_calls_over_several_lines_and_out_of_the_synthesis() -> None:
    source = """
#ifndef __SYNTHESIS__
    nnet::load_weights_from_txt<w_t, 4>(w2, "w2.txt");
#endif
    // nnet::dense<a, b, config1>(x, y);
    nnet::dense<nnet::array<ap_fixed<16,6>, 2>,
                layer2_t, config2>(
        in, out, w2, b2); // fc1
"""
    found = calls(source)
    assert [call.function for call in found] == ["dense"]
    assert found[0].arguments == ("nnet::array<ap_fixed<16,6>, 2>", "layer2_t", "config2")
    assert (found[0].operands, found[0].title) == (("in", "out", "w2", "b2"), "fc1")


def test_structs_keep_their_comment_and_their_types() -> None:
    body = "    static const unsigned n_in = 3; // rows\n    typedef w2_t weight_t;\n"
    source = f"// fc1\nstruct config2 : nnet::dense_config {{\n{body}}};\ntypedef int x_t;"
    found, rest = structs(source)
    assert (found["config2"].base, found["config2"].title) == ("dense_config", "fc1")
    assert (found["config2"].constants, found["config2"].types) == ({"n_in": "3"}, {"weight_t": "w2_t"})
    assert "config2" not in rest
    assert "x_t" in rest


CASES = [
    ("Vitis", "io_parallel", "Latency", 1, "latency"),
    ("Vivado", "io_parallel", "Latency", 2, "latency"),
    ("Vitis", "io_stream", "Latency", 1, "latency"),
    ("Vivado", "io_parallel", "Resource", 4, "resource"),
    ("Vitis", "io_stream", "Resource", 4, "resource"),
    ("Vitis", "io_parallel", "resource_unrolled", 4, "unrolled"),
]


@pytest.mark.parametrize(("backend", "io_type", "strategy", "reuse", "expected"), CASES)
def test_dense_networks_of_hls4ml(tmp_path: Path, backend: str, io_type: str, strategy: str, reuse: int, expected: str) -> None:
    layers = stack().keras.layers
    model = convert_plain(
        tmp_path / "p",
        [layers.Dense(8, activation="relu", name="fc1"), layers.BatchNormalization(name="bn"), layers.Dense(4, name="fc2"),
         layers.Softmax(name="sm")],
        (8,), backend=backend, io_type=io_type, strategy=strategy, reuse=reuse,
    )  # fmt: skip
    project = read_project(tmp_path / "p")
    assert (project.backend, project.io_type, project.name) == (backend.lower(), io_type, "myproject")
    assert (project.part, project.clock_ns, project.multipliers) == ("xcku115-flvb2104-2-i", 5.0, None)
    assert [(layer.name, layer.kind) for layer in project.layers] == [
        ("fc1", "dense"), ("fc1_relu", "relu"), ("bn", "normalize"), ("fc2", "dense"), ("sm", "softmax"),
    ]  # fmt: skip
    for layer in project.layers:
        if layer.kind == "dense":
            kernel, bias = model.get_layer(layer.name).get_weights()
            assert layer.kernel is not None
            assert layer.bias_values is not None
            np.testing.assert_allclose(layer.kernel, kernel, atol=1e-6)
            np.testing.assert_allclose(layer.bias_values, bias, atol=1e-6)
            assert (layer.strategy, layer.reuse_factor, layer.repeats) == (expected, reuse, 1)
            assert layer.weight == layer.bias == HLSType(True, 12, 5)
            assert layer.multiplier_limit == -(-kernel.size // reuse) - int((kernel == 0).sum()) // reuse
    first, normal = project.layers[0], project.layers[2]
    assert (first.inputs, first.accum) == (HLSType(True, 12, 5), first.result)
    assert first.accum is not None
    assert first.accum.bits > 24
    assert normal.kernel is not None
    assert normal.kernel.shape == (1, 8)
    assert normal.weight == HLSType(True, 12, 5)


@pytest.mark.parametrize(
    ("io_type", "strategy"), [("io_parallel", "Latency"), ("io_stream", "Latency"), ("io_stream", "Resource")]
)
def test_convolutions_of_hls4ml(tmp_path: Path, io_type: str, strategy: str) -> None:
    layers = stack().keras.layers
    model = convert_plain(
        tmp_path / "p",
        [layers.Conv2D(4, (3, 2), name="c2"), layers.MaxPooling2D(2), layers.Reshape((6, 4)), layers.Conv1D(3, 2, name="c1"),
         layers.Conv1D(5, 1, name="pw"), layers.Flatten(), layers.Dense(2, name="fc")],
        (8, 5, 2), io_type=io_type, strategy=strategy,
    )  # fmt: skip
    project = read_project(tmp_path / "p")
    found = {layer.name: layer for layer in project.layers}
    for name, repeats in (("c2", 24), ("c1", 5), ("pw", 5), ("fc", 1)):
        kernel = model.get_layer(name).get_weights()[0]
        layer = found[name]
        assert layer.kernel is not None
        np.testing.assert_allclose(layer.kernel, kernel.reshape(-1, kernel.shape[-1]), atol=1e-6, err_msg=name)
        assert layer.repeats == repeats, name
        assert layer.strategy == strategy.lower()
    assert found["c2"].sizes["mult_config.n_in"] == 12
    assert found["c2"].sizes["kernel_size"] == 6
    port = project.ports[0]
    assert (port.stream, port.output, project.ports[1].output) == (io_type == "io_stream", False, True)
    assert port.size == (None if port.stream else 80)


def test_project_of_qap(tmp_path: Path) -> None:
    bits = "quantized_bits({})".format
    plan = {"fc1": (bits("6,1"), bits("6,1"), "quantized_relu(6,2)"), "output": (bits("4,0"), bits("8,2"), None)}
    model = mlp(plan, 6, [5, 3], sparsity=0.5)
    convert(model, Precision.parse(bits("10,3")), tmp_path / "p", Firmware(Backend="Vivado"))
    project = read_project(tmp_path / "p")
    assert (project.name, project.backend) == ("qap", "vivado")
    dense = [layer for layer in project.layers if layer.kind == "dense"]
    for layer, name in zip(dense, plan, strict=True):
        weights = model.get_layer(name).get_weights()[0]
        expected = Precision.parse(plan[name][0]).quantize(weights)
        assert layer.kernel is not None
        np.testing.assert_array_equal(layer.kernel, expected)
    assert dense[0].inputs is not None
    assert (dense[0].inputs.bits, dense[0].inputs.rounding) == (10, "AP_RND_CONV")


@pytest.fixture
def old(tmp_path: Path) -> tuple[Path, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    first, second = (np.round(rng.normal(size=shape) * 32) / 64 for shape in ((5, 4), (4, 2)))
    return oldest(tmp_path / "old", first, np.arange(4) / 4, second), first, second


def test_project_of_2018(old: tuple[Path, np.ndarray, np.ndarray]) -> None:
    directory, first, second = old
    project = read_project(directory)
    assert (project.backend, project.part, project.clock_ns) == ("vivado", "xcku115-flvf1924-2-i", 4.5)
    assert (project.multipliers, project.io_type, project.name) == ("dsp", "io_parallel", "myproject")
    layers = project.layers
    assert [layer.kind for layer in layers] == ["compute_layer", "relu", "compute_layer"]
    np.testing.assert_array_equal(layers[0].kernel, first)
    np.testing.assert_array_equal(layers[2].kernel, second)
    assert layers[0].sizes["n_out"] == 4
    assert layers[0].strategy == "latency"
    assert (layers[0].accum, layers[0].bias) == (HLSType(True, 18, 8), HLSType(True, 8, 2))
    assert [(port.name, port.size, port.output) for port in project.ports] == [
        ("data", 5, False), ("res", 2, True), ("const_size_in", 1, True),
    ]  # fmt: skip


def half_new(directory: Path, **changes: str) -> Path:
    """Write a project as hls4ml 0.2 to 0.6 did: project.tcl with names only, model_default_t, weights as text."""
    weights = np.arange(12).reshape(4, 3) / 8 - 0.5
    files = {
        "project.tcl": 'variable myproject\nset myproject "nn"\nvariable backend\nset backend "vivado"\n',
        "build_prj.tcl": "source project.tcl\nset_part {xcvu9p-flgb2104-2-i}\ncreate_clock -period 5 -name default\n",
        "hls4ml_config.yml": "Backend: Vivado\nClockPeriod: 6\nKerasModel: !keras_model 'model.h5'\nProjectName: nn\n",
        "firmware/defines.h": "#define N_INPUT_1_1 4\n#define N_LAYER_2 3\ntypedef ap_fixed<16,6> model_default_t;\n"
        "typedef ap_fixed<16,6> input_t;\ntypedef ap_fixed<16,6> layer2_t;\ntypedef ap_fixed<8,1> weight2_t;\n",
        "firmware/parameters.h": '#include "weights/w2.h"\n// fc1\nstruct config2 : nnet::dense_config {\n'
        "    static const unsigned n_in = N_INPUT_1_1;\n    static const unsigned n_out = N_LAYER_2;\n"
        "    static const unsigned io_type = nnet::io_parallel;\n    static const unsigned strategy = nnet::resource;\n"
        "    static const unsigned reuse_factor = 2;\n    typedef ap_fixed<20,8> accum_t;\n"
        "    typedef model_default_t bias_t;\n    typedef weight2_t weight_t;\n};\n",
        "firmware/nn.cpp": "void nn(input_t x[N_INPUT_1_1], layer2_t y[N_LAYER_2]) {\n"
        "    nnet::dense_large<input_t, layer2_t, config2>(x, y, w2, b2);\n}\n",
        "firmware/weights/w2.h": "weight2_t w2[12];\n",
        "firmware/weights/w2.txt": ", ".join(map(str, weights.T.ravel())),
        "firmware/weights/b2.h": f"model_default_t b2[3] = {numbers(np.ones(3))};\n",
    }
    return write(directory, {**files, **changes})


def test_project_of_2019_with_weights_as_text(tmp_path: Path) -> None:
    project = read_project(half_new(tmp_path))
    assert (project.name, project.part, project.clock_ns) == ("nn", "xcvu9p-flgb2104-2-i", 5.0)
    layer = project.layers[0]
    np.testing.assert_array_equal(layer.kernel, np.arange(12).reshape(4, 3) / 8 - 0.5)  # stored with the outputs first
    assert (layer.name, layer.strategy, layer.reuse_factor) == ("fc1", "resource", 2)
    assert (layer.accum, layer.weight, layer.bias) == (HLSType(True, 20, 8), HLSType(True, 8, 1), HLSType(True, 16, 6))


def test_part_and_clock_from_the_configuration_alone(tmp_path: Path) -> None:
    half_new(tmp_path)
    (tmp_path / "project.tcl").unlink()
    (tmp_path / "build_prj.tcl").unlink()
    assert (read_project(tmp_path).part, read_project(tmp_path).clock_ns) == (None, 6.0)
    (tmp_path / "hls4ml_config.yml").unlink()
    assert (read_project(tmp_path).name, read_project(tmp_path).clock_ns) == ("nn", None)


@pytest.mark.parametrize(
    ("line", "file", "expected"),
    [
        ("config_op mul -impl fabric", "build_prj.tcl", "lut"),
        ("set_directive_bind_op -op mul -impl dsp nn", "build_opt.tcl", "dsp"),
        ("#pragma HLS BIND_OP variable=acc op=mul impl=fabric", "firmware/nnet_utils/nnet_mult.h", "lut"),
        ("#pragma HLS RESOURCE variable=mult core=DSP48", "firmware/nnet_utils/nnet_dense.h", "dsp"),
        ("# config_op mul -impl fabric", "build_opt.tcl", None),
        ("config_op add -impl dsp", "build_opt.tcl", None),
    ],
)
def test_forced_multipliers(tmp_path: Path, line: str, file: str, expected: str | None) -> None:
    assert read_project(half_new(tmp_path, **{file: line + "\n"})).multipliers == expected


NAMELESS = {"project.tcl": "", "hls4ml_config.yml": ""}
OTHER_CALL = "void nn(input_t x[4]) { nnet::dense<input_t, layer2_t, config2>(x, y, w9, b2); }"
EXPONENTS = """typedef struct weight2_t { ap_uint<1> sign; ap_int<4> weight; } weight2_t;
typedef ap_fixed<8,1> input_t;
typedef input_t layer2_t;
typedef input_t model_default_t;
#define N_INPUT_1_1 4
#define N_LAYER_2 3
"""
BAD = [
    ({"project.tcl": 'set backend "quartus"\n', "hls4ml_config.yml": ""}, "this one is for quartus"),
    ({"project.tcl": "", "hls4ml_config.yml": "Backend: oneAPI\n"}, "this one is for oneAPI"),
    ({"project.tcl": "", "hls4ml_config.yml": "Backend: Catapult\n"}, "this one is for Catapult"),
    ({**NAMELESS, "firmware/defines.h": "typedef ac_fixed<16,6> input_t;"}, "Quartus, oneAPI or Catapult"),
    ({"firmware/parameters.h": "// nothing\n"}, "needs the struct config2"),
    ({"firmware/weights/w2.txt": "0.5, 0.25"}, "expected 12 weights in firmware/weights/w2, received 2"),
    ({"firmware/weights/w2.txt": "0.5, what"}, r"w2\.txt: expected numbers"),
    ({"firmware/nn.cpp": OTHER_CALL}, "the weights w9 are missing"),
    ({"firmware/nn.cpp": OTHER_CALL[:60]}, "half-written"),
    ({"firmware/defines.h": "typedef float input_t;\ntypedef ap_fixed<8,1> layer2_t;"}, "received 'float' "),
    ({"firmware/defines.h": EXPONENTS}, "weight_t: expected ap_fixed"),
    ({"firmware/nn.cpp": "void nn(int x) { }"}, "found none: this is no top function"),
    ({"hls4ml_config.yml": "a: [1"}, "expected YAML"),
    ({"hls4ml_config.yml": "a: " + "[" * 5000}, "expected YAML: nested too deeply"),
    ({"firmware/nn.cpp": OTHER_CALL.replace("layer2_t", "+layer2_t")}, r"expected ap_fixed.*received '\+layer2_t'"),
    (
        {"project.tcl": "", "hls4ml_config.yml": "", "firmware/a(b.cpp": OTHER_CALL.replace("w9", "w2"), "firmware/nn.cpp": ""},
        r"void a\(b",
    ),
    ({"firmware/weights/w2.txt": "0.5, 1e999"}, "expected finite numbers, received 1e999"),
]


@pytest.mark.parametrize(("value", "message"), [("-3", "n_out: expected 0 or more, received -3"), ("0", "received 4×0")])
def test_absurd_sizes_are_refused(tmp_path: Path, value: str, message: str) -> None:
    files = half_new(tmp_path)
    defines = (files / "firmware" / "defines.h").read_text()
    (files / "firmware" / "defines.h").write_text(defines.replace("N_LAYER_2 3", f"N_LAYER_2 {value}"))
    with pytest.raises(InputError, match=message):
        read_project(files)


def test_a_compressed_weight_lies_in_its_matrix() -> None:
    assert expand_compressed(np.array([1, 0, 0.5]), (2, 1), "x").tolist() == [[0], [0.5]]
    for place in ([2, 0], [0, 1], [-1, 0], [0, -1]):
        with pytest.raises(InputError, match="outside of the 2×1 matrix"):
            expand_compressed(np.array([*place, 0.5]), (2, 1), "x")


def test_expressions_that_never_end() -> None:
    names = {f"A{i}": f"A{i + 1}*A{i + 1}" for i in range(60)} | {"A60": "1", "loop": "pool + 1", "pool": "loop + 1"}
    known = lookup(names)
    assert (known("A0"), known("loop")) == (1, None)
    for text in ("1 << 999999999999", "-" * 100_000 + "1", "+".join("1" * 100_000), "9" * 40, "1 << -1"):
        assert evaluate(text, known) is None


@pytest.mark.parametrize(("changes", "message"), BAD)
def test_bad_projects_are_refused(tmp_path: Path, changes: dict[str, str], message: str) -> None:
    with pytest.raises(InputError, match=message) as error:
        read_project(half_new(tmp_path, **changes))
    assert str(tmp_path) in str(error.value)


def test_one_bit_stands_for_a_sign(tmp_path: Path) -> None:
    half_new(tmp_path, **{"firmware/weights/w2.txt": "0,1,1,0,1,1,1,1,0,0,0,1"})
    defines = tmp_path / "firmware/defines.h"
    defines.write_text(defines.read_text().replace("ap_fixed<8,1> weight2_t", "ap_uint<1> weight2_t"))
    layer = read_project(tmp_path).layers[0]
    np.testing.assert_array_equal(layer.kernel, np.array([[-1, 1, -1], [1, 1, -1], [1, 1, -1], [-1, 1, 1]]))


def test_constants_between_input_and_result(tmp_path: Path) -> None:
    layers = stack().keras.layers
    model = convert_plain(tmp_path / "p", [layers.Dense(3, name="d"), layers.PReLU(name="r")], (2,))
    layer = read_project(tmp_path / "p").layers[1]
    assert layer.kind == "prelu"
    (alpha,) = layer.arrays.values()
    np.testing.assert_allclose(alpha, model.get_layer("r").get_weights()[0], atol=1e-6)


@pytest.mark.parametrize(
    ("remove", "message"),
    [("firmware", "found no folder firmware"), ("firmware/parameters.h", "no parameters.h"), ("firmware/nn.cpp", "found none")],
)
def test_half_written_projects_are_refused(tmp_path: Path, remove: str, message: str) -> None:
    half_new(tmp_path)
    path = tmp_path / remove
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    with pytest.raises(InputError, match=message):
        read_project(tmp_path)


def test_no_directory(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="expected an hls4ml project"):
        read_project(tmp_path / "none")
