"""The emulator: a real conversion, a real build, loaded from Python and C++ and held to QKeras."""

import json
import re
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from qap.backend import stack
from qap.config.schema import Firmware
from qap.errors import InputError, QapError
from qap.firmware import Project, convert
from qap.firmware.emulator import make_emulator, memory_image
from qap.firmware.loader import Emulator, check
from qap.firmware.project import Port
from qap.precision import Precision

from .helpers import grid, mlp

INPUT = "quantized_bits(9,3)"
EVENTS = 200


@dataclass(frozen=True)
class Made:
    model: Any
    project: Project
    folder: Path
    x: np.ndarray
    y: np.ndarray


def make(tmp: Path, version: str, seed: int, **settings: Any) -> Made:
    plan = {
        "fc1": ("quantized_bits(6,0)", "quantized_bits(6,1)", "quantized_relu(6,2)"),
        "output": ("quantized_bits(5,0)", "quantized_bits(6,1)", None),
    }
    model = mlp(plan, 4, [5, 3], seed=seed)
    project = convert(model, Precision.parse(INPUT), tmp / f"project {version}", Firmware(**settings))
    x = grid(INPUT, (4,), EVENTS, seed=7)
    y = np.asarray(model.predict(x, verbose=0), np.float64)
    return Made(model, project, make_emulator(project, tmp / f"tagger {version}", version, x, y, name="tagger"), x, y)


@pytest.fixture(scope="module")
def first(tmp_path_factory):
    return make(tmp_path_factory.mktemp("first"), "1.0.0", seed=1)


@pytest.fixture(scope="module")
def second(tmp_path_factory):
    """Another model of the same name, in a later version, with io_stream."""
    return make(tmp_path_factory.mktemp("second"), "2.0.0", seed=2, IOType="io_stream")


@pytest.fixture
def copy(first, tmp_path):
    shutil.copytree(first.folder, tmp_path / "emulator")
    return tmp_path / "emulator"


def run(*command: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)


def test_is_bit_exact_with_qkeras_beyond_the_vectors(first):
    emulator = Emulator(first.folder)
    x = grid(INPUT, (4,), 3000, seed=11)
    wrong = (emulator(x) != np.asarray(first.model.predict(x, verbose=0), np.float64)).any(axis=1)
    assert not wrong.any(), f"{wrong.sum()} of {len(x)} events differ"
    assert len(np.unique(emulator(x), axis=0)) > 1000
    assert (emulator.name, emulator.version, emulator.inputs, emulator.outputs) == ("tagger", "1.0.0", 4, 3)


def test_inputs_off_the_grid_are_rounded_and_saturated(first):
    off = np.random.default_rng(3).normal(size=(500, 4)) * 20
    emulator = Emulator(first.folder, "tagger", "1.0.0")
    assert (emulator(off) == emulator(Precision.parse(INPUT).quantize(off))).all()


def test_two_versions_live_in_one_process(first, second):
    emulators = [Emulator(made.folder, "tagger", made.folder.name.split()[-1]) for made in (first, second)]
    for _ in range(2):
        for emulator, made in zip(emulators, (first, second), strict=True):
            assert (emulator(made.x) == made.y).all()
    assert (first.y != second.y).any()


def test_calls_from_several_threads_do_not_mix(second):
    """io_stream keeps line buffers and streams: the riskier of the two."""
    emulator = Emulator(second.folder)
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda _: emulator(second.x), range(40)))
    assert all((result == second.y).all() for result in results)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_nan_is_refused(first, bad):
    x = first.x.copy()
    x[17, 2] = bad
    with pytest.raises(ValueError, match="NaN or infinite"):
        Emulator(first.folder)(x)


@pytest.mark.parametrize("shape", [(5, 3), (5, 5), (4,), (5, 4, 2)])
def test_another_number_of_inputs_is_refused(first, shape):
    with pytest.raises(ValueError, match=r"expected an array \(events, 4\)"):
        Emulator(first.folder)(np.zeros(shape))


def test_a_library_of_another_version_is_refused(copy):
    with pytest.raises(FileNotFoundError, match=r"tagger_9\.9\.so: no such emulator"):
        Emulator(copy, "tagger", "9.9")
    (copy / "tagger_1.0.0.so").rename(copy / "tagger_1.1.0.so")
    with pytest.raises(ValueError, match=r"expected version 1\.1\.0, the library is 1\.0\.0"):
        Emulator(copy, "tagger", "1.1.0")


