"""Planar convolution in which every channel is a group: planes by planes, no matrices.

A plane goes in bands of rows.  What the outputs of a band look at is copied into a *frame* (see
`_planes`); vectors along an output row are weighted sums of stretches of the frame.

Back by a stride of s, the rows e, e + s, ... of dX are a convolution of dY by some of the taps,
and so are the columns.  For s = 2 the vectors of both kinds of columns are merged when stored.

`window` is eight numbers: kernel, stride, pad and dilation, each for the height and the width.
Only `convolution` imports this file.
"""

from __future__ import annotations

import numpy as np

from caffe_lite.kernels._jit import jit
from caffe_lite.kernels._planes import band_rows, frame, frame_reach, pack_rows
from caffe_lite.kernels._slides import GROUP, correlate, weigh, weigh_pairs
from caffe_lite.kernels.gemm import VECTOR_BYTES, get_num_threads, spread

SMALL = 1 << 16
"""Multiply-adds below which a second thread costs more than it brings."""


def _run(work, tasks, multiplications, window, arrays):
    """Spread a worker over arrays (input, weight, extra, output)."""
    threads = 1 if multiplications <= SMALL else get_num_threads()
    x, _, _, y = arrays
    numbers = np.array([*x.shape, *y.shape, *window], np.int64)
    flat = (array.reshape(-1) for array in arrays)
    spread(work, max(1, min(threads, tasks)), *flat, numbers)


def forward(x, w, extra, window, y):
    """y[n, o] = the plane x[n, o // (O / C)] under w[o], then what `extra` says.

    x: (N, C, H, W).  w: (O, 1, kh, kw).  extra: of `gemm.completion`.  y: (N, O, H', W').
    """
    tasks = y.shape[0] * y.shape[1]
    _run(_forward, tasks, y.size * w[0].size, window, (x, w, extra, y))


def backward(dy, w, extra, window, dx):
    """The gradient of `forward` by x, then what `extra` says.  dy: (N, O, H', W')."""
    tasks = dx.shape[0] * dx.shape[1]
    _run(_backward, tasks, dx.size * w[0].size, window, (dy, w, extra, dx))


def backward_params(x, dy, window, dw):
    """dw += the gradient of `forward` by w."""
    threads = 1 if dy.size * dw[0].size <= SMALL else get_num_threads()
    numbers = np.array([*x.shape, *dy.shape, *window], np.int64)
    x, dy, dw = (array.reshape(-1) for array in (x, dy, dw))
    outputs = int(numbers[5])
    spread(_backward_params, min(threads, outputs), x, dy, x[:0], dw, numbers)


@jit
def _lookup(window, reach, shifts):
    """Where in a frame each tap meets the first pixel.  Returns whether they are `nine`."""
    kh, kw, sh, sw, _, _, dh, dw = window
    for t in range(kh * kw):
        i, j = t // kw, t % kw
        shifts[t] = (i * dh * sw + j * dw % sw) * reach + j * dw // sw
    return kh == 3 and kw == 3 and dh == 1 and sh <= 2


@jit
def _set_ending(extra, o, outputs, ending):
    """What becomes of output o, as `weigh` takes it, from `gemm.completion`."""
    ending[0], ending[1] = extra[o], extra[outputs + o]
    ending[2], ending[3] = extra[2 * outputs + 2], extra[2 * outputs + 1]


