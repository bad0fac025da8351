"""Inner products that are smaller for the own class of an item, so that it must be learned better.

The angle between an item x and the weights w of its class is multiplied by a margin m: f = r g(c)
stands for their product r c, with c the cosine and r = |x| |w|, where the weights of SphereFace
have a length of 1.  Liu et al. 2016, arXiv:1612.02295.
"""

from __future__ import annotations

import numpy as np


def margin_cosine(c, margin, y, dy):
    """y = (-1)^k cos(margin t) - 2 k with c = cos t, for k pi <= margin t <= (k + 1) pi.

    dy = dy/dc.  margin: 2, 3 or 4.  c, y, dy: (M,).
    """
    sign = np.sign(c)
    if margin == 2:
        y[...] = 2 * sign * c**2 - 1
        dy[...] = 4 * sign * c
    elif margin == 3:
        outer = np.sign(np.abs(c) - 0.5)
        y[...] = outer * (4 * c**3 - 3 * c) + sign * (1 + outer) - 2
        dy[...] = outer * (12 * c**2 - 3)
    else:
        turned = sign * np.sign(2 * c**2 - 1)
        y[...] = turned * (8 * c**4 - 8 * c**2 + 1) + 2 * sign + turned - 3
        dy[...] = turned * (32 * c**3 - 16 * c)


def lengths(x, y):
    """y[m] = |x[m]|.  x: (M, K).  y: (M,)."""
    np.sqrt(np.einsum("mk,mk->m", x, x), out=y)


def normalize_rows(w):
    """Divide each row of w, (N, K), by its length; one of zeros stays."""
    size = np.sqrt(np.einsum("nk,nk->n", w, w))
    w /= np.where(size > 0, size, 1)[:, None]


def apply_margin(labels, norms, margin, blend, y, slopes):
    """Replace each item's product with its own class by f, mixed with what it was.

    y[m, labels[m]] = (f + blend f0) / (1 + blend), with f0 what it was.

    labels: (M,).  norms: (2, M): |x| and |w| of the own class.  y: (M, N), the products.
    slopes: (3, M): what the gradient multiplies the weights, the item and, for the weights'
    gradient, the weights by: of f = |x| |w| g(c) these are g'(c), (g - c g') |w| / |x| and
    (g - c g') |x| / |w|.
    """
    items = np.arange(len(labels))
    product = y[items, labels]
    size = norms[0] * norms[1] + 1e-9
    c = product / size
    g, dg = np.empty_like(c), np.empty_like(c)
    margin_cosine(c, margin, g, dg)
    y[items, labels] = (size * g + blend * product) / (1 + blend)
    rest = g - c * dg
    slopes[0] = dg
    slopes[1] = rest * norms[1] / norms[0]
    slopes[2] = rest * norms[0] / (norms[1] + 1e-9)


def shorten_slopes(slopes):
    """Divide the first two rows by the root of the sum of their squares: SphereFace's gradient."""
    slopes[:2] /= np.sqrt(slopes[0] ** 2 + slopes[1] ** 2)


def margin_backward(dy, labels, slopes, blend, changed, own):
    """The gradient of the products: `changed` for the other factor, `own` for the same one.

    dy, changed: (M, N): dy, but for the own classes dy (slopes[0] + blend) / (1 + blend).
    own: (2, M): dy slopes[1] / (1 + blend), and slopes[2] likewise.  labels: (M,).
    """
    items = np.arange(len(labels))
    np.copyto(changed, dy)
    mine = dy[items, labels] / (1 + blend)
    changed[items, labels] = mine * (slopes[0] + blend)
    np.multiply(mine, slopes[1:], out=own)


def add_own_items(x, own, dx):
    """dx[m] += own[m] x[m].  x, dx: (M, K).  own: (M,)."""
    dx += own[:, None] * x


def add_own_weights(w, labels, own, dw):
    """dw[labels[m]] += own[m] w[labels[m]] for each m.  w, dw: (N, K).  labels, own: (M,)."""
    sums = np.bincount(labels, weights=own, minlength=len(w)).astype(w.dtype)
    dw += sums[:, None] * w


def add_to_labels(labels, bias, y):
    """y[m, labels[m]] += bias where it is above -bias.  y: (M, N).  labels: (M,)."""
    items = np.arange(len(labels))
    mine = y[items, labels]
    y[items, labels] = np.where(mine > -bias, mine + y.dtype.type(bias), mine)


def rescale_labels(labels, weights, rule, y, slopes):
    """Multiply each item's own score by weights[0], or raise it to that power; the others by [1].

    rule: whether only positive scores of the own class change, whether 1 - weights[0] is added,
    whether the magnitude is raised to the power weights[0] instead.  y: (M, N).  slopes: (M,), the
    derivatives of the own scores.  labels: (M,).
    """
    only_positive, fixed, power = rule
    items, cast = np.arange(len(labels)), y.dtype.type
    own, weight = y[items, labels], cast(weights[0])
    if power:
        with np.errstate(divide="ignore", invalid="ignore"):  # of 0 with a power below 1
            changed = np.sign(own) * abs(own) ** weight
            slope = weight * abs(own) ** (weight - cast(1))
    else:
        changed, slope = own * weight + cast(1 - weights[0] if fixed else 0), weight
    changes = own > 0 if only_positive else np.ones(len(own), bool)
    slopes[:] = np.where(changes, slope, cast(1))
    y *= cast(weights[1])
    y[items, labels] = np.where(changes, changed, own)


def rescale_labels_backward(labels, weight, slopes, dy, dx):
    """dx = weight dy, for the own score of item m slopes[m] dy.  dy, dx: (M, N); dx may be dy."""
    items = np.arange(len(labels))
    own = dy[items, labels] * slopes
    np.multiply(dy, dy.dtype.type(weight), out=dx)
    dx[items, labels] = own
