"""Conversion of PNG colours to grey, as libpng does it for OpenCV and therefore for Caffe.

Other libraries mix the three channels as stored.  libpng mixes linear light if the file gives a
gamma, and otherwise mixes the stored values and rounds down.  The two differ by up to 20 grey
levels on saturated colours.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

SRGB_GAMMA = 45455  # 1/2.2, in libpng's units of 1/100000
INSIGNIFICANT = 5000  # a gamma this close to 1 counts as 1

# OpenCV sets the weights 0.299, 0.587 and the rest; libpng truncates each to 15 bits
RED = 29900 * 32768 // 100000
GREEN = 58700 * 32768 // 100000
BLUE = 32768 - RED - GREEN

# Adler-32 of the colour profiles that libpng 1.6 recognises as sRGB; it ignores all others
SRGB_PROFILES = {
    0x0A3FD9F6,
    0x4909E5E1,
    0xFD2144A1,
    0x209C35D2,
    0xA054D762,
    0xF784F3FB,
    0x0398F3FC,
}


def grey(pixels: Array, gamma: int | None) -> Array:
    """RGB pixels (H, W, 3) uint8 mixed to (H, W) uint8; `gamma` is the result of `file_gamma`.

    (RED r + GREEN g + BLUE b) / 2^15, where r, g and b are 8-bit intensities.
    """
    red, green, blue = (pixels[:, :, i].astype(np.int32) for i in range(3))
    if gamma is None:
        return ((RED * red + GREEN * green + BLUE * blue) >> 15).astype(np.uint8)
    inverse = _reciprocal(gamma)
    to_light, from_light = _table(inverse), _table(_reciprocal(inverse))
    light = RED * to_light[red] + GREEN * to_light[green] + BLUE * to_light[blue]
    mixed = from_light[(light + (1 << 14)) >> 15]
    same = (red == green) & (red == blue)  # the tables would round these
    return np.where(same, red, mixed).astype(np.uint8)


def file_gamma(info: Mapping[Any, Any]) -> int | None:
    """The gamma of a PNG, from PIL's ``info``, in 1/100000; None if it is absent or near 1."""
    profile = info.get("icc_profile")
    if "srgb" in info or (profile and zlib.adler32(profile) in SRGB_PROFILES):
        return SRGB_GAMMA
    gamma = round(info.get("gamma", 1) * 100000)
    if gamma <= 0:
        return None
    return gamma if _significant(gamma) or _significant(_reciprocal(gamma)) else None


def _significant(gamma: int) -> bool:
    return abs(gamma - 100000) > INSIGNIFICANT


def _reciprocal(gamma: int) -> int:
    return int(1e10 / gamma + 0.5)


@lru_cache(maxsize=8)
def _table(gamma: int) -> Array:
    if not _significant(gamma):  # one way only: the reciprocal of 0.95 is above 1.05
        return np.arange(256, dtype=np.int32)
    values = np.arange(256) / 255
    return np.floor(255 * values ** (gamma * 1e-5) + 0.5).astype(np.int32)
