"""The stripe of implicit GEMM: a few rows of an image, padded with zeros.

For a stride s a stripe holds the columns x, x + s, x + 2 s, ... next to each other, its *phases*:
one tap of the kernel then reads contiguous memory, whatever the padding, stride and dilation.
p: a `Plan` of `patches`.
"""

from __future__ import annotations

import numpy as np

from caffe_lite.kernels.jit import jit
from caffe_lite.kernels.simd import VECTOR_BYTES, copy_every_second


@jit
def tap_offsets(p):
    """Where each tap (channel, i, j) of the channels that are packed at once begins."""
    taps = p.kernel_h * p.kernel_w
    offsets = np.empty(p.channels * taps, np.int64)
    for k in range(offsets.size):
        c, i, j = k // taps, k // p.kernel_w % p.kernel_h * p.dilation_h, k % p.kernel_w
        column = j * p.dilation_w
        offset = (i * p.stride_w + column % p.stride_w) * p.stripe_row + column // p.stride_w
        offsets[k] = c * p.channel_step + offset
    return offsets


@jit
def _is_read(position, taps, stride, dilation):
    """Whether a tap of the kernel ever reads this row or column of a stripe."""
    read = False
    for tap in range(min(taps, stride)):
        read = read or (position - tap * dilation) % stride == 0
    return read


@jit
def fill_stripe(p, task, c, channels, x, stripe):
    """The rows that the task's taps read, of `channels` channels of the group from c on."""
    top = task.pixel // p.out_width
    bottom = (task.pixel + task.pixels - 1) // p.out_width
    rows = (bottom - top) * p.stride_h + (p.kernel_h - 1) * p.dilation_h + 1
    for n in range(task.images):
        plane = (task.image + n) * p.inputs + task.group * (p.inputs // p.group) + c
        for i in range(channels):
            at, to = (plane + i) * p.height * p.width, n * p.image_step + i * p.channel_step
            _fill_plane(p, x, at, top * p.stride_h - p.pad_h, rows, stripe, to)


@jit
def _fill_plane(p, x, at, top, rows, stripe, to):
    """stripe[to + (r, s, q)] = x[at + (top + r, q stride + s - pad)], or 0 outside of x.

    Rows and columns that no tap reads are left as they are.
    """
    sw, pw = p.stride_w, p.pad_w
    for r in range(rows):
        if not _is_read(r, p.kernel_h, p.stride_h, p.dilation_h):
            continue
        y = top + r
        for s in range(sw):
            if not _is_read(s, p.kernel_w, sw, p.dilation_w):
                continue
            low, high = 0, 0
            if 0 <= y < p.height:
                low = min(p.stripe_row, max(0, (pw - s + sw - 1) // sw))
                high = max(low, min(p.stripe_row, (p.width - 1 - s + pw) // sw + 1))
            begin = to + (r * sw + s) * p.stripe_row
            line = stripe[begin : begin + p.stripe_row]
            _fill_line(x, at + y * p.width + s - pw + low * sw, sw, low, high, line)


@jit
def _fill_line(x, at, step, low, high, line):
    """line[low + q] = x[at + q step] up to `high`, 0 outside."""
    for q in range(low):
        line[q] = 0
    for q in range(high, line.size):
        line[q] = 0
    if high > low:
        source = x[at : at + (high - low - 1) * step + 1]
        inside = line[low:high]
        if step == 1:
            for q in range(inside.size):
                inside[q] = source[q]
        else:
            done = 0
            if step == 2:
                lanes = VECTOR_BYTES // x.itemsize
                vectors = min(inside.size, (x.size - at) // 2) // lanes
                copy_every_second(x[at:], vectors, inside)
                done = vectors * lanes
            for q in range(done, inside.size):
                inside[q] = source[q * step]
