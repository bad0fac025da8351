"""Max pooling of planes: in vectors, or window by window where there is a NaN.

Only `pooling` imports this file, and says what the arguments are.
"""

from __future__ import annotations

import numpy as np

from caffe_lite.kernels._jit import jit
from caffe_lite.kernels._planes import (
    BAND,
    band_rows,
    frame,
    frame_reach,
    line_lookup,
    pack_rows,
)
from caffe_lite.kernels._small_windows import FEW, first_greatest_of_few, greatest_of_few
from caffe_lite.kernels._windows import above, first_greatest, greatest
from caffe_lite.kernels.gemm import VECTOR_BYTES


@jit
def _window_maxima(plane, window, first, y, argmax):
    """The maxima of windows from row `first` on, one by one."""
    kernel_h, kernel_w, pad_h, pad_w, stride_h, stride_w = window
    height, width = plane.shape
    for i in range(y.shape[0]):
        for j in range(y.shape[1]):
            top, left = (first + i) * stride_h - pad_h, j * stride_w - pad_w
            bottom, right = min(top + kernel_h, height), min(left + kernel_w, width)
            at_h, at_w = max(top, 0), max(left, 0)
            best = plane[at_h, at_w]
            for h in range(max(top, 0), bottom):
                for w in range(max(left, 0), right):
                    if plane[h, w] > best or (plane[h, w] != plane[h, w] and best == best):
                        best, at_h, at_w = plane[h, w], h, w
            y[i, j] = best
            if argmax.size:
                argmax[i * y.shape[1] + j] = at_h * width + at_w


@jit
def _is_one_of_few(window, rows):
    """Whether there is straight code for the window."""
    kernel_h, kernel_w, _, _, stride_h, stride_w = window
    for kernel, stride in FEW:
        if kernel_h == kernel_w == kernel and stride_h == stride_w == stride:
            return rows >= BAND
    return False


@jit
def max_planes(worker, workers, x, window, y, argmax):
    """The maxima of a worker's planes, in bands of rows.

    The last vector of a row may reach over its end, the next row is written over that.  But not
    over what the next worker writes.
    """
    kernel_h, kernel_w, pad_h, pad_w, stride_h, stride_w = window
    (planes, height, width), (rows, columns) = x.shape, y.shape[1:]
    lanes, start, lowest = VECTOR_BYTES // x.itemsize, worker - worker, x.dtype.type(-np.inf)
    few, one = _is_one_of_few(window, rows), start + 1
    framed = not few or pad_h > 0 or pad_w > 0
    checked = not few or (framed and argmax.size > 0)  # padding must not win, nor hide a NaN
    phases = one if few else stride_w
    seen = columns * stride_w if few else columns
    reach = frame_reach(seen, width, kernel_w, phases, pad_w, one, lanes)
    pitch, line = (columns + lanes - 1) // lanes * lanes, phases * reach if framed else width
    band = band_rows(rows, line + pitch, kernel_h, stride_h, x.itemsize) if framed else rows
    lines = (band - 1) * stride_h + kernel_h
    room = np.full(lines * line + lanes if framed else start, lowest)
    work, result = (
        np.empty(start if few else lines * pitch, x.dtype),
        np.empty(band * pitch, x.dtype),
    )
    steps = np.empty(work.size if argmax.size else start, np.int32)
    found = np.empty(result.size if argmax.size else start, np.int32)
    good, shifts = np.ones(1, x.dtype), line_lookup(kernel_w, phases, reach)
    plane = np.array([height, width, pad_w, phases, reach])
    shape = np.array([kernel_h, kernel_w, stride_h, stride_w, line, pitch, columns, width])
    flat, out, places = x.reshape(-1), y.reshape(-1), argmax.reshape(-1)
    stop = (worker + 1) * planes // workers
    for p in range(worker * planes // workers, stop):
        direct = columns >= lanes or (p + 1) * rows * columns + lanes <= stop * rows * columns
        target, marks, step = (out, places, columns) if direct else (result, found, pitch)
        at, next_row = p * height * width, start
        while next_row < rows:
            first = next_row if rows - next_row >= BAND else max(start, rows - BAND)
            here, to = min(band, rows - first), (p * rows + first) * columns
            next_row = first + here
            end, top = to + here * columns, first * stride_h - pad_h
            lines, base = (here - 1) * stride_h + kernel_h, top * width - pad_w
            if checked:
                low, high = max(top, 0), min(top + lines, height)
                above(flat, at + low * width, (high - low) * width, good)
                if good[0] == 0:
                    singly, some = out[to:end].reshape(here, columns), places[to:end]
                    _window_maxima(x[p], window, first, singly, some if places.size else places)
                    continue
            if framed:
                frame(flat, at, plane, top, lines, lowest, room, start)
            source, source_at, tall = (room, start, lines) if framed else (flat, at, height)
            place = to if direct else start
            if few and places.size:
                first_greatest_of_few(
                    source, source_at, shape, tall, here, target, place, step, marks, place, base
                )
            elif few:
                greatest_of_few(source, source_at, shape, tall, here, target, place, step)
            elif places.size:
                first_greatest(
                    *(room, start, shifts, shape, here, work, target, place, step),
                    *(steps, start, marks, place, base),
                )
            else:
                greatest(room, start, shifts, shape, here, work, target, place, step)
            if not direct:
                pack_rows(result, start, pitch, here, columns, out, to)
                for q in range(here * columns if places.size else start):
                    places[to + q] = found[q // columns * pitch + q % columns]
