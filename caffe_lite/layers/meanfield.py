"""A conditional random field as a recurrent network: MultiStageMeanfield."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import ClassVar

import numpy as np

from caffe_lite.blob import Array, Blob, Shape
from caffe_lite.kernels import meanfield as kernels
from caffe_lite.kernels.gemm import gemm
from caffe_lite.layers.base import Layer
from caffe_lite.layers.declarations import Buffer, Count, Param, Reads
from caffe_lite.layers.registry import register
from caffe_lite.proto import caffe_pb2

FARTHEST = 2.0**16
"""The greatest coordinate of a point, in deviations: beyond it float32 rounds the lattice away."""


class _Filter:
    """A Gaussian filter of one set of points, whose weights add up to 1 for each."""

    def __init__(self, features: Array) -> None:
        points, d = features.shape
        keys = np.empty((points, d + 1, d), np.int32)
        share = np.empty((points, d + 1), features.dtype)
        kernels.embed(features, keys, share)
        keys = keys.reshape(-1, d)
        own, vertex = np.empty((2, len(keys)), np.int32)
        table = np.full(2 << len(keys).bit_length(), -1, np.int32)
        count = kernels.number_vertices(keys, table, own, vertex)
        neighbors = np.empty((d + 1, count, 2), np.int32)
        kernels.find_neighbors(keys, own, table, neighbors)
        start, point = np.empty(count + 1, np.int64), np.empty(len(keys), np.int32)
        weight = np.empty(len(keys), features.dtype)
        vertex = vertex.reshape(share.shape)
        kernels.sort_by_vertex(vertex, share, start, point, weight)
        self._lattice = kernels.Lattice(vertex, share, neighbors, start, point, weight)
        self._factor = np.ones((points, 1), features.dtype)
        whole = self(self._factor)
        self._factor = (1 / (whole + whole.dtype.type(1e-20))).astype(features.dtype)

    def _run(self, x: Array, transposed: bool) -> Array:
        y = np.empty_like(x)
        work = np.empty((2, len(self._lattice.start), x.shape[1]), x.dtype)
        kernels.gaussian(x, self._lattice, transposed, work, y)
        return y

    def __call__(self, x: Array) -> Array:
        """Of each point, the weighted mean of x (P, C) around it."""
        y = self._run(x, False)
        y *= self._factor
        return y

    def back(self, dy: Array) -> Array:
        """The gradient of x."""
        return self._run(dy * self._factor, True)


@register("MultiStageMeanfield")
class MultiStageMeanfield(Layer):
    """Mean field iterations of a dense random field (Zheng et al. 2015, arXiv:1502.03240).

    bottom[0]: the unary scores U (N, C, H, W).  bottom[1]: the first scores, of that shape, as a
    rule the same.  bottom[2]: the image (N, 3, H, W), without a gradient.  top[0]: the scores
    after `num_iterations` times

        Q = softmax(scores),   scores = U - compatibility (spatial G(Q) + bilateral B(Q))

    over the C classes.  G and B are means around each pixel with Gaussian weights, G by position
    with deviation `theta_gamma`, B by position with `theta_alpha` and by colour with `theta_beta`,
    on permutohedral lattices.

    params: spatial, bilateral, compatibility, each (1, 1, C, C).  The first two begin with
    `spatial_filter_weight` and `bilateral_filter_weight` in their diagonals, or with the numbers,
    one for each class, of `spatial_filter_weights_str` and `bilateral_filter_weights_str`; the
    third with -1 (`compatibility_mode: POTTS`).  `threshold` has no effect, as there.  Unlike
    there, the items of a batch are filtered each by its own image.
    """

    bottoms: ClassVar[Count] = 3
    config_field = "multi_stage_meanfield_param"
    backward_reads = Reads.NONE  # the scores of each iteration, and the filters, are kept
    no_gradient = (2,)

    spatial: Blob
    bilateral: Blob
    compatibility: Blob
    _by_place: _Filter
    _filters: list[_Filter]
    _filled = False

    def check(self, unary: Shape, first: Shape, image: Shape) -> None:
        """Scores and colours for the same pixels; deviations above 0."""
        config = self.config
        self.require(len(unary) == 4, ".bottom[0]", f"needs a bottom (N, C, H, W), not {unary}")
        self.require(
            first == unary, ".bottom[1]", f"{first} must have the shape of bottom[0] {unary}"
        )
        wanted = (unary[0], 3, *unary[2:])
        self.require(
            image == wanted, ".bottom[2]", f"the image must be of shape {wanted}, not {image}"
        )
        for field in ("theta_alpha", "theta_beta", "theta_gamma"):
            value = getattr(config, field)
            self.require(value > 0, field, f"{field} must be given and positive, not {value:g}")
        self.require(
            config.num_iterations > 0,
            "num_iterations",
            f"num_iterations must be given and positive, not {config.num_iterations}",
        )
        mode = caffe_pb2.MultiStageMeanfieldParameter.Mode.Name(config.compatibility_mode)
        self.require(mode == "POTTS", "compatibility_mode", f"only POTTS is known, not {mode}")
        if self.blobs:
            self.require(
                unary[1] == self.spatial.shape[3],
                ".bottom[0]",
                f"has weights for {self.spatial.shape[3]} classes, but the bottom is {unary}",
            )

    def params(self, *bottom: Shape) -> list[Param]:
        """Three matrices; `reshape` fills their diagonals."""
        shape = (1, 1, bottom[0][1], bottom[0][1])
        zero = caffe_pb2.FillerParameter(type="constant", value=0)
        return [Param(name, shape, zero) for name in ("spatial", "bilateral", "compatibility")]

    def top_shapes(self, *bottom: Shape) -> Sequence[Shape]:
        """The shape of the scores."""
        return [bottom[0]]

    def buffers(self, *bottom: Shape) -> dict[str, Buffer]:
        """Q of each iteration."""
        n, c, h, w = bottom[0]
        return {"q": Buffer((n, self.config.num_iterations, h * w, c), backward_only=True)}

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        """The spatial filter depends on the size only."""
        places = self._places(bottom[0].shape)
        self._by_place = self._filter(places / self.config.theta_gamma, "theta_gamma")
        if not self._filled and not self.param.blobs:
            self._fill()
        self._filled = True

    def _fill(self) -> None:
        classes = range(self.spatial.shape[3])
        self.spatial.data[0, 0, classes, classes] = self._weights("spatial")
        self.bilateral.data[0, 0, classes, classes] = self._weights("bilateral")
        self.compatibility.data[0, 0, classes, classes] = -1

    def _weights(self, name: str) -> list[float]:
        classes, field = self.spatial.shape[3], f"{name}_filter_weights_str"
        words = getattr(self.config, field).split()
        if not words:
            return [getattr(self.config, f"{name}_filter_weight")] * classes
        try:
            found = [float(word) for word in words[:classes]]
        except ValueError:
            found = []
        self.require(
            len(found) == classes, field, f"must be {classes} numbers, one for each class"
        )
        return found

    def _places(self, x: Shape) -> Array:
        """Column and row of each pixel."""
        rows, columns = np.divmod(np.arange(prod(x[2:])), max(x[3], 1))
        return np.stack([columns, rows], axis=1).astype(self.dtype)

    def _by_colour(self, image: Array, places: Array) -> _Filter:
        colours = image.reshape(3, -1).T / self.config.theta_beta
        features = np.concatenate([places / self.config.theta_alpha, colours], axis=1)
        return self._filter(features, "theta_beta")

    def _filter(self, features: Array, field: str) -> _Filter:
        farthest = float(np.abs(features).max(initial=0))
        self.require(
            farthest <= FARTHEST,
            field,
            f"a pixel's place or colour divided by its deviation is {farthest:g}; it must be at "
            f"most {FARTHEST:g}: use larger deviations, or smaller colours",
        )
        return _Filter(np.ascontiguousarray(features, self.dtype))

    def _messages(self, q: Array, by_colour: _Filter) -> tuple[Array, Array, Array]:
        """What G and B make of Q, and what their weights make of the two together."""
        near, alike, both = self._by_place(q), by_colour(q), np.empty_like(q)
        gemm(near, self.spatial.data[0, 0], both, transpose_b=True)
        gemm(alike, self.bilateral.data[0, 0], both, transpose_b=True, accumulate=True)
        return near, alike, both

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """See the class."""
        unaries, firsts, images = (blob.data for blob in bottom)
        self.require(
            bool(np.isfinite(images).all()),
            ".bottom[2]",
            "the image has a number that is not finite",
        )
        places = self._places(unaries.shape)
        self._filters = [self._by_colour(image, places) for image in images]
        for n, by_colour in enumerate(self._filters):
            unary, scores = _points(unaries[n]), _points(firsts[n])
            q = np.empty_like(unary)
            for i in range(self.config.num_iterations):
                q = self.buf.q[n, i] if self.goes_backward else q
                kernels.softmax(scores, q)
                both = self._messages(q, by_colour)[2]
                gemm(both, self.compatibility.data[0, 0], scores, transpose_b=True)
                np.subtract(unary, scores, out=scores)
            top[0].data[n] = scores.T.reshape(unaries[n].shape)

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """Through the iterations, the last first."""
        for n, by_colour in enumerate(self._filters):
            dscores = _points(top[0].diff[n])
            dunary = np.zeros_like(dscores)
            for i in reversed(range(self.config.num_iterations)):
                dunary += dscores
                self._back(self.buf.q[n, i], by_colour, dscores)
            for blob, diff, wanted in zip(bottom, (dunary, dscores), propagate_down):
                if wanted:
                    blob.diff[n] = diff.T.reshape(blob.shape[1:])

    def _back(self, q: Array, by_colour: _Filter, dscores: Array) -> None:
        """One iteration: from the gradient of its scores to that of those before; in place."""
        blobs = self.spatial, self.bilateral, self.compatibility
        weights, diffs = [blob.data[0, 0] for blob in blobs], [blob.diff[0, 0] for blob in blobs]
        near, alike, both = self._messages(q, by_colour)
        np.negative(dscores, out=dscores)
        gemm(dscores, both, diffs[2], transpose_a=True, accumulate=True)
        gemm(dscores, weights[2], both)  # now its gradient
        gemm(both, near, diffs[0], transpose_a=True, accumulate=True)
        gemm(both, alike, diffs[1], transpose_a=True, accumulate=True)
        gemm(both, weights[0], near)
        gemm(both, weights[1], alike)
        dq = self._by_place.back(near)
        dq += by_colour.back(alike)
        kernels.softmax_backward(q, dq, dscores)


def _points(a: Array) -> Array:
    """One item (C, H, W) as points (P, C)."""
    return np.ascontiguousarray(a.reshape(len(a), -1).T)
