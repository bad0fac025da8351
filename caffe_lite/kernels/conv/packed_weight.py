"""Weights in the order in which a convolution reads them: those that stay, and small ones.

They are one stream of panels: for each group, for each slice of the channels, all outputs.  A
panel has `outputs_panel` outputs side by side, for each channel and tap of the slice.
"""

from __future__ import annotations

import math

import numpy as np

from caffe_lite.kernels.conv.patches import SLACK, Plan
from caffe_lite.kernels.gemm import MR, pack_across
from caffe_lite.kernels.jit import inlined
from caffe_lite.kernels.parallel import parallel, prepare
from caffe_lite.kernels.plan import unpack
from caffe_lite.kernels.simd import VECTOR_BYTES, Matrix


def packed_size(w, group):
    """How many elements the panels of a weight of shape `w` have at most, in any plan."""
    widths = MR, VECTOR_BYTES // 4 * 2
    most = max(-(-w[0] // group // width) * width for width in widths)
    return group * most * math.prod(w[1:]) + SLACK


@inlined
def packed_offset(p, group, c, channels, panel):
    """Where the panel of a slice, `channels` channels of the group from c on, begins."""
    outputs, inputs = p.outputs // p.group, p.inputs // p.group
    panels = (outputs + p.outputs_panel - 1) // p.outputs_panel
    rows = (group * inputs + c) * panels + panel * channels
    return rows * p.kernel_h * p.kernel_w * p.outputs_panel


@parallel
def _pack(first, last, w, packed, numbers):
    """A task is one group."""
    p = unpack(Plan, numbers)
    outputs, inputs, taps = p.outputs // p.group, p.inputs // p.group, p.kernel_h * p.kernel_w
    for group in range(first, last):
        for c in range(0, inputs, p.channels):
            channels = min(p.channels, inputs - c)
            for o in range(0, outputs, p.outputs_panel):
                here = min(p.outputs_panel, outputs - o)
                source = w[((group * outputs + o) * inputs + c) * taps :]
                offsets = np.arange(here) * (inputs * taps)
                to = packed_offset(p, group, c, channels, o // p.outputs_panel)
                target = Matrix(packed[to:], p.outputs_panel)
                pack_across(source, offsets, here, channels * taps, target)


def packed_weight(w, group, numbers):
    """The panels of a weight, (O, C / group, kh, kw), for a packed `Plan`."""
    packed = np.empty(packed_size(w.shape, group), w.dtype)
    # By one thread: the last vector of a panel reaches into the next.
    prepare(_pack, group, 0, w.reshape(-1), packed, numbers)
    return packed
