"""The layers of MS-CNN and Cascade R-CNN that read images with boxes: DetectionData, EvalData,
ImageGtData.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from caffe_lite.blob import Shape
from caffe_lite.data.detection_scenes import ROW, SHUFFLES, STEP, DetectionReader, EvalReader
from caffe_lite.data.image_gt import ImageGtReader
from caffe_lite.layers.declarations import Count
from caffe_lite.layers.description import Drawing
from caffe_lite.layers.prefetching import Prefetching
from caffe_lite.layers.registry import register
from caffe_lite.proto import caffe_pb2


def _require_maps(layer: Prefetching, steps: str, count: int) -> None:
    """A top and a field for each of `count` maps; `steps` names their steps."""
    config, tops = layer.config, len(layer.loss_weights)
    wanted = 1 + count + config.output_gt_boxes
    layer.require(
        tops == wanted,
        ".top",
        f"needs {wanted} tops, for the images, {count} {steps}"
        f"{' and the boxes' if config.output_gt_boxes else ''}; not {tops}",
    )
    for field in ("field_w", "field_h", steps):
        values = getattr(config, field)
        layer.require(
            len(values) == count,
            field,
            f"give as many {field} as {steps}, {count}, not {len(values)}",
        )
        for i, value in enumerate(values):
            layer.require(value > 0, f"{field}[{i}]", f"{field} must be positive, not {value}")
    layer.require(
        config.coord_num == 4, "coord_num", f"coord_num must be 4, not {config.coord_num}"
    )


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
        config = self.config
        _require_maps(self, "downsample_rate", max(1, len(config.downsample_rate)))
        self.require(
            config.fg_img_multiple > 0,
            "fg_img_multiple",
            f"fg_img_multiple must be 1 or more, not {config.fg_img_multiple}",
        )
        self.require(
            config.min_scale <= config.max_scale,
            "min_scale",
            f"min_scale {config.min_scale} is above max_scale {config.max_scale}",
        )
        return ImageGtReader(config, self.param.transform_param, self.dtype, self.rng)


@register("DetectionData")
class DetectionData(Prefetching):
    """Images with boxes, and what Cascade R-CNN's proposal networks are to find in them.

    (Cai, Vasconcelos 2018, arXiv:1712.00726.)  top[0]: (batch_size, channels, height, width).
    Then for each `stride` (batch_size, 6, height / stride, width / stride): of each cell the
    class, the box's middle x and y, its width and height in pixels, and how much it overlaps the
    cell's field of `field_w` x `field_h`; see DetectionGroupLoss.  With `output_gt_boxes` a last
    top, (G, 8, 1, 1): item, x1, y1, x2, y2, class, 1 for a box that is to be ignored, 1 for a
    difficult one; one row of -1 where the batch has no box.

    `source` is the fork's window file: that of ImageGtData, with ``class ignored difficult x1 y1
    x2 y2`` for each box.  Images are resized to `resize_width` x `resize_height`, or by
    `resize_ratio`, or such that the shorter side is `short_size`.  With `min_scale`, `max_scale`
    the share `multiscale_prob` of them is scaled such that a box has a size between both, with
    `low_scale_ratio` and `high_scale_ratio` by a factor between both, and with `min_whaspect` and
    `max_whaspect` to another shape.  `crop_width` x `crop_height` pixels around a box are taken,
    moved by up to 10 pixels, or those of `resize_width` and `resize_height`, of `crop_short_size`
    and `crop_long_size`, or of `short_size` and `long_size`; the last two pairs lie as the batch's
    first image does, the latter times one of `template_ratio`.  All this is drawn from the layer's
    own stream, in both phases.

    Boxes to be ignored are those that the file says, those smaller than `min_gt_width` or
    `min_gt_height`, and those with a middle outside.  A cell has a box that overlaps its field by
    more than `fg_threshold`, and does not count if without one what is of no interest covers
    `ignore_fg_threshold` of its field, nor if its field is outside by more than
    `anchor_ignore_margin_ratio` of its half, or inside by less than `anchor_ignore_iou_thr`.
    Boxes of no cell are given to that of their middle if one overlaps them by `pickup_iou_thr`.

    `shuffle` is "random"; "random_aspect", wide images before or after all others; or
    "random_mix_aspect", `mix_group_size` of each kind by turns.  `distort_param` is SSD's.  Pixels
    are multiplied by the `scale` of ``transform_param`` after its `mean_value` was subtracted; its
    `mirror` flips half of the images, and the others of its fields are not read.  `scale` and
    `resize_param` of ``detection_data_param`` are not read in the fork either.
    """

    config_field = "detection_data_param"
    tops: ClassVar[Count] = (2, None)

    @classmethod
    def drawing(cls, param: caffe_pb2.LayerParameter) -> Drawing:
        """The batch size."""
        return Drawing(batch_size=param.detection_data_param.batch_size)

    @classmethod
    def source_shapes(
        cls,
        param: caffe_pb2.LayerParameter,
        items: Mapping[str, Shape],
        channels: int | None = None,
    ) -> list[Shape] | None:
        """From the sizes that are given; None without a size."""
        config = param.detection_data_param
        item = items.get(param.top[0]) if param.top else None
        sizes = (
            (config.crop_height, config.crop_width),
            (config.resize_height, config.resize_width),
            (config.crop_long_size, config.crop_short_size),
            (config.long_size, config.short_size),
        )
        size = next((each for each in sizes if all(each)), None)
        if item is None and size:
            item = (channels or len(param.transform_param.mean_value) or 3, *size)
        if item is None or not config.batch_size or 0 in config.stride:
            return None
        maps = [
            (config.batch_size, 6, *(int(side / stride + 0.5) for side in item[1:]))
            for stride in config.stride
        ]
        boxes = [(1, ROW, 1, 1)] if config.output_gt_boxes else []
        return [(config.batch_size, *item), *maps, *boxes]

    def _open(self) -> DetectionReader:
        config = self.config
        _require_maps(self, "stride", len(config.stride))
        self.require(
            config.shuffle in SHUFFLES,
            "shuffle",
            f'shuffle is one of {", ".join(SHUFFLES)}, not "{config.shuffle}"',
        )
        self.require(
            config.mix_group_size > 0,
            "mix_group_size",
            f"mix_group_size must be 1 or more, not {config.mix_group_size}",
        )
        for low, high in (
            ("min_scale", "max_scale"),
            ("low_scale_ratio", "high_scale_ratio"),
            ("min_whaspect", "max_whaspect"),
        ):
            least, most = getattr(config, low), getattr(config, high)
            self.require(
                not (config.HasField(low) and config.HasField(high)) or 0 < least <= most,
                low,
                f"{low} {least:g} must be positive, and not above {high} {most:g}",
            )
        for i, ratio in enumerate(config.template_ratio):
            self.require(
                config.short_size * ratio >= STEP or not config.short_size,
                f"template_ratio[{i}]",
                f"short_size {config.short_size} times {ratio:g} is below {STEP} pixels",
            )
        return DetectionReader(config, self.param.transform_param, self.dtype, self.rng)


@register("EvalData")
class EvalData(Prefetching):
    """Whole images in their order, and their boxes, to measure what Cascade R-CNN finds.

    (Cai, Vasconcelos 2018, arXiv:1712.00726.)  top[0]: (batch_size, channels, height, width);
    top[1]: (G, 8, 1, 1), item, x1, y1, x2, y2, class, 1 for a box to ignore, 1 for a difficult
    one, or one row of -1; top[2], optional: (batch_size, 2, 1, 1), height and width.

    `source` is a window file as DetectionData's.  Images are resized to `resize_width` x
    `resize_height`, or such that the shorter side is `short_size` but none is above `long_size`,
    each then to the nearest multiple of 32; without the former a batch is one image.  Pixels are
    multiplied by the `scale` of ``transform_param`` after its `mean_value` was subtracted; its
    other fields are not read.  `scale` of ``eval_data_param`` is not read in the fork either.
    """

    config_field = "eval_data_param"
    tops: ClassVar[Count] = (2, 3)

    @classmethod
    def drawing(cls, param: caffe_pb2.LayerParameter) -> Drawing:
        """The batch size."""
        return Drawing(batch_size=param.eval_data_param.batch_size)

    @classmethod
    def source_shapes(
        cls,
        param: caffe_pb2.LayerParameter,
        items: Mapping[str, Shape],
        channels: int | None = None,
    ) -> list[Shape] | None:
        """From the sizes that are given; None without a size."""
        config = param.eval_data_param
        item = items.get(param.top[0]) if param.top else None
        sizes = (
            (config.resize_height, config.resize_width),
            (config.long_size, config.short_size),
        )
        size = next((each for each in sizes if all(each)), None)
        if item is None and size:
            item = (channels or len(param.transform_param.mean_value) or 3, *size)
        count = config.batch_size
        if item is None or not count:
            return None
        return [(count, *item), (1, ROW, 1, 1), (count, 2, 1, 1)][: len(param.top)]

    def _open(self) -> EvalReader:
        config = self.config
        self.require(
            config.batch_size == 1 or bool(config.resize_width and config.resize_height),
            "batch_size",
            f"images of sizes of their own come one at a time, not {config.batch_size}; give "
            "resize_width and resize_height, or a batch_size of 1",
        )
        return EvalReader(config, self.param.transform_param, self.dtype, self.rng)
