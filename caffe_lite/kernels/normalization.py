"""Normalisation: over neighbouring channels or pixels, over one item."""

from __future__ import annotations

import numpy as np
from numba import types
from numba.extending import overload

from caffe_lite.kernels._jit import jit, pjit, prange

LEAST, MOST = 1e-27, 1e27
"""Between these the quick power is within 6e-7 of the true one."""
BLOCK = 1024
"""Pixels that one task of the LRN kernels works on: their channels fit the fast caches."""


@jit
def _add(x, sums):
    """sums += x."""
    for i in range(x.size):
        sums[i] += x[i]


@jit
def _add_squares(x, sums):
    """sums += x^2."""
    for i in range(x.size):
        sums[i] += x[i] * x[i]


@jit
def _move_squares(entering, leaving, sums):
    """sums += entering^2 - leaving^2."""
    for i in range(entering.size):
        sums[i] += entering[i] * entering[i] - leaving[i] * leaving[i]


@jit
def _lrn_squares(x, c, start, stop, half, squares):
    """squares = sum of x^2 over channels c - half ... c + half, from that sum around c - 1.

    x: (C, pixels), one item, of which the block start:stop is worked on; squares: (stop - start,).
    """
    channels = x.shape[0]
    if c == 0:
        squares[:] = 0
        for head in range(min(half, channels)):
            _add_squares(x[head, start:stop], squares)
    enters, leaves = c + half < channels, c > half
    if enters and leaves:
        _move_squares(x[c + half, start:stop], x[c - half - 1, start:stop], squares)
    elif enters:
        _add_squares(x[c + half, start:stop], squares)
    elif leaves:
        squares -= x[c - half - 1, start:stop] ** 2


def _usual_power(x):
    """x^-0.75.  In compiled float32 kernels without square roots, for LEAST <= x <= MOST."""
    root = np.sqrt(x)
    return x.dtype.type(1) / (root * np.sqrt(root))


@overload(_usual_power)
def _compiled_usual_power(x):
    if x != types.float32:
        return lambda x: 1.0 / (np.sqrt(x) * np.sqrt(np.sqrt(x)))

    def usual_power(x):
        # The bits of a float are about its logarithm: a quarter of them, taken from a constant,
        # are a guess within 3 %.  Newton's steps for y^-4 = x then square the error.
        bits = np.float32(x).view(np.int32) >> np.int32(2)
        y = np.int32(np.int32(0x4F584000) - bits).view(np.float32)
        quarter = np.float32(0.25) * x
        y = y * (np.float32(1.25) - quarter * (y * y) * (y * y))
        y = y * (np.float32(1.25) - quarter * (y * y) * (y * y))
        y = y * (np.float32(1.25) - quarter * (y * y) * (y * y))
        return y * y * y

    return usual_power


@jit
def _lrn_power(sums, alpha, beta, k, scale, power):
    """scale = k + alpha * sums, power = scale^-beta; quick for the usual beta = 0.75."""
    least, most = scale.dtype.type(LEAST), scale.dtype.type(MOST)
    strange = 0
    for i in range(scale.size):
        scale[i] = k + alpha * sums[i]
        strange += 0 if (scale[i] >= least) & (scale[i] <= most) else 1
    if beta == 0.75:
        for i in range(scale.size):
            power[i] = _usual_power(scale[i])
        if strange > 0:
            one = scale.dtype.type(1)
            for i in range(scale.size):
                root = np.sqrt(scale[i])
                power[i] = one / (root * np.sqrt(root))
    else:
        b = scale.dtype.type(-beta)
        for i in range(scale.size):
            power[i] = scale[i] ** b


@jit
def _multiply(a, b, product):
    for i in range(a.size):
        product[i] = a[i] * b[i]


@pjit
def lrn_channels_forward(x, size, alpha, beta, k, y):
    """y = x * (k + alpha / size * sum of x^2 over `size` channels around)^-beta.

    x, y: (N, C, ...).
    """
    n, c = x.shape[:2]
    x, y = x.reshape(n, c, -1), y.reshape(n, c, -1)
    a, k, half = x.dtype.type(alpha / size), x.dtype.type(k), size // 2
    pixels = x.shape[2]
    blocks = (pixels + BLOCK - 1) // BLOCK
    for task in prange(n * blocks):
        item, start = task // blocks, task % blocks * BLOCK
        stop = min(start + BLOCK, pixels)
        squares, scale = np.empty(stop - start, x.dtype), np.empty(stop - start, x.dtype)
        power = np.empty(stop - start, x.dtype)
        for channel in range(c):
            _lrn_squares(x[item], channel, start, stop, half, squares)
            _lrn_power(squares, a, beta, k, scale, power)
            _multiply(x[item, channel, start:stop], power, y[item, channel, start:stop])