def test_the_cpp_example_passes_and_a_flipped_value_makes_it_fail(copy):
    before = (copy / "tagger_1.0.0.so").stat().st_mtime_ns
    done = run("make", "-C", copy, "test")
    assert done.returncode == 0, done.stderr
    assert "warning" not in done.stderr
    assert f"tagger 1.0.0: {EVENTS} of {EVENTS} events bit-exact" in done.stdout
    assert (copy / "tagger_1.0.0.so").stat().st_mtime_ns == before, "the library was built again without a reason"

    expected = copy / "vectors" / "expected.txt"
    lines = expected.read_text().splitlines()
    values = lines[42].split()
    step = 2.0 ** -12
    values[1] = repr(float(values[1]) + step)
    expected.write_text("\n".join([*lines[:42], " ".join(values), *lines[43:]]) + "\n")
    failed = run(copy / "example", copy, "tagger", "1.0.0")
    assert failed.returncode == 1
    assert f"{EVENTS - 1} of {EVENTS} events bit-exact" in failed.stdout
    assert "event 42" in failed.stderr
    assert run("make", "-C", copy, "test").returncode != 0
    assert check(copy) == (EVENTS - 1, EVENTS)
    assert run(sys.executable, "-I", copy / "emulator.py").returncode == 1

    expected.write_text("\n".join(lines[:-1]) + "\n")
    for command in (["tagger", "1.0.0"], ["tagger", "3.0.0"], ["other", "1.0.0"]):
        broken = run(copy / "example", copy, *command)
        assert broken.returncode == 2, command
        assert broken.stderr.count("\n") == 1, broken.stderr


def test_the_cpp_loader_refuses_nan_and_other_sizes(copy, tmp_path):
    source = tmp_path / "try.cpp"
    source.write_text(
        '#include "qap_emulator.hpp"\n#include <cmath>\n#include <iostream>\n'
        "int main(int, char **argv) {\n"
        '    qap::Emulator emulator(argv[1], "tagger", "1.0.0");\n'
        "    int refused = 0;\n"
        "    for (std::vector<double> x : {std::vector<double>{1, 2, 3}, {}, {1, 2, 3, std::nan(\"\")}})\n"
        "        try { emulator.run(x); } catch (const std::invalid_argument &) { ++refused; }\n"
        "    qap::Emulator moved = std::move(emulator);\n"
        "    std::cout << refused << moved.run({0, 0, 0, 0, 1, 1, 1, 1}).size() << std::endl;\n}\n"
    )
    warnings = ("-std=c++11", "-Wall", "-Wextra", "-pedantic")
    built = run("g++", *warnings, f"-I{copy}", source, "-o", tmp_path / "try", "-ldl")
    assert (built.returncode, built.stderr) == (0, "")
    assert run(tmp_path / "try", copy).stdout == "36\n"


def test_the_header_is_c_and_only_the_interface_is_visible(copy, tmp_path):
    source = tmp_path / "use.c"
    source.write_text(
        '#include <stdio.h>\n#include "tagger_emulator.h"\nint main(void) {\n'
        "    double x[TAGGER_EMULATOR_INPUTS] = {0}, y[TAGGER_EMULATOR_OUTPUTS];\n"
        "    if (tagger_emulator_run(x, y)) return 1;\n"
        '    printf("%s %.17g\\n", tagger_emulator_version(), y[0]);\n    return 0;\n}\n'
    )
    library = copy / "tagger_1.0.0.so"
    warnings = ("-std=c99", "-Wall", "-pedantic", "-Werror")
    built = run("g++", "-xc", *warnings, f"-I{copy}", "-c", source, "-o", tmp_path / "use.o")
    assert (built.returncode, built.stderr) == (0, "")
    assert run("g++", tmp_path / "use.o", library, f"-Wl,-rpath,{copy}", "-o", tmp_path / "use").returncode == 0
    version, value = run(tmp_path / "use").stdout.split()
    assert version == "1.0.0"
    assert float(value) == Emulator(copy)(np.zeros((1, 4)))[0, 0]
    symbols = run("nm", "-D", "--defined-only", library).stdout.split()[2::3]
    assert sorted(symbols) == [
        f"tagger_emulator_{name}" for name in ("input_size", "output_size", "run", "run_batch", "version")
    ]


def test_needs_nothing_outside_its_folder(copy, tmp_path):
    """Moved away from the project, the library and the Python loader work without qap on the path."""
    moved = tmp_path / "elsewhere"
    copy.rename(moved)
    done = run(sys.executable, "-I", moved / "emulator.py")
    assert (done.returncode, done.stdout) == (0, f"{EVENTS} of {EVENTS} events bit-exact\n"), done.stderr
    assert not re.search(r"(import|from) +qap", (moved / "emulator.py").read_text())


def test_vectors_and_record(first):
    vectors = first.folder / "vectors"
    with np.load(vectors / "vectors.npz") as arrays:
        assert (arrays["inputs"] == first.x).all()
        assert (arrays["expected"] == first.y).all()
    assert (np.loadtxt(vectors / "inputs.txt") == first.x).all()
    assert (np.loadtxt(vectors / "expected.txt") == first.y).all()
    record = json.loads((first.folder / "emulator.json").read_text())
    assert (record["name"], record["version"], record["events"]) == ("tagger", "1.0.0", EVENTS)
    for kind, values in (("input", first.x), ("output", first.y)):
        width, integer = map(int, re.match(r"fixed<(\d+),(\d+)", record[f"{kind}s"][0]["type"]).groups())
        lines = (vectors / f"{kind}_0.mem").read_text().splitlines()
        raw = np.array([[int(word, 16) for word in line.split()] for line in lines], float)
        raw = np.where(raw >= 2 ** (width - 1), raw - 2**width, raw)
        assert (raw * 2.0 ** (integer - width) == values).all()


