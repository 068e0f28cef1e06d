"""Imports point one way, and light work does not import TensorFlow."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import qap

PACKAGE = Path(qap.__file__).parent
ROOMS = [
    "errors", "files", "tables", "rehearsal", "archive", "backend", "config", "granularity", "digits", "precision", "plan",
    "datasets", "models", "candidate", "metrics", "training", "compress", "firmware", "rtl", "exports", "cost", "search",
    "compare", "report", "commands", "__main__",
]  # fmt: skip


def _imports(path: Path) -> list[str]:
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            found += [f"{node.module}.{alias.name}" for alias in node.names]
    return found


MODULES = sorted(path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py")


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_module_imports_only_rooms_above_it(path: Path) -> None:
    room = "__main__" if path.name == "__main__.py" else path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    assert room in ROOMS, f"{room} has no place in the order of the rooms"
    for name in _imports(path):
        parts = name.split(".")
        if parts[0] == "qap" and len(parts) > 1 and (PACKAGE / f"{parts[1]}.py").exists() | (PACKAGE / parts[1]).is_dir():
            assert ROOMS.index(parts[1]) <= ROOMS.index(room), f"{path.name} in {room} imports {name}, a room below it"


HEAVY = {"tensorflow", "tf_keras", "keras", "qkeras", "tensorflow_model_optimization", "hls4ml"}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_only_the_backend_imports_the_heavy_libraries(path: Path) -> None:
    if path != PACKAGE / "backend.py":
        assert not HEAVY & {name.split(".")[0] for name in _imports(path)}


@pytest.mark.parametrize(
    "code",
    [
        "import qap, sys",
        "import qap, sys; qap.load_config, qap.Plan, qap.Dataset",
        "import sys; from qap.__main__ import main\ntry: main(['--help'])\nexcept SystemExit: pass",
        "import sys; from qap.__main__ import main\ntry: main(['search', '--help'])\nexcept SystemExit: pass",
        "import sys; from qap.__main__ import main; assert main(['search', 'missing.yaml']) == 2",
        "import sys; from qap.config.load import load_config; load_config(None, ['search.trials=3'])",
    ],
)
def test_light_work_does_not_import_tensorflow(code: str) -> None:
    check = f"{code}\nfound = {HEAVY!r} & set(sys.modules)\nassert not found, found"
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_every_public_name_loads() -> None:
    for name in qap.__all__:
        assert getattr(qap, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'Plann'"):
        qap.Plann  # noqa: B018
