"""The weight's gradient of a planar convolution: dW += dY X^T over all pixels of all images.

Both matrices lie in memory as it takes them, with the pixels along their rows.  So a tile reads
the rows of one of them, here A, where they are; of the other, B, a panel at a time is turned.

A row of X is a tap of the kernel in an input channel.  Without stride and padding it lies in the
image itself.  Else some rows of the image are copied: padded with zeros, and cut into *phases*, of
which phase (y, x) of the strides (s, t) has the numbers at (y + i s, x + j t); a tap meets a
stretch of one phase.  `window` is as in `_patches`.

The pixels of a *chunk* are multiplied at once; a sum over a chunk begins with 0, so that it does
not lose what is small against the whole.  Only `convolution` imports this file.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from caffe_lite.kernels._jit import jit
from caffe_lite.kernels._row_tiles import TALL, add_rows, copy_rows, row_tile
from caffe_lite.kernels.gemm import (
    DEPTH,
    ROWS,
    SMALL,
    VECTOR_BYTES,
    gemm,
    get_num_threads,
    pack_across,
    spread,
    tile_sizes,
)

CHUNK = 1 << 18
"""Bytes of A in a chunk, which are read once for each panel of B."""
SUMS = 1 << 21
"""Bytes of the sums of a task, which are read and written once for each chunk."""
SLICES, FEW = 8, 1 << 14
"""So few weights are no work for several threads: slices of the images are, added up apart."""


def backward_params(x, dy, group, window, dw):
    """dW += dY X^T, in the same order for any number of threads.

    x: (N, C, H, W).  dy: (N, O, H', W').  dw: (O, C / group, kh, kw).
    """
    items, outputs = dy.shape[:2]
    if window[:2] == x.shape[2:] and window[4:6] == (0, 0) and group == 1:
        # All of x lies under the kernel, and there is one pixel.
        matrices = dy.reshape(items, outputs), x.reshape(items, -1), dw.reshape(outputs, -1)
        gemm(*matrices, transpose_a=True, accumulate=True)
        return
    if window[:6] == (1, 1, 1, 1, 0, 0):
        x, dy = (array.reshape(*array.shape[:2], 1, -1) for array in (x, dy))
    threads = 1 if dy.size * dw[0].size <= SMALL else get_num_threads()
    workers, slices, numbers = _numbers(x.shape, dy.shape, group, window, x.itemsize, threads)
    sums = np.zeros((slices, *dw.shape), dw.dtype) if slices > 1 else dw
    flat = [array.reshape(-1) for array in (x, dy, sums)]
    spread(_task, workers, flat[0], flat[1], flat[1][:0], flat[2], numbers)
    if slices > 1:
        for part in sums:
            dw += part


@lru_cache(maxsize=1024)
def _numbers(x, dy, group, window, itemsize, threads):
    """How many workers arrays of such shapes take, slices, and what the workers need to know."""
    plan = _plan(x, dy, group, window, itemsize, threads)
    rows, reach, _, across, *_, slices, tall, wide = plan
    places = _tap_places(window, rows, reach, across)
    workers = min(threads, slices * group * tall * wide)
    return workers, slices, np.array([*x, *dy, group, *window, *plan, *places], np.int64)


def _plan(x, dy, group, window, itemsize, threads):
    """How the work is cut; chunks and slices are the same for any number of threads.

    Returns rows and columns of a phase, how many phases there are, and side by side, or none if
    taps lie in the image; whether X is turned and not dY; lines of a chunk, pixels of a line,
    images of a chunk; and slices, parts of A, and parts of B.
    """
    kh, kw, sh, sw, ph, pw, dh, dw = window
    (items, channels, h, w), (outputs, oh, ow) = x, dy[1:]
    k, outputs = channels // group * kh * kw, outputs // group
    slices = min(items, SLICES) if k * outputs * group <= FEW else 1
    span = -(-ow // max(1, round(ow / DEPTH)))
    lines = 1 if span < ow else -(-oh // -(-oh // max(1, DEPTH // ow)))
    images = max(1, min(-(-items // slices), DEPTH // (oh * ow)))
    direct = (sh, sw, ph, pw) == (1, 1, 0, 0)
    turned = direct and k < outputs
    rows, reach, across, phases = h, w, 1, 0
    line = lines * span
    if not direct:
        rows, reach = lines + (kh - 1) * dh // sh, span + (kw - 1) * dw // sw
        across = min(sw, (kw - 1) * dw + 1)
        phases = min(sh, (kh - 1) * dh + 1) * across
        line = phases * rows * reach // (kh * kw)
    a_rows, b_rows = (outputs, k) if turned else (k, outputs)
    tall = min(a_rows, -(-a_rows * line * images * itemsize // CHUNK))
    width = 2 * VECTOR_BYTES // itemsize
    panels = -(-b_rows // width)
    wide = min(panels, -(-a_rows * b_rows * itemsize // (tall * SUMS)))
    tasks = slices * group * tall * wide
    if tasks % threads and tasks < 4 * threads:
        # Who cuts A turns B again, who cuts B copies A again.
        if a_rows >= 8 * ROWS * threads:
            tall *= threads
        else:
            wide *= max(1, min(threads, panels // wide))
    return rows, reach, phases, across, turned, lines, span, images, slices, tall, wide


# -- the taps of an image ------------------------------------------------------------------------


def _tap_places(window, rows, reach, across):
    """Where each tap begins in the phases of a channel."""
    kh, kw, sh, sw, _, _, dh, dw = window
    i, j = np.arange(0, kh * dh, dh).reshape(-1, 1), np.arange(0, kw * dw, dw)
    phase = i % sh * across + j % sw
    return ((phase * rows + i // sh) * reach + j // sw).reshape(-1)


@jit
def _fill_phases(x, at, channels, size, window, first, shape, stripe, to, step):
    """The phases of some channels of an image under the pixels from `first` = (top, left) on.

    stripe[to + c step + (phase, i, j)] = what x from `at` on has in channel c at row
    (top + i) sh + y - ph and column (left + j) sw + x - pw for phase (y, x), or 0 outside.
    size: of the image.  window: strides and pads.  shape: rows and columns of a phase, how many
    there are, and how many of them side by side.
    """
    (h, w), (sh, sw, ph, pw), (top, left) = size, window, first
    rows, reach, phases, across = shape
    for phase in range(phases):
        y, x0 = phase // across - ph + top * sh, phase % across - pw + left * sw
        above = min(rows, max(0, (sh - 1 - y) // sh))
        below = max(above, min(rows, (h - 1 - y) // sh + 1))
        low = min(reach, max(0, (sw - 1 - x0) // sw))
        high = max(low, min(reach, (w - 1 - x0) // sw + 1))
        source = at + (y + above * sh) * w + x0 + low * sw
        for c in range(channels):
            place = to + c * step + phase * rows * reach
            for i in range(rows):
                begin, end = (low, high) if above <= i < below else (reach, reach)
                for j in range(begin):
                    stripe[place + i * reach + j] = 0
                for j in range(end, reach):
                    stripe[place + i * reach + j] = 0
            if low < high:
                place += above * reach + low
                copy_rows(below - above, x, source, sh * w, sw, high - low, stripe, place, reach)
            source += h * w


# -- a task --------------------------------------------------------------------------------------


@jit
def _add_product(a_side, a_rows, b_side, b_rows, panel, c, accumulate):
    """C = or += A B^T, with C in panels as wide as a tile.

    A side is an array and where it begins, the offsets of its rows, the starts of the lines of a
    row, how many lines there are, and pixels of a line.
    """
    a, a_at, a_offsets, a_starts, a_lines, a_count = a_side
    b, b_at, b_offsets, b_starts, b_lines, b_count = b_side
    height, width = tile_sizes(c)
    zero = a_rows - a_rows  # no constant to numba, which would compile a callee for it
    for j in range(0, b_rows, width):
        columns = min(width, b_rows - j)
        for n in range(b_lines):
            at, to = b_at + b_starts[n], n * b_count * width
            pack_across(b, at, b_offsets[j:], columns, b_count, width, panel, to)
        vectors = (2 * columns + width - 1) // width
        most = height if vectors == 2 else TALL
        tiles = (a_rows + most - 1) // most
        for tile in range(tiles):
            i, end = tile * a_rows // tiles, (tile + 1) * a_rows // tiles
            row_tile(
                end - i,
                vectors,
                a,
                a_at,
                a_offsets,
                i,
                a_starts,
                a_lines,
                a_count,
                panel,
                zero,
                c,
                j * a_rows + i * width,
                accumulate,
            )


@jit
def _add_sums(c, a_rows, b_rows, turned, offsets, room, dw, at, k):
    """Add C to a block of dW: C^T, or C itself if `turned`."""
    _, width = tile_sizes(c)
    zero = a_rows - a_rows
    for j in range(0, b_rows, width):
        columns = min(width, b_rows - j)
        if turned:
            add_rows(a_rows, c, j * a_rows, width, columns, dw, at + j, k)
        else:
            pack_across(c, j * a_rows, offsets, a_rows, width, a_rows, room, zero)
            add_rows(columns, room, zero, a_rows, a_rows, dw, at + j * k, k)


@jit
def _task(worker, workers, x, dy, extra, dw, numbers):
    """A task: a block of dW, added up over the pixels of a slice of the images."""
    items, inputs, h, w = numbers[0], numbers[1], numbers[2], numbers[3]
    outputs, oh, ow, group = numbers[5], numbers[6], numbers[7], numbers[8]
    window = numbers[11], numbers[12], numbers[13], numbers[14]
    shape = numbers[17], numbers[18], numbers[19], numbers[20]
    rows, reach, phases = numbers[17], numbers[18], numbers[19]
    turned, step, span, images = numbers[21] != 0, numbers[22], numbers[23], numbers[24]
    slices, tall, wide, places = numbers[25], numbers[26], numbers[27], numbers[28:]
    taps, channels, depth, plane = places.size, inputs // group, outputs // group, h * w
    k, pixels = taps * channels, oh * ow
    _, width = tile_sizes(x)
    a_rows, b_rows = (depth, k) if turned else (k, depth)
    panels = (b_rows + width - 1) // width
    most_down, most_across = (a_rows + tall - 1) // tall, (panels + wide - 1) // wide * width
    channel_step, image_step = plane, inputs * plane
    if phases:
        channel_step = phases * rows * reach
        image_step = ((most_down + taps - 2) // taps + 1) * channel_step
    start = worker - worker  # no constant to numba, which would compile a callee for it
    stripe = np.empty(images * image_step if phases else start, x.dtype)
    panel = np.empty(images * step * span * width + width, x.dtype)
    c = np.empty(most_down * most_across, x.dtype)
    room = np.empty(most_down * width + width, x.dtype)
    x_offsets = np.empty(most_down + most_across, np.int64)
    dy_offsets = np.empty(most_down + most_across, np.int64)
    c_offsets = np.empty(most_down, np.int64)
    x_starts = np.empty(images * step, np.int64)
    dy_starts = np.empty(images, np.int64)
    for i in range(dy_offsets.size):
        dy_offsets[i] = i * pixels
    for i in range(most_down):
        c_offsets[i] = i * width
    for n in range(images):
        dy_starts[n] = n * outputs * pixels
    for task in range(worker, slices * group * tall * wide, workers):
        part, rest = task % (tall * wide), task // (tall * wide)
        g, piece = rest % group, rest // group
        a_first, down = part % tall * a_rows // tall, (part % tall + 1) * a_rows // tall
        b_first = part // tall * panels // wide * width
        over = min(b_rows, (part // tall + 1) * panels // wide * width) - b_first
        down -= a_first
        o_first, k_first, k_count = b_first, a_first, down
        if turned:
            o_first, k_first, k_count = a_first, b_first, over
        first = k_first // taps
        count = (k_first + k_count - 1) // taps + 1 - first
        tap, channel = k_first % taps, start
        for i in range(k_count):
            x_offsets[i] = channel + places[tap]
            tap += 1
            if tap == taps:
                tap, channel = start, channel + channel_step
        accumulate = worker < 0  # False, but no constant to numba
        stop = (piece + 1) * items // slices
        for image in range(piece * items // slices, stop, images):
            here = min(images, stop - image)
            for top in range(0, oh, step):
                for left in range(0, ow, span):
                    lines, along = min(step, oh - top), min(span, ow - left)
                    dy_at = ((image * outputs + g * depth + o_first) * oh + top) * ow + left
                    dy_side = dy, dy_at, dy_offsets, dy_starts, here, lines * along
                    x_at = ((image * group + g) * channels + first) * plane
                    if phases:
                        for n in range(here):
                            _fill_phases(
                                x,
                                x_at + n * inputs * plane,
                                count,
                                (h, w),
                                window,
                                (top, left),
                                shape,
                                stripe,
                                n * image_step,
                                channel_step,
                            )
                        x_at = start
                    else:
                        x_at += top * w + left
                    if reach == span:  # the lines are one
                        lines, along = 1, lines * along
                    for n in range(here):
                        for line in range(lines):
                            x_starts[n * lines + line] = n * image_step + line * reach
                    source = stripe if phases else x
                    x_side = source, x_at, x_offsets, x_starts, here * lines, along
                    a_side, b_side = (dy_side, x_side) if turned else (x_side, dy_side)
                    _add_product(a_side, down, b_side, over, panel, c, accumulate)
                    accumulate = worker >= 0
        at = (piece * outputs + g * depth + o_first) * k + k_first
        _add_sums(c, down, over, turned, c_offsets, room, dw, at, k)
