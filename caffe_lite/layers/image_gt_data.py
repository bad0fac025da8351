"""ImageGtData: the layer of MS-CNN that reads images with boxes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from caffe_lite.blob import Shape
from caffe_lite.data.image_gt import ImageGtReader
from caffe_lite.layers.declarations import Count
from caffe_lite.layers.description import Drawing
from caffe_lite.layers.prefetching import Prefetching
from caffe_lite.layers.registry import register
from caffe_lite.proto import caffe_pb2

_LISTS = ("field_w", "field_h", "downsample_rate")


@register("ImageGtData")
class ImageGtData(Prefetching):
    """Images with boxes, and what detection networks of several scales are to find in them.

    (Cai et al. 2016, arXiv:1607.07155.)  top[0]: (batch_size, channels, height, width).  Then for
    each `downsample_rate` (batch_size, 6, height / rate, width / rate): of each cell the class,
    the box's middle x and y, its width and height in pixels, and how much it overlaps the cell's
    field of `field_w` x `field_h`; see DetectionLoss.  With `output_gt_boxes` a last top,
    (G, 7, 1, 1): item, x1, y1, x2, y2, class, and 1 for a box that is to be ignored; one such row
    where the batch has no box.

    `source` is MS-CNN's window file: for each image ``# index path channels height width count``,
    for each box ``class ignored x1 y1 x2 y2``, then the number of regions of no interest and
    ``x1 y1 x2 y2`` of each.  Images are resized to `resize_width` x `resize_height`, then with
    `do_multiple_scale` half of them such that a box has a size from `min_scale` to `max_scale`,
    and half of these with another shape, width over height from `min_whaspect` to `max_whaspect`.
    `crop_width` x `crop_height` pixels around a box are taken, moved by up to 10 pixels.  All this
    is drawn from the layer's own stream, in both phases.

    Boxes to be ignored are those that the file says, those smaller than `min_gt_width` or
    `min_gt_height`, and those with a middle outside.  A cell has a box that overlaps its field by
    more than `fg_threshold`.  Images with boxes appear `fg_img_multiple` times.  Pixels are
    multiplied by `scale` after ``transform_param { mean_value }`` was subtracted; its `mirror`
    flips half of the images, and the others of its fields are not read.  `mirror` and `mean_file`
    of ``image_gt_data_param`` are not read in MS-CNN either.
    """

    config_field = "image_gt_data_param"
    tops: ClassVar[Count] = (2, None)

    @classmethod
    def drawing(cls, param: caffe_pb2.LayerParameter) -> Drawing:
        """The batch size."""
        return Drawing(batch_size=param.image_gt_data_param.batch_size)

    @classmethod
    def source_shapes(
        cls,
        param: caffe_pb2.LayerParameter,
        items: Mapping[str, Shape],
        channels: int | None = None,
    ) -> list[Shape] | None:
        """From the sizes that are given; None without a size."""
        config = param.image_gt_data_param
        item = items.get(param.top[0]) if param.top else None
        sizes = (config.resize_height, config.resize_width)
        if all((config.crop_height, config.crop_width)):
            sizes = (config.crop_height, config.crop_width)
        if item is None and all(sizes):
            item = (channels or len(param.transform_param.mean_value) or 3, *sizes)
        if item is None or not config.batch_size or 0 in config.downsample_rate:
            return None
        maps = [
            (config.batch_size, 6, *(int(side / rate + 0.5) for side in item[1:]))
            for rate in config.downsample_rate
        ]
        boxes = [(1, 7, 1, 1)] if config.output_gt_boxes else []
        return [(config.batch_size, *item), *maps, *boxes]

    def _open(self) -> ImageGtReader:
        config, tops = self.config, len(self.loss_weights)
        count = max(1, len(config.downsample_rate))
        wanted = 1 + count + config.output_gt_boxes
        self.require(
            tops == wanted,
            ".top",
            f"needs {wanted} tops, for the images, {count} downsample_rate"
            f"{' and the boxes' if config.output_gt_boxes else ''}; not {tops}",
        )
        for field in _LISTS:
            values = getattr(config, field)
            self.require(
                len(values) == count,
                field,
                f"give as many {field} as downsample_rate, {count}, not {len(values)}",
            )
            for i, value in enumerate(values):
                self.require(value > 0, f"{field}[{i}]", f"{field} must be positive, not {value}")
        self.require(
            config.coord_num == 4, "coord_num", f"coord_num must be 4, not {config.coord_num}"
        )
        self.require(
            config.fg_img_multiple > 0, "fg_img_multiple", "fg_img_multiple must be 1 or more"
        )
        self.require(
            config.min_scale <= config.max_scale,
            "min_scale",
            f"min_scale {config.min_scale} is above max_scale {config.max_scale}",
        )
        return ImageGtReader(config, self.param.transform_param, self.dtype, self.rng)
