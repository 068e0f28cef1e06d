"""An environment in which a package of the extra `rtl` is not installed."""

from __future__ import annotations

import importlib
import importlib.util
from types import SimpleNamespace

import pytest

from qap.rtl import tools


def without(monkeypatch: pytest.MonkeyPatch, package: str) -> None:
    """Let the RTL route find every package but one."""
    find = importlib.util.find_spec
    nowhere = SimpleNamespace(find_spec=lambda name: None if name == package else find(name))
    monkeypatch.setattr(tools, "importlib", SimpleNamespace(util=nowhere))
