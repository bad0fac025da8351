"""VideoData: frames of a video file (SSD), or of lists of videos (yjxiong)."""

from __future__ import annotations

import builtins
from collections.abc import Mapping
from typing import ClassVar

from caffe_lite.blob import Shape
from caffe_lite.data.frames import FLOW, FrameReader
from caffe_lite.data.transformer import OF_FORKS
from caffe_lite.data.video import VideoReader
from caffe_lite.layers.base import Layer
from caffe_lite.layers.declarations import Count
from caffe_lite.layers.description import Drawing
from caffe_lite.layers.prefetching import Prefetching, missing
from caffe_lite.layers.registry import register
from caffe_lite.proto import caffe_pb2

_AUGMENTATION = (
    "fix_crop",
    "is_flow",
    "max_distort",
    "more_fix_crop",
    "multi_scale",
    "scale_ratios",
)
_FIELDS = ("video_type", "video_file", "skip_frames")


@register("VideoData")
class VideoData(Prefetching):
    """The frames of a video file, in order (SSD); an error after the last.

    top[0]: (batch_size, 3, height, width), in the order BGR, transformed as transform_param says;
    batch_size is data_param's.  top[1], if there is one: zeros (batch_size,).  Before each frame
    skip_frames are left out.  Only ``video_type: VIDEO`` is supported, no camera.

    With a ``video_data_param { source }`` it is yjxiong's: `VideoList`.
    """

    config_field = "data_param"
    source_field = ".video_data_param.video_file"
    tops: ClassVar[Count] = (1, 2)
    heeds = OF_FORKS | {"video_data_param", *(f"video_data_param.{it}" for it in _FIELDS)}

    @classmethod
    def resolve(cls, param: caffe_pb2.LayerParameter, python_layers: bool) -> builtins.type[Layer]:
        """Only yjxiong's has a list of videos."""
        return VideoList if param.video_data_param.HasField("source") else cls

    @classmethod
    def needs_stand_in(cls, param: caffe_pb2.LayerParameter) -> bool:
        """Where its video, or its list, is missing."""
        video = param.video_data_param
        return missing(video.source if video.HasField("source") else video.video_file)

    @classmethod
    def source_shapes(
        cls,
        param: caffe_pb2.LayerParameter,
        items: Mapping[str, Shape],
        channels: int | None = None,
    ) -> list[Shape] | None:
        """Of a list of videos, too."""
        if param.video_data_param.HasField("source"):
            return VideoList.source_shapes(param, items, channels)
        return super().source_shapes(param, items, channels)

    @classmethod
    def drawing(cls, param: caffe_pb2.LayerParameter) -> Drawing:
        """The batch size."""
        return Drawing(batch_size=param.data_param.batch_size or param.video_data_param.batch_size)

    @classmethod
    def _declared_channels(cls, param: caffe_pb2.LayerParameter) -> int:
        return 3

    def _require_source(self) -> None:
        video = self.param.video_data_param
        others = [
            field.name
            for field, _ in video.ListFields()
            if field.name not in (*_FIELDS, "device_id")
        ]
        self.require(
            not others,
            f".video_data_param.{others[0] if others else ''}",
            "is not of SSD's video_data_param; a list of videos has a source",
        )
        self.require(
            video.video_type == video.VIDEO,
            ".video_data_param.video_type",
            "reads no camera; give video_type: VIDEO and a video_file",
        )
        self.require(bool(video.video_file), ".video_data_param.video_file", "names no video file")

    def _open(self) -> VideoReader:
        video = self.param.video_data_param
        return VideoReader(
            video.video_file,
            video.skip_frames,
            self.config.batch_size,
            self._transformer(),
            self.dtype,
        )


class VideoList(Prefetching):
    """Pieces of videos whose frames are image files (Wang et al. 2016, arXiv:1608.00859).

    A line of `source` is "folder frames label".  Of each video come `num_segments` pieces of
    `new_length` frames: they begin at random in equal parts of the video in TRAIN, in the middle
    of the parts in TEST, and with the first frame where a part is too short.  top[0]: (batch_size,
    channels, height, width), the frames as channels, each in the order BGR or, with `grayscale`,
    grey; with `modality: FLOW`, as is default, the images of the flow along x and along y.
    top[1]: the labels (batch_size,).

    `name_pattern` has the names of the files in the folder, "image_%04d.jpg" or
    "flow_%c_%04d.jpg" unless given.  Of ``transform_param`` it reads `crop_size`, `mirror`,
    `mean_value` (repeated for further channels), `scale`, and yjxiong's `multi_scale` with
    `scale_ratios` and `max_distort`, `fix_crop`, `more_fix_crop` and `is_flow`.
    """

    config_field = "video_data_param"
    tops: ClassVar[Count] = 2
    heeds = frozenset(f"transform_param.{name}" for name in _AUGMENTATION)

    @classmethod
    def resolve(cls, param: caffe_pb2.LayerParameter, python_layers: bool) -> builtins.type[Layer]:
        """Not VideoData's answer."""
        return cls

    @classmethod
    def needs_stand_in(cls, param: caffe_pb2.LayerParameter) -> bool:
        """Where its list is missing."""
        return missing(param.video_data_param.source)

    @classmethod
    def _declared_channels(cls, param: caffe_pb2.LayerParameter) -> int:
        config = param.video_data_param
        each = 1 if config.grayscale else 3
        return (2 if config.modality == FLOW else each) * config.new_length * config.num_segments

    @classmethod
    def _declared_size(cls, param: caffe_pb2.LayerParameter) -> tuple[int, int]:
        return param.video_data_param.new_height, param.video_data_param.new_width

    def _open(self) -> FrameReader:
        config, transform = self.config, self.param.transform_param
        for field in ("new_length", "num_segments"):
            self.require(getattr(config, field) > 0, field, f"{field} must be 1 or more, not 0")
        for field in ("length_first", "rand_step", "step"):
            self.require(
                not config.HasField(field),
                field,
                f"{field} is of another fork's lists of frames, which are not supported",
            )
        self.require_new_size()
        self.require(
            not transform.HasField("mean_file"),
            ".transform_param.mean_file",
            "takes no mean_file; give mean_value",
        )
        self.require(
            transform.max_distort >= 0,
            ".transform_param.max_distort",
            f"max_distort must not be below 0, not {transform.max_distort}",
        )
        for i, scale in enumerate(transform.scale_ratios):
            self.require(
                0 < scale <= 1,
                f".transform_param.scale_ratios[{i}]",
                f"must be above 0 and at most 1, not {scale:g}",
            )
        return FrameReader(config, transform, self.training, self.dtype, self.rng)
