"""Layers that pool regions of images into a fixed grid: ROIPooling, PSROIPooling, ROIAlign,
ROIAlignment.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from caffe_lite.blob import Array, Blob, Shape
from caffe_lite.kernels import pool as kernels
from caffe_lite.layers.base import Layer
from caffe_lite.layers.declarations import Buffer, Reads
from caffe_lite.layers.registry import register


class _RegionPooling(Layer):
    """What both share: the regions, and the pixels of each bin in whole numbers.

    bottom[0]: (N, C, H, W).  bottom[1]: (R, 5), rows of item, x1, y1, x2, y2 in pixels of the
    network's input, both ends included.  top[0]: (R, channels, rows, columns).  The regions get
    the gradient 0.
    """

    bottoms = 2
    backward_reads = Reads.NONE
    zero_gradient = (1,)

    def check(self, *bottom: Shape) -> None:
        """Images, and five numbers for each region."""
        x, rois = bottom
        self.require(len(x) == 4, ".bottom[0]", f"needs a bottom (N, C, H, W), not {x}")
        self.require(
            bool(rois) and math.prod(rois[1:]) == 5,
            ".bottom[1]",
            f"regions must be (R, 5): item, x1, y1, x2, y2, not {rois}",
        )

    def positive(self, *fields: str) -> None:
        """Refuse a field that is not positive."""
        for field in fields:
            value = getattr(self.config, field)
            self.require(value > 0, field, f"{field} must be positive, not {value:g}")

    def grid(self, x: Shape) -> tuple[int, int, int]:
        """The channels, rows and columns of what becomes of a region."""
        raise NotImplementedError

    def top_shapes(self, *bottom: Shape) -> Sequence[Shape]:
        """See the class."""
        x, rois = bottom
        return [(rois[0], *self.grid(x))]

    def buffers(self, *bottom: Shape) -> dict[str, Buffer]:
        """The item of each region, and the first row or column of each bin and the one after."""
        (y,) = self.top_shapes(*bottom)
        shapes = {"items": y[:1], "rows": (y[0], y[2], 2), "columns": (y[0], y[3], 2)}
        return {name: Buffer(shape, np.int32) for name, shape in shapes.items()}

    def read_items(self, rois: Array, items: int) -> None:
        """Fill the buffer `items`; raises LayerError for an item that is not there."""
        for r in np.flatnonzero(~((rois[:, 0] >= 0) & (rois[:, 0] < items))):
            self.require(
                False,
                ".bottom[1]",
                f"region {r} is of item {rois[r, 0]:g}, but the bottom has items 0 to {items - 1}",
            )
        self.buf.items[...] = rois[:, 0]


class _PaddedRegions(_RegionPooling):
    """What the types with ``roi_pooling_param`` share: MS-CNN's `pad_ratio`."""

    config_field = "roi_pooling_param"
    heeds = frozenset({"pad_ratio"})

    def check(self, *bottom: Shape) -> None:
        """A grid of bins."""
        super().check(*bottom)
        self.positive("pooled_h", "pooled_w")
        ratio = self.config.pad_ratio
        self.require(
            0 <= ratio < math.inf,
            "pad_ratio",
            f"pad_ratio must be finite and not below 0, not {ratio:g}",
        )

    def ends(self, rois: Array) -> tuple[Array, ...]:
        """x1, y1, x2, y2 of the regions with what is around them, in pixels of the bottom."""
        around = (rois[:, 3:] - rois[:, 1:3] + 1) * self.dtype.type(self.config.pad_ratio)
        ends = np.hstack([rois[:, 1:3] - around, rois[:, 3:] + around])
        x1, y1, x2, y2 = ends.T * self.dtype.type(self.config.spatial_scale)
        return x1, y1, x2, y2