@jit
def _forward(worker, workers, x, w, extra, y, numbers):
    """Outputs after each other.

    The last vector of a row may reach over its end, the next row is written over that.  But not
    over what the next worker writes.
    """
    items, channels, h, wide = numbers[0], numbers[1], numbers[2], numbers[3]
    outputs, oh, ow = numbers[5], numbers[6], numbers[7]
    kh, kw, sh, sw = numbers[8], numbers[9], numbers[10], numbers[11]
    ph, pw, dh, dw = numbers[12], numbers[13], numbers[14], numbers[15]
    window = kh, kw, sh, sw, ph, pw, dh, dw
    taps, lanes, each = kh * kw, VECTOR_BYTES // x.itemsize, outputs // channels
    start, zero = worker - worker, x.dtype.type(0)
    reach = frame_reach(ow, wide, kw, sw, pw, dw, lanes)
    line, looked_at = sw * reach, (kh - 1) * dh + 1
    band = band_rows(oh, line, looked_at, sh, x.itemsize)
    room = np.zeros(((band - 1) * sh + looked_at) * line + lanes, x.dtype)
    result = np.empty(band * lanes if ow < lanes else 0, x.dtype)
    shape, shifts = np.array([h, wide, pw, sw, reach]), np.empty(taps, np.int64)
    ending = np.empty(4, x.dtype)
    nine = _lookup(window, reach, shifts)
    first, stop = worker * items * outputs // workers, (worker + 1) * items * outputs // workers
    o = first % outputs
    for task in range(first, stop):
        _set_ending(extra, o, outputs, ending)
        at = (task if each == 1 else task // each) * h * wide
        direct = ow >= lanes or (task + 1) * oh * ow + lanes <= stop * oh * ow
        target, pitch = (y, ow) if direct else (result, lanes)
        top = start
        while top < oh:
            rows, to = min(band, oh - top), (task * oh + top) * ow
            frame(x, at, shape, top * sh - ph, (rows - 1) * sh + looked_at, zero, room, start)
            place = to if direct else start
            weigh(
                nine,
                room,
                start,
                sh * line,
                shifts,
                start,
                taps,
                w,
                o * taps,
                ending,
                rows,
                ow,
                target,
                place,
                pitch,
            )
            if not direct:
                pack_rows(result, start, pitch, rows, ow, y, to)
            top += band
        o = o + 1 if o + 1 < outputs else start


@jit
def _sort_taps(window, each, top, left, reach, size, order, shifts, bounds):
    """The taps by the phases of dX that they reach: those of phase e are bounds[e] to bounds[e+1].

    order: the tap, of all of `each` outputs.  shifts: where in the frames, `size` apart, it meets
    the phase's first pixel; frames begin `top` and `left` before dY.
    """
    kh, kw, sh, sw, ph, pw, dh, dw = window
    count = 0
    for e in range(sh * sw):
        bounds[e] = count
        for t in range(each * kh * kw):
            o, k = t // (kh * kw), kh * kw - 1 - t % (kh * kw)
            y, x = e // sw + ph - k // kw * dh, e % sw + pw - k % kw * dw
            if y % sh == 0 and x % sw == 0:
                order[count] = o * kh * kw + k
                shifts[count] = o * size + (y // sh + top) * reach + x // sw + left
                count += 1
    bounds[sh * sw] = count


@jit
def _weigh_phases(room, reach, shifts, weights, bounds, ending, stride, rows, columns, sheet):
    """All phases of some rows, where a stride is more than 2: `sheet` holds one at a time.

    sheet[r, c, q] = the number of phase q.
    """
    pitch, start, zero = sheet.shape[1], reach - reach, ending[1]
    single = np.full(rows * pitch, zero)
    for q in range(stride):
        low, high = bounds[q], bounds[q + 1]
        weigh(
            False,
            room,
            start,
            reach,
            shifts,
            low,
            high,
            weights,
            start,
            ending,
            rows,
            columns,
            single,
            start,
            pitch,
        )
        for r in range(rows):
            for c in range(columns):
                sheet[r, c, q] = single[r * pitch + c]


@jit
def _backward(worker, workers, dy, w, extra, dx, numbers):
    """Planes of dX after each other; see `_forward`."""
    items, outputs, oh, ow = numbers[0], numbers[1], numbers[2], numbers[3]
    channels, h, wide = numbers[5], numbers[6], numbers[7]
    kh, kw, sh, sw = numbers[8], numbers[9], numbers[10], numbers[11]
    ph, pw, dh, dw = numbers[12], numbers[13], numbers[14], numbers[15]
    window = kh, kw, sh, sw, ph, pw, dh, dw
    lanes, start, each = VECTOR_BYTES // dy.itemsize, worker - worker, outputs // channels
    taps, zero = each * kh * kw, dy.dtype.type(0)
    top, left = max(0, ((kh - 1) * dh - ph) // sh), max(0, ((kw - 1) * dw - pw) // sw)
    tall, broad = (h + sh - 1) // sh, (wide + sw - 1) // sw  # rows and columns of a phase of dX
    whole = (max(broad, lanes) + lanes - 1) // lanes * lanes
    looked_at = top + (ph + sh - 1) // sh + 1
    reach = left + max(whole + (pw + sw - 1) // sw, (ow + lanes - 1) // lanes * lanes)
    band = band_rows(tall, reach * each, looked_at, start + 1, dy.itemsize)
    size = (band - 1 + looked_at) * reach
    room, shape = np.zeros(each * size + lanes, dy.dtype), np.array([oh, ow, left, 1, reach])
    fits = broad >= lanes and (sw == 1 or (sw == 2 and wide % 2 == 0))
    result = np.empty(0 if fits else band * sh * whole * sw, dy.dtype)
    order, shifts = np.empty((2, taps), np.int64)
    bounds, heights = np.empty(sh * sw + 1, np.int64), (h - np.arange(sh) + sh - 1) // sh
    weights, ending = np.empty(taps, dy.dtype), np.empty(4, dy.dtype)
    _sort_taps(window, each, top, left, reach, size, order, shifts, bounds)
    nine = kh == 3 and kw == 3 and each == 1 and dh == 1 and sh == 1 and sw == 1
    first, stop = worker * items * channels // workers, (worker + 1) * items * channels // workers
    c = first % channels
    for task in range(first, stop):
        _set_ending(extra, c, channels, ending)
        for t in range(taps):
            weights[t] = w[c * taps + order[t]]
        spills = sw == 1 and sh == 1 and (task + 1) * h * wide + lanes <= stop * h * wide
        direct = fits or spills
        target, pitch = (dx, wide) if direct else (result, whole * sw)
        a = start
        while a < tall:
            rows, to = min(band, tall - a), (task * h + a * sh) * wide
            for o in range(each):
                at = (task * each + o) * oh * ow
                frame(dy, at, shape, a - top, rows - 1 + looked_at, zero, room, o * size)
            for e in range(sh):
                here, place = min(rows, heights[e] - a), (to if direct else start) + e * pitch
                low, high = bounds[e * sw], bounds[e * sw + sw]
                if sw == 1:
                    weigh(
                        nine,
                        room,
                        start,
                        reach,
                        shifts,
                        low,
                        high,
                        weights,
                        start,
                        ending,
                        here,
                        broad,
                        target,
                        place,
                        sh * pitch,
                    )
                elif sw == 2:
                    half = bounds[e * sw + 1]
                    weigh_pairs(
                        room,
                        start,
                        reach,
                        shifts,
                        low,
                        half,
                        high,
                        weights,
                        start,
                        ending,
                        here,
                        broad,
                        target,
                        place,
                        sh * pitch,
                    )
                else:
                    sheet = result.reshape(band, sh, whole, sw)[:, e]
                    some = bounds[e * sw : e * sw + sw + 1]
                    rest = shifts, weights, some, ending, sw, here, broad
                    _weigh_phases(room, reach, *rest, sheet)
            if not direct:
                pack_rows(result, start, pitch, min(rows * sh, h - a * sh), wide, dx, to)
            a += band
        c = c + 1 if c + 1 < channels else start


@jit
def _backward_params(worker, workers, x, dy, extra, dw, numbers):
    """Outputs after each other, each with the planes of all items; sums of a vector's lanes."""
    items, channels, h, wide = numbers[0], numbers[1], numbers[2], numbers[3]
    outputs, oh, ow = numbers[5], numbers[6], numbers[7]
    kh, kw, sh, sw = numbers[8], numbers[9], numbers[10], numbers[11]
    ph, pw, dh, across = numbers[12], numbers[13], numbers[14], numbers[15]
    window = kh, kw, sh, sw, ph, pw, dh, across
    taps, lanes, each = kh * kw, VECTOR_BYTES // x.itemsize, outputs // channels
    start, zero = worker - worker, x.dtype.type(0)
    groups = (taps + GROUP - 1) // GROUP
    reach = frame_reach(ow, wide, kw, sw, pw, across, lanes)
    line, looked_at = sw * reach, (kh - 1) * dh + 1
    band = band_rows(oh, line, looked_at, sh, x.itemsize)
    room = np.zeros(((band - 1) * sh + looked_at) * line + lanes, x.dtype)
    shape, shifts = np.array([h, wide, pw, sw, reach]), np.zeros(groups * GROUP, np.int64)
    sums = np.empty(groups * GROUP * lanes, x.dtype)
    nine = _lookup(window, reach, shifts)
    for o in range(worker * outputs // workers, (worker + 1) * outputs // workers):
        sums[:] = 0
        for item in range(items):
            at, given = (item * channels + o // each) * h * wide, (item * outputs + o) * oh * ow
            top = start
            while top < oh:
                rows = min(band, oh - top)
                frame(x, at, shape, top * sh - ph, (rows - 1) * sh + looked_at, zero, room, start)
                for g in range(groups):
                    correlate(
                        nine,
                        room,
                        start,
                        sh * line,
                        shifts,
                        g * GROUP,
                        dy,
                        given + top * ow,
                        rows,
                        ow,
                        sums,
                    )
                top += band
        for t in range(taps):
            total = zero
            for lane in range(lanes):
                total += sums[t * lanes + lane]
            dw[o * taps + t] += total
