"""The gradient of planar convolution by the image where it is no convolution itself.

That is where the stride is not 1: columns, scattered to where they came from.  `window` is as in
`_patches`.  Only `convolution` imports this file.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np

from caffe_lite.kernels._jit import jit
from caffe_lite.kernels._lanes import add_some
from caffe_lite.kernels._patches import SLACK, SMALL, parts_for
from caffe_lite.kernels.gemm import (
    DEPTH,
    PANELS,
    VECTOR_BYTES,
    block_times_panel,
    complete,
    get_num_threads,
    pack_along,
    pack_panels,
    spread,
    tile_sizes,
)


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
    shapes, threads = (dy.shape, w.shape, dx.shape), get_num_threads()
    workers, numbers = _plan(*shapes, group, window, dy.itemsize, threads)
    spread(_backward, workers, dy.reshape(-1), w.reshape(-1), extra, dx.reshape(-1), numbers)


@lru_cache(maxsize=1024)
def _plan(dy, w, dx, group, window, itemsize, threads):
    """How many workers arrays of such shapes take, and what they need to know."""
    items, channels, depth, pixels = dx[0], w[1], w[0] // group, math.prod(dy[2:])
    width = 2 * VECTOR_BYTES // itemsize
    threads = 1 if math.prod(dy) * math.prod(w[1:]) <= SMALL else threads
    panels, whole = max(1, min(PANELS, PANELS * DEPTH // max(1, depth))), -(-pixels // width)
    images = max(1, min(panels // whole, items * group // (4 * threads), items))
    tasks = -(-items // images) * group
    share = -(-channels // parts_for(tasks, channels, threads))
    parts = -(-channels // share)
    plan = parts, share, min(panels, whole) * width, images
    return min(threads, tasks * parts), np.array([*dx, *dy, group, *window, *plan], np.int64)


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
                    rows,
                    height,
                    count * block,
                    depth,
                    a,
                    start,
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