@register("ROIPooling")
class ROIPooling(_PaddedRegions):
    """Max pooling of regions into a fixed grid (Girshick 2015, Fast R-CNN, arXiv:1504.08083).

    bottom[0]: (N, C, H, W).  bottom[1]: (R, 5), rows of item, x1, y1, x2, y2 in pixels of the
    network's input, both ends included; times `spatial_scale` and rounded they are pixels of the
    bottom.  top[0]: (R, C, pooled_h, pooled_w).  A bin outside of the bottom is 0.  The regions
    get the gradient 0.

    MS-CNN's `pad_ratio` first makes a region so many times its size larger, on each side.
    """

    def grid(self, x: Shape) -> tuple[int, int, int]:
        """See the class."""
        return (x[1], self.config.pooled_h, self.config.pooled_w)

    def buffers(self, *bottom: Shape) -> dict[str, Buffer]:
        """Also the place that each output came from."""
        (y,) = self.top_shapes(*bottom)
        return {**super().buffers(*bottom), "argmax": Buffer(y, np.int32)}

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """See the class."""
        x, rois, buf = bottom[0].data, bottom[1].data.reshape(-1, 5), self.buf
        self.read_items(rois, len(x))
        x1, y1, x2, y2 = self.ends(rois)
        kernels.roi_bins(y1, y2, self.config.pooled_h, x.shape[2], buf.rows)
        kernels.roi_bins(x1, x2, self.config.pooled_w, x.shape[3], buf.columns)
        kernels.roi_pool_forward(x, buf.items, buf.rows, buf.columns, top[0].data, buf.argmax)

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """Send dy to where y came from."""
        if propagate_down[0]:
            buf = self.buf
            kernels.roi_pool_backward(top[0].diff, buf.items, buf.argmax, bottom[0].diff)


@register("ROIAlign")
class ROIAlign(_PaddedRegions):
    """The values of regions at the corners of a grid's bins, linear between pixels (MS-CNN).

    bottom[0]: (N, C, H, W).  bottom[1]: (R, 5), rows of item, x1, y1, x2, y2 in pixels of the
    network's input; times `spatial_scale`, less 0.5, they are places in the bottom, whose first
    pixel is at 0.  top[0]: (R, C, pooled_h + 1, pooled_w + 1); Pooling, of 2 x 2, makes bins of
    it.  A point more than half a pixel outside of the bottom is 0, as is all of a region that ends
    before it begins.  The regions get the gradient 0.

    `pad_ratio` first makes a region so many times its size larger, on each side.  Of Zhaowei Cai's
    Caffe for MS-CNN and Cascade R-CNN; other forks have others of this name.
    """

    def grid(self, x: Shape) -> tuple[int, int, int]:
        """See the class."""
        return (x[1], self.config.pooled_h + 1, self.config.pooled_w + 1)

    def buffers(self, *bottom: Shape) -> dict[str, Buffer]:
        """Also the shares of the pixels that lie after a point."""
        (y,) = self.top_shapes(*bottom)
        shares = {"down": Buffer((y[0], y[2])), "across": Buffer((y[0], y[3]))}
        return {**super().buffers(*bottom), **shares}

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """See the class."""
        x, rois, buf, config = bottom[0].data, bottom[1].data.reshape(-1, 5), self.buf, self.config
        self.read_items(rois, len(x))
        x1, y1, x2, y2 = (each - 0.5 for each in self.ends(rois))
        kernels.grid_points(y1, y2, config.pooled_h, x.shape[2], buf.rows, buf.down)
        kernels.grid_points(x1, x2, config.pooled_w, x.shape[3], buf.columns, buf.across)
        points = buf.items, buf.rows, buf.columns, buf.down, buf.across
        kernels.roi_align_forward(x, *points, top[0].data)

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """Give each dy to the four pixels around its point."""
        if propagate_down[0]:
            buf = self.buf
            points = buf.items, buf.rows, buf.columns, buf.down, buf.across
            kernels.roi_align_backward(top[0].diff, *points, bottom[0].diff)


