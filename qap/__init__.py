"""Quantization-aware pruning of Keras models for FPGA triggers.

The public names load when they are first used: importing qap does not import TensorFlow.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_PUBLIC = {
    "Architecture": "qap.models.architecture",
    "Candidate": "qap.candidate",
    "Cost": "qap.candidate",
    "Dataset": "qap.datasets.dataset",
    "Events": "qap.firmware.deliver",
    "Front": "qap.search.front",
    "InputError": "qap.errors",
    "LayerPlan": "qap.plan",
    "Parity": "qap.candidate",
    "Plan": "qap.plan",
    "Precision": "qap.precision",
    "QapError": "qap.errors",
    "Study": "qap.search.study",
    "ToolMissingError": "qap.errors",
    "deliver": "qap.firmware.deliver",
    "load_config": "qap.config.load",
    "load_dataset": "qap.datasets.load",
    "judge": "qap.search.judge",
    "run_compare": "qap.compare.run",
    "run_search": "qap.search.run",
    "run_study": "qap.report.write",
    "search_front": "qap.search.run",
    "trained": "qap.search.run",
    "write_comparison": "qap.report.compare_report",
}

__all__ = sorted(_PUBLIC)


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        return getattr(import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module 'qap' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted([*globals(), *_PUBLIC])
