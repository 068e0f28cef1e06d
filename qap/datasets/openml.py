"""The published benchmark of jets, from OpenML: 830,000 jets of 5 classes, 16 features.

J. Duarte et al., Fast inference of deep neural networks in FPGAs for particle physics, JINST 13 (2018) P07027; the set is
OpenML's 42468. Another set of the same name, of 986,806 jets, is what other papers use: results do not compare.
"""

from __future__ import annotations

import http.client
import os
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np

from qap.datasets.table import Table
from qap.errors import InputError, QapError

NAME = "hls4ml_lhc_jets_hlf"
DATA_ID = 42468
TEST, SEED = 0.2, 42
"""The test part that the published results are from."""


def published(cache: Path | None = None, say: Callable[[str], None] | None = None) -> Table:
    """Return the set, with the test part of the published results: 20 %, seed 42.

    Parameters
    ----------
    cache : path, optional
        Folder in which the file is kept (default: scikit-learn's, ``~/scikit_learn_data``).
    say : callable, optional
        Told once where the data comes from.

    Raises
    ------
    QapError
        No network and nothing in the cache, or an answer that is not the set.
    InputError
        The cache cannot be written.
    """
    from sklearn.datasets import fetch_openml
    from sklearn.model_selection import train_test_split

    where = f"OpenML's {NAME} ({DATA_ID})"
    if say is not None:
        say(f"{where}: from the cache, or else from openml.org")
    try:
        found = fetch_openml(
            data_id=DATA_ID, data_home=None if cache is None else str(cache), as_frame=False, parser="liac-arff", n_retries=1
        )
    except PermissionError as error:
        raise InputError(f"data.cache: {error.filename}: {error.strerror}") from None
    except (OSError, http.client.HTTPException, ValueError, EOFError, zlib.error) as error:
        kept = cache or Path(os.environ.get("SCIKIT_LEARN_DATA", "~/scikit_learn_data"))
        raise QapError(
            f"data.name: {where} is not in the cache {kept} and openml.org does not answer ({error}): connect to a network once, "
            "or take data.name=jets, the embedded set"
        ) from None
    classes, labels = np.unique(np.asarray(found.target, str), return_inverse=True)
    features = np.asarray(found.data, np.float32)
    if features.ndim != 2 or len(features) != len(labels) or len(features) < 10:
        raise QapError(
            f"data.name: {where}: received features of shape {features.shape} and {len(labels)} labels: empty "
            "data.cache"
        )
    part = np.zeros(len(labels), np.int8)
    part[train_test_split(np.arange(len(labels)), test_size=TEST, random_state=SEED)[1]] = 2
    names = tuple(map(str, found.feature_names))
    return Table(NAME, features, names, labels.astype(np.int32), class_names=tuple(map(str, classes)), part=part)
