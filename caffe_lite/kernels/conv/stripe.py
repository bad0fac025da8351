"""The stripe of implicit GEMM: a few rows of some channels of images, each of them a frame.

In a frame (`simd.frames`) one tap of the kernel reads contiguous memory, whatever the padding,
stride and dilation.  p: a `Plan` of `patches`.
"""

from __future__ import annotations

import numpy as np

from caffe_lite.kernels.jit import jit
from caffe_lite.kernels.simd import Frame, frame

__all__ = ["fill_stripe", "frame_layout", "tap_offsets"]


@jit
def frame_layout(p):
    """The layout of each frame of a stripe.  With negative padding all columns are in it."""
    return np.array(Frame(p.height, p.width, max(p.pad_w, 0), p.stride_w, p.stripe_row))


@jit
def tap_offsets(p):
    """Where each tap (channel, i, j) of the channels that are packed at once begins."""
    taps = p.kernel_h * p.kernel_w
    offsets = np.empty(p.channels * taps, np.int64)
    for k in range(offsets.size):
        c, i, j = k // taps, k // p.kernel_w % p.kernel_h * p.dilation_h, k % p.kernel_w
        column = j * p.dilation_w + max(-p.pad_w, 0)
        offset = (i * p.stride_w + column % p.stride_w) * p.stripe_row + column // p.stride_w
        offsets[k] = c * p.channel_step + offset
    return offsets


@jit
def fill_stripe(p, task, c, channels, x, layout, stripe):
    """The rows that the task's taps read, of `channels` channels of the group from c on.

    layout: of `frame_layout`.  stripe: zeros before it is first filled.
    """
    top, size, zero = task.pixel // p.out_width, p.height * p.width, x.dtype.type(0)
    bottom = (task.pixel + task.pixels - 1) // p.out_width
    rows = (bottom - top) * p.stride_h + (p.kernel_h - 1) * p.dilation_h + 1
    first, plane = top * p.stride_h - p.pad_h, task.group * (p.inputs // p.group) + c
    for i in range(channels):  # as they lie: the last vector of one may reach into the next
        for n in range(task.images):
            source = x[((task.image + n) * p.inputs + plane + i) * size :]
            target = stripe[n * p.image_step + i * p.channel_step :]
            frame(source, layout, first, rows, zero, target)
