"""The libraries of the extra `generator`, loaded when they are used."""

from __future__ import annotations

from functools import cache
from importlib import import_module, metadata
from typing import Any

from qap import __version__
from qap.errors import ToolMissingError

EXTRA = ("pythia8mc", "fastjet", "awkward", "numba")


@cache
def library(name: str) -> Any:
    """Return a module of the extra.

    Raises
    ------
    ToolMissingError
        It is not installed.
    """
    try:
        module = import_module(name)
    except ImportError:
        raise ToolMissingError(f"the generator needs {name}: pip install 'qap[generator]'") from None
    if name == "fastjet":
        # the banner would stand in the middle of a progress bar; the authors' request to be cited is in docs/generator.md
        module.ClusterSequence  # noqa: B018
        import_module("fastjet._swig").ClusterSequence.set_fastjet_banner_stream(None)
    return module


def versions() -> dict[str, str]:
    """Return the versions of qap and of the libraries that the events depend on.

    Raises
    ------
    ToolMissingError
        One of them is not installed.
    """
    for name in EXTRA:
        library(name)
    return {"qap": __version__, **{name: metadata.version(name) for name in (*EXTRA, "numpy")}}
