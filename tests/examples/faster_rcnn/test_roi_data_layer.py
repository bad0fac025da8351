"""RoIDataLayer: pictures, boxes and regions of files that the tests write."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import caffe_lite as caffe
from tests.examples.conftest import Run
from tests.examples.faster_rcnn import module
from tests.net import source
from tests.project import ROOT

MEANS = (102.9801, 115.9465, 122.7717)  # of blue, green and red


def pictures(folder: Path) -> list[dict[str, Any]]:
    """Three pictures of different sizes, the last of them the first one mirrored."""
    rng = np.random.default_rng(8)
    first = rng.integers(0, 256, (20, 30, 3), np.uint8)
    second = rng.integers(0, 256, (32, 24, 3), np.uint8)
    for name, pixels in ("first", first), ("second", second), ("mirrored", first[:, ::-1]):
        Image.fromarray(pixels).save(folder / f"{name}.png")
    return [
        {"image": str(folder / "first.png"), "boxes": [[2, 3, 11, 15]], "gt_classes": [4]},
        {
            "image": str(folder / "second.png"),
            "boxes": [[0, 1, 9, 20], [5, 5, 20, 30], [8, 8, 23, 31]],
            "gt_classes": [1, 0, 2],
        },
        {"image": str(folder / "mirrored.png"), "boxes": [[18, 3, 27, 15]], "gt_classes": [4]},
    ]


def data_net(param_str: str, tops: str = "data im_info gt_boxes", phase: int = 0) -> caffe.Net:
    named = " ".join(f'top: "{top}"' for top in tops.split())
    text = f"""layer {{ name: "input-data" type: "Python" {named} python_param {{
      module: "roi_data_layer.layer" layer: "RoIDataLayer" param_str: {json.dumps(param_str)} }} }}
    """
    return caffe.Net(source(text), phase, python_layers=True)


SMALL = "'num_classes': 5\n'target_size': 40\n'max_size': 52"
FAST = "data rois labels bbox_targets bbox_inside_weights bbox_outside_weights"


def batches(net: caffe.Net, count: int) -> list[dict[str, np.ndarray]]:
    found = []
    for _ in range(count):
        net.forward()
        found.append({name: blob.data.copy() for name, blob in net.blobs.items()})
    return found


def test_each_picture_comes_once_with_its_boxes_and_its_scale(tmp_path: Path) -> None:
    net = data_net(SMALL)
    entries = pictures(tmp_path)
    net.layers[0].set_roidb(entries)
    of_size: dict[tuple[int, ...], dict[str, np.ndarray]] = {}
    for each in batches(net, 3):
        of_size.setdefault(each["data"].shape, each)
    assert set(of_size) == {(1, 3, 35, 52), (1, 3, 52, 39)}  # 30 * 2 and 32 * 5 / 3 are above 52

    first, second = of_size[1, 3, 35, 52], of_size[1, 3, 52, 39]
    np.testing.assert_allclose(first["im_info"], [[35, 52, 52 / 30]], rtol=1e-6)
    np.testing.assert_allclose(second["im_info"], [[52, 39, 1.625]])
    expected = [[0, 1.625, 14.625, 32.5, 1], [13, 13, 37.375, 50.375, 2]]  # not the one of class 0
    np.testing.assert_allclose(second["gt_boxes"], expected)
    pixels = caffe.io.load_image(entries[1]["image"]) * 255
    resized = caffe.io.resize_image(pixels, (52, 39)) - np.array(MEANS[::-1])
    np.testing.assert_allclose(second["data"][0], resized.transpose(2, 0, 1)[::-1], atol=1e-3)


def test_pictures_come_in_another_order_each_time(tmp_path: Path) -> None:
    entries = pictures(tmp_path)
    net = data_net(SMALL)
    net.layers[0].set_roidb([{**entries[0], "gt_classes": [label]} for label in (1, 2, 3, 4)])
    labels = [int(each["gt_boxes"][0, 4]) for each in batches(net, 32)]
    rounds = [tuple(labels[i : i + 4]) for i in range(0, 32, 4)]
    assert all(sorted(each) == [1, 2, 3, 4] for each in rounds)
    assert len(set(rounds)) > 1


def test_a_flipped_entry_is_the_mirrored_picture(tmp_path: Path) -> None:
    first, _, mirrored = pictures(tmp_path)
    both = module("roi_data_layer.roidb").append_flipped_images([first])
    assert both[0] == first
    assert both[1]["boxes"] == mirrored["boxes"]
    found = []
    for entry in both[1], mirrored, first:
        net = data_net(SMALL)
        net.layers[0].set_roidb([entry])
        found += batches(net, 1)
    for name in "data", "gt_boxes":
        np.testing.assert_array_equal(found[0][name], found[1][name])
        assert (found[0][name] != found[2][name]).any()
    again = module("roi_data_layer.roidb").append_flipped_images(both)
    assert again[3] == {**first, "flipped": False}


def test_with_six_tops_it_gives_regions_of_two_pictures(tmp_path: Path) -> None:
    net = data_net(f"{SMALL}\n'batch_size': 8", FAST)
    assert net.blobs["data"].shape == (2, 3, 40, 52)
    first, second, _ = pictures(tmp_path)
    second["boxes"].append([0, 22, 6, 31])
    second["gt_classes"].append(0)
    net.layers[0].set_roidb([first, second])
    for found in batches(net, 6):
        assert found["data"].shape == (2, 3, 52, 52)
        number = int(found["data"][0, :, 35:].any())  # the first one is wide, and not so high
        assert found["data"][number, :, 34].all()
        assert not found["data"][1 - number, :, :, 39:].any()
        of_first = found["rois"][:, 0] == number
        np.testing.assert_array_equal(found["labels"][of_first], [4])
        wide = np.multiply(first["boxes"], 52 / 30)
        np.testing.assert_allclose(found["rois"][of_first, 1:], wide, rtol=1e-6)

        # of the four regions of each picture one is foreground: a truth, or what overlaps one
        labels = found["labels"][~of_first]
        boxes = (found["rois"][~of_first, 1:] / 1.625).round(4).tolist()
        assert boxes[0] in second["boxes"][:3]
        assert labels[0] == (1, 2, 2)[second["boxes"].index(boxes[0])]
        assert (labels[1:], boxes[1:]) == ([0], second["boxes"][3:])
        weights = found["bbox_inside_weights"]
        np.testing.assert_array_equal(weights.sum(axis=1), 4 * (found["labels"] > 0))
        np.testing.assert_array_equal(weights, found["bbox_outside_weights"])


def test_a_roidb_is_read_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "train.json").write_text(json.dumps(pictures(tmp_path)))
    net = data_net(f"{SMALL}\n'roidb': {str(tmp_path / 'train.json')!r}")
    assert {each["data"].shape[2] for each in batches(net, 3)} == {35, 52}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"boxes": None}, 'entry 1 of the roidb has no "boxes"'),
        ({"gt_classes": [0]}, r'entry 1 of the roidb \(".*first.png"\) has no box with a class'),
        ({"gt_classes": [1, 2]}, r"boxes \(1, 4\) for 2 classes"),
        ({"gt_classes": [5]}, r"classes \[5\], not 0 to 4"),
        ({"boxes": [[5, 5, 4, 9]]}, "second corner is before its first"),
    ],
)
def test_an_entry_that_nothing_can_be_learnt_from_is_refused(
    change: dict[str, Any], says: str, tmp_path: Path
) -> None:
    entry = pictures(tmp_path)[0]
    changed = {key: value for key, value in {**entry, **change}.items() if value is not None}
    with pytest.raises(ValueError, match=says):
        data_net(SMALL).layers[0].set_roidb([entry, changed])
    path = tmp_path / "train.json"
    path.write_text(json.dumps([entry, changed]))
    with pytest.raises(
        caffe.CaffeError, match=rf'"input-data" \(Python\): cannot use .*: .*{says}'
    ):
        data_net(f"{SMALL}\n'roidb': {str(path)!r}")


@pytest.mark.parametrize(
    ("extra", "tops", "says"),
    [
        ("'roidb': 'nowhere.json'", "a b c", "cannot use 'nowhere.json': .*No such file"),
        ("'ims_per_batch': 2", "a b c", "with 3 tops ims_per_batch is 1, not 2"),
        ("", "a b", "has 3 or 6 tops, not 2"),
    ],
)
def test_what_cannot_be_given_is_refused(extra: str, tops: str, says: str) -> None:
    with pytest.raises(caffe.CaffeError, match=says):
        data_net(f"{SMALL}\n{extra}", tops)


@pytest.mark.parametrize(("tops", "batch"), [("a b c", 1), ("a b c d e f", 2)])
def test_without_a_roidb_it_says_what_to_do(tops: str, batch: int) -> None:
    says = f"has 0 pictures, a batch {batch}; name its file with 'roidb'"
    with pytest.raises(caffe.CaffeError, match=says):
        data_net(SMALL, tops).forward()


# -- the command line -----------------------------------------------------------------------------

SOLVER = """
train_net: "{net}" type: "SGD" base_lr: 0.001 momentum: 0.9 lr_policy: "fixed" max_iter: 6
snapshot: 3 snapshot_prefix: "{prefix}" random_seed: 5
"""


def test_the_command_line_trains_and_resumes(run: Run, tmp_path: Path) -> None:
    entries = module("roi_data_layer.roidb").append_flipped_images(pictures(tmp_path))
    (tmp_path / "train.json").write_text(json.dumps(entries))
    net = ROOT / "examples" / "faster_rcnn_train.prototxt"
    (tmp_path / "solver.prototxt").write_text(SOLVER.format(net=net, prefix="a"))
    train = f"""PYTHONPATH="{ROOT / "examples"}:$PYTHONPATH" caffe-lite train -solver
        solver.prototxt --allow-python-layers""".replace("\n", " ")
    run(tmp_path, "sh", "-euc", train)
    (whole := tmp_path / "a_iter_6.caffemodel").rename(tmp_path / "whole")
    run(tmp_path, "sh", "-euc", f"{train} -snapshot a_iter_3.solverstate")
    assert whole.read_bytes() == (tmp_path / "whole").read_bytes()
    assert whole.read_bytes() != (tmp_path / "a_iter_3.caffemodel").read_bytes()
