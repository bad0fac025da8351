"""The gradients of planar convolution that are no convolutions themselves.

By the image where the stride is not 1: columns, scattered to where they came from.  By the weight:
dW += dY X^T, the patches X packed as in `_patches`.  `window` is as there.
Only `convolution` imports this file.
"""

from __future__ import annotations

import numpy as np

from caffe_lite.kernels._jit import jit
from caffe_lite.kernels._lanes import add_some
from caffe_lite.kernels._patches import (
    SLACK,
    SMALL,
    fill_stripe,
    parts_for,
    stripe_sizes,
    tap_offsets,
)
from caffe_lite.kernels.gemm import (
    DEPTH,
    PANELS,
    VECTOR_BYTES,
    block_times_panel,
    complete,
    get_num_threads,
    pack_across,
    pack_along,
    pack_panels,
    spread,
    tile_sizes,
    turn_vectors,
)

# -- backward by scattering ----------------------------------------------------------------------


@jit
def _scatter(columns, at, step, k, images, first, count, ow, window, x, x_at, x_step, h, w, size):
    """Add row k of a block of columns, pixels `first` .. + `count`, to where they came from.

    The columns of each image lie `step` apart, the images' `size` numbers `x_step` apart.
    """
    kh, kw, sh, sw, ph, pw, dh, dw = window
    lanes = VECTOR_BYTES // x.itemsize
    i, j = k // kw % kh * dh - ph, k % kw * dw - pw
    plane = x_at + k // (kh * kw) * h * w + j
    low, high = max(0, (sw - 1 - j) // sw), min(ow, (w - 1 - j) // sw + 1)
    top, bottom = first // ow, (first + count - 1) // ow + 1
    while top < bottom and top * sh + i < 0:
        top += 1
    while bottom > top and (bottom - 1) * sh + i >= h:
        bottom -= 1
    for n in range(images):
        limit = x_at + n * x_step + size
        for oy in range(top, bottom):
            begin, end = max(low, first - oy * ow), min(high, first + count - oy * ow)
            source = at + n * step + oy * ow - first
            to = plane + n * x_step + (oy * sh + i) * w
            if sw == 1:
                for t in range(begin, end, lanes):
                    if to + t + lanes <= limit:
                        add_some(columns, source + t, end - t, x, to + t)
                    else:
                        for u in range(t, end):
                            x[to + u] += columns[source + u]
                        break
            else:
                for t in range(begin, end):
                    x[to + t * sw] += columns[source + t]


def backward(dy, w, extra, group, window, dx):
    """dX = W^T dY, each block of columns scattered to where it came from, then what `extra` says.

    dy: (N, O, H', W').  w: (O, C / group, kh, kw).  extra: of `gemm.completion`.
    dx: (N, C, H, W).
    """
    items, channels, depth, pixels = len(dx), w.shape[1], len(w) // group, dy[0, 0].size
    width = int(tile_sizes(dy)[1])
    threads = 1 if dy.size * w[0].size <= SMALL else get_num_threads()
    panels, whole = max(1, min(PANELS, PANELS * DEPTH // max(1, depth))), -(-pixels // width)
    images = max(1, min(panels // whole, items * group // (4 * threads), items))
    tasks = -(-items // images) * group
    share = -(-channels // parts_for(tasks, channels, threads))
    parts = -(-channels // share)
    plan = parts, share, min(panels, whole) * width, images
    numbers = np.array([*dx.shape, *dy.shape, group, *window, *plan], np.int64)
    flat = (array.reshape(-1) for array in (dy, w, extra, dx))
    spread(_backward, min(threads, tasks * parts), *flat, numbers)


@jit
def _backward(worker, workers, dy, w, extra, dx, numbers):
    """A task: `share` channels of some images, all that falls on them in the order of pixels."""
    items, inputs, h, wide = numbers[0], numbers[1], numbers[2], numbers[3]
    outputs, oh, ow, group = numbers[5], numbers[6], numbers[7], numbers[8]
    window = (
        numbers[9],
        numbers[10],
        numbers[11],
        numbers[12],
        numbers[13],
        numbers[14],
        numbers[15],
        numbers[16],
    )
    parts, share, block, images = numbers[17], numbers[18], numbers[19], numbers[20]
    taps, channels, depth = window[0] * window[1], inputs // group, outputs // group
    pixels, plane, k = oh * ow, h * wide, channels * taps
    height, width = tile_sizes(dy)
    b_panel, stride = width * depth + SLACK, images * block
    room = np.empty(stride // width * b_panel + SLACK, dy.dtype)
    a = np.empty(depth * height + SLACK, dy.dtype)
    columns = np.empty(height * stride + SLACK, dy.dtype)
    spare = np.empty(height * width, dy.dtype)
    added, start = worker < 0, worker - worker  # False and 0, but no constants to numba
    for task in range(worker, (items + images - 1) // images * group * parts, workers):
        image, g, part = task // parts // group * images, task // parts % group, task % parts
        count = min(images, items - image)
        first, last = part * share, min(channels, (part + 1) * share)
        dx_at, size = (image * inputs + g * channels + first) * plane, (last - first) * plane
        for n in range(count):
            at = dx_at + n * inputs * plane
            dx[at : at + size] = 0
        for pixel in range(0, pixels, block):
            here = min(block, pixels - pixel)
            for n in range(count):
                at = ((image + n) * group + g) * depth * pixels + pixel
                target = room[n * block // width * b_panel :]
                pack_panels(dy, at, pixels, here, depth, width, b_panel, target)
            for i in range(0, (last - first) * taps, height):
                rows = min(height, (last - first) * taps - i)
                at = g * depth * k + first * taps + i
                pack_along(w, at, k, rows, depth, height, a, start)
                block_times_panel(
                    (rows + 1) // 2 * 2,
                    count * block,
                    depth,
                    a,
                    start,
                    room,
                    b_panel,
                    columns,
                    start,
                    stride,
                    added,
                    spare,
                )
                for r in range(rows):
                    _scatter(
                        columns,
                        r * stride,
                        block,
                        i + r,
                        count,
                        pixel,
                        here,
                        ow,
                        window,
                        dx,
                        dx_at,
                        inputs * plane,
                        h,
                        wide,
                        size,
                    )
        for n in range(count):
            at = dx_at + n * inputs * plane
            complete(dx, at, plane, last - first, plane, g * channels + first, inputs, extra)


# -- the weight's gradient -----------------------------------------------------------------------


def backward_params(x, dy, group, window, dw):
    """dW += dY X^T over all pixels of all images, in their order.

    x: (N, C, H, W).  dy: (N, O, H', W').  dw: (O, C / group, kh, kw).
    """
    threads = 1 if dy.size * dw[0].size <= SMALL else get_num_threads()
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
    pointwise = window == (1, 1, 1, 1, 0, 0, 1, 1)
    plan = pointwise, lines, limit, across, down, wide_parts, tall_parts
    numbers = np.array([*x.shape, *dy.shape, group, *window, *plan], np.int64)
    flat = [array.reshape(-1) for array in (x, dy, dw)]
    workers = min(threads, group * wide_parts * tall_parts)
    spread(_backward_params, workers, flat[0], flat[1], flat[1][:0], flat[2], numbers)


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
def _backward_params(worker, workers, x, dy, extra, dw, numbers):
    """A task: a block of dW, added up over as many pixels at once as fit into the cache."""
    items, inputs, h, wide = numbers[0], numbers[1], numbers[2], numbers[3]
    outputs, oh, ow, group = numbers[5], numbers[6], numbers[7], numbers[8]
    sh, sw = numbers[11], numbers[12]
    window = (
        numbers[9],
        numbers[10],
        sh,
        sw,
        numbers[13],
        numbers[14],
        numbers[15],
        numbers[16],
    )
    pointwise, step, limit = numbers[17], numbers[18], numbers[19]
    across, down, wide_parts, tall_parts = numbers[20], numbers[21], numbers[22], numbers[23]
    taps, channels, rows = window[0] * window[1], inputs // group, outputs // group
    k, pixels = taps * channels, oh * ow
    height, width = tile_sizes(x)
    most_across = (across + wide_parts - 1) // wide_parts
    most_down = (down + tall_parts - 1) // tall_parts
    most_channels = min(channels, (most_across * width + taps - 2) // taps + 1)
    stripe_rows, reach = stripe_sizes(step, ow, window)
    a_panel, b_panel = limit * height + SLACK, (limit + width // 2) * width
    a_room = np.empty(most_down * a_panel, x.dtype)
    b_room = np.empty(most_across * b_panel, x.dtype)
    size = 0 if pointwise else most_channels * stripe_rows * sw * reach
    stripe = np.empty(size + 2 * SLACK, x.dtype)
    spare = np.empty(height * width, x.dtype)
    offsets = np.empty(most_across * width, np.int64)
    a_rows = np.arange(height) * pixels
    row_step, stripe_step = sh * sw * reach, stripe_rows * sw * reach
    added, start = worker >= 0, worker - worker  # True and 0, but no constants to numba
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
            tap_offsets(left, columns, first, stripe_step, reach, window, offsets)
        depth = 0
        for item in range(items):
            x_at = ((item * group + g) * channels + first) * h * wide
            for line in range(0, oh, step):
                lines = min(step, oh - line)
                here = lines * ow
                if not pointwise:
                    y0 = line * sh
                    fill_stripe(
                        x,
                        x_at,
                        count,
                        h,
                        wide,
                        y0,
                        stripe_rows,
                        reach,
                        window,
                        stripe,
                        start,
                        stripe_step,
                    )
                for j in range(0, columns, width):
                    to, inside = j // width * b_panel + depth * width, min(width, columns - j)
                    if pointwise:
                        at = x_at + line * ow + j * pixels
                        pack_across(x, at, offsets, inside, here, width, b_room, to)
                    else:
                        _pack_pixels(stripe, offsets, j, columns, lines, ow, row_step, b_room, to)
                for i in range(top, bottom):
                    at = (item * outputs + g * rows + i * height) * pixels + line * ow
                    inside, to = min(height, rows - i * height), (i - top) * a_panel
                    to += depth * height
                    pack_across(dy, at, a_rows, inside, here, height, a_room, to)
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
                        dw,
                        to,
                        k,
                        added,
                        spare,
                    )
                depth = 0
