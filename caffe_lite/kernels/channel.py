"""One factor for each channel of an item, or for each of its pixels."""

from __future__ import annotations

import numpy as np


def scale_channels(x, s, y):
    """y[n, c, p] = s[n, c] x[n, c, p].  x, y: (N, C, P).  s: (N, C)."""
    np.multiply(x, s[:, :, None], out=y)


def scale_channels_backward_scale(x, dy, ds):
    """ds[n, c] = sum over p of x[n, c, p] dy[n, c, p].  Shapes as in `scale_channels`."""
    np.einsum("ncp,ncp->nc", x, dy, out=ds)


def scale_pixels(x, s, y):
    """y[n, c, p] = s[n, p] x[n, c, p].  x, y: (N, C, P).  s: (N, P)."""
    np.multiply(x, s[:, None], out=y)


def scale_pixels_backward_scale(x, dy, ds):
    """ds[n, p] = sum over c of x[n, c, p] dy[n, c, p].  Shapes as in `scale_pixels`."""
    np.einsum("ncp,ncp->np", x, dy, out=ds)
