"""Planar convolution in which every channel is a group: planes by planes, no matrices.

A plane is copied once, padded with zeros and cut into *phases*: for strides s_h and s_w, phase
(p, q) holds the rows p, p + s_h, ... and of them the columns q, q + s_w, ...  All phases have rows
of one length, `reach`, so what a tap meets at all pixels is one stretch of memory that begins
where the tap says.  The outputs are computed with rows of that length too; what lies between the
end of an output row and `reach` is not used.

`window` is eight numbers: kernel, stride, pad and dilation, each for the height and the width.
Only `convolution` imports this file.
"""

from __future__ import annotations

import numpy as np

from caffe_lite.kernels._jit import jit
from caffe_lite.kernels.gemm import (
    BUNDLE,
    VECTOR_BYTES,
    complete,
    dot,
    get_num_threads,
    slide,
    spread,
)

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
def _phase_sizes(oh, ow, window):
    """Rows of a phase and their length."""
    kh, kw, sh, sw, _, _, dh, dw = window
    return oh + (kh - 1) * dh // sh, ow + (kw - 1) * dw // sw


@jit
def _shifts(window, rows, reach, shifts):
    """Where in the phases each tap meets the first pixel."""
    kh, kw, sh, sw, _, _, dh, dw = window
    for i in range(kh):
        for j in range(kw):
            phase = i * dh % sh * sw + j * dw % sw
            shifts[i * kw + j] = (phase * rows + i * dh // sh) * reach + j * dw // sw


@jit
def _cut(plane, h, w, rows, reach, window, phases):
    """phases[p, q, r, c] = plane[r s_h + p - pad, c s_w + q - pad]; 0 outside the plane."""
    kh, kw, sh, sw, ph, pw, dh, dw = window
    for p in range(min(sh, (kh - 1) * dh + 1)):
        for q in range(min(sw, (kw - 1) * dw + 1)):
            low = min(reach, max(0, (pw - q + sw - 1) // sw))
            high = max(low, min(reach, (w - 1 - q + pw) // sw + 1))
            for r in range(rows):
                place = ((p * sw + q) * rows + r) * reach
                line, y = phases[place : place + reach], r * sh + p - ph
                if y < 0 or y >= h or low == high:
                    line[:] = 0
                    continue
                for c in range(low):
                    line[c] = 0
                for c in range(high, reach):
                    line[c] = 0
                begin = y * w + low * sw + q - pw
                source, inside = plane[begin : begin + (high - low - 1) * sw + 1], line[low:high]
                if sw == 1:
                    for c in range(inside.size):
                        inside[c] = source[c]
                else:
                    for c in range(inside.size):
                        inside[c] = source[c * sw]


@jit
def _copy_rows(source, pitch, rows, columns, target, at, step):
    """target[at + r step + c] = source[r pitch + c]."""
    for r in range(rows):
        from_row = source[r * pitch : r * pitch + columns]
        to_row = target[at + r * step : at + r * step + columns]
        for c in range(columns):
            to_row[c] = from_row[c]


@jit
def _forward(worker, workers, x, w, extra, y, numbers):
    items, channels, h, wide = numbers[0], numbers[1], numbers[2], numbers[3]
    outputs, oh, ow = numbers[5], numbers[6], numbers[7]
    kh, kw, sh, sw = numbers[8], numbers[9], numbers[10], numbers[11]
    window = kh, kw, sh, sw, numbers[12], numbers[13], numbers[14], numbers[15]
    rows, reach = _phase_sizes(oh, ow, window)
    taps, slack = kh * kw, BUNDLE * (VECTOR_BYTES // x.itemsize)
    phases = np.zeros(sh * sw * rows * reach + slack + reach, x.dtype)
    result = np.empty(oh * reach + slack, x.dtype)
    shifts = np.empty(taps, np.int64)
    _shifts(window, rows, reach, shifts)
    tasks, start, each = items * outputs, worker - worker, outputs // channels
    for task in range(worker * tasks // workers, (worker + 1) * tasks // workers):
        item, o = task // outputs, task % outputs
        at = (item * channels + o // each) * h * wide
        _cut(x[at : at + h * wide], h, wide, rows, reach, window, phases)
        slide(phases, start, shifts, taps, w, o * taps, result, start, oh * reach, worker < 0)
        to = task * oh * ow
        _copy_rows(result, reach, oh, ow, y, to, ow)
        complete(y, to, oh * ow, 1, oh * ow, o, outputs, extra)


@jit
def _spread_out(plane, oh, ow, window, rows, reach, target):
    """target[r, c] = the number of plane whose first tap falls there: dY with 0 for the strides.

    Its row 0 is as far above the image as the last tap reaches.
    """
    kh, kw, sh, sw, ph, pw, dh, dw = window
    target[: rows * reach] = 0
    top, left = (kh - 1) * dh - ph, (kw - 1) * dw - pw
    low = max(0, (-left + sw - 1) // sw)
    high = min(ow, (reach - 1 - left) // sw + 1)
    for y in range(oh):
        r = y * sh + top
        if 0 <= r < rows:
            line, source = target[r * reach : (r + 1) * reach], plane[y * ow : (y + 1) * ow]
            for c in range(low, high):
                line[c * sw + left] = source[c]


@jit
def _backward(worker, workers, dy, w, extra, dx, numbers):
    items, outputs, oh, ow = numbers[0], numbers[1], numbers[2], numbers[3]
    channels, h, wide = numbers[5], numbers[6], numbers[7]
    kh, kw, dh, dw = numbers[8], numbers[9], numbers[14], numbers[15]
    window = kh, kw, numbers[10], numbers[11], numbers[12], numbers[13], dh, dw
    rows, reach = h + (kh - 1) * dh, wide + (kw - 1) * dw
    taps, slack = kh * kw, BUNDLE * (VECTOR_BYTES // dy.itemsize)
    spaced = np.zeros(rows * reach + slack + reach, dy.dtype)
    result = np.empty(h * reach + slack, dy.dtype)
    flipped = np.empty(taps, dy.dtype)
    shifts = np.empty(taps, np.int64)
    for t in range(taps):
        shifts[t] = t // kw * dh * reach + t % kw * dw
    tasks, start, each = items * channels, worker - worker, outputs // channels
    for task in range(worker * tasks // workers, (worker + 1) * tasks // workers):
        item, c = task // channels, task % channels
        for o in range(c * each, (c + 1) * each):
            at = (item * outputs + o) * oh * ow
            _spread_out(dy[at : at + oh * ow], oh, ow, window, rows, reach, spaced)
            for t in range(taps):
                flipped[t] = w[(o + 1) * taps - 1 - t]
            more = o > c * each
            slide(spaced, start, shifts, taps, flipped, start, result, start, h * reach, more)
        to = task * h * wide
        _copy_rows(result, reach, h, wide, dx, to, wide)
        complete(dx, to, h * wide, 1, h * wide, c, channels, extra)


@jit
def _backward_params(worker, workers, x, dy, extra, dw, numbers):
    items, channels, h, wide = numbers[0], numbers[1], numbers[2], numbers[3]
    outputs, oh, ow = numbers[5], numbers[6], numbers[7]
    kh, kw, sh, sw = numbers[8], numbers[9], numbers[10], numbers[11]
    window = kh, kw, sh, sw, numbers[12], numbers[13], numbers[14], numbers[15]
    rows, reach = _phase_sizes(oh, ow, window)
    taps = kh * kw
    phases = np.zeros(sh * sw * rows * reach + reach, x.dtype)
    spaced = np.zeros(oh * reach, x.dtype)
    shifts = np.empty(taps, np.int64)
    total = np.empty(1, x.dtype)
    _shifts(window, rows, reach, shifts)
    start, each = worker - worker, outputs // channels
    for o in range(worker * outputs // workers, (worker + 1) * outputs // workers):
        for item in range(items):
            at = (item * channels + o // each) * h * wide
            _cut(x[at : at + h * wide], h, wide, rows, reach, window, phases)
            at = (item * outputs + o) * oh * ow
            _copy_rows(dy[at : at + oh * ow], ow, oh, ow, spaced, start, reach)
            for t in range(taps):
                dot(phases, shifts[t], spaced, start, oh * reach - reach + ow, total, start)
                dw[o * taps + t] += total[0]
