"""The one place that selects Keras 2, quiets TensorFlow and finds a broken environment.

QKeras 0.9 and TF-MOT work on Keras 2, which TensorFlow 2.16 and later keep in the package tf-keras and use only when
``TF_USE_LEGACY_KERAS=1`` is set before TensorFlow is imported. Nothing else in qap imports TensorFlow, Keras, QKeras,
TF-MOT or hls4ml: all of it comes from `stack` and `hls4ml`, so that light work never pays for the import.
"""

from __future__ import annotations

import contextlib
import io
import logging
import os
import sys
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import Any

from qap.archive import CODE, STRUCTURE, Known, configuration, refuse_code
from qap.errors import InputError

REPORTED = (
    "qap",
    "tensorflow",
    "tf-keras",
    "tensorflow-model-optimization",
    "qkeras",
    "hls4ml",
    "numpy",
    "optuna",
    "scikit-learn",
    "matplotlib",
)
ENVIRONMENT = {
    "TF_USE_LEGACY_KERAS": "1",
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "TF_NUM_INTRAOP_THREADS": "1",  # the networks are small: two threads take 1.7 times the CPU time and save little
    "TF_ENABLE_ONEDNN_OPTS": "0",  # oneDNN reorders sums by shape: another machine, another front
}
KERAS_3 = (
    "TensorFlow was imported before qap and has chosen Keras 3: import qap first and call qap.backend.stack(), or set "
    "TF_USE_LEGACY_KERAS=1 before Python starts."
)


@dataclass(frozen=True)
class Stack:
    """The loaded libraries: TensorFlow, Keras 2, QKeras, TF-MOT's sparsity and clustering modules.

    `cluster_weights` is TF-MOT's own with the option to keep zeros, which its public module leaves out.
    """

    tf: Any
    keras: Any
    qkeras: Any
    sparsity: Any
    clustering: Any
    cluster_weights: Any


def _installed(name: str) -> bool:
    try:
        metadata.version(name)
    except metadata.PackageNotFoundError:
        return False
    return True


def check_environment() -> None:
    """Refuse an environment in which QKeras cannot work.

    Raises
    ------
    InputError
        hgq2 is installed (its ``qkeras`` files overwrite QKeras), tf-keras or another library is missing, or
        TensorFlow was imported before qap with Keras 3.
    """
    if _installed("hgq2"):
        raise InputError(
            "hgq2 is installed and has overwritten QKeras: `pip uninstall hgq2; pip install --force-reinstall "
            "--no-deps qkeras==0.9.0`, or give hgq2 an environment of its own."
        )
    for name in ("tensorflow", "tf-keras", "tensorflow-model-optimization", "qkeras", "hls4ml"):
        if not _installed(name):
            raise InputError(f"The package {name} is missing: `pip install {name}`, or reinstall qap.")
    if "tensorflow" in sys.modules and os.environ.get("TF_USE_LEGACY_KERAS") != "1":
        raise InputError(KERAS_3)


@contextlib.contextmanager
def silenced_stderr() -> Iterator[None]:
    """Send file descriptor 2 to the null device: TensorFlow's C++ start-up lines do not know Python's stderr."""
    sys.stderr.flush()
    saved = os.dup(2)
    with Path(os.devnull).open("wb") as null:
        os.dup2(null.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)


