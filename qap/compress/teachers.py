"""Teachers of knowledge distillation, frozen: their outputs on the training events are computed once."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from qap.backend import read_model_of_user
from qap.config.schema import Distill, Model
from qap.datasets.dataset import Dataset
from qap.errors import InputError, suggestion
from qap.models.architecture import OUTPUT, Architecture
from qap.models.builders import Weights, float_logits
from qap.training.job import Features, Soft
from qap.training.keras_engine import logits

SMALLEST = 1e-7
"""Probability below which the logarithm of a softmax teacher is cut."""


@dataclass(eq=False)
class Teachers:
    """Gives a student its soft targets.

    Of several teachers the mean of the outputs counts: for classes the mean of the logits, that is the geometric mean of the
    probabilities. The teacher ``parent`` is the student's own float network: self-distillation.

    Parameters
    ----------
    section : Distill
    model : Model
        Activation and BatchNormalization of the teachers that are trained.
    data : Dataset
    parent : callable
        (architecture, number) → folded weights of a trained float network.
    folder : path, optional
        Where relative file names start.
    trust : bool, default False
        Let a teacher's file run what code it holds.
    """

    section: Distill
    model: Model
    data: Dataset
    parent: Callable[[Architecture, int], Weights]
    folder: Path | None = None
    trust: bool = False
    _found: dict[str, Soft] = field(default_factory=dict, init=False, repr=False)

    def __call__(self, architecture: Architecture) -> Soft:
        """Return the soft targets of a student.

        Raises
        ------
        InputError
            A teacher with other inputs or outputs than the student, a file that holds no Keras model, or a layer for
            `distill.features` that the first teacher does not have.
        """
        key = architecture.folded.id if "parent" in self.section.teachers else ""
        if key not in self._found:
            self._found[key] = self._soft(architecture)
        return self._found[key]

    def _soft(self, architecture: Architecture) -> Soft:
        section = self.section
        outputs = [found for teacher in section.teachers for found in self._outputs(teacher, architecture)]
        mean = np.stack(outputs).mean(axis=0, dtype=np.float64)
        return Soft(mean.astype(np.float32), section.temperature, section.alpha, self._features(architecture))

    def _architecture(self, teacher: str | list[int], student: Architecture) -> Architecture:
        if teacher == "parent":
            return student
        return Architecture.mlp(
            student.inputs, [int(units) for units in teacher], student.outputs,
            activation=self.model.activation, batchnorm=self.model.batchnorm,
        )  # fmt: skip

    def _outputs(self, teacher: str | list[int], student: Architecture) -> list[np.ndarray]:
        if isinstance(teacher, str) and teacher != "parent":
            return [self._from_file(teacher)]
        architecture = self._architecture(teacher, student)
        numbers = range(1 if teacher == "parent" else self.section.seeds)
        x = self.data.train.x
        return [float_logits(architecture, self.parent(architecture, n), x, OUTPUT)[OUTPUT] for n in numbers]

    def _from_file(self, name: str) -> np.ndarray:
        path = (self.folder or Path()) / Path(name).expanduser()
        model = read_model_of_user(path, "distill.teachers", self.trust)
        x = self.data.train.x
        expected, received = x.shape[1], model.input_shape
        if not isinstance(received, tuple) or None in received[1:] or math.prod(received[1:]) != expected:
            raise InputError(f"distill.teachers: {path}: expected inputs of {expected} numbers, received the shape {received}")
        if tuple(model.output_shape) != (None, self.data.outputs):
            raise InputError(
                f"distill.teachers: {path}: teacher and student must have the same outputs: expected {self.data.outputs}, "
                f"received the shape {tuple(model.output_shape)}"
            )
        found = logits(model, x)
        return np.log(np.maximum(found, SMALLEST)) if _ends_in_softmax(model) else found

    def _features(self, student: Architecture) -> Features | None:
        section, teacher = self.section, self.section.teachers[0]
        if section.features is None:
            return None
        if isinstance(teacher, str) and teacher != "parent":
            raise InputError("distill.features: the first teacher must be 'parent' or given by its widths, not a file")
        architecture = self._architecture(teacher, student)
        for network in (student, architecture):
            network.require_mlp("distill.features")
        names = [layer.name for layer in architecture.layers[:-1]]
        for whose, known in (("student", [layer.name for layer in student.layers[:-1]]), ("teacher", names)):
            if section.features not in known:
                raise InputError(
                    f"distill.features: the {whose} has no hidden layer {section.features!r}{suggestion(section.features, known)}"
                )
        values = float_logits(architecture, self.parent(architecture, 0), self.data.train.x)[section.features]
        return Features(section.features, values.astype(np.float32), section.feature_weight)


def _ends_in_softmax(model: Any) -> bool:
    last = model.layers[-1]
    return type(last).__name__ == "Softmax" or getattr(getattr(last, "activation", None), "__name__", "") == "softmax"
