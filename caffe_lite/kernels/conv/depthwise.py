"""Depthwise convolution, with a group for every channel: plane by plane, without matrices.

A plane is processed in bands of rows.  What the outputs of a band read is copied to a *frame*
(`simd.frames`); vectors along an output row are weighted sums of parts of the frame.  3x3 windows
with a pad of 1 need no frame.

Backward with a stride of s, rows e, e + s, ... of dX are a convolution of dY by some of the taps:
a *phase*.  So are the columns.  For s = 2 the two phases of the columns are merged when stored.

`window` is a `PlanarWindow`, or its eight numbers.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from caffe_lite.kernels.conv.depthwise_taps import (
    FIELDS,
    GROUP,
    Taps,
    correlate,
    correlate_narrow,
    set_band,
    weigh,
    weigh_every_second,
    weigh_pairs,
    weigh_plane,
)
from caffe_lite.kernels.geometry import PlanarWindow, Sizes
from caffe_lite.kernels.jit import inlined, jit
from caffe_lite.kernels.parallel import launch, parallel
from caffe_lite.kernels.plan import pack, unpack
from caffe_lite.kernels.simd import VECTOR_BYTES, band_rows, frame, frame_reach, pack_rows

SAME_SIZE = (3, 3, 1, 1, 1, 1, 1, 1)
"""The window of nine taps that leaves a plane its size."""
HALF_SIZE = (3, 3, 2, 2, 1, 1, 1, 1)
"""The window of nine taps that leaves half of the rows and columns."""


def forward(x: Any, w: Any, extra: Any, window: Any, y: Any) -> None:
    """y[n, o] = the convolution of plane x[n, o // (O / C)] by w[o], then what `extra` says.

    x: (N, C, H, W).  w: (O, 1, kh, kw).  extra: of `completion`.  y: (N, O, PH, PW).
    """
    if _keeps_size(window, x, y):
        _launch_planes(x, w, False, extra, y)
        return
    if _halves(window, x, y):
        launch(_halve_planes, math.prod(y.shape[:2]), _elements(y.size, w), x, w, extra, y)
        return
    plan, taps = _forward_plan(tuple(window), x.shape, y.shape, x.itemsize)
    arrays = x.reshape(-1), w.reshape(-1), extra, plan, taps, y.reshape(-1)
    launch(_forward, y.shape[0] * y.shape[1], _elements(y.size, w), *arrays)


def backward(dy: Any, w: Any, extra: Any, window: Any, dx: Any) -> None:
    """dx = the gradient of `forward` by x, then what `extra` says.

    dy: (N, O, PH, PW).  w: (O, 1, kh, kw).  extra: of `completion`.  dx: (N, C, H, W).
    """
    if _keeps_size(window, dx, dy):
        _launch_planes(dy, w, True, extra, dx)
        return
    plan, taps = _backward_plan(tuple(window), dx.shape, dy.shape, dy.itemsize)
    arrays = dy.reshape(-1), w.reshape(-1), extra, plan, taps, dx.reshape(-1)
    launch(_backward, dx.shape[0] * dx.shape[1], _elements(dx.size, w), *arrays)


def backward_params(x: Any, dy: Any, window: Any, dw: Any) -> None:
    """dw += the gradient of `forward` by w.

    x: (N, C, H, W).  dy: (N, O, PH, PW).  dw: (O, 1, kh, kw).
    """
    if _keeps_size(window, x, dy) and x.shape[3] * x.itemsize <= VECTOR_BYTES:
        launch(_backward_params_narrow, dy.shape[1], _elements(dy.size, dw), x, dy, dw)
        return
    plan, taps = _forward_plan(tuple(window), x.shape, dy.shape, x.itemsize)
    arrays = x.reshape(-1), dy.reshape(-1), plan, taps, dw.reshape(-1)
    launch(_backward_params, dy.shape[1], _elements(dy.size, dw), *arrays)


def _keeps_size(window: Any, x: Any, y: Any) -> bool:
    """Whether planes of y are as those of x, and need no frames."""
    return tuple(window) == SAME_SIZE and x.shape == y.shape


def _halves(window: Any, x: Any, y: Any) -> bool:
    """Whether planes of y have every second row and column of those of x, and need no frames.

    That takes masks for all loads, which only AVX-512 has registers for.
    """
    return tuple(window) == HALF_SIZE and x.shape[1] == y.shape[1] and VECTOR_BYTES == 64


def _launch_planes(source: Any, w: Any, flipped: bool, extra: Any, target: Any) -> None:
    """`forward` where `_keeps_size` says so; with flipped weights it is `backward`."""
    arrays = source.reshape(-1), w.reshape(-1), flipped, extra, target
    launch(_convolve_planes, math.prod(target.shape[:2]), _elements(target.size, w), *arrays)


def _elements(size: int, w: Any) -> float:
    """What `launch` is told of `size` sums of the taps of w: a tap takes a quarter of an element.

    A product of matrices has four times as many multiply-adds done by then.
    """
    return size * w[0].size / 4


class Plan(NamedTuple):
    """How a plane of outputs is computed.  The first five fields are those of `Frame`."""

    height: int
    """Of a plane of x, as the next one."""
    width: int
    left: int
    stride_w: int
    reach: int
    items: int
    outputs: int
    each: int
    """Outputs of a channel."""
    rows: int
    """Of a plane of outputs, as the next one."""
    columns: int
    band: int
    """Output rows that are computed at once."""
    stride_h: int
    pad_h: int
    seen: int
    """Rows of the frame that an output row reads."""
    taps: int


@lru_cache(maxsize=1024)
def _forward_plan(window: Sizes, x: Sizes, y: Sizes, itemsize: int) -> tuple[np.ndarray, ...]:
    """`Plan` and `Taps`, packed; the offsets are padded to whole groups."""
    w, (items, channels, height, width), (_, outputs, rows, columns) = PlanarWindow(*window), x, y
    lanes = VECTOR_BYTES // itemsize
    left = -(-w.pad_w // (w.stride_w * lanes)) * w.stride_w * lanes  # so the plane is aligned
    lead = left - w.pad_w
    reach = frame_reach(columns, lanes, width, w.kernel_w, w.stride_w, w.pad_w, w.dilation_w)
    reach = -(-(reach + -(-lead // w.stride_w)) // lanes) * lanes
    line, seen = w.stride_w * reach, (w.kernel_h - 1) * w.dilation_h + 1
    band, count = band_rows(rows, line * itemsize, seen, w.stride_h), w.kernel_h * w.kernel_w
    plan = Plan(
        *(height, width, left, w.stride_w, reach, items, outputs, outputs // channels),
        *(rows, columns, band, w.stride_h, w.pad_h, seen, count),
    )
    nine = w[:2] == (3, 3) and w.dilation_h == 1 and w.stride_h <= 2
    taps = Taps(nine, w.stride_h * line, 0, count, count, columns)
    shifts = [0] * (-(-count // GROUP) * GROUP)
    for t in range(count):
        down, along = t // w.kernel_w * w.dilation_h, t % w.kernel_w * w.dilation_w + lead
        shifts[t] = down * line + along % w.stride_w * reach + along // w.stride_w
    return pack(plan), pack((*taps, *shifts))


@inlined
def _set_ending(extra, o, outputs, ending):
    """What becomes of output o, as `weigh` takes it, from `completion`."""
    ending[0], ending[1] = extra[o], extra[outputs + o]
    ending[2], ending[3] = extra[2 * outputs + 2], extra[2 * outputs + 1]
    ending[4] = extra[2 * outputs + 3]


@inlined
def _frame_buffer(elements, x):
    """Zeros for a frame, and for the vector that reaches beyond its end; aligned to vectors."""
    lanes = VECTOR_BYTES // x.itemsize
    zeros = np.zeros(elements + 2 * lanes, x.dtype)
    return zeros[-zeros.ctypes.data % VECTOR_BYTES // x.itemsize :]


@parallel
def _forward(first, last, x, w, extra, plan, taps, y):
    """Planes of outputs, in bands of rows."""
    p, taps, lanes = unpack(Plan, plan), taps.copy(), VECTOR_BYTES // x.itemsize
    lines, zero = (p.band - 1) * p.stride_h + p.seen, x.dtype.type(0)
    padded = _frame_buffer(lines * p.stride_w * p.reach, x)
    result = np.empty(p.band * lanes if p.columns < lanes else 0, x.dtype)
    ending, size, o = np.empty(5, x.dtype), p.rows * p.columns, first % p.outputs
    for task in range(first, last):
        _set_ending(extra, o, p.outputs, ending)
        channel = task if p.each == 1 else task // p.each
        image, weights = x[channel * p.height * p.width :], w[o * p.taps :]
        # The last vector of a row may be stored beyond the row, but not in another piece's plane.
        direct = p.columns >= lanes or (task + 1) * size + lanes <= last * size
        row = 0
        while row < p.rows:
            rows, to = min(p.band, p.rows - row), y[task * size + row * p.columns :]
            lines, top = (rows - 1) * p.stride_h + p.seen, row * p.stride_h - p.pad_h
            frame(image, plan, top, lines, zero, padded)
            set_band(taps, rows, p.columns if direct else lanes)
            if direct:
                weigh(padded, taps, weights, ending, to)
            else:
                weigh(padded, taps, weights, ending, result)
                pack_rows(result, lanes, rows, p.columns, to)
            row += p.band
        o = o + 1 if o + 1 < p.outputs else 0


@parallel
def _backward_params(first, last, x, dy, plan, taps, dw):
    """The gradients of some outputs' weights, each over all items: sums of a vector's lanes."""
    p, taps, lanes = unpack(Plan, plan), taps.copy(), VECTOR_BYTES // x.itemsize
    zero, channels = x.dtype.type(0), p.outputs // p.each
    lines, each = (p.band - 1) * p.stride_h + p.seen, (taps.size - FIELDS) * lanes
    padded = _frame_buffer(lines * p.stride_w * p.reach, x)
    sums = np.zeros((last - first) * each, x.dtype)
    for item in range(p.items):
        for o in range(first, last):  # whose planes lie one after the other
            image = x[(item * channels + o // p.each) * p.height * p.width :]
            given = dy[(item * p.outputs + o) * p.rows * p.columns :]
            own, row = sums[(o - first) * each :], 0
            while row < p.rows:
                rows, top = min(p.band, p.rows - row), row * p.stride_h - p.pad_h
                frame(image, plan, top, (rows - 1) * p.stride_h + p.seen, zero, padded)
                set_band(taps, rows, p.columns)
                for tap in range(0, p.taps, GROUP):
                    correlate(padded, taps, tap, given[row * p.columns :], own)
                row += p.band
    _add_lanes(sums, each, p.taps, dw[first * p.taps : last * p.taps])


@jit
def _add_lanes(sums, each, taps, dw):
    """dw += the lanes' sum of each tap.  sums: `each` elements for each output.  dw: its taps."""
    lanes = VECTOR_BYTES // sums.itemsize
    for k in range(dw.size):
        total, start = sums.dtype.type(0), k // taps * each + k % taps * lanes
        for lane in range(lanes):
            total += sums[start + lane]
        dw[k] += total


@parallel
def _backward_params_narrow(first, last, x, dy, dw):
    """`_backward_params` for rows that are a vector at most."""
    each, (height, width) = 9 * VECTOR_BYTES // x.itemsize, x.shape[2:]
    sums = np.zeros((last - first) * each, x.dtype)
    image, given = x.reshape(-1), dy.reshape(-1)
    for item in range(x.shape[0]):
        for c in range(first, last):
            at = (item * x.shape[1] + c) * height * width
            own = sums[(c - first) * each :]
            correlate_narrow(image[at:], height, width, given[at:], own)
    _add_lanes(sums, each, 9, dw.reshape(-1)[first * 9 : last * 9])


class BackwardPlan(NamedTuple):
    """How a plane of dX is computed.  The first five fields are those of `Frame`.

    In the array, the order in which the phases take the weights follows.
    """

    rows: int
    """Of a plane of dY, as the next one."""
    columns: int
    left: int
    one: int
    """The stride: a frame of dY has one phase."""
    reach: int
    channels: int
    each: int
    """Outputs of a channel."""
    height: int
    """Of a plane of dX, as the next one."""
    width: int
    stride_h: int
    stride_w: int
    top: int
    """Rows of the frame before those of dY."""
    band: int
    """Rows of a phase that are computed at once."""
    seen: int
    """Rows of the frame that a row of a phase reads."""
    pitch: int
    """Elements of a row of a phase: whole vectors."""
    fits: bool
    """Whether the vectors of a row can be stored to dX itself."""
    taps: int
    """Of all outputs of a channel."""


@lru_cache(maxsize=1024)
def _backward_plan(window: Sizes, x: Sizes, y: Sizes, itemsize: int) -> tuple[np.ndarray, ...]:
    """`BackwardPlan`, packed; `Taps` of each phase of the rows, or of both with a stride > 2."""
    w, lanes = PlanarWindow(*window), VECTOR_BYTES // itemsize
    (_, channels, height, width), (_, outputs, rows, columns) = x, y
    each = outputs // channels
    top = max(0, ((w.kernel_h - 1) * w.dilation_h - w.pad_h) // w.stride_h)
    left = max(0, ((w.kernel_w - 1) * w.dilation_w - w.pad_w) // w.stride_w)
    tall, broad = -(-height // w.stride_h), -(-width // w.stride_w)  # of a phase
    pitch = -(-max(broad, lanes) // lanes) * lanes
    seen = top + -(-w.pad_h // w.stride_h) + 1
    reach = left + max(pitch + -(-w.pad_w // w.stride_w), -(-columns // lanes) * lanes)
    band = band_rows(tall, reach * each * itemsize, seen)
    fits = broad >= lanes and (w.stride_w == 1 or (w.stride_w == 2 and width % 2 == 0))
    phases = _sort_taps(w, each, top, left, reach, (band - 1 + seen) * reach)
    order = [tap for phase in phases for tap, _ in phase]
    plan = BackwardPlan(
        *(rows, columns, left, 1, reach, channels, each, height, width, w.stride_h, w.stride_w),
        *(top, band, seen, pitch, fits, len(order)),
    )
    nine = w[:4] == (3, 3, 1, 1) and each == 1 and w.dilation_h == 1
    merged = 2 if w.stride_w == 2 else 1  # phases of the columns that are computed together
    taps = np.zeros((len(phases) // merged, FIELDS + len(order)), np.int64)
    first = 0
    for e, line in enumerate(taps):
        own = phases[e * merged : (e + 1) * merged]
        shifts = [shift for phase in own for _, shift in phase]
        line[:FIELDS] = Taps(nine, reach, first, len(own[0]), len(shifts), broad)
        line[FIELDS : FIELDS + len(shifts)] = shifts
        first += len(shifts)
    return pack((*plan, *order)), taps


def _sort_taps(
    w: PlanarWindow, each: int, top: int, left: int, reach: int, size: int
) -> list[list[tuple[int, int]]]:
    """For each phase of dX its taps: the index of the weight and the offset in the frames.

    Frames, one for each of `each` outputs, are `size` elements apart; they begin `top` rows and
    `left` columns before dY.
    """
    phases: list[list[tuple[int, int]]] = [[] for _ in range(w.stride_h * w.stride_w)]
    count = w.kernel_h * w.kernel_w
    for e, phase in enumerate(phases):
        for t in range(each * count):
            o, k = t // count, count - 1 - t % count
            i = e // w.stride_w + w.pad_h - k // w.kernel_w * w.dilation_h
            j = e % w.stride_w + w.pad_w - k % w.kernel_w * w.dilation_w
            if i % w.stride_h == 0 and j % w.stride_w == 0:
                row, column = i // w.stride_h + top, j // w.stride_w + left
                phase.append((o * count + k, o * size + row * reach + column))
    return phases


@parallel
def _backward(first, last, dy, w, extra, plan, taps, dx):
    """Planes of dX, in bands of rows of all phases; see `_forward`."""
    p, taps, lanes = unpack(BackwardPlan, plan), taps.copy(), VECTOR_BYTES // dy.itemsize
    order = plan[plan.size - p.taps :]
    lines, zero, broad = p.band - 1 + p.seen, dy.dtype.type(0), p.pitch * p.stride_w
    size, area = lines * p.reach, p.height * p.width
    padded = np.zeros(p.each * size + lanes, dy.dtype)
    result = np.empty(0 if p.fits else p.band * p.stride_h * broad, dy.dtype)
    single = np.empty(p.band * p.pitch if p.stride_w > 2 else 0, dy.dtype)
    weights, ending = np.empty(p.taps, dy.dtype), np.empty(5, dy.dtype)
    talls = (p.height - np.arange(p.stride_h) + p.stride_h - 1) // p.stride_h  # of each phase
    tall, c = talls[0], first % p.channels
    for task in range(first, last):
        _set_ending(extra, c, p.channels, ending)
        for t in range(p.taps):
            weights[t] = w[c * p.taps + order[t]]
        alone = p.stride_w == 1 and p.stride_h == 1
        direct = p.fits or (alone and (task + 1) * area + lanes <= last * area)
        row = 0
        while row < tall:
            rows, to = min(p.band, tall - row), dx[task * area + row * p.stride_h * p.width :]
            for o in range(p.each):
                given = dy[(task * p.each + o) * p.rows * p.columns :]
                frame(given, plan, row - p.top, rows - 1 + p.seen, zero, padded[o * size :])
            target, pitch = (to, p.width) if direct else (result, broad)
            for e in range(p.stride_h):
                some = min(rows, talls[e] - row)
                if p.stride_w > 2:
                    _weigh_phases(padded, taps, weights, ending, (e, some, p), single, result)
                    continue
                set_band(taps[e], some, p.stride_h * pitch)
                if p.stride_w == 1:
                    weigh(padded, taps[e], weights, ending, target[e * pitch :])
                else:
                    weigh_pairs(padded, taps[e], weights, ending, target[e * pitch :])
            if not direct:
                left = min(rows * p.stride_h, p.height - row * p.stride_h)
                pack_rows(result, pitch, left, p.width, to)
            row += p.band
        c = c + 1 if c + 1 < p.channels else 0


@parallel
def _convolve_planes(first, last, source, w, flipped, extra, target):
    """Planes of the target, which are as those of the source."""
    channels, height, width = target.shape[1:]
    weights, ending, planes = np.empty(9, w.dtype), np.empty(5, w.dtype), target.reshape(-1)
    for task in range(first, last):
        c, at = task % channels, task * height * width
        _set_ending(extra, c, channels, ending)
        for t in range(9):
            weights[t] = w[c * 9 + (8 - t if flipped else t)]
        weigh_plane(source[at:], height, width, weights, ending, planes[at:])


@parallel
def _halve_planes(first, last, x, w, extra, y):
    """Planes of y where `_halves` says so."""
    channels, (height, width), (rows, columns) = y.shape[1], x.shape[2:], y.shape[2:]
    weights, ending = w.reshape(-1), np.empty(5, w.dtype)
    source, target = x.reshape(-1), y.reshape(-1)
    for task in range(first, last):
        c = task % channels
        _set_ending(extra, c, channels, ending)
        image, plane = source[task * height * width :], target[task * rows * columns :]
        weigh_every_second(image, height, width, columns, weights[c * 9 :], ending, plane)


@jit
def _weigh_phases(padded, taps, weights, ending, rows_of, single, result):
    """All phases of the columns, with a stride of more than 2: one at a time, then put together.

    rows_of: the phase of the rows, how many of these there are, the plan.
    """
    e, rows, p = rows_of
    columns = (p.width + p.stride_w - 1) // p.stride_w
    for q in range(p.stride_w):
        own = taps[e * p.stride_w + q]
        set_band(own, rows, p.pitch)
        weigh(padded, own, weights, ending, single)
        for r in range(rows):
            line = result[(r * p.stride_h + e) * p.pitch * p.stride_w :]
            for c in range(columns):
                line[c * p.stride_w + q] = single[r * p.pitch + c]
