"""Find a dataset by name: an embedded set, images that a package ships, or an .npz file."""

from __future__ import annotations

import zipfile
from importlib import resources
from pathlib import Path

import numpy as np

from qap.config.schema import Data
from qap.datasets import mnist
from qap.datasets.dataset import Dataset, Table, against_rest, prepare
from qap.errors import InputError, suggestion
from qap.plan import Precision

EMBEDDED = {"jets": ("jets.npz", "pythia-jets")}
KNOWN_ARRAYS = (
    "features", "labels", "targets", "weights", "feature_names", "class_names", "jet_pt", "lsb", *mnist.ARRAYS,
)  # fmt: skip


def read_npz(path: Path, name: str | None = None) -> Table:
    """Read a table from an .npz file.

    Parameters
    ----------
    path : path
        Arrays ``features`` (events, features), or images (events, rows, columns), whose pixels become features; ``labels``
        (events,) integers or ``targets`` (events,) or (events, outputs); optionally ``weights`` (events,),
        ``feature_names``, ``class_names``, and ``lsb`` (features,) where the features are stored as integers in units of it.
        Or the arrays of the usual mnist.npz: ``x_train``, ``y_train``, ``x_test``, ``y_test``.
    name : str, optional
        The data's name (default: the file's name).

    Returns
    -------
    Table

    Raises
    ------
    InputError
        No such file, not an .npz file, arrays missing or stored as Python objects.
    """
    path = Path(path)
    name = name or path.stem
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {key: file[key] for key in file.files if key in KNOWN_ARRAYS}
    except FileNotFoundError:
        raise InputError(f"data.name: {path}: no such file") from None
    except (OSError, ValueError, EOFError, AttributeError, zipfile.BadZipFile) as error:
        raise InputError(f"data.name: {path}: not a readable .npz file of plain arrays: {str(error).splitlines()[0]}") from None
    if "features" not in arrays and set(mnist.ARRAYS) & set(arrays):
        return mnist.from_arrays(arrays, name, str(path))
    if "features" not in arrays or not {"labels", "targets"} & set(arrays):
        raise InputError(
            f"data.name: {path}: expected the arrays features and labels (or targets), received {', '.join(arrays) or 'none'}"
        )
    features, labels, targets = arrays["features"], arrays.get("labels"), arrays.get("targets")
    if "lsb" in arrays and features.ndim == 2 and arrays["lsb"].shape == features.shape[1:]:
        features = features * arrays["lsb"]
    names = [f"x{i}" for i in range(features.shape[1])] if features.ndim == 2 else []
    if features.ndim == 3:
        features, names = mnist.flat(features), list(mnist.pixel_names(*features.shape[1:]))
    integers = labels is not None and labels.dtype.kind in "iu" and labels.size
    classes = range(int(labels.max()) + 1) if labels is not None and integers else ()
    return Table(
        name,
        features,
        tuple(map(str, arrays.get("feature_names", names))),
        labels,
        targets[:, None] if targets is not None and targets.ndim == 1 else targets,
        arrays.get("weights"),
        () if labels is None else tuple(map(str, arrays.get("class_names", classes))),
    )


def load_dataset(data: Data | None = None, folder: Path | None = None) -> Dataset:
    """Load and prepare the dataset of a study; nothing is downloaded.

    Parameters
    ----------
    data : Data, optional
        The study file's section `data` (default: the embedded jets).
    folder : path, optional
        Where relative file names start (the study file's folder).

    Returns
    -------
    Dataset

    Raises
    ------
    InputError
        An unknown name, or a file that does not hold a usable table.
    ToolMissingError
        The package that ships the images is not installed.
    """
    data = data or Data()
    if data.name in EMBEDDED:
        file_name, name = EMBEDDED[data.name]
        with resources.as_file(resources.files("qap.datasets") / file_name) as path:
            table = read_npz(path, name)
    elif data.name.endswith(".npz"):
        table = read_npz((folder or Path()) / Path(data.name).expanduser())
    elif data.name == "mnist":
        table = mnist.shipped()
    else:
        raise InputError(
            f"data.name: expected an embedded set or the path of an .npz file, received '{data.name}'"
            f"{suggestion(data.name, [*EMBEDDED, 'mnist'])}"
        )
    if data.signal is not None:
        table = against_rest(table, data.signal)
    return prepare(
        table,
        Precision(data.input.bits, data.input.integer),
        split=data.split,
        seed=data.split_seed,
        train_events=data.train_events,
        scale=data.scale,
    )
