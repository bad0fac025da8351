"""Images on their way into a batch: crop, mirror, mean, scale and resize.

Serial kernels only: reader threads call them while the net's parallel kernels run.
"""

from __future__ import annotations

import numpy as np

from caffe_lite.kernels.jit import jit

WEIGHT_BITS = 11  # OpenCV's fixed-point weights for 8-bit images: 1.0 is 2048


@jit
def _reverse(line):
    """Turn a line (n,) round."""
    last = len(line) - 1
    for j in range(len(line) // 2):
        line[j], line[last - j] = line[last - j], line[j]


@jit
def transform_with_values(x, means, row, column, mirror, scale, y):
    """y[c, i, j] = (x[c, row + i, column + j] - means[c]) * scale, each line reversed if `mirror`.

    x: (C, H, W) of any number type; means: (C,); y: (C, h, w) with row + h <= H and
    column + w <= W.
    """
    real = y.dtype.type
    scale = real(scale)
    channels, height, width = y.shape
    for c in range(channels):
        mean = real(means[c])
        for i in range(height):
            source = x[c, row + i, column : column + width]
            target = y[c, i]
            for j in range(width):
                target[j] = (real(source[j]) - mean) * scale
            if mirror:
                _reverse(target)


@jit
def transform_with_image(x, mean, row, column, mirror, scale, y):
    """As `transform_with_values`, with a mean for each pixel of the uncropped image.

    x, mean: (C, H, W); y: (C, h, w).
    """
    real = y.dtype.type
    scale = real(scale)
    channels, height, width = y.shape
    for c in range(channels):
        for i in range(height):
            source = x[c, row + i, column : column + width]
            means = mean[c, row + i, column : column + width]
            target = y[c, i]
            for j in range(width):
                target[j] = (real(source[j]) - real(means[j])) * scale
            if mirror:
                _reverse(target)


@jit
def source_positions(size, scale, positions, weights):
    """Between which pixels of an axis each pixel of the resized axis lies, as OpenCV has it.

    Output pixel d has its centre at (d + 0.5) / scale - 0.5 of the input, between the pixels
    positions[d, 0] and positions[d, 1], with the weights weights[d, 0] and weights[d, 1] out of
    2048, rounded to even.  Outside the image is the nearest pixel inside.

    positions: (n, 2) uint32; weights: (n, 2) int32.
    """
    one = np.float32(1 << WEIGHT_BITS)
    step = 1.0 / scale
    for d in range(len(positions)):
        centre = np.float32((d + 0.5) * step - 0.5)
        before = int(np.floor(centre))
        part = centre - np.float32(before)
        positions[d, 0] = min(max(before, 0), size - 1)
        positions[d, 1] = min(max(before + 1, 0), size - 1)
        weights[d, 0] = int(np.rint((np.float32(1) - part) * one))
        weights[d, 1] = int(np.rint(part * one))


@jit
def resize_bilinear(x, rows, row_weights, columns, column_weights, y):
    """Bilinear interpolation in fixed point, bit for bit as OpenCV resizes 8-bit images.

    x: (C, H, W) uint8; rows, columns: (h, 2), (w, 2) uint32 and row_weights, column_weights:
    (h, 2), (w, 2) int32, from `source_positions`; y: (C, h, w) uint8.
    """
    for c in range(y.shape[0]):
        for i in range(y.shape[1]):
            above, below = x[c, rows[i, 0]], x[c, rows[i, 1]]
            a, b = row_weights[i, 0], row_weights[i, 1]
            target = y[c, i]
            for j in range(len(target)):
                left, right = columns[j, 0], columns[j, 1]
                p, q = column_weights[j, 0], column_weights[j, 1]
                upper = above[left] * p + above[right] * q
                lower = below[left] * p + below[right] * q
                # 11 + 11 bits of weight: 4 fall here, 16 after the product, 2 with rounding
                total = ((a * (upper >> 4)) >> 16) + ((b * (lower >> 4)) >> 16)
                target[j] = (total + 2) >> 2


@jit
def interpolate_bilinear(x, rows, row_parts, columns, column_parts, y):
    """Bilinear interpolation of real pixels, along the lines first, each step rounded once.

    x: (C, H, W) of float32 or float64; rows, columns: (h, 2), (w, 2) uint32, the two pixels
    between which an output pixel lies; row_parts: (h,), column_parts: (w,) float32, how far it is
    from the first to the second; y: (C, h, w) of the type of x.
    """
    real = y.dtype.type
    for c in range(y.shape[0]):
        for i in range(y.shape[1]):
            above, below = x[c, rows[i, 0]], x[c, rows[i, 1]]
            down = np.float64(row_parts[i])
            target = y[c, i]
            for j in range(len(target)):
                left, right = columns[j, 0], columns[j, 1]
                across = np.float64(column_parts[j])
                # in float64 the product of two float32 is exact: only the sum is rounded
                upper = real(above[left] + (above[right] - above[left]) * across)
                lower = real(below[left] + (below[right] - below[left]) * across)
                target[j] = real(upper + (lower - upper) * down)


@jit
def resample(x, rows, row_weights, columns, column_weights, line, y):
    """Separable interpolation: y[c, i, j] = sum over p, q of the weights times x, rounded.

    x: (C, H, W) uint8; rows (h, p), columns (w, q): positions in x, int64; row_weights,
    column_weights: the same shapes, float32; line: (W,) float32 of workspace; y: (C, h, w) uint8.
    """
    for c in range(y.shape[0]):
        for i in range(y.shape[1]):
            line[:] = np.float32(0)
            for p in range(rows.shape[1]):
                source, weight = x[c, rows[i, p]], row_weights[i, p]
                for j in range(len(line)):
                    line[j] += weight * np.float32(source[j])
            for j in range(y.shape[2]):
                total = np.float32(0)
                for q in range(columns.shape[1]):
                    total += column_weights[j, q] * line[columns[j, q]]
                y[c, i, j] = np.uint8(min(max(np.rint(total), np.float32(0)), np.float32(255)))


@jit
def change_hue_and_saturation(x, hues, saturations, y):
    """Replace hue and saturation by table, as OpenCV does for 8-bit images in BGR.

    Hues are from 0 to 179, and saturations from 0 to 255; a hue that a table gives may be above
    179, and goes round.  x, y: (3, H, W) uint8; hues, saturations: (256,) uint8.
    """
    for i in range(x.shape[1]):
        for j in range(x.shape[2]):
            b, g, r = np.int64(x[0, i, j]), np.int64(x[1, i, j]), np.int64(x[2, i, j])
            value = max(b, g, r)
            spread = value - min(b, g, r)
            hue, saturation = 0, 0
            if spread > 0:
                # fixed-point reciprocals with 12 bits, as in OpenCV
                saturation = (spread * int(np.rint(1044480.0 / value)) + 2048) >> 12
                if value == r:
                    sector = g - b
                elif value == g:
                    sector = b - r + 2 * spread
                else:
                    sector = r - g + 4 * spread
                hue = (sector * int(np.rint(737280.0 / (6.0 * spread))) + 2048) >> 12
                if hue < 0:
                    hue += 180
            h = np.float32(hues[hue]) * np.float32(6.0 / 180)
            s = np.float32(saturations[saturation]) * np.float32(1.0 / 255)
            if h >= np.float32(6):
                h -= np.float32(6)
            side = int(h)
            part = h - np.float32(side)
            v = np.float32(value)
            low = v * (np.float32(1) - s)
            falling = v * (np.float32(1) - s * part)
            rising = v * (np.float32(1) - s * (np.float32(1) - part))
            if side == 0:
                b_, g_, r_ = low, rising, v
            elif side == 1:
                b_, g_, r_ = low, v, falling
            elif side == 2:
                b_, g_, r_ = rising, v, low
            elif side == 3:
                b_, g_, r_ = v, falling, low
            elif side == 4:
                b_, g_, r_ = v, low, rising
            else:
                b_, g_, r_ = falling, low, v
            y[0, i, j] = np.uint8(np.rint(b_))
            y[1, i, j] = np.uint8(np.rint(g_))
            y[2, i, j] = np.uint8(np.rint(r_))
