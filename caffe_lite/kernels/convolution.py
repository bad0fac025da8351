"""Convolution and its two gradients, without laying out the whole image as columns.

Caffe copies every patch of an image into a column (im2col) and multiplies matrices.  Here each
thread copies a few rows of the image (a *stripe*), packs the patches that one block of pixels needs
from it while it is in cache, and multiplies them at once.  Stripes are padded with zeros and, for
a stride s, hold the columns x, x + s, x + 2 s, ... next to each other: then a tap of the kernel
reads a stretch of memory, whatever the padding, stride and dilation.

Axes are (item, channel, height, width).  A convolution is given by a `Window`, by the number of
groups, and by the shapes of its arrays.  `choose` says which way it is computed.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numba import config, get_num_threads

from caffe_lite.kernels._jit import jit, pjit, prange
from caffe_lite.kernels.gemm import (
    DEPTH,
    PANELS,
    ROWS,
    VECTOR_BYTES,
    block_times_panel,
    copy_vector,
    gemm,
    pack_across,
    pack_along,
    tile_sizes,
    turn_vectors,
)

Sizes = tuple[int, ...]
SLACK = 16
"""Numbers after a packed panel that writing whole vectors may touch."""


class Window(NamedTuple):
    """How a kernel slides, one number for each spatial axis."""

    kernel: Sizes
    stride: Sizes
    pad: Sizes
    dilation: Sizes

    def output(self, spatial: Sizes) -> Sizes:
        """floor((in + 2 pad - (dilation (kernel - 1) + 1)) / stride) + 1 for each axis."""
        return tuple(
            (n + 2 * p - (d * (k - 1) + 1)) // s + 1 for n, k, s, p, d in zip(spatial, *self)
        )

    def input(self, spatial: Sizes) -> Sizes:
        """stride (out - 1) + dilation (kernel - 1) + 1 - 2 pad for each axis."""
        return tuple(
            s * (n - 1) + d * (k - 1) + 1 - 2 * p for n, k, s, p, d in zip(spatial, *self)
        )

    def flipped(self) -> Window:
        """Of the convolution that goes back where the stride is 1: pads may be negative."""
        pads = (d * (k - 1) - p for k, p, d in zip(self.kernel, self.pad, self.dilation))
        return self._replace(pad=tuple(pads))


def choose(window: Window, channels: int, outputs: int, group: int) -> str:
    """The way to compute a convolution of this many channels into this many outputs.

    ``volumetric``  three or more spatial axes: whole columns, then a matrix product
    ``depthwise``   a group for every channel: planes by planes, there is no matrix in it
    ``pointwise``   1 x 1 without stride and padding: the image is the matrix
    ``patches``     all others
    """
    if len(window.kernel) > 2:
        return "volumetric"
    if group == channels > 1:
        return "depthwise"
    if all(k == s == 1 and p == 0 for k, s, p in zip(window.kernel, window.stride, window.pad)):
        return "pointwise"
    return "patches"


def turns(window: Window, spatial: Sizes, output: Sizes) -> bool:
    """Whether to go back by a convolution of the output's gradient with the flipped kernel.

    It takes a stride of 1, and multiplies once for each pixel of the input.  The other way
    multiplies once for each pixel of the output, and scatters what it gets.
    """
    return set(window.stride) <= {1} and 3 * math.prod(spatial) <= 4 * math.prod(output)


def packed_size(weight: Sizes, group: int) -> int:
    """How many numbers the `packed` argument of the functions below must have.

    weight: (outputs, channels / group, ...).
    """
    rows, columns = weight[0] // group, math.prod(weight[1:])
    forward = -(-rows // ROWS) * (columns * ROWS + SLACK)
    parts = min(weight[1], config.NUMBA_NUM_THREADS)
    scattered = (-(-columns // ROWS) + parts) * (rows * ROWS + SLACK)
    taps = math.prod(weight[2:])
    flipped = -(-weight[1] // ROWS) * (rows * taps * ROWS + SLACK)
    return group * max(forward, scattered, flipped)


def convolution_forward(
    x: Any, w: Any, b: Any, group: int, window: Window, packed: Any, y: Any
) -> None:
    """y[n, o] = sum over c, i of w[o, c, i] x[n, c, stride t + dilation i - pad] + b[o], for all t.

    x: (N, C, *spatial).  w: (O, C / group, *kernel).  b: (O,), or of size 0 for none.
    packed: `packed_size` numbers of workspace.  y: (N, O, *window.output(spatial)).
    """
    way = choose(window, x.shape[1], w.shape[0], group)
    if y.size == 0:
        return
    if way == "volumetric":
        _volumes_forward(x, w, b, group, window, y)
        return
    x, w, y, numbers = _planar(x), _planar(w), _planar(y), _numbers(window)
    if way == "depthwise":
        _depthwise_forward(x, w, b, numbers, y)
    else:
        _pack_rows(w, group, packed)
        _patches_forward(x, b, group, numbers, packed, way == "pointwise", _threads(), y)


def convolution_backward(
    dy: Any, w: Any, b: Any, group: int, window: Window, packed: Any, dx: Any
) -> None:
    """dx = the gradient of `convolution_forward` by x, plus b[c]: Deconvolution's forward.

    dy: (N, O, *window.output(spatial)).  w: (O, C / group, *kernel).  b: (C,), or of size 0 for
    none.  packed: `packed_size` numbers of workspace.  dx: (N, C, *spatial), assigned.
    """
    way = choose(window, dx.shape[1], w.shape[0], group)
    if dx.size == 0:
        return
    if way == "volumetric":
        _volumes_backward(dy, w, b, group, window, dx)
        return
    dy, w, dx, numbers = _planar(dy), _planar(w), _planar(dx), _numbers(window)
    if way == "depthwise":
        _depthwise_backward(dy, w, b, numbers, dx)
    elif turns(window, dx.shape[2:], dy.shape[2:]):
        _pack_flipped(w, group, packed)
        flipped = _numbers(window.flipped())
        _patches_forward(dy, b, group, flipped, packed, way == "pointwise", _threads(), dx)
    else:
        parts = _split(dx.shape[0] * group, w.shape[1], _threads())
        share = -(-w.shape[1] // parts)
        parts = -(-w.shape[1] // share)
        _pack_columns(w, group, parts, share, packed)
        _patches_backward(dy, b, group, parts, share, numbers, packed, _threads(), dx)


def convolution_backward_params(
    x: Any, dy: Any, group: int, window: Window, dw: Any
) -> None:
    """dw += the gradient of `convolution_forward` by w.

    x: (N, C, *spatial).  dy: (N, O, *window.output(spatial)).  dw: (O, C / group, *kernel).
    """
    way = choose(window, x.shape[1], dw.shape[0], group)
    if dw.size == 0 or dy.size == 0:
        return
    if way == "volumetric":
        _volumes_backward_params(x, dy, group, window, dw)
        return
    x, dy, dw, numbers = _planar(x), _planar(dy), _planar(dw), _numbers(window)
    if way == "depthwise":
        _depthwise_backward_params(x, dy, numbers, dw)
    else:
        _patches_backward_params(x, dy, group, numbers, way == "pointwise", _threads(), dw)


def bias_backward(dy: Any, db: Any) -> None:
    """db[o] += the sum of dy[n, o, ...] over all n and pixels.  dy: (N, O, ...).  db: (O,)."""
    _sum_channels(dy.reshape(*dy.shape[:2], math.prod(dy.shape[2:])), db)


@pjit
def _sum_channels(dy, db):
    for o in prange(dy.shape[1]):
        for n in range(dy.shape[0]):
            total = db.dtype.type(0)
            for t in range(dy.shape[2]):
                total += dy[n, o, t]
            db[o] += total


def im2col(x: Any, window: Window, columns: Any) -> None:
    """columns[n, c, i, t] = x[n, c, stride t + dilation i - pad], 0 where that is outside.

    x: (N, C, *spatial).  columns: (N, C prod(kernel), *window.output(spatial)).
    """
    taps = columns.reshape(*x.shape[:2], *window.kernel, *columns.shape[2:])
    taps[...] = 0
    for tap, inside, outside in _taps(window, x.shape[2:], columns.shape[2:]):
        taps[(slice(None), slice(None), *tap, *outside)] = x[(slice(None), slice(None), *inside)]


def col2im(columns: Any, window: Window, x: Any) -> None:
    """x[n, c, stride t + dilation i - pad] = the sum of all columns[n, c, i, t] that meet there.

    The transpose of `im2col`, with the same shapes.
    """
    taps = columns.reshape(*x.shape[:2], *window.kernel, *columns.shape[2:])
    x[...] = 0
    for tap, inside, outside in _taps(window, x.shape[2:], columns.shape[2:]):
        x[(slice(None), slice(None), *inside)] += taps[(slice(None), slice(None), *tap, *outside)]


def _taps(
    window: Window, spatial: Sizes, output: Sizes
) -> Iterator[tuple[Sizes, list[slice], list[slice]]]:
    """Each tap of the kernel, the numbers of x that it meets, and the places t where it does."""
    for tap in itertools.product(*map(range, window.kernel)):
        inside, outside = [], []
        for i, n, t, s, p, d in zip(tap, spatial, output, *window[1:]):
            first = max(0, -(-(p - i * d) // s))
            last = max(first, min(t, (n - 1 + p - i * d) // s + 1))
            start = first * s + i * d - p
            inside.append(slice(start, start + (last - first - 1) * s + 1 if last > first else start, s))
            outside.append(slice(first, last))
        yield tap, inside, outside


def _threads() -> int:
    return int(get_num_threads())


def _planar(x: Any) -> Any:
    """`x` with two spatial axes: those that it lacks get size 1, in front."""
    return x.reshape(*x.shape[:2], *(1,) * (4 - x.ndim), *x.shape[2:])


def _numbers(window: Window) -> tuple[int, ...]:
    """Kernel, stride, pad and dilation of a planar convolution as eight numbers."""
    missing = 2 - len(window.kernel)
    return (
        *(1,) * missing, *window.kernel, *(1,) * missing, *window.stride,
        *(0,) * missing, *window.pad, *(1,) * missing, *window.dilation,
    )


# -- stripes -----------------------------------------------------------------------------------


@jit
def _stripe_sizes(rows, ow, window):
    """Rows of a stripe under `rows` rows of pixels, and numbers in each of its stretches."""
    kh, kw, sh, sw, _, _, dh, dw = window
    return (rows - 1) * sh + (kh - 1) * dh + 1, (kw - 1) * dw // sw + ow


@jit
def _fill_stripe(x, at, channels, h, w, first, rows, reach, window, stripe):
    """stripe[c, r, s, q] = x[at + (c, first + r - pad, q stride + s - pad)], or 0 outside x."""
    _, _, _, sw, ph, pw, _, _ = window
    for c in range(channels):
        for r in range(rows):
            y = first + r - ph
            for s in range(sw):
                to = ((c * rows + r) * sw + s) * reach
                low, high = 0, 0
                if 0 <= y < h:
                    low = min(reach, max(0, (pw - s + sw - 1) // sw))
                    high = max(low, min(reach, (w - 1 - s + pw) // sw + 1))
                start = at + (c * h + y) * w + s - pw
                for q in range(low):
                    stripe[to + q] = 0
                if sw == 1:
                    for q in range(low, high):
                        stripe[to + q] = x[start + q]
                else:
                    for q in range(low, high):
                        stripe[to + q] = x[start + q * sw]
                for q in range(high, reach):
                    stripe[to + q] = 0


@jit
def _tap_offsets(first, count, channel, rows, reach, window, offsets):
    """Where taps `first`, `first` + 1, ... of (channel, i, j) begin in a stripe from `channel`."""
    kh, kw, _, sw, _, _, dh, dw = window
    for k in range(count):
        c, i, j = (first + k) // (kh * kw) - channel, (first + k) // kw % kh, (first + k) % kw
        offsets[k] = ((c * rows + i * dh) * sw + j * dw % sw) * reach + j * dw // sw


@jit
def _pack_patches(stripe, offsets, depth, pixel, pixels, ow, row_step, top, runs, target, to):
    """target[to + p width + j] = the number that tap p meets at pixel `pixel` + j.

    Rows of pixels lie `row_step` apart in the stripe, which begins at row `top` of the pixels.
    """
    width = 2 * VECTOR_BYTES // stripe.itemsize
    count, j = 0, 0
    while j < pixels:
        y, x = (pixel + j) // ow, (pixel + j) % ow
        runs[count] = (y - top) * row_step + x
        runs[count + width] = j
        count += 1
        j += min(width // 2, ow - x)
    for p in range(depth):
        base, line = offsets[p], to + p * width
        for run in range(count):
            copy_vector(stripe, base + runs[run], target, line + runs[run + width])


# -- patches: forward --------------------------------------------------------------------------


@jit
def _split(tasks, most, threads):
    """Into how many parts, at most `most`, to cut each task, so that all threads have work."""
    return 1 if tasks % threads == 0 or tasks >= 4 * threads else min(most, threads)


@pjit
def _pack_rows(w, group, packed):
    """The panels of A for Y = W X: rows o, along (c, i, j)."""
    k, rows = w[0].size, w.shape[0] // group
    height, _ = tile_sizes(w)
    panels, panel = (rows + height - 1) // height, k * height + SLACK
    flat = w.reshape(-1)
    offsets = np.arange(height) * k
    for index in prange(group * panels):
        first = index % panels * height
        start, here = (index // panels * rows + first) * k, min(height, rows - first)
        pack_across(flat, start, offsets, here, k, height, packed, index * panel)


@pjit
def _pack_flipped(w, group, packed):
    """The panels of A for the convolution that takes dY to dX: rows c, along (o, -i, -j)."""
    outputs, channels = w.shape[0] // group, w.shape[1]
    taps = w.shape[2] * w.shape[3]
    height, _ = tile_sizes(w)
    panels, panel = (channels + height - 1) // height, outputs * taps * height + SLACK
    flat = w.reshape(-1)
    for index in prange(group * panels):
        g, first = index // panels, index % panels * height
        here = min(height, channels - first)
        for o in range(outputs):
            start = ((g * outputs + o) * channels + first) * taps
            to = index * panel + o * taps * height
            for t in range(taps):
                for c in range(here):
                    packed[to + t * height + c] = flat[start + c * taps + taps - 1 - t]


@pjit
def _patches_forward(x, b, group, window, packed, pointwise, threads, y):
    items, inputs, h, wide = x.shape
    outputs, oh, ow = y.shape[1:]
    kh, kw, sh, sw = window[:4]
    taps, channels, rows = kh * kw, inputs // group, outputs // group
    k, pixels = taps * channels, oh * ow
    height, width = tile_sizes(x)
    x_flat, y_flat = x.reshape(-1), y.reshape(-1)
    panels, panel = (rows + height - 1) // height, k * height + SLACK
    blocks = (pixels + PANELS * width - 1) // (PANELS * width)
    block = ((pixels + blocks - 1) // blocks + width - 1) // width * width
    blocks = (pixels + block - 1) // block
    parts = _split(items * group * blocks, panels, threads)
    tasks = items * group * blocks * parts
    most, reach = _stripe_sizes(min(oh, (block - 2) // ow + 2), ow, window)
    depth_most = max(1, min(channels, DEPTH // taps, PANELS * width * DEPTH // (most * sw * reach)))
    if pointwise:
        depth_most, most, reach = min(k, DEPTH), 0, 0
    workers = min(threads, tasks)
    for worker in prange(workers):
        room = np.empty(block * depth_most * taps + 2 * SLACK, x.dtype)
        stripe = np.empty(depth_most * most * sw * reach + 2 * SLACK, x.dtype)
        spare = np.empty(height * width, x.dtype)
        offsets = np.empty(depth_most * taps, np.int64)
        runs = np.empty(2 * width, np.int64)
        for task in range(worker, tasks, workers):
            part, pixel = task % parts, task // parts % blocks * block
            item, g = task // parts // blocks // group, task // parts // blocks % group
            here = min(block, pixels - pixel)
            top = pixel // ow
            stripe_rows, _ = _stripe_sizes((pixel + here - 1) // ow - top + 1, ow, window)
            y_at = (item * outputs + g * rows) * pixels + pixel
            low, high = part * panels // parts, (part + 1) * panels // parts
            if b.size:
                for o in range(low * height, min(rows, high * height)):
                    y_flat[y_at + o * pixels : y_at + o * pixels + here] = b[g * rows + o]
            for c in range(0, channels, depth_most):
                count = min(depth_most, channels - c)
                depth = count * taps
                x_at = ((item * group + g) * channels + c) * h * wide
                if not pointwise:
                    _fill_stripe(
                        x_flat, x_at, count, h, wide, top * sh, stripe_rows, reach, window, stripe
                    )
                    _tap_offsets(c * taps, depth, c, stripe_rows, reach, window, offsets)
                for j in range(0, here, width):
                    inside, to = min(width, here - j), j * depth
                    if pointwise:
                        pack_along(
                            x_flat, x_at + pixel + j, pixels, inside, depth, width, room, to
                        )
                    else:
                        _pack_patches(
                            stripe, offsets, depth, pixel + j, inside, ow, sh * sw * reach, top,
                            runs, room, to,
                        )
                for i in range(low, high):
                    a_at = (g * panels + i) * panel + c * taps * height
                    block_times_panel(
                        min(height, rows - i * height), here, depth, packed, a_at, room,
                        width * depth, y_flat, y_at + i * height * pixels, pixels,
                        c > 0 or b.size > 0, spare, 0 * i,
                    )


# -- patches: gradients ------------------------------------------------------------------------


@jit
def _scatter(columns, at, k, first, count, ow, window, x, x_at, h, w):
    """Add row k of a block of columns, pixels `first` .. + `count`, to where they came from."""
    kh, kw, sh, sw, ph, pw, dh, dw = window
    plane = x_at + k // (kh * kw) * h * w
    i, j = k // kw % kh * dh - ph, k % kw * dw - pw
    low, high = max(0, (sw - 1 - j) // sw), (w - 1 - j) // sw + 1
    for oy in range(first // ow, (first + count - 1) // ow + 1):
        y = oy * sh + i
        if y < 0 or y >= h:
            continue
        begin = max(low, first - oy * ow)
        end = min(high, first + count - oy * ow, ow)
        source, to = at + oy * ow - first, plane + y * w + j
        if sw == 1:
            for t in range(begin, end):
                x[to + t] += columns[source + t]
        else:
            for t in range(begin, end):
                x[to + t * sw] += columns[source + t]


@pjit
def _pack_columns(w, group, parts, share, packed):
    """The panels of A for columns = W^T dY: rows (c, i, j) of `share` channels, along o."""
    k, depth, taps = w[0].size, w.shape[0] // group, w.shape[2] * w.shape[3]
    height, _ = tile_sizes(w)
    panels, panel = (share * taps + height - 1) // height, depth * height + SLACK
    flat = w.reshape(-1)
    for index in prange(group * parts * panels):
        g, part, i = index // panels // parts, index // panels % parts, index % panels * height
        row = part * share * taps + i
        here = min(height, share * taps - i, k - row)
        pack_along(flat, g * depth * k + row, k, here, depth, height, packed, index * panel)


@pjit
def _patches_backward(dy, b, group, parts, share, window, packed, threads, dx):
    items, inputs, h, wide = dx.shape
    outputs, oh, ow = dy.shape[1:]
    taps, channels, depth = window[0] * window[1], inputs // group, outputs // group
    pixels, plane = oh * ow, h * wide
    height, width = tile_sizes(dy)
    dy_flat, dx_flat = dy.reshape(-1), dx.reshape(-1)
    panels, panel = (share * taps + height - 1) // height, depth * height + SLACK
    block = max(1, min(PANELS, PANELS * DEPTH // max(1, depth))) * width
    block = min(block, (pixels + width - 1) // width * width)
    tasks = items * group * parts
    workers = min(threads, tasks)
    for worker in prange(workers):
        room = np.empty(block * depth + 2 * SLACK, dy.dtype)
        columns = np.empty(height * block, dy.dtype)
        spare = np.empty(height * width, dy.dtype)
        for task in range(worker, tasks, workers):
            item, g, part = task // parts // group, task // parts % group, task % parts
            first, last = part * share, min(channels, (part + 1) * share)
            dx_at = ((item * group + g) * channels + first) * plane
            for c in range(last - first):
                start = b[g * channels + first + c] if b.size else dx.dtype.type(0)
                dx_flat[dx_at + c * plane : dx_at + (c + 1) * plane] = start
            for pixel in range(0, pixels, block):
                here = min(block, pixels - pixel)
                dy_at = (item * outputs + g * depth) * pixels + pixel
                for j in range(0, here, width):
                    pack_along(
                        dy_flat, dy_at + j, pixels, min(width, here - j), depth, width, room,
                        j * depth,
                    )
                for i in range(0, (last - first) * taps, height):
                    a_at = ((g * parts + part) * panels + i // height) * panel
                    rows = min(height, (last - first) * taps - i)
                    block_times_panel(
                        rows, here, depth, packed, a_at, room, width * depth, columns, 0 * i,
                        block, i < 0, spare, 0 * i,
                    )
                    for r in range(rows):
                        _scatter(
                            columns, r * block, i + r, pixel, here, ow, window, dx_flat, dx_at, h,
                            wide,
                        )


@pjit
def _patches_backward_params(x, dy, group, window, pointwise, threads, dw):
    items, inputs, h, wide = x.shape
    outputs, oh, ow = dy.shape[1:]
    _, _, sh, sw, _, _, _, _ = window
    taps, channels, rows = window[0] * window[1], dw.shape[1], outputs // group
    k, pixels = taps * channels, oh * ow
    height, width = tile_sizes(x)
    lanes = width // 2
    x_flat, dy_flat, dw_flat = x.reshape(-1), dy.reshape(-1), dw.reshape(-1)

    step = max(1, min(oh, DEPTH // ow))
    limit = max(DEPTH, step * ow)
    across, down = (k + width - 1) // width, (rows + height - 1) // height
    share = max(1, PANELS * DEPTH // limit)
    wide_parts, tall_parts = (across + share - 1) // share, (down + share - 1) // share
    wide_parts *= _split(group * wide_parts * tall_parts, across // wide_parts, threads)
    tall_parts *= _split(group * wide_parts * tall_parts, down // tall_parts, threads)
    tasks = group * wide_parts * tall_parts
    most_across = (across + wide_parts - 1) // wide_parts
    most_down = (down + tall_parts - 1) // tall_parts
    most_channels = min(channels, (most_across * width + taps - 2) // taps + 1)
    stripe_rows, reach = _stripe_sizes(step, ow, window)
    a_panel, b_panel = limit * height + SLACK, (limit + lanes) * width
    workers = min(threads, tasks)
    for worker in prange(workers):
        a_room = np.empty(most_down * a_panel, x.dtype)
        b_room = np.empty(most_across * b_panel, x.dtype)
        size = 0 if pointwise else most_channels * stripe_rows * sw * reach
        stripe = np.empty(size + 2 * SLACK, x.dtype)
        spare = np.empty(height * width, x.dtype)
        offsets = np.empty(most_across * width, np.int64)
        a_rows = np.arange(height) * pixels
        for task in range(worker, tasks, workers):
            g = task // (wide_parts * tall_parts)
            tall, across_part = task // wide_parts % tall_parts, task % wide_parts
            top, bottom = tall * down // tall_parts, (tall + 1) * down // tall_parts
            left = across_part * across // wide_parts * width
            columns = min(k, (across_part + 1) * across // wide_parts * width) - left
            first = left // taps
            count = (left + columns - 1) // taps + 1 - first
            if pointwise:
                for c in range(columns):
                    offsets[c] = c * pixels
            else:
                _tap_offsets(left, columns, first, stripe_rows, reach, window, offsets)
            depth = 0
            for item in range(items):
                x_at = ((item * group + g) * channels + first) * h * wide
                for oy in range(0, oh, step):
                    lines = min(step, oh - oy)
                    here = lines * ow
                    if not pointwise:
                        _fill_stripe(
                            x_flat, x_at, count, h, wide, oy * sh, stripe_rows, reach, window,
                            stripe,
                        )
                    for j in range(0, columns, width):
                        to = j // width * b_panel + depth * width
                        if pointwise:
                            start = x_at + oy * ow + j * pixels
                            inside = min(width, columns - j)
                            pack_across(x_flat, start, offsets, inside, here, width, b_room, to)
                            continue
                        for line in range(lines):
                            for t in range(0, ow, lanes):
                                at, place = line * sh * sw * reach + t, to + (line * ow + t) * width
                                turn_vectors(
                                    stripe, at, offsets, j, columns, b_room, place, width
                                )
                                turn_vectors(
                                    stripe, at, offsets, j + lanes, columns, b_room, place + lanes,
                                    width,
                                )
                    for i in range(top, bottom):
                        start = (item * outputs + g * rows + i * height) * pixels + oy * ow
                        inside = min(height, rows - i * height)
                        to = (i - top) * a_panel + depth * height
                        pack_across(dy_flat, start, a_rows, inside, here, height, a_room, to)
                    depth += here
                    more = item + 1 < items or oy + step < oh
                    if more and depth + step * ow <= limit:
                        continue
                    for i in range(top, bottom):
                        dw_at = (g * rows + i * height) * k + left
                        block_times_panel(
                            min(height, rows - i * height), columns, depth, a_room,
                            (i - top) * a_panel, b_room, b_panel, dw_flat, dw_at, k, i >= 0,
                            spare, 0 * i,
                        )
                    depth = 0


# -- depthwise ---------------------------------------------------------------------------------


@jit
def _meeting(n, out, tap, stride, pad, dilation):
    """The places t in 0 .. out at which a tap meets 0 <= stride t + shift < n, and its shift."""
    shift = tap * dilation - pad
    low = max(0, (stride - 1 - shift) // stride)
    return low, min(out, (n - 1 - shift) // stride + 1), shift


@pjit
def _depthwise_forward(x, w, b, window, y):
    kh, kw, sh, sw, ph, pw, dh, dw = window
    outputs, channels = y.shape[1], x.shape[1]
    for index in prange(y.shape[0] * outputs):
        n, o = index // outputs, index % outputs
        plane = x[n, o // (outputs // channels)]
        for t in range(y.shape[2]):
            row = y[n, o, t]
            row[:] = b[o] if b.size else y.dtype.type(0)
            for i in range(kh):
                line = t * sh + i * dh - ph
                if line < 0 or line >= x.shape[2]:
                    continue
                source = plane[line]
                for j in range(kw):
                    low, high, shift = _meeting(x.shape[3], y.shape[3], j, sw, pw, dw)
                    value = w[o, 0, i, j]
                    if sw == 1:
                        for s in range(low, high):
                            row[s] += value * source[s + shift]
                    else:
                        for s in range(low, high):
                            row[s] += value * source[s * sw + shift]


@pjit
def _depthwise_backward(dy, w, b, window, dx):
    kh, kw, sh, sw, ph, pw, dh, dw = window
    outputs, channels = dy.shape[1], dx.shape[1]
    for index in prange(dx.shape[0] * channels):
        n, c = index // channels, index % channels
        dx[n, c] = b[c] if b.size else dx.dtype.type(0)
        for o in range(c * (outputs // channels), (c + 1) * (outputs // channels)):
            for t in range(dy.shape[2]):
                row = dy[n, o, t]
                for i in range(kh):
                    line = t * sh + i * dh - ph
                    if line < 0 or line >= dx.shape[2]:
                        continue
                    target = dx[n, c, line]
                    for j in range(kw):
                        low, high, shift = _meeting(dx.shape[3], dy.shape[3], j, sw, pw, dw)
                        value = w[o, 0, i, j]
                        if sw == 1:
                            for s in range(low, high):
                                target[s + shift] += value * row[s]
                        else:
                            for s in range(low, high):
                                target[s * sw + shift] += value * row[s]


@pjit
def _depthwise_backward_params(x, dy, window, dw):
    kh, kw, sh, sw, ph, pw, dilation_h, dilation_w = window
    outputs, channels = dy.shape[1], x.shape[1]
    for o in prange(outputs):
        for n in range(x.shape[0]):
            plane = x[n, o // (outputs // channels)]
            for i in range(kh):
                top, bottom, down = _meeting(x.shape[2], dy.shape[2], i, sh, ph, dilation_h)
                for j in range(kw):
                    low, high, shift = _meeting(x.shape[3], dy.shape[3], j, sw, pw, dilation_w)
                    total = dw.dtype.type(0)
                    for t in range(top, bottom):
                        row, source = dy[n, o, t], plane[t * sh + down]
                        if sw == 1:
                            for s in range(low, high):
                                total += row[s] * source[s + shift]
                        else:
                            for s in range(low, high):
                                total += row[s] * source[s * sw + shift]
                    dw[o, 0, i, j] += total


# -- volumes -----------------------------------------------------------------------------------


def _columns_of(x: Any, window: Window, output: Sizes) -> Any:
    """The columns of one item, an array (C prod(kernel), pixels)."""
    count = x.shape[0] * math.prod(window.kernel)
    columns = np.empty((1, count, *output), x.dtype)
    im2col(x[np.newaxis], window, columns)
    return columns.reshape(count, -1)


def _volumes_forward(x: Any, w: Any, b: Any, group: int, window: Window, y: Any) -> None:
    weights = w.reshape(group, w.shape[0] // group, -1)
    for item in range(x.shape[0]):
        columns = _columns_of(x[item], window, y.shape[2:]).reshape(group, weights.shape[2], -1)
        result = y[item].reshape(group, weights.shape[1], -1)
        for g in range(group):
            gemm(weights[g], columns[g], result[g])
    if b.size:
        y += b.reshape(-1, *(1,) * (y.ndim - 2))


def _volumes_backward(dy: Any, w: Any, b: Any, group: int, window: Window, dx: Any) -> None:
    weights = w.reshape(group, w.shape[0] // group, -1)
    columns = np.empty((group, weights.shape[2], math.prod(dy.shape[2:])), dy.dtype)
    for item in range(dy.shape[0]):
        gradient = dy[item].reshape(group, weights.shape[1], -1)
        for g in range(group):
            gemm(weights[g], gradient[g], columns[g], transpose_a=True)
        col2im(columns.reshape(1, -1, *dy.shape[2:]), window, dx[item : item + 1])
    if b.size:
        dx += b.reshape(-1, *(1,) * (dx.ndim - 2))


def _volumes_backward_params(x: Any, dy: Any, group: int, window: Window, dw: Any) -> None:
    weights = dw.reshape(group, dw.shape[0] // group, -1)
    for item in range(x.shape[0]):
        columns = _columns_of(x[item], window, dy.shape[2:]).reshape(group, weights.shape[2], -1)
        gradient = dy[item].reshape(group, weights.shape[1], -1)
        for g in range(group):
            gemm(gradient[g], columns[g], weights[g], transpose_b=True, accumulate=True)
