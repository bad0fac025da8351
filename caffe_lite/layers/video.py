"""VideoData: the layer of SSD that reads the frames of a video."""

from __future__ import annotations

from typing import ClassVar

from caffe_lite.data.transformer import OF_FORKS
from caffe_lite.data.video import VideoReader
from caffe_lite.layers.declarations import Count
from caffe_lite.layers.description import Drawing
from caffe_lite.layers.prefetching import Prefetching, missing
from caffe_lite.layers.registry import register
from caffe_lite.proto import caffe_pb2

_FIELDS = ("video_type", "video_file", "skip_frames")


@register("VideoData")
class VideoData(Prefetching):
    """The frames of a video file, in order (SSD); an error after the last.

    top[0]: (batch_size, 3, height, width), in the order BGR, transformed as transform_param says;
    batch_size is data_param's.  top[1], if there is one: zeros (batch_size,).  Before each frame
    skip_frames are left out.  Only ``video_type: VIDEO`` is supported, no camera.
    """

    config_field = "data_param"
    source_field = ".video_data_param.video_file"
    tops: ClassVar[Count] = (1, 2)
    heeds = OF_FORKS | {"video_data_param", *(f"video_data_param.{it}" for it in _FIELDS)}

    @classmethod
    def needs_stand_in(cls, param: caffe_pb2.LayerParameter) -> bool:
        """Where its video is missing."""
        return missing(param.video_data_param.video_file)

    @classmethod
    def drawing(cls, param: caffe_pb2.LayerParameter) -> Drawing:
        """The batch size."""
        return Drawing(batch_size=param.data_param.batch_size)

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
            "reads SSD's fields of video_data_param; lists of frames are not supported",
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
