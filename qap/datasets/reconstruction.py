"""Targets that are made from the inputs: those of an autoencoder, and of a student that learns an autoencoder's score.

References: E. Govorkova et al., Autoencoders on field-programmable gate arrays for real-time, unsupervised new physics
detection at 40 MHz at the Large Hadron Collider, Nat. Mach. Intell. 4 (2022) 154, arXiv:2108.03986; A. A. Pol et al., Knowledge
distillation for anomaly detection, arXiv:2310.06047.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from qap.backend import read_model_of_user
from qap.config.data import Data
from qap.config.load import load_config
from qap.errors import InputError

LEAST_ERROR = 1e-6
"""Below it the logarithm of the error is cut."""
EVENTS = 8192
"""Events that go through a model at once."""
INPUTS = ("columns", "padding", "lsb", "scale", "input")
"""Settings that say what a network sees of an event."""
SAMPLE = ("name", "files", "tree", "cut", "classes", "split", "split_seed", "split_column")
"""Settings that say which events the scale is taken from, where it is no number."""


def reconstruction_error(inputs: np.ndarray, outputs: np.ndarray) -> np.ndarray:
    """Return the mean squared difference between an autoencoder's inputs and outputs: its anomaly score.

    Every feature counts alike, so `data.scale` decides what matters. Objects that an event lacks are zeros and count too: an
    autoencoder that makes one up is wrong.

    Parameters
    ----------
    inputs, outputs : (events, features) arrays
        Inputs as the network sees them: scaled, on the grid.

    Returns
    -------
    (events,) float64 array

    Raises
    ------
    InputError
        Arrays of different shapes.
    """
    if inputs.shape != outputs.shape or inputs.ndim != 2:
        raise InputError(f"autoencoder: expected outputs of the inputs' shape {inputs.shape}, received {outputs.shape}")
    found = np.empty(len(inputs))
    for start in range(0, len(inputs), EVENTS):
        some = slice(start, start + EVENTS)
        found[some] = np.mean((outputs[some].astype(np.float64) - inputs[some]) ** 2, axis=1)
    return found


def log_error(error: np.ndarray) -> np.ndarray:
    """Return the natural logarithm of reconstruction errors, those below 1e-6 taken as 1e-6."""
    found: np.ndarray = np.log(np.maximum(error, LEAST_ERROR))
    return found


def outputs_of(model: Any, x: np.ndarray) -> np.ndarray:
    """Run a Keras model; returns (events, outputs)."""
    parts = [x[start : start + EVENTS] for start in range(0, len(x), EVENTS)]
    return np.concatenate([np.asarray(model(part, training=False)) for part in parts])


def study_of(path: Path) -> Path | None:
    """Return the directory of the study that a model file lies in, None where it lies in none."""
    found = path.resolve().parents[2:3]  # STUDY/candidates/ID/model.keras, STUDY/parents/ID/model.keras
    return found[0] if found and (found[0] / "config.yaml").is_file() else None


def check_inputs(path: Path, data: Data, where: str) -> None:
    """Refuse a model whose study feeds it in another way than these settings do.

    Parameters
    ----------
    path : path
        Of the model. One that lies in no study is trusted.
    data : Data
    where : str
        Key or option that named it, for messages.

    Raises
    ------
    InputError
    """
    study = study_of(path)
    if study is None:
        return
    own = load_config(study / "config.yaml").data
    keys = INPUTS if not isinstance(data.scale, str) else INPUTS + SAMPLE
    for key in keys:
        here, there = getattr(data, key), getattr(own, key)
        if here != there:
            raise InputError(
                f"{where}: {path}: was trained with data.{key} {_said(there)}, here it is {_said(here)}: it must see the events "
                "as it did then"
            )


def _said(value: Any) -> str:
    return str(value.model_dump()) if hasattr(value, "model_dump") else repr(value)


def load_network(path: Path, features: int, where: str, trust: bool = False) -> Any:
    """Load a Keras or QKeras model that takes one event per row.

    Parameters
    ----------
    path : path
    features : int
        Inputs that it must have.
    where : str
        Key or option that named it, for messages.
    trust : bool, default False
        Let the file run what code it holds.

    Raises
    ------
    InputError
        No such file, no Keras model, one that holds code, or other inputs.
    """
    if not path.is_file():
        raise InputError(f"{where}: {path}: no such file: expected a .keras file, or the directory of a study")
    model = read_model_of_user(path, where, trust)
    if not isinstance(model.input_shape, tuple) or tuple(model.input_shape) != (None, features):
        raise InputError(f"{where}: {path}: expected inputs of shape {(None, features)}, received {model.input_shape}")
    return model


def float_network(directory: Path, where: str) -> Path:
    """Return the file of the float network of a study's directory.

    Raises
    ------
    InputError
        The study has none yet, or several.
    """
    found = sorted(directory.glob("parents/*/model.keras"))
    if len(found) == 1:
        return found[0]
    if not found:
        raise InputError(f"{where}: {directory}: no trained float network there (parents/*/model.keras): run its search first")
    raise InputError(f"{where}: {directory}: has {len(found)} float networks: name one, such as {found[0]}")


def targets_of(data: Data, folder: Path | None = None, trust: bool = False) -> Callable[[np.ndarray], np.ndarray]:
    """Return what makes the targets from the inputs.

    Parameters
    ----------
    data : Data
        With `reconstruct`, or `score_of`, whose autoencoder is read when inputs are there.
    folder : path, optional
        Where a relative name starts.
    trust : bool, default False
        Let the autoencoder's file run what code it holds.

    Returns
    -------
    callable
        (events, features) inputs → (events, outputs) targets. InputError where the autoencoder does not fit.
    """
    if data.score_of is None:
        return lambda x: x
    named = (folder or Path()) / Path(data.score_of).expanduser()
    path = float_network(named, "data.score_of") if named.is_dir() else named
    check_inputs(path, data, "data.score_of")
    loaded: list[Any] = []

    def scores(x: np.ndarray) -> np.ndarray:
        if not loaded:
            loaded.append(load_network(path, x.shape[1], "data.score_of", trust))
        model = loaded[0]
        if tuple(model.output_shape) != tuple(model.input_shape):
            raise InputError(
                f"data.score_of: {path}: expected an autoencoder, with as many outputs as inputs ({x.shape[1]}), received the "
                f"output shape {model.output_shape}"
            )
        return log_error(reconstruction_error(x, outputs_of(model, x)))[:, None]

    return scores