def test_several_inputs_and_outputs_stand_one_after_the_other(tmp_path):
    libraries = stack()
    layers, quantized = libraries.keras.layers, libraries.qkeras
    options = {"kernel_quantizer": "quantized_bits(6,0,alpha=1)", "bias_quantizer": "quantized_bits(6,0,alpha=1)"}
    jets, met = layers.Input((3,), name="jets"), layers.Input((2,), name="met")
    joined = layers.Concatenate(name="joined")([jets, met])
    ends = [quantized.QDense(units, name=name, **options)(joined) for name, units in (("classes", 2), ("energy", 1))]
    model = libraries.keras.Model([jets, met], ends)
    types = {"jets": Precision.parse("quantized_bits(9,3)"), "met": Precision.parse("quantized_relu(8,4)")}
    project = convert(model, types, tmp_path / "project")
    x = {name: grid(str(precision), (size,), 60) for (name, precision), size in zip(types.items(), (3, 2), strict=True)}
    y = [np.asarray(part, np.float64) for part in model.predict([x["jets"], x["met"]], verbose=0)]
    folder = make_emulator(project, tmp_path / "emulator", "v1", x, y, name="two")
    flat = np.concatenate([x["jets"], x["met"]], axis=1)
    assert (Emulator(folder)(flat) == np.concatenate(y, axis=1)).all()
    assert (np.loadtxt(folder / "vectors" / "inputs.txt") == flat).all()
    words = (folder / "vectors" / "input_1.mem").read_text().split()
    assert [int(word, 16) / 16 for word in words] == x["met"].ravel().tolist()


def test_memory_images_are_twos_complement():
    port = Port("x", (3,), "fixed<6,2>")
    assert memory_image(port, np.array([[-2.0, 1.9375, -0.0625]])) == "20 1f 3f\n"
    assert memory_image(Port("x", (2,), "ufixed<5,0,RND_CONV,SAT>"), np.array([[0.96875, 0.03125]])) == "1f 01\n"
    for value in (2.0, -2.0625, 0.03125):
        with pytest.raises(QapError, match=r"event 0: .* is not a value of fixed<6,2>"):
            memory_image(port, np.array([[0.0, 0.0, value]]))


def test_wrong_expectations_make_no_emulator(first, tmp_path):
    y = first.y.copy()
    y[5, 1] += 2.0 ** -8
    with pytest.raises(QapError, match=rf"1 of {EVENTS} events differ .* the first is event 5"):
        make_emulator(first.project, tmp_path / "emulator", "1.0.0", first.x, y)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("changes", "message"), [
    ({"version": ""}, "version: expected"),
    ({"version": "1.0/../.."}, "version: expected"),
    ({"version": "1 0"}, "version: expected"),
    ({"name": "7tagger"}, "name: expected a C name"),
    ({"name": "tag;ger"}, "name: expected a C name"),
    ({"x": np.full((2, 4), np.nan)}, "NaN"),
    ({"x": np.zeros((2, 3))}, "expected an array"),
    ({"y": np.zeros((2, 4))}, r"expected an array \(events, 3\)"),
    ({"x": np.zeros((3, 4))}, "3 events of inputs, 2 of expected outputs"),
    ({"y": [np.zeros((2, 3))] * 2}, "expected 1 arrays, received 2"),
])
def test_wrong_arguments_are_refused(first, tmp_path, changes, message):
    values = {"version": "1.0.0", "x": np.zeros((2, 4)), "y": np.zeros((2, 3)), **changes}
    with pytest.raises(InputError, match=message):
        make_emulator(first.project, tmp_path / "emulator", **values)
    assert list(tmp_path.iterdir()) == []


def test_a_type_wider_than_a_double_is_refused(first, tmp_path):
    wide = replace(first.project, outputs=(replace(first.project.outputs[0], type="fixed<54,10>"),))
    with pytest.raises(InputError, match="more bits than the 53"):
        make_emulator(wide, tmp_path / "emulator", "1.0.0", first.x, first.y)


def test_a_directory_with_other_files_is_refused(first, tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    for directory in (tmp_path, tmp_path / "thesis.tex"):
        with pytest.raises(InputError, match="new or empty directory"):
            make_emulator(first.project, directory, "1.0.0", first.x, first.y)
    assert (tmp_path / "thesis.tex").read_text() == "years of work"


def test_missing_tools_and_broken_sources_are_said(first, tmp_path, monkeypatch):
    project = replace(first.project, directory=tmp_path / "project")
    shutil.copytree(first.project.directory, project.directory)
    source = project.directory / "firmware" / f"{project.name}.cpp"
    source.write_text("#error no network\n")
    with pytest.raises(QapError, match=r"the build failed: .*no network"):
        make_emulator(project, tmp_path / "emulator", "1.0.0", first.x, first.y)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InputError, match=r"g\+\+ is missing"):
        make_emulator(project, tmp_path / "emulator", "1.0.0", first.x, first.y)
    assert {path.name for path in tmp_path.iterdir()} == {"project"}
