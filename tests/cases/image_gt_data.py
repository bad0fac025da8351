"""Cases of the layers that read the images with boxes of MS-CNN and Cascade R-CNN."""

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


def write_flags(folder: Path) -> None:
    """As `write`, with the flag of difficulty: 1 for each second box."""
    if (folder / "window.txt").exists():  # a reader may be using it
        return
    lines = []
    for index, (boxes, others) in enumerate(FLAGGED):
        (folder / f"{index}.png").write_bytes(png(PIXELS[index]))
        lines += [f"# {index}", f"/{index}.png", "3", "6", "8", str(len(boxes))]
        lines += [" ".join(map(str, box)) for box in boxes]
        lines += [str(len(others)), *(" ".join(map(str, box)) for box in others)]
    for index, (height, width) in enumerate(SIDES):
        image = np.empty((3, height, width), np.uint8)
        image[...] = COLOURS.reshape(3, 1, 1) + index
        (folder / f"plain{index}.png").write_bytes(png(image))
        plain = f"# {index} /plain{index}.png 3 {height} {width} 1 2 1 {index} 5 6 30 27 0\n"
        (folder / f"plain{index}.txt").write_text(plain)
    both = [(folder / f"plain{index}.txt").read_text() for index in range(2)]
    (folder / "plain.txt").write_text("".join(both))
    (folder / "window.txt").write_text("\n".join(lines) + "\n")
    (folder / "empty.txt").write_text("# 0 /2.png 3 6 8 0 0\n")


FLAGGED = [
    ([[kind, ignored, i % 2, *box] for i, (kind, ignored, *box) in enumerate(boxes)], others)
    for boxes, others in SCENES
]
SIDES = [(40, 50), (90, 70)]
"""Height and width of the images of one colour, which have it after they were resized, too."""
COLOURS = np.array([20.0, 130, 200])


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


def anchors(more, scale=1.0, **settings):
    def expect():
        found = [oracle.anchor_labels(*scene, (6, 8), **STRIDES, **settings) for scene in FLAGGED]
        maps = [np.stack(each) for each in zip(*(maps for maps, _ in found))]
        rows = [[item, *row] for item, (_, rows) in enumerate(found) for row in rows]
        return [(PIXELS - MEANS) * scale, *maps, np.array(rows, np.float64).reshape(-1, 8, 1, 1)]

    text = FIELDS.replace("downsample_rate", "stride") + more + " output_gt_boxes: true"
    text = config(text).replace("image_gt", "detection")
    text += MEAN.replace("}", f"scale: {scale} }}")
    return Case("DetectionData", [], text, expect, tops=4, files=write_flags)


STRIDES = {"strides": [1, 2], "fields": SIZES["fields"]}


def whole(source, shape, more, scale=1.0, tops=3):
    """The images of one colour `source`, and their height and width after they were resized."""

    def expect():
        data = [np.broadcast_to((COLOURS + i).reshape(3, 1, 1), (3, *shape)) for i in source]
        rows = []
        for item, i in enumerate(source):
            factors = np.divide(shape, SIDES[i])[[1, 0, 1, 0]]
            rows.append([item, *([5, 6, 30, 27] * factors), 2, 1, i])
        sizes = np.array([shape] * len(source)).reshape(-1, 2, 1, 1)
        return [np.stack(data) * scale, np.reshape(rows, (-1, 8, 1, 1)), sizes][:tops]

    name = "plain" + "".join(map(str, source)) if len(source) == 1 else "plain"
    text = config(more, name, len(source)).replace("image_gt", "eval")
    text += f"transform_param {{ scale: {scale} }}"
    return Case("EvalData", [], text, expect, tops=tops, files=write_flags)


