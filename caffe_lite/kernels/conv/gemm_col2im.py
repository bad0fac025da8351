"""The gradient of planar convolution by the image: GEMM, then col2im, block by block.

For strides other than 1, where the gradient is no convolution itself.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from caffe_lite.kernels.conv.add_lanes import add_lanes
from caffe_lite.kernels.conv.patches import SLACK, parts_for
from caffe_lite.kernels.epilogue import complete, incomplete
from caffe_lite.kernels.gemm import (
    KC,
    PANELS,
    Block,
    block_times_panel,
    pack_along,
    pack_panels,
    packed_panel,
    tile_sizes,
)
from caffe_lite.kernels.jit import inlined, jit
from caffe_lite.kernels.parallel import get_num_threads, launch, parallel, pieces_of
from caffe_lite.kernels.plan import pack, unpack
from caffe_lite.kernels.simd import VECTOR_BYTES, Matrix


class Plan(NamedTuple):
    """The sizes of dx, dy and the window, and how dx is cut."""

    items: int
    inputs: int
    height: int
    width: int
    outputs: int
    out_height: int
    out_width: int
    group: int
    kernel_h: int
    kernel_w: int
    stride_h: int
    stride_w: int
    pad_h: int
    pad_w: int
    dilation_h: int
    dilation_w: int
    parts: int  # into which the channels of a group are cut
    channels: int  # of a part
    pixels: int  # of each image whose columns are computed at once
    images: int  # of a block


@lru_cache(maxsize=1024)
def _plan(dy, w, dx, group, window, itemsize, threads):
    """(tasks, elements, packed plan) for arrays of such shapes, on so many threads."""
    items, channels, depth, pixels = dx[0], w[1], w[0] // group, math.prod(dy[2:])
    width, elements = 2 * VECTOR_BYTES // itemsize, math.prod(dy) * math.prod(w[1:]) / 16
    threads = pieces_of(threads, elements)
    panels, whole = max(1, min(PANELS, PANELS * KC // max(1, depth))), -(-pixels // width)
    images = max(1, min(panels // whole, items * group // (4 * threads), items))
    tasks = -(-items // images) * group
    share = -(-channels // parts_for(tasks, channels, threads))
    parts = -(-channels // share)
    cut = parts, share, min(panels, whole) * width, images
    return tasks * parts, elements, pack(Plan(*dx, *dy[1:], group, *window, *cut))


class Task(NamedTuple):
    """What one task computes: some channels of some images."""

    image: int
    images: int
    group: int
    channel: int  # of the group
    channels: int
    at: int  # the offset of its first element in dx
    size: int  # elements of one image


@inlined
def _task(p, number):
    """A task by its number."""
    part, group = number % p.parts, number // p.parts % p.group
    image, inputs = number // p.parts // p.group * p.images, p.inputs // p.group
    channel = part * p.channels
    channels = min(p.channels, inputs - channel)
    plane = p.height * p.width
    at = (image * p.inputs + group * inputs + channel) * plane
    images = min(p.images, p.items - image)
    return Task(image, images, group, channel, channels, at, channels * plane)


class Workspace(NamedTuple):
    """The buffers of one thread."""

    w: Any  # a packed panel of the weight's columns
    dy: Any  # packed panels
    columns: Any  # a panel's rows of W^T dY
    tile: Any


@inlined
def _workspace(p, dy):
    depth, pixels = p.outputs // p.group, p.images * p.pixels
    height, width = tile_sizes(dy)
    return Workspace(
        np.empty(depth * height + SLACK, dy.dtype),
        np.empty(pixels // width * (width * depth + SLACK) + SLACK, dy.dtype),
        np.empty(height * pixels + SLACK, dy.dtype),
        np.empty(height * width, dy.dtype),
    )


@inlined
def _pack_pixels(p, task, pixel, count, dy, panels):
    """Packed panels of `count` pixels of each image, of all outputs of the group."""
    _, width = tile_sizes(dy)
    depth, pixels = p.outputs // p.group, p.out_height * p.out_width
    panel = width * depth + SLACK
    for n in range(task.images):
        at = ((task.image + n) * p.group + task.group) * depth * pixels + pixel
        target = panels[n * p.pixels // width * panel :]
        pack_panels(Matrix(dy[at:], pixels), count, depth, width, Matrix(target, panel))


@inlined
def _multiply(p, task, k, rows, w, space):
    """columns = W^T dY for rows k, k + 1, ... of the task's (channel, i, j)."""
    height, width = tile_sizes(w)
    depth, taps = p.outputs // p.group, p.kernel_h * p.kernel_w
    pixels, pitch = p.images * p.pixels, p.inputs // p.group * taps
    at = task.group * depth * pitch + task.channel * taps + k
    pack_along(Matrix(w[at:], pitch), rows, depth, Matrix(space.w, height))
    block_times_panel(
        packed_panel(space.w),
        Matrix(space.dy, width * depth + SLACK),
        depth,
        Block(space.columns, pixels, rows, task.images * p.pixels, height),
        np.bool_(False),
        space.tile,
        incomplete(space.tile),
    )


