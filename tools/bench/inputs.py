"""The images and labels for every side; NumPy is all that this needs."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


def image(shape: tuple[int, ...]) -> Array:
    """The images for every side."""
    return np.random.default_rng(1).standard_normal(shape, np.float32)


def labels(count: int, classes: int) -> Array:
    """The labels for every side."""
    return np.random.default_rng(2).integers(classes, size=count)
