"""Quantization-aware pruning of Keras models for FPGA triggers.

From data to firmware in five lines:

    import qap
    config = qap.load_config("study.yaml")
    data = qap.load_dataset(config.data)
    study = qap.run_search(config, "studies/mine", data=data)
    qap.deliver(study.model(qap.search_front(study).best), data.input, "firmware", config.firmware)

`qap.run_study` makes the same search with the proof of its whole front and a report. The public names load when they are
first used: importing qap does not import TensorFlow.
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
    "Paired": "qap.metrics.paired",
    "Parity": "qap.candidate",
    "Plan": "qap.plan",
    "PopulationEngine": "qap.training.population.engine",
    "Precision": "qap.precision",
    "QapError": "qap.errors",
    "Report": "qap.report.data",
    "Scores": "qap.metrics.scores",
    "Soft": "qap.training.job",
    "Store": "qap.compare.store",
    "Study": "qap.search.study",
    "ToolMissingError": "qap.errors",
    "agree": "qap.exports.agreement",
    "anomaly_points": "qap.metrics.anomaly",
    "anomaly_score": "qap.metrics.anomaly",
    "build_events": "qap.datasets.generator.build:build",
    "comparison_table": "qap.report.comparison",
    "deliver": "qap.firmware.deliver",
    "evaluate": "qap.search.single",
    "integers_of": "qap.exports.integers",
    "judge": "qap.search.judge",
    "load_config": "qap.config.load",
    "load_dataset": "qap.datasets.load",
    "load_model": "qap.firmware.model_file",
    "main": "qap.__main__",
    "paired": "qap.metrics.paired",
    "project_cost": "qap.cost.project_cost",
    "pruning_steps": "qap.training.schedules",
    "read_project": "qap.cost.hls_project",
    "run_compare": "qap.compare.run",
    "run_search": "qap.search.run",
    "run_study": "qap.report.write",
    "search_front": "qap.search.run",
    "summarise": "qap.metrics.summary:summary",
    "to_onnx": "qap.exports.onnx_float",
    "to_optuna": "qap.search.optuna_store",
    "to_qonnx": "qap.exports.onnx_quant",
    "to_tflite": "qap.exports.tflite:convert",
    "train": "qap.search.single",
    "trained": "qap.search.run",
    "write_comparison": "qap.report.compare_report",
}
"""Name → module, behind a colon the name there where it is another one."""

__all__ = sorted(_PUBLIC)


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        module, _, other = _PUBLIC[name].partition(":")
        return getattr(import_module(module), other or name)
    raise AttributeError(f"module 'qap' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted([*globals(), *_PUBLIC])