@jit
def _add_row(p, source, columns, target, dx, count, limit):
    """dx[target + t stride] += columns[source + t] for t < count.

    limit: where the task's elements of dx end, up to which it may store whole vectors.
    """
    lanes = VECTOR_BYTES // dx.itemsize
    if p.stride_w != 1:
        for t in range(count):
            dx[target + t * p.stride_w] += columns[source + t]
        return
    for t in range(0, count, lanes):
        if target + t + lanes <= limit:
            add_lanes(columns, source + t, count - t, dx, target + t)
        else:
            for u in range(t, count):
                dx[target + u] += columns[source + u]
            break


@inlined
def _scatter(p, task, k, pixel, count, columns, at, dx):
    """Add row k of the columns of `count` pixels, from columns[at] on, to where they came from."""
    sh, sw, h, w, ow = p.stride_h, p.stride_w, p.height, p.width, p.out_width
    i = k // p.kernel_w % p.kernel_h * p.dilation_h - p.pad_h
    j = k % p.kernel_w * p.dilation_w - p.pad_w
    plane = task.at + k // (p.kernel_h * p.kernel_w) * h * w + j
    low, high = max(0, (sw - 1 - j) // sw), min(ow, (w - 1 - j) // sw + 1)
    top, bottom = pixel // ow, (pixel + count - 1) // ow + 1
    while top < bottom and top * sh + i < 0:
        top += 1
    while bottom > top and (bottom - 1) * sh + i >= h:
        bottom -= 1
    for n in range(task.images):
        image = n * p.inputs * h * w
        for y in range(top, bottom):
            begin, end = max(low, pixel - y * ow), min(high, pixel + count - y * ow)
            source = at + n * p.pixels + y * ow - pixel + begin
            target = plane + image + (y * sh + i) * w + begin * sw
            _add_row(p, source, columns, target, dx, end - begin, task.at + image + task.size)


@parallel
def _backward(first, last, dy, w, factors, dx, numbers):
    """A task: some channels of some images; what is added to an element, in order of pixels."""
    p = unpack(Plan, numbers)
    space, (height, _) = _workspace(p, dy), tile_sizes(dy)
    plane, pixels = p.height * p.width, p.out_height * p.out_width
    for number in range(first, last):
        task = _task(p, number)
        for n in range(task.images):
            dx[task.at + n * p.inputs * plane :][: task.size] = 0
        rows = task.channels * p.kernel_h * p.kernel_w
        for pixel in range(0, pixels, p.pixels):
            count = min(p.pixels, pixels - pixel)
            _pack_pixels(p, task, pixel, count, dy, space.dy)
            for k in range(0, rows, height):
                some = min(height, rows - k)
                _multiply(p, task, k, some, w, space)
                for r in range(some):
                    at = r * p.images * p.pixels
                    _scatter(p, task, k + r, pixel, count, space.columns, at, dx)
        channel = task.group * (p.inputs // p.group) + task.channel
        for n in range(task.images):
            at = task.at + n * p.inputs * plane
            complete(dx, at, plane, task.channels, plane, channel, p.inputs, factors)


def backward(dy, w, factors, group, window, dx):
    """dX = W^T dY, each block of columns scattered to where it came from, then the epilogue.

    dy: (N, O, H', W').  w: (O, C / group, kh, kw).  factors: of `epilogue.completion`.
    dx: (N, C, H, W).
    """
    shapes, threads = (dy.shape, w.shape, dx.shape), get_num_threads()
    tasks, elements, numbers = _plan(*shapes, group, window, dy.itemsize, threads)
    dy, w, dx = dy.reshape(-1), w.reshape(-1), dx.reshape(-1)
    launch(_backward, tasks, elements, dy, w, factors, dx, numbers)
