"""PriorBox, PriorBoxClustered: the boxes that a single-shot detector starts from."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from caffe_lite.blob import Array, Blob, Shape
from caffe_lite.kernels.prior_box import prior_boxes
from caffe_lite.kernels.shape import copy
from caffe_lite.layers.base import Layer
from caffe_lite.layers.declarations import Reads
from caffe_lite.layers.registry import register
from caffe_lite.proto import caffe_pb2


def box_sizes(
    config: caffe_pb2.PriorBoxParameter, pixels: Callable[[float], float]
) -> list[tuple[float, float]]:
    """Widths and heights of the boxes around one middle; `pixels` cuts a size, or does not."""
    if config.width:
        return list(zip(config.width, config.height))
    ratios = [1.0]
    for ratio in config.aspect_ratio:
        if all(abs(ratio - other) >= 1e-6 for other in ratios):
            ratios += [ratio, 1 / ratio] if config.flip else [ratio]
    answer: list[tuple[float, float]] = []
    for i, low in enumerate(map(pixels, config.min_size)):
        answer.append((low, low))
        if config.max_size:
            between = math.sqrt(low * pixels(config.max_size[i]))
            answer.append((between, between))
        answer += [(low * math.sqrt(ratio), low / math.sqrt(ratio)) for ratio in ratios[1:]]
    return answer


@register("PriorBox")
class PriorBox(Layer):
    """The boxes that a detector starts from: every size around the middle of every cell.

    Liu et al. 2016, arXiv:1512.02325.  bottom[0]: (N, C, H, W), of which only the grid H x W
    counts.  bottom[1]: the image, (N', C', height, width).  top[0]: (1, 2, 4 H W K): boxes (xmin,
    ymin, xmax, ymax) as fractions of the image, then four variances for each; K boxes for a cell:
    for each `min_size` a square of it, one of sqrt(min_size max_size) if there are `max_size`,
    then one for each `aspect_ratio`.  Sizes are cut to whole pixels, as SSD does.

    OpenCV has two more ways: a `width` and a `height` for each box, not cut, and an `offset_h` and
    `offset_w` for each of several middles in a cell.  The boxes depend on shapes alone.
    """

    bottoms = 2
    config_field = "prior_box_param"
    differentiable = False
    backward_reads = Reads.NONE
    no_gradient = (0, 1)
    repeatable = True
    heeds = frozenset({"width", "height", "offset_h", "offset_w"})
    values: Array
    """The top, computed when a shape changes; a top's memory may be another blob's too."""

    def check(self, grid: Shape, image: Shape) -> None:
        """Sizes are positive and go together; two image-like bottoms."""
        for i, shape in enumerate((grid, image)):
            self.require(len(shape) == 4, f".bottom[{i}]", f"must have 4 axes, not {shape}")
        self._check_sizes()
        for field in ("min_size", "max_size", "aspect_ratio", "variance", "width", "height"):
            self._check_positive(field)
        self.require(
            len(self.config.variance) in (0, 1, 4),
            "variance",
            f"give 1 variance or 4, not {len(self.config.variance)}",
        )
        self._check_pair("img_size", "img_h", "img_w")
        self._check_pair("step", "step_h", "step_w")
        self._check_offsets()

    def _check_positive(self, field: str) -> None:
        for i, value in enumerate(getattr(self.config, field)):
            self.require(
                0 < value < math.inf,
                f"{field}[{i}]",
                f"{field} must be positive and finite, not {value:g}",
            )

    def _check_sizes(self) -> None:
        """Either `min_size` and what goes with it, or `width` and `height`."""
        config = self.config
        if config.width or config.height:
            self._check_as_many("width", "height")
            for field in ("min_size", "max_size", "aspect_ratio"):
                self.require(
                    not getattr(config, field),
                    field,
                    f"give {field}, or width and height, not both",
                )
            return
        self.require(bool(config.min_size), "min_size", "give at least one min_size")
        pairs = len(config.max_size) in (0, len(config.min_size))
        self.require(
            pairs,
            "max_size",
            f"{len(config.max_size)} max_size for {len(config.min_size)} min_size; "
            "give one for each, or none",
        )
        for i, (low, high) in enumerate(zip(config.min_size, config.max_size)):
            self.require(
                high > low, f"max_size[{i}]", f"{high:g} is not above the min_size {low:g}"
            )

    def _check_as_many(self, one: str, other: str) -> None:
        counts = [len(getattr(self.config, field)) for field in (one, other)]
        self.require(counts[0] == counts[1], other, f"{counts[1]} {other} for {counts[0]} {one}")

    def _check_offsets(self) -> None:
        config = self.config
        if config.offset_h or config.offset_w:
            self._check_as_many("offset_h", "offset_w")
            self.require(
                not config.HasField("offset"),
                "offset",
                "give offset, or offset_h and offset_w, not both",
            )

    def _check_pair(self, both: str, height: str, width: str) -> None:
        """A size for both directions, or one for each of them; positive."""
        config = self.config
        given = [name for name in (both, height, width) if config.HasField(name)]
        self.require(
            given in ([], [both], [height, width]),
            given[-1] if given else None,
            f"give {both}, or {height} and {width}, not {' and '.join(given)}",
        )
        for name in given:
            value = getattr(config, name)
            self.require(value > 0, name, f"{name} must be positive, not {value:g}")

    def sizes(self) -> list[tuple[float, float]]:
        """Widths and heights, in pixels, of the boxes around one middle."""
        return box_sizes(self.config, int)

    def offsets(self) -> list[tuple[float, float]]:
        """The middles in a cell, (down, right), in cells."""
        config = self.config
        if config.offset_h:
            return list(zip(config.offset_h, config.offset_w))
        return [(config.offset, config.offset)]

    def top_shapes(self, grid: Shape, image: Shape) -> Sequence[Shape]:
        """Boxes and variances, whatever the number of items."""
        boxes = len(self.sizes()) * len(self.offsets())
        return [(1, 2, grid[2] * grid[3] * boxes * 4)]

    def _pair(self, both: str, height: str, width: str) -> tuple[float, float] | None:
        config = self.config
        if config.HasField(both):
            return getattr(config, both), getattr(config, both)
        if config.HasField(height):
            return getattr(config, height), getattr(config, width)
        return None

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Lay out the boxes."""
        grid = bottom[0].shape[2:]
        image = self._pair("img_size", "img_h", "img_w") or bottom[1].shape[2:]
        step = self._pair("step", "step_h", "step_w")
        step = step or (image[0] / grid[0], image[1] / grid[1])
        sizes, offsets = self.sizes(), self.offsets()
        self.values = np.empty(top[0].shape, self.dtype)
        boxes = self.values[0, 0].reshape(*grid, len(sizes), len(offsets), 4)
        prior_boxes(image, step, offsets, sizes, self.config.clip, boxes)
        self.values[0, 1].reshape(-1, 4)[...] = list(self.config.variance) or 0.1

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Copy the boxes that `reshape` has laid out."""
        copy(self.values, top[0].data)


@register("PriorBoxClustered")
class PriorBoxClustered(PriorBox):
    """PriorBox with a `width` and a `height` for each of the K boxes, as OpenVINO trains with.

    The sizes are those of clusters of the true boxes.  In a binary file of OpenVINO's Caffe these
    two fields have the numbers of `offset_h` and `offset_w`.
    """

    heeds = frozenset({"width", "height"})

    def _check_sizes(self) -> None:
        """Widths and heights, and nothing that PriorBox would make boxes of."""
        self.require(bool(self.config.width), "width", "give at least one width")
        super()._check_sizes()
