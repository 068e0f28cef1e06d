"""Handwritten digits of 8×8 pixels, as scikit-learn ships them: 1,797 images of 10 classes, pixels from 0 to 16.

E. Alpaydin and C. Kaynak, Optical recognition of handwritten digits, UCI Machine Learning Repository (1998).
"""

from __future__ import annotations

import numpy as np

from qap.datasets.mnist import DIGITS, pixel_names
from qap.datasets.table import Table


def shipped() -> Table:
    """Return the 1,797 images, 64 pixels from 0 to 16."""
    from sklearn.datasets import load_digits

    images = load_digits()
    pixels = images.data.astype(np.uint8)
    return Table("digits, 8×8", pixels, pixel_names(8, 8), images.target.astype(np.int32), class_names=DIGITS)
