"""The frames of a video, through the layer VideoData."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import caffe_lite as caffe
from caffe_lite.errors import CaffeError, DataError
from tests.cases.video import FRAMES, write

pytest.importorskip("cv2")

LAYER = (
    'layer { name: "v" type: "VideoData" top: "data" data_param { batch_size: %d } '
    'video_data_param { video_type: VIDEO video_file: "v.avi" skip_frames: %d } %s }'
)


@pytest.fixture
def net(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., caffe.Net]:
    monkeypatch.chdir(tmp_path)

    def build(batch: int = 2, skip: int = 0, rest: str = "") -> caffe.Net:
        Path("net.prototxt").write_text(LAYER % (batch, skip, rest))
        return caffe.Net("net.prototxt", caffe.TEST)

    return build


def frames(net: caffe.Net) -> np.ndarray:
    net.forward()
    return net.blobs["data"].data.transpose(0, 2, 3, 1)


def test_frames_come_in_order_and_end(net: Callable[..., caffe.Net]) -> None:
    write(Path("v.avi"))
    built = net()
    for start in (0, 2, 4):
        np.testing.assert_array_equal(frames(built), FRAMES[start : start + 2])
    with pytest.raises(CaffeError, match=r'layer "v" .*: the video "v.avi" has ended after 6 fr'):
        frames(built)


def test_skipped_frames(net: Callable[..., caffe.Net]) -> None:
    write(Path("v.avi"))
    np.testing.assert_array_equal(frames(net(2, 2)), FRAMES[[2, 5]])


def test_a_state_continues(net: Callable[..., caffe.Net]) -> None:
    write(Path("v.avi"))
    built = net(1, 1)
    frames(built)
    state = built.layers[0].get_state()
    other = net(1, 1)
    other.layers[0].set_state(state)
    np.testing.assert_array_equal(frames(other)[0], FRAMES[3])


def test_as_its_authors_wrote_it(net: Callable[..., caffe.Net]) -> None:
    """SSD's demo resizes and subtracts the mean."""
    import cv2

    write(Path("v.avi"))
    built = net(
        1,
        0,
        "transform_param { mean_value: 104 mean_value: 117 mean_value: 123 resize_param { prob: 1 "
        "resize_mode: WARP height: 30 width: 40 interp_mode: LINEAR } }",
    )
    wanted = cv2.resize(FRAMES[0], (40, 30)) - np.array([104.0, 117, 123])
    np.testing.assert_array_equal(frames(built)[0], wanted)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, r'cannot read the video "v\.avi": No such file'),
        (b"no video", r'"v\.avi" is not a video that OpenCV can read'),
        (b"", r'"v\.avi" is not a video'),
        (b"#EXTM3U\n#EXTINF:10,\nother.avi\n#EXT-X-ENDLIST\n", r'"v\.avi" is not a video'),
        (b"ffconcat version 1.0\nfile other.avi\n", r'"v\.avi" is not a video'),
    ],
)
def test_files_that_are_refused(
    content: bytes | None,
    says: str,
    net: Callable[..., caffe.Net],
    capfd: pytest.CaptureFixture[str],
) -> None:
    write(Path("other.avi"))
    if content is not None:
        Path("v.avi").write_bytes(content)
    before = dict(os.environ)
    with pytest.raises(
        CaffeError, match=r"net\.prototxt:1:\d+: layer \"v\" \(VideoData\): " + says
    ):
        net()
    assert dict(os.environ) == before
    assert "WARN" not in capfd.readouterr().err


def test_a_folder_is_no_video(net: Callable[..., caffe.Net]) -> None:
    Path("v.avi").mkdir()
    with pytest.raises(DataError, match="it is a folder"):
        net()


def test_without_opencv(net: Callable[..., caffe.Net], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(CaffeError, match=r"needs OpenCV; install it with: pip install 'caffe_l"):
        net()