@jit
def _lrn_ratio(x, dy, power, scale, ratio):
    """ratio = dy * x * power / scale."""
    for i in range(x.size):
        ratio[i] = dy[i] * x[i] * power[i] / scale[i]


@jit
def _lrn_gradient(x, dy, power, factor, total, dx):
    """dx = dy * power - factor * x * total."""
    for i in range(x.size):
        dx[i] = dy[i] * power[i] - factor * x[i] * total[i]


@pjit
def lrn_channels_backward(x, dy, size, alpha, beta, k, dx):
    """dx = dy * s^-beta - 2 alpha beta / size * x * sum of dy * x * s^(-beta - 1) over channels
    around, with s the scale of `lrn_channels_forward`, computed anew.

    x, dy, dx: (N, C, ...).
    """
    n, c = x.shape[:2]
    x, dy, dx = x.reshape(n, c, -1), dy.reshape(n, c, -1), dx.reshape(n, c, -1)
    a, k, half = x.dtype.type(alpha / size), x.dtype.type(k), size // 2
    factor = x.dtype.type(2 * alpha * beta / size)
    pixels, kept = x.shape[2], 2 * half + 2  # channels whose power and ratio are still wanted
    blocks = (pixels + BLOCK - 1) // BLOCK
    for task in prange(n * blocks):
        item, start = task // blocks, task % blocks * BLOCK
        stop = min(start + BLOCK, pixels)
        squares, scale = np.empty(stop - start, x.dtype), np.empty(stop - start, x.dtype)
        power = np.empty((kept, stop - start), x.dtype)
        ratio = np.empty((kept, stop - start), x.dtype)
        total = np.zeros(stop - start, x.dtype)
        for head in range(c + half):
            channel = head - half
            if head < c:
                _lrn_squares(x[item], head, start, stop, half, squares)
                entering = head % kept
                _lrn_power(squares, a, beta, k, scale, power[entering])
                above, given = x[item, head, start:stop], dy[item, head, start:stop]
                _lrn_ratio(above, given, power[entering], scale, ratio[entering])
                _add(ratio[entering], total)
            if channel > half:
                total -= ratio[(channel - half - 1) % kept]
            if channel >= 0:
                own, given = x[item, channel, start:stop], dy[item, channel, start:stop]
                result = dx[item, channel, start:stop]
                _lrn_gradient(own, given, power[channel % kept], factor, total, result)


@jit
def _box_sums(plane, half, columns, sums):
    """sums[h, w] = sum of plane[h - half ... h + half, w - half ... w + half]."""
    height, width = plane.shape
    for h in range(height):
        columns[:] = 0
        for row in range(max(h - half, 0), min(h + half + 1, height)):
            _add(plane[row], columns)
        sums[h] = columns
        for offset in range(1, min(half + 1, width)):
            _add(columns[offset:], sums[h, : width - offset])
            _add(columns[: width - offset], sums[h, offset:])


