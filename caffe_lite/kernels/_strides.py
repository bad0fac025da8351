"""The pixels that a 1 x 1 kernel with a stride meets, gathered into an image, and back.

Of every other pixel a convolution makes nothing, and sends nothing back to it.  What it does with
the gathered image needs no stride.

`stride` is that of the height and of the width.  Only `convolution` imports this file.
"""

from __future__ import annotations

import numpy as np

from caffe_lite.kernels._jit import jit
from caffe_lite.kernels.gemm import complete, get_num_threads, spread

SMALL = 1 << 16
"""Numbers below which a second thread costs more than it brings."""


def gather(x, stride, seen):
    """seen[n, c, i, j] = x[n, c, i stride, j stride].  x: (N, C, H, W).  seen: (N, C, H', W')."""
    _run(_gather, x, seen[:0], seen, x.shape, seen.shape, stride)


def scatter(seen, stride, extra, x):
    """The opposite of `gather`, with 0 between; then what `extra` of `gemm.completion` says."""
    _run(_scatter, seen, extra, x, x.shape, seen.shape, stride)


def _run(work, source, extra, target, image, seen, stride):
    """Spread a worker over the planes of an image; `image` and `seen` are shapes."""
    planes = image[0] * image[1]
    numbers = np.array([*image, *seen[2:], *stride], np.int64)
    workers = min(planes, get_num_threads()) if target.size > SMALL else 1
    source = source.reshape(-1)
    spread(work, workers, source, source[:0], extra.reshape(-1), target.reshape(-1), numbers)


@jit
def _gather(worker, workers, x, none, extra, seen, numbers):
    """Planes after each other."""
    planes, h, w = numbers[0] * numbers[1], numbers[2], numbers[3]
    oh, ow, sh, sw = numbers[4], numbers[5], numbers[6], numbers[7]
    for plane in range(worker * planes // workers, (worker + 1) * planes // workers):
        for i in range(oh):
            at, to = (plane * h + i * sh) * w, (plane * oh + i) * ow
            source, target = x[at : at + w], seen[to : to + ow]
            if sw == 2:  # a constant, for which vectors are shuffled
                for j in range(ow):
                    target[j] = source[2 * j]
            else:
                for j in range(ow):
                    target[j] = source[sw * j]


@jit
def _scatter(worker, workers, seen, none, extra, x, numbers):
    """Planes after each other."""
    channels, h, w = numbers[1], numbers[2], numbers[3]
    planes, oh, ow, sh, sw = numbers[0] * channels, numbers[4], numbers[5], numbers[6], numbers[7]
    for plane in range(worker * planes // workers, (worker + 1) * planes // workers):
        at = plane * h * w
        x[at : at + h * w] = 0
        for i in range(oh):
            to, place = at + i * sh * w, (plane * oh + i) * ow
            source, target = seen[place : place + ow], x[to : to + w]
            for j in range(ow):
                target[sw * j] = source[j]
        complete(x, at, h * w, 1, h * w, plane % channels, channels, extra)
