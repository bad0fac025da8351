"""Planar convolution as products of packed blocks: the ways "pointwise" and "patches".

Caffe copies every patch of an image into a column (im2col) and multiplies matrices.  Here each
thread copies a few rows of the image (a *stripe*), packs from it the patches that one block of
pixels needs, and multiplies them while they are in cache.  Stripes are padded with zeros and, for
a stride s, hold the columns x, x + s, x + 2 s, ... next to each other: then a tap of the kernel
reads a stretch of memory, whatever the padding, stride and dilation.

`window` is eight numbers: kernel, stride, pad and dilation, each for the height and the width.
Only `convolution` imports this file.
"""

from __future__ import annotations

import numpy as np
from numba import get_num_threads

from caffe_lite.kernels._jit import jit, pjit, prange
from caffe_lite.kernels.gemm import (
    DEPTH,
    PANELS,
    VECTOR_BYTES,
    block_times_panel,
    copy_vector,
    pack_across,
    pack_along,
    tile_sizes,
    turn_vectors,
)

SLACK = 16
"""Numbers after a packed panel that writing whole vectors may touch."""


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


# -- the order in which tiles read a weight ------------------------------------------------------


@pjit
def pack_rows(w, group, packed):
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
def pack_flipped(w, group, packed):
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


# -- forward -----------------------------------------------------------------------------------


def parts_for(tasks, most, threads):
    """Into how many parts, at most `most`, to cut each task, so that all threads have work."""
    return 1 if tasks % threads == 0 or tasks >= 4 * threads else max(1, min(most, threads))