@pjit
def lrn_pixels_forward(x, size, alpha, beta, y):
    """y = x * (1 + alpha / size^2 * sum of x^2 over size x size pixels around)^-beta.

    x, y: (N, C, H, W).
    """
    height, width = x.shape[2:]
    x, y = x.reshape(-1, height, width), y.reshape(-1, height, width)
    a, one = x.dtype.type(alpha / (size * size)), x.dtype.type(1)
    for p in prange(x.shape[0]):
        sums, columns = np.empty((height, width), x.dtype), np.empty(width, x.dtype)
        scale, power = np.empty(width, x.dtype), np.empty(width, x.dtype)
        for h in range(height):
            _multiply(x[p, h], x[p, h], y[p, h])
        _box_sums(y[p], size // 2, columns, sums)
        for h in range(height):
            _lrn_power(sums[h], a, beta, one, scale, power)
            _multiply(x[p, h], power, y[p, h])


@pjit
def lrn_pixels_backward(x, dy, size, alpha, beta, dx):
    """dx = dy * s^-beta - 2 alpha beta / size^2 * x * sum of dy * x * s^(-beta - 1) over pixels
    around, with s the scale of `lrn_pixels_forward`, computed anew.

    x, dy, dx: (N, C, H, W).
    """
    height, width = x.shape[2:]
    x = x.reshape(-1, height, width)
    dy, dx = dy.reshape(x.shape), dx.reshape(x.shape)
    a, one = x.dtype.type(alpha / (size * size)), x.dtype.type(1)
    factor = x.dtype.type(2 * alpha * beta / (size * size))
    for p in prange(x.shape[0]):
        scale, columns = np.empty(width, x.dtype), np.empty(width, x.dtype)
        ratio, power = np.empty((height, width), x.dtype), np.empty((height, width), x.dtype)
        sums = np.empty((height, width), x.dtype)
        for h in range(height):
            _multiply(x[p, h], x[p, h], ratio[h])
        _box_sums(ratio, size // 2, columns, sums)
        for h in range(height):
            _lrn_power(sums[h], a, beta, one, scale, power[h])
            _lrn_ratio(x[p, h], dy[p, h], power[h], scale, ratio[h])
        _box_sums(ratio, size // 2, columns, sums)
        for h in range(height):
            _lrn_gradient(x[p, h], dy[p, h], power[h], factor, sums[h], dx[p, h])


@pjit
def mvn_forward(x, normalize_variance, eps, deviation, y):
    """y = x - mean of its row, divided by deviation = sqrt(variance) + eps if so wished.

    x, y: (rows, P); deviation: (rows,).
    """
    rows, p = x.shape
    count, one, zero, e = x.dtype.type(p), x.dtype.type(1), x.dtype.type(0), x.dtype.type(eps)
    for row in prange(rows):
        total = zero
        for i in range(p):
            total += x[row, i]
        mean = total / count
        total = zero
        for i in range(p):
            y[row, i] = x[row, i] - mean
            total += y[row, i] * y[row, i]
        if normalize_variance:
            deviation[row] = np.sqrt(total / count) + e
            inverse = one / deviation[row]
            for i in range(p):
                y[row, i] *= inverse


@pjit
def mvn_backward(y, dy, normalize_variance, deviation, dx):
    """dx = (dy - mean of dy - y * mean of dy * y) / deviation, or dy - mean of dy.

    y, dy, dx: (rows, P), the means over P; deviation: (rows,).
    """
    rows, p = y.shape
    count, zero = y.dtype.type(p), y.dtype.type(0)
    for row in prange(rows):
        mean_dy, mean_product = zero, zero
        for i in range(p):
            mean_dy += dy[row, i]
            mean_product += dy[row, i] * y[row, i]
        mean_dy, mean_product = mean_dy / count, mean_product / count
        if normalize_variance:
            for i in range(p):
                dx[row, i] = (dy[row, i] - mean_dy - y[row, i] * mean_product) / deviation[row]
        else:
            for i in range(p):
                dx[row, i] = dy[row, i] - mean_dy


@pjit
def normalize_forward(x, scale, eps, norm, y):
    """y = scale[c] * x / norm with norm = sqrt(eps + sum of x^2).

    x, y: (N, C, P); scale: (C,) or (1,).  norm: (N, 1) for sums over C and P, (N, P) for sums
    over C.
    """
    n, c, p = x.shape
    e = x.dtype.type(eps)
    spatial = norm.shape[1] == 1
    for item in prange(n):
        norm[item] = e
        for channel in range(c):
            if spatial:
                total = x.dtype.type(0)
                for i in range(p):
                    total += x[item, channel, i] * x[item, channel, i]
                norm[item, 0] += total
            else:
                for i in range(p):
                    norm[item, i] += x[item, channel, i] * x[item, channel, i]
        norm[item] = np.sqrt(norm[item])
        for channel in range(c):
            factor = scale[channel % scale.size]
            if spatial:
                for i in range(p):
                    y[item, channel, i] = x[item, channel, i] * (factor / norm[item, 0])
            else:
                for i in range(p):
                    y[item, channel, i] = x[item, channel, i] * factor / norm[item, i]


@pjit
def normalize_backward(x, dy, scale, norm, dx):
    """dx = (scale[c] * dy - x * sum of scale * dy * x / norm^2) / norm, sums and shapes as in
    `normalize_forward`.
    """
    n, c, p = x.shape
    for item in prange(n):
        product = np.zeros(norm.shape[1], x.dtype)
        step = 0 if norm.shape[1] == 1 else 1
        for channel in range(c):
            factor = scale[channel % scale.size]
            for i in range(p):
                product[i * step] += factor * dy[item, channel, i] * x[item, channel, i]
        for channel in range(c):
            factor = scale[channel % scale.size]
            for i in range(p):
                length = norm[item, i * step]
                along = product[i * step] / (length * length)
                dx[item, channel, i] = (
                    factor * dy[item, channel, i] - x[item, channel, i] * along
                ) / length


@pjit
def normalize_backward_params(x, dy, norm, dscale):
    """dscale[c] += sum over items and positions of dy * x / norm; shapes as in
    `normalize_forward`.
    """
    n, c, p = x.shape
    sums = np.zeros(c)
    step = 0 if norm.shape[1] == 1 else 1
    for channel in prange(c):
        for item in range(n):
            total = x.dtype.type(0)
            for i in range(p):
                total += dy[item, channel, i] * x[item, channel, i] / norm[item, i * step]
            sums[channel] += total
    for channel in range(c):
        dscale[channel % dscale.size] += sums[channel]
