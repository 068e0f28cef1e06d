"""Environments that cannot work end in one sentence with the cure."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib import metadata

import pytest

from qap import backend
from qap.errors import InputError


def _installed(monkeypatch: pytest.MonkeyPatch, *, missing: str = "", extra: str = "") -> None:
    version = metadata.version

    def fake(name: str) -> str:
        if name == missing:
            raise metadata.PackageNotFoundError(name)
        return "0.2.0" if name == extra else version(name)

    monkeypatch.setattr(metadata, "version", fake)


def test_hgq2_beside_qkeras_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    _installed(monkeypatch, extra="hgq2")
    with pytest.raises(InputError, match="pip uninstall hgq2"):
        backend.check_environment()


@pytest.mark.parametrize("name", ["tf-keras", "qkeras", "hls4ml", "tensorflow-model-optimization"])
def test_a_missing_library_is_named(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    _installed(monkeypatch, missing=name)
    with pytest.raises(InputError, match=f"pip install {name}"):
        backend.check_environment()


def _python(code: str) -> subprocess.CompletedProcess[str]:
    clean = {key: value for key, value in os.environ.items() if key not in backend.ENVIRONMENT}
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, env=clean)


@pytest.mark.parametrize("later", ["", "tensorflow.keras.__version__; os.environ['TF_USE_LEGACY_KERAS'] = '1'"])
def test_tensorflow_with_keras_3_is_found(later: str) -> None:
    done = _python(
        f"import os\nimport tensorflow\n{later}\nfrom qap.backend import stack\nfrom qap.errors import InputError\n"
        "try:\n    stack()\nexcept InputError as error:\n    print(error)\n"
    )
    assert "has chosen Keras 3" in done.stdout, done.stderr


def test_the_stack_loads_quietly_and_hls4ml_finds_keras_2() -> None:
    done = _python(
        "from qap.backend import hls4ml, stack\nimport sys\nprint(stack().keras.__name__)\n"
        "with hls4ml() as module:\n    import keras\n    assert keras is stack().keras\n    assert module.converters\n"
        "assert sys.modules.get('keras') is not stack().keras\n"
    )
    assert (done.stdout.strip(), done.stderr) == ("tf_keras.api._v2.keras", "") or done.stderr == "", done.stderr
    assert done.returncode == 0


def test_float64_is_put_back_after_an_error() -> None:
    floatx = backend.stack().keras.backend.floatx
    inside = []

    def fail() -> None:
        with backend.float64():
            inside.append(floatx())
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert inside == ["float64"]
    assert floatx() == "float32"


def test_versions_are_those_installed() -> None:
    found = backend.versions()
    assert found["qkeras"] == metadata.version("qkeras")
    assert found["python"] == sys.version.split()[0]
