"""The patches that a planar convolution multiplies: how they are cut into blocks and packed.

A *task* computes some outputs for a block of pixels.  A thread copies a few rows of the image to a
*stripe*, and packs from it the patches of the block, some channels at a time.

A block is a part of one image, or several small images.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from caffe_lite.kernels.conv.stripe import fill_stripe, frame_layout, tap_offsets
from caffe_lite.kernels.gemm import KC, MR, PANELS
from caffe_lite.kernels.jit import inlined, jit
from caffe_lite.kernels.parallel import pieces_of
from caffe_lite.kernels.plan import pack
from caffe_lite.kernels.simd import VECTOR_BYTES, copy_vector, frame_reach

SLACK = 16
"""Elements after a packed panel that storing whole vectors may touch."""


# -- plan --------------------------------------------------------------------------------------


class Plan(NamedTuple):
    """The sizes of x, y and the window, and how y is cut into blocks of pixels."""

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
    flipped: int  # 1: the gradient; the weight is (inputs, outputs / group, kernel_h, kernel_w)
    packed: int  # 1: the weight is given as packed panels
    transposed: int  # 1: patches are the rows of the product; see `transposed_gemm`
    in_place: int  # 1: they are not packed; see `in_place`
    pointwise: int  # 1: the patches are the image itself, there is no stripe
    images: int  # of a block
    pixels: int  # of a block in each image
    blocks: int  # of an image
    panel: int  # pixels of a packed panel of patches
    outputs_panel: int  # outputs of a packed panel of the weight
    parts: int  # into which the outputs of a group are cut
    staged: int  # 1: a block's outputs are computed in a buffer, then copied to y
    channels: int  # that are packed at once
    stripe_row: int  # elements of one phase of a row of the stripe: the reach of its frames
    row: int  # pixels of a block that are contiguous in the stripe, or in the image
    row_step: int  # from there to the next row of pixels
    image_step: int  # from image to image of the stripe, or of x
    channel_step: int  # from channel to channel of the stripe, or of x
    weight_panel: int  # elements of a packed panel of the weight
    patches_panel: int  # elements of a packed panel of patches


def parts_for(tasks, most, threads):
    """Into how many parts, at most `most`, to cut each task so that all threads have work."""
    return 1 if tasks % threads == 0 or tasks >= 4 * threads else max(1, min(most, threads))


SHALLOW = 3
"""How many times as many panels a block has at most where patches are short."""


def _block_sizes(items, pixels, depth, width, threads):
    """(images, pixels of each): PANELS panels of patches, which stay in the second-level cache.

    More of them where a large image has few inputs: rows of outputs are then written at length,
    and fewer rows of the image are in two stripes.
    """
    most = PANELS * width
    if pixels > 2 * SHALLOW * most:
        most *= max(1, min(SHALLOW, KC // depth))
    images = max(1, min(items, most // pixels))
    blocks = -(-pixels // most)
    if images == 1 and threads < items * blocks < 8 * threads:  # as many for each thread
        blocks = -(-blocks // threads) * threads
    block = pixels if blocks == 1 else -(-pixels // (blocks * width)) * width
    return -(-items // -(-items // images)), block


def _blocks(items, count, most, threads):
    """Into how many blocks of at most `most` to cut `count`: as many for each thread."""
    blocks = -(-count // most)
    return -(-blocks // threads) * threads if items * blocks < 8 * threads else blocks


def _pixels_in_place(items, pixels, lanes, threads):
    """The pixels of a block of an image that is read in place: whole vectors, but the last."""
    blocks = _blocks(items, pixels, 2 * PANELS * lanes, threads)
    block = -(-pixels // (blocks * lanes)) * lanes
    while 0 < pixels % block < lanes:
        block += lanes
    return block


def _rows_in_place(items, rows, stripe_line, window, threads):
    """The rows of outputs whose stripe is read in place; a line of it has so many bytes."""
    kh, _, sh, _, _, _, dh, _ = window
    most = max(1, (STRIPE_BYTES // stripe_line - (kh - 1) * dh - 1) // sh + 1)
    return -(-rows // _blocks(items, rows, most, threads))


CACHED_WEIGHT = 1 << 18
"""Bytes of a weight that is read again for each two vectors of pixels, in place."""
FEWEST_PIXELS = 128
"""Pixels from which on an image is read in place."""
OUTPUTS_OF_PACKING = 8
"""How many outputs take as long as packing the patches."""
STRIPE_BYTES = 1 << 16
"""The size of a stripe that is read in place, about."""
MOST_PRODUCTS = 1 << 20
"""Elements of a transposed product, of which a thread holds its part."""
FEWEST_ROWS = 4
"""A tile of fewer rows takes as long: its multiply-adds wait for each other."""


def _is_faster_transposed(outputs, depth, pixels, images, width):
    """Whether tiles with pixels as rows leave less of the vectors empty than with outputs as rows.

    outputs: of a group.  images: that would be columns of one product.  Compared are the cycles
    for each k, of `depth`, and for one image.
    """
    if outputs < width or outputs * pixels > MOST_PRODUCTS:
        return False
    plain = 1.05 * outputs / MR * -(-images * pixels // (width // 2)) / images * MR / 2
    rest = pixels % MR and max(pixels % MR, FEWEST_ROWS)
    transposing = (
        0.25 * outputs * pixels / depth
    )  # more than the plain products' copy; as measured
    return -(-outputs // width) * (pixels // MR * MR + rest) + transposing < plain


def _is_read_in_place(outputs, depth, output, pointwise, itemsize):
    """Whether packing patches of `depth` taps would take longer than it saves.

    outputs: of a group.  output: the height and width of y.
    """
    lanes = VECTOR_BYTES // itemsize
    if outputs * depth * itemsize > CACHED_WEIGHT or math.prod(output) < FEWEST_PIXELS:
        return False
    if pointwise:
        return True
    computed = -(-output[1] // lanes) * lanes  # pixels of a row, in whole vectors
    saves = computed * outputs <= output[1] * (outputs + OUTPUTS_OF_PACKING)
    return lanes <= output[1] and saves


@lru_cache(maxsize=1024)
def plan_of(x, y, flipped, packed, group, window, itemsize, threads):
    """(plan, tasks, elements, packed plan) for arrays of such shapes, on so many threads."""
    kh, kw, sh, sw, _, pad_w, dh, dw = window
    (items, outputs, oh, ow), width = y, 2 * VECTOR_BYTES // itemsize
    inputs, taps, pixels = x[1] // group, kh * kw, oh * ow
    pointwise = window == (1, 1, 1, 1, 0, 0, 1, 1) and x[2:] == y[2:]
    depth, elements = inputs * taps, math.prod(y) * inputs * taps / 16
    pieces = pieces_of(threads, elements)
    stripe_row = frame_reach(ow, width // 2, x[3], kw, sw, pad_w, dw) + -(min(pad_w, 0) // sw)
    in_place = not flipped and _is_read_in_place(
        outputs // group, depth, y[2:], pointwise, itemsize
    )
    if in_place and pointwise:
        images, block = 1, _pixels_in_place(items, pixels, width // 2, pieces)
    elif in_place:
        line = inputs * sw * stripe_row * itemsize
        images, block = 1, ow * _rows_in_place(items, oh, line, window, pieces)
    else:
        images, block = _block_sizes(items, pixels, depth, width, threads)
    blocks = -(-pixels // block)
    if pointwise:
        channels = min(inputs, KC)
        layout = 0, block, 0, x[1] * pixels, pixels
    else:
        stripe_rows = (min(oh, (block - 2) // ow + 2) - 1) * sh + (kh - 1) * dh + 1
        step = stripe_rows * sw * stripe_row
        channels = PANELS * width * KC // (images * step)
        channels = inputs if in_place else max(1, min(inputs, KC // taps, channels))
        layout = stripe_row, ow, sh * sw * stripe_row, step, images * step
    tasks = -(-items // images) * group * blocks
    packed |= in_place
    transposed = (
        packed
        and not in_place
        and blocks == 1
        and _is_faster_transposed(outputs // group, depth, pixels, images, width)
    )
    if transposed:
        images, tasks = 1, items * group
    panel, outputs_panel = (MR, width) if transposed else (width, MR)
    parts = 1
    if not in_place:
        most = -(-outputs // group // outputs_panel)
        parts = parts_for(tasks, most, pieces)
    staged = images > 1 or (blocks == 1 and pixels % (width // 2) != 0)
    panels = (channels * taps * side + SLACK for side in (outputs_panel, panel))
    cut = images, block, blocks, panel, outputs_panel, parts, staged, channels, *layout, *panels
    sizes = *x, *y[1:], group, *window
    plan = Plan(*sizes, flipped, packed, transposed, in_place, pointwise, *cut)
    return plan, tasks * parts, elements, pack(plan)


class Task(NamedTuple):
    """What one task computes: some outputs of a group, for some pixels of some images."""

    image: int
    images: int
    group: int
    pixel: int
    pixels: int
    first_panel: int  # of the weight
    last_panel: int


@inlined
def task_of(p, number):
    """A task by its number."""
    part, rest = number % p.parts, number // p.parts
    pixel, rest = rest % p.blocks * p.pixels, rest // p.blocks
    image = rest // p.group * p.images
    panels = (p.outputs // p.group + p.outputs_panel - 1) // p.outputs_panel
    return Task(
        image,
        min(p.images, p.items - image),
        rest % p.group,
        pixel,
        min(p.pixels, p.out_height * p.out_width - pixel),
        part * panels // p.parts,
        (part + 1) * panels // p.parts,
    )


class Patches(NamedTuple):
    """The buffers of one thread for patches."""

    layout: Any  # of the frames of the stripe
    stripe: Any
    taps: Any  # the offset of each tap of the channels in the stripe
    runs: Any  # vectors to copy for one row of packed panels: (from, to)
    patches: Any  # packed panels


@inlined
def patches_workspace(p, x):
    """The buffers, of the type of x."""
    lanes = VECTOR_BYTES // x.itemsize
    panels = (p.images * p.pixels + p.panel - 1) // p.panel
    runs = p.images * (p.pixels // lanes + p.pixels // p.row + 3) + 2 * panels + 1
    stripe = 0 if p.pointwise else p.channels * p.channel_step
    return Patches(
        frame_layout(p),
        np.zeros(stripe + 2 * SLACK, x.dtype),
        tap_offsets(p),
        np.empty((runs, 2), np.int64),
        np.empty(panels * p.patches_panel + SLACK, x.dtype),
    )


# -- packing -----------------------------------------------------------------------------------


@inlined
def list_runs(p, task, lanes, runs):
    """The vectors to copy for one row of packed panels: pairs (from, to).

    Where a vector reaches too far, the next one is stored over it.
    """
    start, width = task.pixel % p.row, p.panel
    count, to = 0, 0
    for image in range(task.images):
        j = 0
        while j < task.pixels:
            y, x = (start + j) // p.row, (start + j) % p.row
            runs[count, 0] = image * p.image_step + y * p.row_step + x
            runs[count, 1] = to // width * p.patches_panel + to % width
            count += 1
            step = min(lanes, p.row - x, task.pixels - j, width - to % width)
            j += step
            to += step
    return runs[:count]


@jit
def _pack_runs(source, at, offsets, runs, width, panels):
    """panels[to + k width] = source[at + offsets[k] + from], a vector for each (from, to)."""
    lanes, last = VECTOR_BYTES // source.itemsize, 0
    for run in range(len(runs)):
        last = max(last, runs[run, 0])
    for k in range(offsets.size):
        start, line = at + offsets[k], k * width
        if start + last + lanes <= source.size:
            for run in range(len(runs)):
                copy_vector(source, start + runs[run, 0], panels, line + runs[run, 1])
        else:
            for run in range(len(runs)):
                begin, to = start + runs[run, 0], line + runs[run, 1]
                for t in range(min(lanes, source.size - begin)):
                    panels[to + t] = source[begin + t]


@inlined
def pack_patches(p, task, c, channels, x, runs, space):
    """Panels of the patches of a block: all taps of `channels` channels of the group from c on."""
    offsets = space.taps[: channels * p.kernel_h * p.kernel_w]
    if p.pointwise:
        plane = task.image * p.inputs + task.group * (p.inputs // p.group) + c
        at = plane * p.height * p.width + task.pixel
        _pack_runs(x, at, offsets, runs, p.panel, space.patches)
    else:
        fill_stripe(p, task, c, channels, x, space.layout, space.stripe)
        _pack_runs(space.stripe, np.int64(0), offsets, runs, p.panel, space.patches)