def forward(x, packed, b, group, window, pointwise, y):
    """Y = W X + b, W packed by `pack_rows`; or the way back, by `pack_flipped`.

    x: (N, C, H, W).  y: (N, O, H', W').
    """
    threads = get_num_threads()
    height, width = (int(size) for size in tile_sizes(x))
    pixels = y.shape[2] * y.shape[3]
    blocks = -(-pixels // (PANELS * width))
    block = -(-pixels // (blocks * width)) * width
    blocks = -(-pixels // block)
    tasks = x.shape[0] * group * blocks
    parts = parts_for(tasks, -(-y.shape[1] // group // height), threads)
    plan = block, blocks, parts, tasks * parts
    _forward(x, packed, b, group, window, pointwise, plan, min(threads, tasks * parts), y)


@pjit
def _forward(x, packed, b, group, window, pointwise, plan, workers, y):
    for worker in prange(workers):
        _forward_tasks(worker, workers, x, packed, b, group, window, pointwise, plan, y)


@jit
def _forward_tasks(worker, workers, x, packed, b, group, window, pointwise, plan, y):
    """A task: some rows of the weight times the patches of a block of pixels."""
    _, inputs, h, wide = x.shape
    outputs, oh, ow = y.shape[1:]
    kh, kw, sh, sw = window[:4]
    taps, channels, rows = kh * kw, inputs // group, outputs // group
    k, pixels = taps * channels, oh * ow
    height, width = tile_sizes(x)
    x_flat, y_flat = x.reshape(-1), y.reshape(-1)
    panels, panel = (rows + height - 1) // height, k * height + SLACK
    block, blocks, parts, tasks = plan
    most, reach = _stripe_sizes(min(oh, (block - 2) // ow + 2), ow, window)
    depth_most = min(channels, DEPTH // taps, PANELS * width * DEPTH // (most * sw * reach))
    depth_most = max(1, depth_most)
    if pointwise:
        depth_most, most, reach = min(k, DEPTH), 0, 0
    room = np.empty(block * depth_most * taps + 2 * SLACK, x.dtype)
    stripe = np.empty(depth_most * most * sw * reach + 2 * SLACK, x.dtype)
    spare = np.empty(height * width, x.dtype)
    offsets = np.empty(depth_most * taps, np.int64)
    runs = np.empty(2 * width, np.int64)
    for task in range(worker, tasks, workers):
        part, pixel = task % parts, task // parts % blocks * block
        image, g = task // parts // blocks, task // parts // blocks % group
        here, top = min(block, pixels - pixel), pixel // ow
        stripe_rows, _ = _stripe_sizes((pixel + here - 1) // ow - top + 1, ow, window)
        y_at = image * rows * pixels + pixel
        low, high = part * panels // parts, (part + 1) * panels // parts
        if b.size:
            for o in range(low * height, min(rows, high * height)):
                y_flat[y_at + o * pixels : y_at + o * pixels + here] = b[g * rows + o]
        for c in range(0, channels, depth_most):
            count = min(depth_most, channels - c)
            depth = count * taps
            x_at = (image * channels + c) * h * wide
            first, step = top * sh, sh * sw * reach
            if not pointwise:
                _fill_stripe(
                    x_flat, x_at, count, h, wide, first, stripe_rows, reach, window, stripe
                )
                _tap_offsets(c * taps, depth, c, stripe_rows, reach, window, offsets)
            for j in range(0, here, width):
                inside, to, at = min(width, here - j), j * depth, pixel + j
                if pointwise:
                    pack_along(x_flat, x_at + at, pixels, inside, depth, width, room, to)
                else:
                    _pack_patches(
                        stripe, offsets, depth, at, inside, ow, step, top, runs, room, to
                    )
            b_panel, added = width * depth, c > 0 or b.size > 0
            for i in range(low, high):
                lines = min(height, rows - i * height)
                a_at = (g * panels + i) * panel + c * taps * height
                to = y_at + i * height * pixels
                block_times_panel(
                    lines,
                    here,
                    depth,
                    packed,
                    a_at,
                    room,
                    b_panel,
                    y_flat,
                    to,
                    pixels,
                    added,
                    spare,
                )


# -- backward by scattering ----------------------------------------------------------------------


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


def backward(dy, w, b, group, window, packed, dx):
    """dX = W^T dY (+ b), each block of columns scattered to where it came from.

    dy: (N, O, H', W').  w: (O, C / group, kh, kw).  dx: (N, C, H, W).
    """
    threads = get_num_threads()
    channels, tasks = w.shape[1], dx.shape[0] * group
    share = -(-channels // parts_for(tasks, channels, threads))
    parts = -(-channels // share)
    _pack_columns(w, group, parts, share, packed)
    workers = min(threads, tasks * parts)
    _backward(dy, packed, b, group, window, parts, share, workers, dx)


@pjit
def _backward(dy, packed, b, group, window, parts, share, workers, dx):
    for worker in prange(workers):
        _backward_tasks(worker, workers, dy, packed, b, group, window, parts, share, dx)


@jit
def _backward_tasks(worker, workers, dy, packed, b, group, window, parts, share, dx):
    """A task: `share` channels of one image, all that falls on them in the order of pixels."""
    items, inputs, h, wide = dx.shape
    outputs, oh, ow = dy.shape[1:]
    taps, channels, depth = window[0] * window[1], inputs // group, outputs // group
    pixels, plane = oh * ow, h * wide
    height, width = tile_sizes(dy)
    dy_flat, dx_flat = dy.reshape(-1), dx.reshape(-1)
    panels, panel = (share * taps + height - 1) // height, depth * height + SLACK
    block = max(1, min(PANELS, PANELS * DEPTH // max(1, depth))) * width
    block = min(block, (pixels + width - 1) // width * width)
    room = np.empty(block * depth + 2 * SLACK, dy.dtype)
    columns = np.empty(height * block, dy.dtype)
    spare = np.empty(height * width, dy.dtype)
    added, start = worker < 0, worker - worker  # False and 0, but no constants to numba
    for task in range(worker, items * group * parts, workers):
        image, g, part = task // parts, task // parts % group, task % parts
        first, last = part * share, min(channels, (part + 1) * share)
        dx_at = (image * channels + first) * plane
        for c in range(last - first):
            value = b[g * channels + first + c] if b.size else dx.dtype.type(0)
            dx_flat[dx_at + c * plane : dx_at + (c + 1) * plane] = value
        for pixel in range(0, pixels, block):
            here = min(block, pixels - pixel)
            dy_at = image * depth * pixels + pixel
            for j in range(0, here, width):
                inside, to = min(width, here - j), j * depth
                pack_along(dy_flat, dy_at + j, pixels, inside, depth, width, room, to)
            b_panel = width * depth
            for i in range(0, (last - first) * taps, height):
                rows = min(height, (last - first) * taps - i)
                a_at = ((g * parts + part) * panels + i // height) * panel
                block_times_panel(
                    rows,
                    here,
                    depth,
                    packed,
                    a_at,
                    room,
                    b_panel,
                    columns,
                    start,
                    block,
                    added,
                    spare,
                )
                for r in range(rows):
                    at, k = r * block, i + r
                    _scatter(columns, at, k, pixel, here, ow, window, dx_flat, dx_at, h, wide)


# -- the weight's gradient -----------------------------------------------------------------------


def backward_params(x, dy, group, window, pointwise, dw):
    """dW += dY X^T over all pixels of all images, in their order.

    x: (N, C, H, W).  dy: (N, O, H', W').  dw: (O, C / group, kh, kw).
    """
    threads = get_num_threads()
    height, width = (int(size) for size in tile_sizes(x))
    oh, ow = dy.shape[2:]
    lines = max(1, min(oh, DEPTH // ow))
    limit = max(DEPTH, lines * ow)
    across, down = -(-dw[0].size // width), -(-dw.shape[0] // group // height)
    share = max(1, PANELS * DEPTH // limit)
    wide_parts, tall_parts = -(-across // share), -(-down // share)
    tasks = group * wide_parts * tall_parts
    wide_parts *= parts_for(tasks, across // wide_parts, threads)
    tasks = group * wide_parts * tall_parts
    tall_parts *= parts_for(tasks, down // tall_parts, threads)
    plan = lines, limit, across, down, wide_parts, tall_parts
    workers = min(threads, group * wide_parts * tall_parts)
    _backward_params(x, dy, group, window, pointwise, plan, workers, dw)


@pjit
def _backward_params(x, dy, group, window, pointwise, plan, workers, dw):
    for worker in prange(workers):
        _backward_params_tasks(worker, workers, x, dy, group, window, pointwise, plan, dw)


@jit
def _pack_pixels(stripe, offsets, first, columns, lines, ow, row_step, room, to):
    """room[to + t width + j] = what tap `first` + j of the stripe's offsets meets at pixel t.

    A row's last square reaches over its end; the next row is written over that.
    """
    lanes = VECTOR_BYTES // stripe.itemsize
    width = 2 * lanes
    for line in range(lines):
        for t in range(0, ow, lanes):
            at, place = line * row_step + t, to + (line * ow + t) * width
            for half in range(0, width, lanes):
                turn_vectors(stripe, at, offsets, first + half, columns, room, place + half, width)


@jit
def _backward_params_tasks(worker, workers, x, dy, group, window, pointwise, plan, dw):
    """A task: a block of dW, added up over as many pixels at once as fit into the cache."""
    items, _, h, wide = x.shape
    outputs, oh, ow = dy.shape[1:]
    sh, sw = window[2:4]
    taps, channels, rows = window[0] * window[1], dw.shape[1], outputs // group
    k, pixels = taps * channels, oh * ow
    height, width = tile_sizes(x)
    x_flat, dy_flat, dw_flat = x.reshape(-1), dy.reshape(-1), dw.reshape(-1)
    step, limit, across, down, wide_parts, tall_parts = plan
    most_across = (across + wide_parts - 1) // wide_parts
    most_down = (down + tall_parts - 1) // tall_parts
    most_channels = min(channels, (most_across * width + taps - 2) // taps + 1)
    stripe_rows, reach = _stripe_sizes(step, ow, window)
    a_panel, b_panel = limit * height + SLACK, (limit + width // 2) * width
    a_room = np.empty(most_down * a_panel, x.dtype)
    b_room = np.empty(most_across * b_panel, x.dtype)
    size = 0 if pointwise else most_channels * stripe_rows * sw * reach
    stripe = np.empty(size + 2 * SLACK, x.dtype)
    spare = np.empty(height * width, x.dtype)
    offsets = np.empty(most_across * width, np.int64)
    a_rows = np.arange(height) * pixels
    row_step, added = sh * sw * reach, worker >= 0
    for task in range(worker, group * wide_parts * tall_parts, workers):
        g, tall = task // wide_parts // tall_parts, task // wide_parts % tall_parts
        top, bottom = tall * down // tall_parts, (tall + 1) * down // tall_parts
        left = task % wide_parts * across // wide_parts * width
        columns = min(k, (task % wide_parts + 1) * across // wide_parts * width) - left
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
            for line in range(0, oh, step):
                lines = min(step, oh - line)
                here = lines * ow
                if not pointwise:
                    y0 = line * sh
                    _fill_stripe(
                        x_flat, x_at, count, h, wide, y0, stripe_rows, reach, window, stripe
                    )
                for j in range(0, columns, width):
                    to, inside = j // width * b_panel + depth * width, min(width, columns - j)
                    if pointwise:
                        at = x_at + line * ow + j * pixels
                        pack_across(x_flat, at, offsets, inside, here, width, b_room, to)
                    else:
                        _pack_pixels(stripe, offsets, j, columns, lines, ow, row_step, b_room, to)
                for i in range(top, bottom):
                    at = (item * outputs + g * rows + i * height) * pixels + line * ow
                    inside, to = min(height, rows - i * height), (i - top) * a_panel
                    to += depth * height
                    pack_across(dy_flat, at, a_rows, inside, here, height, a_room, to)
                depth += here
                more = item + 1 < items or line + step < oh
                if more and depth + step * ow <= limit:
                    continue
                for i in range(top, bottom):
                    inside, a_at = min(height, rows - i * height), (i - top) * a_panel
                    to = (g * rows + i * height) * k + left
                    block_times_panel(
                        inside,
                        columns,
                        depth,
                        a_room,
                        a_at,
                        b_room,
                        b_panel,
                        dw_flat,
                        to,
                        k,
                        added,
                        spare,
                    )
                depth = 0
