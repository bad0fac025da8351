"""Cases of the layer that reads MS-CNN's images with boxes."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from caffe_lite.testing import Case, Refusal
from tests.cases.data import PIXELS, png
from tests.oracles import image_gt_data as oracle

SCENES = [  # boxes, class ignored x1 y1 x2 y2; and regions of no interest
    ([[2, 0, 1, 1, 4, 3], [1, 0, 4, 2, 8, 6], [3, 1, 0, 3, 3, 6]], [[5, 0, 8, 2]]),
    ([[1, 0, 2, 2, 3, 4], [2, 0, -6, 0, 3, 3]], []),  # no cell has the first; outside
    ([], [[0, 0, 4, 4], [3, 3, 6, 6]]),
]
FIELDS = "field_w: [3, 4] field_h: [2, 3] downsample_rate: [1, 2] "
SIZES = {"rates": [1, 2], "fields": [(3, 2), (4, 3)]}
MEANS = np.array([9, 99, 1.5]).reshape(3, 1, 1)
MEAN = "transform_param { mean_value: [9, 99, 1.5] }"


def write(folder: Path) -> None:
    if (folder / "window.txt").exists():  # a reader may be using it
        return
    lines = []
    for index, (boxes, others) in enumerate(SCENES):
        (folder / f"{index}.png").write_bytes(png(PIXELS[index]))
        lines += [f"# {index}", f"/{index}.png", "3", "6", "8", str(len(boxes))]
        lines += [" ".join(map(str, box)) for box in boxes]
        lines += [str(len(others)), *(" ".join(map(str, box)) for box in others)]
    (folder / "window.txt").write_text("\n".join(lines) + "\n")
    (folder / "empty.txt").write_text("# 0 /2.png 3 6 8 0 0\n")


def config(more="", source="window", size=3):
    return (
        f'image_gt_data_param {{ source: "{{folder}}/{source}.txt" root_folder: "{{folder}}" '
        f"batch_size: {size} {more} }} "
    )


def read(more, transform=MEAN, boxes=False, scale=1.0, **settings):
    def expect():
        found = [oracle.labels(*scene, (6, 8), **SIZES, **settings) for scene in SCENES]
        maps = [np.stack(each) for each in zip(*(maps for maps, _ in found))]
        rows = [[item, *row] for item, (_, rows) in enumerate(found) for row in rows]
        last = [np.array(rows, np.float64).reshape(-1, 7, 1, 1)] if boxes else []
        mean = MEANS if transform else 0
        return [(PIXELS - mean) * scale, *maps, *last]

    more = FIELDS + more + (" output_gt_boxes: true" if boxes else "")
    text = config(more) + transform
    return Case("ImageGtData", [], text, expect, tops=3 + boxes, files=write)


CASES = [
    read("", boxes=True),
    read("fg_threshold: 0.35 scale: 0.5 cache_images: true", scale=0.5, threshold=0.35),
    read("min_gt_width: 5 min_gt_height: 3", transform="", boxes=True, least=(5, 3)),
    Case(
        "ImageGtData",
        [],
        config("field_w: 3 field_h: 2 downsample_rate: 2 output_gt_boxes: true", "empty", 2),
        lambda: [
            np.stack([PIXELS[2]] * 2),
            np.zeros((2, 6, 3, 4)),
            np.reshape([0, 1, 1, 2, 2, 1, 1], (1, 7, 1, 1)),
        ],
        tops=3,
        files=write,
    ),
    Case(
        "ImageGtData",
        [],
        config(
            "field_w: 6 field_h: 6 downsample_rate: 2 resize_width: 48 resize_height: 36 "
            "crop_width: 28 crop_height: 20 do_multiple_scale: true min_scale: 8 max_scale: 32 "
            "min_whaspect: 0.5 max_whaspect: 1.5 shuffle: true fg_img_multiple: 2"
        )
        + "transform_param { mirror: true }",
        random=True,
        files=write,
    ),
]


def refused(more, at, says, tops=2):
    text = f'image_gt_data_param {{ source: "x" batch_size: 1 {more} }}'
    return Refusal("ImageGtData", [], text, at=at, says=says, tops=tops)


ONE = "field_w: 3 field_h: 2 downsample_rate: 2"
REFUSALS = [
    refused(ONE, ".top", "needs 2 tops, for the images, 1 downsample_rate; not 3", 3),
    refused(ONE + " output_gt_boxes: true", ".top", "and the boxes; not 2"),
    refused("field_w: 3 field_h: 2", "downsample_rate", "1, not 0"),
    refused(ONE + " field_h: 4", "field_h", "as many field_h as downsample_rate, 1, not 2"),
    refused(ONE.replace("w: 3", "w: 0"), "field_w[0]", "positive, not 0"),
    refused(ONE + " coord_num: 5", "coord_num", "must be 4, not 5"),
    refused(ONE + " fg_img_multiple: 0", "fg_img_multiple", "1 or more"),
    refused(ONE + " min_scale: 9 max_scale: 8", "min_scale", "9 is above max_scale 8"),
]
