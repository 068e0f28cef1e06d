"""The lock file has every package that the constraints pin, with hashes and without addresses of registries."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
GENERATOR = {"fastjet", "llvmlite", "numba", "pythia8mc"}
"""Of the extra `generator`, which is not locked."""


def _pins(text: str) -> dict[str, str]:
    found = re.findall(r"^([\w.-]+)==([^\s\\;]+)", text, re.MULTILINE)
    return {re.sub(r"[-_.]+", "-", name.lower()): version for name, version in found}


def test_lock_and_constraints_agree() -> None:
    lock, constraints = (_pins((ROOT / name).read_text()) for name in ("requirements.lock", "constraints.txt"))
    assert {name: lock.get(name) for name in constraints if name not in GENERATOR} == {
        name: version for name, version in constraints.items() if name not in GENERATOR
    }, "run `make lock`"
    assert set(lock) - set(constraints) <= {"pip", "setuptools", "wheel"}


def test_every_package_has_hashes_and_no_address() -> None:
    text = (ROOT / "requirements.lock").read_text()
    for entry in re.split(r"\n(?=\w)", text)[1:]:
        assert "--hash=sha256:" in entry, entry[:60]
    assert "://" not in text