@lru_cache(maxsize=1)
def stack() -> Stack:
    """Load TensorFlow with Keras 2, QKeras and TF-MOT, quietly and once.

    Returns
    -------
    Stack

    Raises
    ------
    InputError
        The environment cannot work; the message has the cure (see `check_environment`).
    """
    check_environment()
    for key, value in ENVIRONMENT.items():
        os.environ.setdefault(key, value)
    if os.environ["TF_USE_LEGACY_KERAS"] != "1":
        raise InputError("TF_USE_LEGACY_KERAS is set to something else than 1: unset it, qap needs Keras 2.")
    with silenced_stderr(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import tensorflow as tf

        if not tf.keras.__name__.startswith("tf_keras"):  # chosen for good when tf.keras is first touched
            raise InputError(KERAS_3)
        import qkeras
        import tf_keras
        from tensorflow_model_optimization.clustering import keras as clustering
        from tensorflow_model_optimization.python.core.clustering.keras.experimental.cluster import cluster_weights
        from tensorflow_model_optimization.sparsity import keras as sparsity
    for module in ("tf_keras", "qkeras", "tensorflow_model_optimization"):
        warnings.filterwarnings("ignore", module=module)  # what they say of each other's classes helps no user
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    logging.getLogger("absl").setLevel(logging.ERROR)
    tf.config.experimental.enable_op_determinism()
    return Stack(tf, tf_keras, qkeras, sparsity, clustering, cluster_weights)


@contextlib.contextmanager
def hls4ml() -> Iterator[ModuleType]:
    """Import hls4ml with ``keras`` meaning Keras 2, for as long as the block lasts, its prints kept off the screen.

    hls4ml imports ``keras`` when it converts; with Keras 3 beside tf-keras it would take the wrong converter.

    Yields
    ------
    module
        The module hls4ml.
    """
    keras2 = stack().keras
    previous = {name: sys.modules[name] for name in list(sys.modules) if name.split(".")[0] == "keras"}
    for name in previous:
        del sys.modules[name]
    sys.modules["keras"] = keras2
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            import hls4ml as module

            yield module
    finally:
        for name in [name for name in sys.modules if name.split(".")[0] == "keras"]:
            del sys.modules[name]
        sys.modules.update(previous)


@contextlib.contextmanager
def _precision(name: str) -> Iterator[None]:
    backend = stack().keras.backend
    previous = backend.floatx()
    backend.set_floatx(name)
    try:
        yield
    finally:
        backend.set_floatx(previous)


def float64() -> contextlib.AbstractContextManager[None]:
    """Build and run Keras models in float64 (53-bit mantissa) for as long as the block lasts."""
    return _precision("float64")


def float32() -> contextlib.AbstractContextManager[None]:
    """Run in float32, Keras's default, within a block in `float64`."""
    return _precision("float32")


def custom_objects() -> dict[str, Any]:
    """Return the QKeras classes by name, as ``load_model(custom_objects=…)`` wants them."""
    objects: dict[str, Any] = {}
    stack().qkeras.utils._add_supported_quantized_objects(objects)
    return objects


@lru_cache(maxsize=1)
def allowed() -> Known:
    """Return what a model file may name: the classes and functions of Keras and QKeras, none that holds code."""
    keras, objects = stack().keras, custom_objects()
    modules = (keras.layers, keras.initializers, keras.regularizers, keras.constraints)
    classes = {name for module in modules for name in dir(module) if isinstance(getattr(module, name), type)}
    functions = {*objects, *dir(keras.activations), *dir(keras.initializers)}
    return Known({*classes, *STRUCTURE, *objects} - set(CODE), functions, {name for name in dir(keras.layers) if name in classes})


def load_file(path: Path, trust: bool = False) -> Any:
    """Load a Keras or QKeras model that has been looked at, not compiled.

    Raises
    ------
    InputError
        Keras 2 cannot read it.
    """
    keras = stack().keras
    try:
        model = keras.models.load_model(path, custom_objects=custom_objects(), compile=False, safe_mode=not trust)
    except Exception as error:  # a damaged file meets any of Keras's, TensorFlow's and h5py's
        text = " ".join(str(error).split())[:160] or type(error).__name__
        raise InputError(f"{path}: Keras 2 (tf-keras) cannot load it: {text}") from None
    if not isinstance(model, keras.Model):
        raise InputError(f"{path}: damaged: its configuration is not a Keras model's")
    return model


def read_model(path: Path, trust: bool = False) -> Any:
    """Load a Keras or QKeras model, not compiled; a file that holds code is refused before anything of it is loaded.

    Parameters
    ----------
    path : path
    trust : bool, default False
        Let the file run what code it holds (Lambda layers, classes of other packages, a SavedModel).

    Raises
    ------
    InputError
        No readable Keras model, or one that holds code.
    """
    if not trust:
        cure = "it is not run; say --trust (in Python: trust=True) if you know the file"
        refuse_code(configuration(path), path, allowed(), cure)
    return load_file(path, trust)


def read_model_of_user(path: Path, where: str, trust: bool = False) -> Any:
    """Load a Keras or QKeras model from a file that a setting names.

    Parameters
    ----------
    path : path
    where : str
        Key or option that named it, for messages.
    trust : bool, default False
        As for `read_model`.

    Raises
    ------
    InputError
        No readable Keras model, or one that holds code.
    """
    try:
        return read_model(path, trust)
    except InputError as error:
        raise InputError(f"{where}: {error}") from None


def versions() -> dict[str, str]:
    """Return the installed version of each library that a result depends on, without importing any."""
    found = {"python": sys.version.split()[0]}
    for name in REPORTED:
        found[name] = metadata.version(name) if _installed(name) else "missing"
    return found
