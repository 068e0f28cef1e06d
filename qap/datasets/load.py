"""Find a dataset by name: an embedded set, images that a package ships, the published benchmark, or the user's files."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from importlib import resources
from pathlib import Path

from qap.archive import check_zip, read_arrays
from qap.config.data import Data
from qap.datasets import digits, mnist, openml
from qap.datasets.dataset import Dataset, prepare
from qap.datasets.files import FILE_KEYS, Reading, read_table
from qap.datasets.readers.read import file_type
from qap.datasets.reconstruction import targets_of
from qap.datasets.table import Table, against_rest, only_classes
from qap.errors import InputError, suggestion
from qap.precision import Precision

EMBEDDED = {"jets": ("jets.npz", "pythia-jets")}
KNOWN_ARRAYS = (
    "features", "labels", "targets", "weights", "feature_names", "class_names", "jet_pt", "lsb", *mnist.ARRAYS,
)  # fmt: skip


def read_npz(path: Path, name: str | None = None, *, answers: bool = True) -> Table:
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
    answers : bool, default True
        False: neither ``labels`` nor ``targets`` are needed.

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
    arrays = read_arrays(path, f"data.name: {path}", KNOWN_ARRAYS)
    found = [one.filename.removesuffix(".npy") for one in check_zip(path, str(path))]
    for key in ("feature_names", "class_names"):
        if key in arrays and arrays[key].ndim != 1:
            raise InputError(f"data.name: {path}: {key}: expected a list of names, received the shape {arrays[key].shape}")
    if "features" not in arrays and set(mnist.ARRAYS) & set(arrays):
        return mnist.from_arrays(arrays, name, str(path))
    if "features" not in arrays or (answers and not {"labels", "targets"} & set(arrays)):
        wanted = "features" if "features" not in arrays else "labels"
        near = suggestion(wanted, [name for name in found if name not in arrays])
        raise InputError(
            f"data.name: {path}: expected the arrays features and labels (or targets), received {', '.join(found) or 'none'}"
            f"{near}"
        )
    features, labels, targets = arrays["features"], arrays.get("labels"), arrays.get("targets")
    lsb = arrays["lsb"] if "lsb" in arrays and features.ndim == 2 and arrays["lsb"].shape == features.shape[1:] else None
    if lsb is not None:
        features = features * lsb
    names = [f"x{i}" for i in range(features.shape[1])] if features.ndim == 2 else []
    if features.ndim in (3, 4):
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
        lsb=lsb,
        source=str(path),
    )


def _file_keys(data: Data) -> list[str]:
    """Return the settings of columns that are not at their defaults."""
    return [key for key in FILE_KEYS if getattr(data, key) != getattr(Data(), key)]


def _shipped(data: Data, folder: Path, say: Callable[[str], None]) -> Table:
    """Return a set that is no file of the user's."""
    sets: Mapping[str, Callable[[], Table]] = {
        "mnist": mnist.shipped,
        "digits": digits.shipped,
        openml.NAME: lambda: openml.published(None if data.cache is None else folder / Path(data.cache).expanduser(), say),
    }
    if data.name not in sets:
        raise InputError(
            f"data.name: expected an embedded set, or a file that ends in .root, .h5, .parquet, .npz, .csv or .tsv, received "
            f"'{data.name}'{suggestion(data.name, [*EMBEDDED, *sets])}"
        )
    for key in _file_keys(data):
        raise InputError(f"data.{key}: {data.name} has no columns to choose from: leave it out, or give a file in data.name")
    return sets[data.name]()


def load_table(
    data: Data,
    folder: Path | None = None,
    *,
    watch: Callable[[Reading], None] | None = None,
    say: Callable[[str], None] = lambda message: None,
) -> Table:
    """Read the events of all classes, before any preparation; parameters and errors as for `load_dataset`."""
    folder = folder or Path()
    if data.files is not None:
        return read_table(data, folder, watch)
    plain = not _file_keys(data)
    if data.name in EMBEDDED:
        file_name, name = EMBEDDED[data.name]
        with resources.as_file(resources.files("qap.datasets") / file_name) as path:
            if plain:
                return read_npz(path, name)
            return replace(read_table(data.model_copy(update={"name": str(path)}), folder, watch), name=name)
    path = folder / Path(data.name).expanduser()
    if plain and data.name.lower().endswith(".npz") and not set("*?") & set(data.name):
        return read_npz(path, answers=not data.self_supervised)
    if file_type(data.name) or path.exists() or Path(data.name).suffix:
        return read_table(data, folder, watch)
    return _shipped(data, folder, say)


def load_dataset(
    data: Data | None = None,
    folder: Path | None = None,
    *,
    watch: Callable[[Reading], None] | None = None,
    say: Callable[[str], None] = lambda message: None,
    trust: bool = False,
) -> Dataset:
    """Load and prepare the dataset of a study; nothing is downloaded but the set of OpenML, if it is what `data.name` asks for.

    Parameters
    ----------
    data : Data, optional
        The study file's section `data` (default: the embedded jets).
    folder : path, optional
        Where relative file names start (the study file's folder).
    watch : callable, optional
        Called with a `Reading` after each chunk of the user's files.
    say : callable, optional
        Called with a line of text before data is fetched.
    trust : bool, default False
        Let the model file in `data.score_of` run what code it holds.

    Returns
    -------
    Dataset

    Raises
    ------
    InputError
        An unknown name or class, or a file that does not hold a usable table; see `qap.datasets.files.read_table`. An
        autoencoder in `data.score_of` that is none, or that takes other inputs.
    QapError
        OpenML's set without a network.
    ToolMissingError
        The package that ships the images or reads the files is not installed.

    Examples
    --------
    >>> import qap
    >>> data = qap.load_dataset(qap.load_config(None, ["data.train_events=1000"]).data)
    >>> data.class_names, len(data.feature_names)
    (('g', 'q', 'w', 'z', 't'), 16)
    >>> len(data.train), data.train.x.shape
    (1000, (1000, 16))
    >>> print(data.input)
    quantized_bits(10,2)
    """
    data = data or Data()
    table = load_table(data, folder, watch=watch, say=say)
    if not data.weighted:
        table = replace(table, weights=None)
    if data.classes is not None:
        table = only_classes(table, data.classes)
    if data.signal is not None:
        table = against_rest(table, data.signal)
    return prepare(
        table,
        Precision(data.input.bits, data.input.integer),
        split=data.split,
        seed=data.split_seed,
        train_events=data.train_events,
        scale=data.scale,
        answer=targets_of(data, folder, trust) if data.self_supervised else None,
    )