CASES = [
    anchors(""),
    anchors(
        "fg_threshold: 0.35 cache_images: true anchor_ignore_margin_ratio: 0.25 "
        "min_gt_width: 5 min_gt_height: 4",
        scale=0.5,
        threshold=0.35,
        margin=0.25,
        least=(5, 4),
    ),
    anchors(
        "anchor_ignore_iou_thr: 0.8 ignore_fg_threshold: 0.6 pickup_iou_thr: 0.3",
        inside=0.8,
        covered=0.6,
        pickup=0.3,
    ),
    anchors("anchor_ignore_margin_ratio: 0 pickup_iou_thr: 0.05", margin=0, pickup=0.05),
    Case(
        "DetectionData",
        [],
        config("output_gt_boxes: true", "empty", 2).replace("image_gt", "detection"),
        lambda: [np.stack([PIXELS[2]] * 2), np.full((1, 8, 1, 1), -1.0)],
        tops=2,
        files=write_flags,
    ),
    *(
        Case(
            "DetectionData",
            [],
            config(
                "field_w: [30, 40] field_h: [20, 25] stride: [4, 8] output_gt_boxes: true " + more,
                "window",
                2,
            ).replace("image_gt", "detection")
            + "transform_param { mirror: true }",
            random=True,
            tops=4,
            files=write_flags,
        )
        for more in (
            "short_size: 64 long_size: 96 shuffle: 'random_aspect' template_ratio: [0.5, 1] "
            "low_scale_ratio: 0.6 high_scale_ratio: 1.8 multiscale_prob: 0.9 "
            "distort_param { brightness_prob: 0.5 brightness_delta: 32 }",
            "resize_ratio: 6.5 crop_short_size: 30 crop_long_size: 42 min_scale: 20 max_scale: 40 "
            "min_whaspect: 0.5 max_whaspect: 2 shuffle: 'random_mix_aspect' mix_group_size: 1",
            "resize_width: 60 resize_height: 50 crop_width: 44 crop_height: 36 shuffle: 'random'",
        )
    ),
    whole([0], (32, 64), "", scale=0.5),
    whole([0, 1], (64, 96), "resize_width: 100 resize_height: 70"),
    whole([0], (64, 64), "short_size: 60 long_size: 71", tops=2),
    whole([1], (128, 96), "short_size: 95 long_size: 200"),
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
    *(
        Refusal(
            "DetectionData", [], f"detection_data_param {{ {text} }}", at=at, says=says, tops=2
        )
        for text, at, says in (
            (f'source: "x" batch_size: 1 {more}', at, says)
            for more, at, says in (
                ("", ".top", "needs 1 tops, for the images, 0 stride; not 2"),
                ("stride: 2 output_gt_boxes: true", ".top", "and the boxes; not 2"),
                ("stride: 2 field_w: 3", "field_h", "as many field_h as stride, 1, not 0"),
                ("stride: 2 field_w: 0 field_h: 1", "field_w[0]", "positive, not 0"),
                ("output_gt_boxes: true coord_num: 5", "coord_num", "must be 4, not 5"),
                ("output_gt_boxes: true shuffle: 'x'", "shuffle", 'mix_aspect, not "x"'),
                ("output_gt_boxes: true mix_group_size: 0", "mix_group_size", "1 or more"),
                (
                    "output_gt_boxes: true min_scale: 9 max_scale: 8",
                    "min_scale",
                    "9 must be positive, and not above max_scale 8",
                ),
                (
                    "output_gt_boxes: true short_size: 64 long_size: 96 template_ratio: [1, 0.2]",
                    "template_ratio[1]",
                    "short_size 64 times 0.2 is below 32 pixels",
                ),
                (
                    "output_gt_boxes: true distort_param { brightness_delta: -1 }",
                    "distort_param.brightness_delta",
                    "from 0 to",
                ),
            )
        )
    ),
    Refusal(
        "EvalData",
        [],
        'eval_data_param { source: "x" batch_size: 2 short_size: 64 long_size: 96 }',
        at="batch_size",
        says="one at a time, not 2",
        tops=2,
    ),
]