@register("ROIAlignment")
class ROIAlignment(_RegionPooling):
    """The values of regions in the middle of each bin, linear between pixels (AffordanceNet).

    Do et al. 2018, arXiv:1709.07326.  bottom[0]: (N, C, H, W).  bottom[1]: (R, 5), rows of item,
    x1, y1, x2, y2 in pixels of the network's input, both ends included; times `spatial_scale` they
    are places in the bottom, whose first pixel is at 0.  top[0]: (R, C, pooled_h, pooled_w).

    A bin that reaches beyond the first or the last pixel is cut off there before its middle is
    found.  A region that ends before it begins is one pixel large.  The fork gives no gradient to
    pixels more than one pixel outside of a region; here it is the true one.  The regions get the
    gradient 0.
    """

    config_field = "roi_alignment_param"

    def check(self, *bottom: Shape) -> None:
        """A grid of bins."""
        super().check(*bottom)
        self.positive("pooled_h", "pooled_w")

    def grid(self, x: Shape) -> tuple[int, int, int]:
        """See the class."""
        return (x[1], self.config.pooled_h, self.config.pooled_w)

    def buffers(self, *bottom: Shape) -> dict[str, Buffer]:
        """Also the shares of the pixels that lie after a bin's middle."""
        (y,) = self.top_shapes(*bottom)
        shares = {"down": Buffer((y[0], y[2])), "across": Buffer((y[0], y[3]))}
        return {**super().buffers(*bottom), **shares}

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """See the class."""
        x, rois, buf, config = bottom[0].data, bottom[1].data.reshape(-1, 5), self.buf, self.config
        self.read_items(rois, len(x))
        x1, y1, x2, y2 = rois.T[1:] * self.dtype.type(config.spatial_scale)
        kernels.bin_middles(y1, y2, config.pooled_h, x.shape[2], buf.rows, buf.down)
        kernels.bin_middles(x1, x2, config.pooled_w, x.shape[3], buf.columns, buf.across)
        points = buf.items, buf.rows, buf.columns, buf.down, buf.across
        kernels.roi_align_forward(x, *points, top[0].data)

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """Give each dy to the four pixels around its bin's middle."""
        if propagate_down[0]:
            buf = self.buf
            points = buf.items, buf.rows, buf.columns, buf.down, buf.across
            kernels.roi_align_backward(top[0].diff, *points, bottom[0].diff)


@register("PSROIPooling")
class PSROIPooling(_RegionPooling):
    """Position-sensitive average pooling of regions (Dai et al. 2016, R-FCN, arXiv:1605.06409).

    Each bin of the grid, `group_size` k down and across, has channels of its own.  bottom[0]:
    (N, output_dim k^2, H, W).  bottom[1]: (R, 5), rows of item, x1, y1, x2, y2 in pixels of the
    network's input, both ends included, rounded before they are multiplied by `spatial_scale`.
    top[0]: (R, output_dim, k, k): channel d of bin (i, j) is the mean of that bin in channel
    (d k + i) k + j of the bottom.  A bin outside of the bottom is 0.  The regions get the
    gradient 0.
    """

    config_field = "psroi_pooling_param"

    def check(self, *bottom: Shape) -> None:
        """One channel of the bottom for each number of a region."""
        super().check(*bottom)
        self.positive("spatial_scale", "output_dim", "group_size")
        config, channels = self.config, bottom[0][1]
        wanted = config.output_dim * config.group_size**2
        self.require(
            channels == wanted,
            ".bottom[0]",
            f"{channels} channels, but output_dim {config.output_dim} and group_size "
            f"{config.group_size} need {wanted}",
        )

    def grid(self, x: Shape) -> tuple[int, int, int]:
        """See the class."""
        return (self.config.output_dim, self.config.group_size, self.config.group_size)

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """See the class."""
        x, rois, buf = bottom[0].data, bottom[1].data.reshape(-1, 5), self.buf
        self.read_items(rois, len(x))
        _, x1, y1, x2, y2 = rois.T
        scale = self.config.spatial_scale
        kernels.scaled_bins(y1, y2, scale, x.shape[2], buf.rows)
        kernels.scaled_bins(x1, x2, scale, x.shape[3], buf.columns)
        kernels.bin_means_forward(x, buf.items, buf.rows, buf.columns, top[0].data)

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """Spread each dy evenly over its bin."""
        if propagate_down[0]:
            buf, dy = self.buf, top[0].diff
            kernels.bin_means_backward(dy, buf.items, buf.rows, buf.columns, bottom[0].diff)
