"""Planar convolution as products of packed blocks: the ways "pointwise" and "patches".

Caffe copies every patch of an image into a column (im2col) and multiplies matrices.  Here each
thread copies a few rows of the image (a *stripe*), packs from it the patches that one block of
pixels needs, and multiplies them while they are in cache.  Stripes are padded with zeros and, for
a stride s, hold the columns x, x + s, x + 2 s, ... next to each other: then a tap of the kernel
reads a stretch of memory, whatever the padding, stride and dilation.

A block is a part of one image, or several small images.  The rows of the weight are read where
they lie; on the way back, where they are its columns, they are packed where they are used.

`window` is eight numbers: kernel, stride, pad and dilation, each for the height and the width.
Only `convolution` and `_gradients` import this file.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np

from caffe_lite.kernels._jit import jit
from caffe_lite.kernels.gemm import (
    DEPTH,
    PANELS,
    ROWS,
    VECTOR_BYTES,
    block_times_panel,
    complete,
    copy_vector,
    get_num_threads,
    pack_panels,
    spread,
    tile_sizes,
)

SLACK = 16
"""Numbers after a packed panel that writing whole vectors may touch."""
SMALL = 1 << 18
"""Multiply-adds below which a second thread costs more than it brings."""
TURNED = 8
"""Panels of a 1 x 1 weight that are packed at once on the way back: a line of the weight holds a
few numbers of each, and would be fetched for each again."""


# -- stripes -----------------------------------------------------------------------------------


@jit
def stripe_sizes(rows, ow, window):
    """Rows of a stripe under `rows` rows of pixels, and numbers in each of its stretches."""
    kh, kw, sh, sw, _, _, dh, dw = window
    return (rows - 1) * sh + (kh - 1) * dh + 1, (kw - 1) * dw // sw + ow


@jit
def _is_read(place, taps, stride, dilation):
    """Whether a tap of the kernel ever meets this row or column of a stripe."""
    read = False
    for tap in range(min(taps, stride)):
        read = read or (place - tap * dilation) % stride == 0
    return read


@jit
def fill_stripe(x, at, channels, h, w, first, rows, reach, window, stripe, to, step):
    """stripe[to + c step + (r, s, q)] = x[at + (c, first + r - pad, q stride + s - pad)].

    0 outside x; rows and columns that no tap meets are left as they are.
    """
    kh, kw, sh, sw, ph, pw, dh, dw = window
    for c in range(channels):
        for r in range(rows):
            if not _is_read(r, kh, sh, dh):
                continue
            y = first + r - ph
            for s in range(sw):
                if not _is_read(s, kw, sw, dw):
                    continue
                low, high = 0, 0
                if 0 <= y < h:
                    low = min(reach, max(0, (pw - s + sw - 1) // sw))
                    high = max(low, min(reach, (w - 1 - s + pw) // sw + 1))
                place = to + c * step + (r * sw + s) * reach
                line = stripe[place : place + reach]
                for q in range(low):
                    line[q] = 0
                for q in range(high, reach):
                    line[q] = 0
                if high > low:
                    begin = at + (c * h + y) * w + s - pw + low * sw
                    source = x[begin : begin + (high - low - 1) * sw + 1]
                    inside = line[low:high]
                    if sw == 1:
                        for q in range(inside.size):
                            inside[q] = source[q]
                    else:
                        for q in range(inside.size):
                            inside[q] = source[q * sw]


@jit
def tap_offsets(first, count, channel, step, reach, window, offsets):
    """Where taps `first`, `first` + 1, ... of (channel, i, j) begin in a stripe from `channel`."""
    kh, kw, _, sw, _, _, dh, dw = window
    for k in range(count):
        c, i, j = (first + k) // (kh * kw) - channel, (first + k) // kw % kh, (first + k) % kw
        offsets[k] = c * step + (i * dh * sw + j * dw % sw) * reach + j * dw // sw


# -- packing -----------------------------------------------------------------------------------


@jit
def _list_runs(images, image_step, pixel, pixels, ow, row_step, width, b_panel, runs):
    """Which vectors to copy for one row of packed panels: pairs (from, to); returns how many.

    A block has `pixels` pixels from `pixel` on of each of `images` images, which lie `image_step`
    apart in the source, rows of pixels `row_step` apart.  Where a vector reaches too far, the
    next one is written over it.
    """
    count, to = 0, 0
    for image in range(images):
        j = 0
        while j < pixels:
            y, x = (pixel + j) // ow, (pixel + j) % ow
            place = image * image_step + (y - pixel // ow) * row_step + x
            runs[count, 0] = place
            runs[count, 1] = to // width * b_panel + to % width
            count += 1
            step = min(width // 2, ow - x, pixels - j, width - to % width)
            j += step
            to += step
    return count


@jit
def _pack_runs(source, bases, base, base_step, depth, runs, count, width, room):
    """room[to + p width + ...] = source[bases[p] + from + ...] for every run (from, to).

    With no `bases` they are base + p base_step.
    """
    lanes = width // 2
    last = 0
    for run in range(count):
        last = max(last, runs[run, 0])
    for p in range(depth):
        start = bases[p] if bases.size else base + p * base_step
        line = p * width
        if start + last + lanes <= source.size:
            for run in range(count):
                copy_vector(source, start + runs[run, 0], room, line + runs[run, 1])
        else:
            for run in range(count):
                place, to = start + runs[run, 0], line + runs[run, 1]
                for t in range(min(lanes, source.size - place)):
                    room[to + t] = source[place + t]


@jit
def _pack_flipped(w, at, channels, taps, rows, depth, height, a):
    """a[(o, t), c] = w[at + (o, c, taps - 1 - t)]: a panel of the weight that takes dY to dX.

    w: from `at` on (any, channels, taps).
    """
    for o in range(depth // taps):
        source = w[at + o * channels * taps : at + (o * channels + rows) * taps]
        panel = a[o * taps * height : (o + 1) * taps * height]
        for c in range(rows):
            for t in range(taps):
                panel[t * height + c] = source[c * taps + taps - 1 - t]


# -- forward -----------------------------------------------------------------------------------


def parts_for(tasks, most, threads):
    """Into how many parts, at most `most`, to cut each task, so that all threads have work."""
    return 1 if tasks % threads == 0 or tasks >= 4 * threads else max(1, min(most, threads))


def forward(x, w, flipped, extra, group, window, y):
    """Y = W X, then what `extra` says; or with `flipped` the way back, from dY to dX.

    x: (N, C, H, W).  w: (O, C / group, kh, kw), or flipped (C, O / group, kh, kw).
    extra: of `gemm.completion`.  y: (N, O, H', W').
    """
    shapes, threads = (x.shape, w.shape, y.shape), get_num_threads()
    workers, numbers = _plan(*shapes, flipped, group, window, x.itemsize, threads)
    spread(_forward, workers, x.reshape(-1), w.reshape(-1), extra, y.reshape(-1), numbers)


@lru_cache(maxsize=1024)
def _plan(x, w, y, flipped, group, window, itemsize, threads):
    """How many workers arrays of such shapes take, and what they need to know."""
    items, outputs, oh, ow = y
    pixels, width = oh * ow, 2 * VECTOR_BYTES // itemsize
    pointwise = window == (1, 1, 1, 1, 0, 0, 1, 1)
    most = PANELS * width
    images = max(1, min(items, most // pixels))
    groups_of_images = -(-items // images)
    images = -(-items // groups_of_images)
    blocks = -(-pixels // most)
    block = pixels if blocks == 1 else -(-pixels // (blocks * width)) * width
    blocks = -(-pixels // block)
    tasks = groups_of_images * group * blocks
    work = math.prod(y) * math.prod(w) // w[1 if flipped else 0] // (group if flipped else 1)
    threads = 1 if work <= SMALL else threads
    parts = parts_for(tasks, -(-outputs // group // ROWS), threads)
    tasks *= parts
    plan = flipped, pointwise, block, blocks, images, parts, tasks
    return min(threads, tasks), np.array([*x, *y, group, *window, *plan], np.int64)


@jit
def _forward(worker, workers, x, w, extra, y, numbers):
    """A task: some rows of the weight times the patches of a block of pixels."""
    items, inputs, h, wide = numbers[0], numbers[1], numbers[2], numbers[3]
    outputs, oh, ow, group = numbers[5], numbers[6], numbers[7], numbers[8]
    kh, kw, sh, sw = numbers[9], numbers[10], numbers[11], numbers[12]
    window = kh, kw, sh, sw, numbers[13], numbers[14], numbers[15], numbers[16]
    flipped, pointwise, block, blocks = numbers[17], numbers[18], numbers[19], numbers[20]
    images, parts, tasks = numbers[21], numbers[22], numbers[23]
    taps, channels, rows, pixels = kh * kw, inputs // group, outputs // group, oh * ow
    k = taps * channels
    height, width = tile_sizes(x)
    panels, span = (rows + height - 1) // height, (images * block + width - 1) // width
    aside = images > 1 or (blocks == 1 and pixels % (width // 2) != 0)
    most, reach = stripe_sizes(min(oh, (block - 2) // ow + 2), ow, window)
    limit = PANELS * width * DEPTH // (images * most * sw * reach)
    depth_most = max(1, min(channels, DEPTH // taps, limit))
    if pointwise:
        depth_most, most, reach = min(k, DEPTH), 0, 0
    b_panel = depth_most * taps * width + SLACK
    room = np.empty(span * b_panel + SLACK, x.dtype)
    across, a_stride = flipped and taps == 1, 0 if flipped else k
    a_panel = depth_most * taps * height + SLACK
    a = np.empty((TURNED if across else 1) * a_panel, x.dtype)
    stripe = np.empty(depth_most * images * most * sw * reach + 2 * SLACK, x.dtype)
    spare = np.empty(height * (span * width if aside else width), x.dtype)
    offsets = np.empty(0 if pointwise else depth_most * taps, np.int64)
    runs = np.empty((images * (2 * block // width + block // ow + 3) + span + 1, 2), np.int64)
    zero = worker - worker  # no constant to numba, which would compile a callee for it
    for task in range(worker, tasks, workers):
        part, pixel = task % parts, task // parts % blocks * block
        g, image = task // parts // blocks % group, task // parts // blocks // group * images
        here, count = min(block, pixels - pixel), min(images, items - image)
        low, high = part * panels // parts, (part + 1) * panels // parts
        top = pixel // ow
        stripe_rows, _ = stripe_sizes((pixel + here - 1) // ow - top + 1, ow, window)
        image_step, row_step = stripe_rows * sw * reach, sh * sw * reach
        if pointwise:
            length = _list_runs(
                count, inputs * h * wide, zero, here, here, zero, width, b_panel, runs
            )
        else:
            length = _list_runs(count, image_step, pixel, here, ow, row_step, width, b_panel, runs)
        columns = count * here
        y_at = (image * outputs + g * rows) * pixels + pixel
        for c in range(0, channels, depth_most):
            deep = min(depth_most, channels - c)
            depth = deep * taps
            x_at = ((image * group + g) * channels + c) * h * wide
            if pointwise:
                _pack_runs(x, offsets, x_at + pixel, pixels, depth, runs, length, width, room)
            else:
                step = count * image_step
                for n in range(count):
                    fill_stripe(
                        x,
                        x_at + n * inputs * h * wide,
                        deep,
                        h,
                        wide,
                        top * sh,
                        stripe_rows,
                        reach,
                        window,
                        stripe,
                        n * image_step,
                        step,
                    )
                tap_offsets(c * taps, depth, c, step, reach, window, offsets)
                _pack_runs(stripe, offsets, zero, zero, depth, runs, length, width, room)
            for i in range(low, high):
                lines = min(height, rows - i * height)
                a_at = (i - low) % TURNED * a_panel if across else zero
                if across:
                    if a_at == 0:
                        lot = min(TURNED * height, rows - i * height)
                        at = (g * channels + c) * rows + i * height
                        pack_panels(w, at, rows, lot, depth, height, a_panel, a)
                elif flipped:
                    at = ((g * channels + c) * rows + i * height) * taps
                    _pack_flipped(w, at, rows, taps, lines, depth, height, a)
                else:
                    a_at = (g * rows + i * height) * k + c * taps
                left = a if flipped else w
                to = y_at + i * height * pixels
                added = c > 0
                if aside:
                    _aside(
                        lines,
                        count,
                        here,
                        depth,
                        left,
                        a_at,
                        a_stride,
                        room,
                        b_panel,
                        y,
                        to,
                        outputs * pixels,
                        pixels,
                        added,
                        spare,
                    )
                else:
                    block_times_panel(
                        lines,
                        lines,
                        columns,
                        depth,
                        left,
                        a_at,
                        a_stride,
                        room,
                        b_panel,
                        y,
                        to,
                        pixels,
                        added,
                        spare,
                    )
                if c + deep == channels:
                    for n in range(count):
                        first = to + n * outputs * pixels
                        complete(
                            y, first, pixels, lines, here, g * rows + i * height, outputs, extra
                        )


@jit
def _aside(
    lines,
    images,
    here,
    depth,
    a,
    a_at,
    a_stride,
    room,
    b_panel,
    y,
    to,
    image_step,
    pixels,
    added,
    spare,
):
    """`block_times_panel` for pixels of several images, or for few: through whole tiles."""
    height, width = tile_sizes(y)
    zero = lines - lines
    columns = (images * here + width // 2 - 1) // (width // 2) * (width // 2)
    if added:
        for i in range(lines):
            for n in range(images):
                at, place = to + n * image_step + i * pixels, i * columns + n * here
                source, target = y[at : at + here], spare[place : place + here]
                for t in range(here):
                    target[t] = source[t]
    block_times_panel(
        lines,
        height,
        columns,
        depth,
        a,
        a_at,
        a_stride,
        room,
        b_panel,
        spare,
        zero,
        columns,
        added,
        spare,
    )
    for i in range(lines):
        for n in range(images):
            at, place = to + n * image_step + i * pixels, i * columns + n * here
            source, target = spare[place : place + here], y[at : at + here]
            for t in range(here):
                target[t] = source[t]
