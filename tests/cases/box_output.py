"""Cases of the boxes of MS-CNN and Cascade R-CNN."""

from __future__ import annotations

import numpy as np

from caffe_lite.testing import Case, Refusal, normal, uniform
from tests.oracles import box_output as oracle

SHAPES = [(2, 7, 4, 5), (2, 7, 2, 3)]
FIELDS = (
    "field_w: [20, 43] field_h: [32, 61] downsample_rate: [8, 16]",
    {"fields": [(20, 32), (43, 61)], "strides": [8, 16]},
)


def case(config, tops=2, shapes=SHAPES, more="", **settings):
    def expect(*maps):
        rows = np.array(oracle.box_output(maps, **FIELDS[1], **settings))
        if settings.get("floor", 0) > 50 and tops == 2:
            return rows[:, :5, None, None], np.zeros((1, 6, 1, 1))
        return (rows[:, :5, None, None], rows[:, :, None, None])[:tops]

    return Case(
        "BoxOutput",
        shapes,
        f"box_output_param {{ {FIELDS[0]} {config} }} {more}",
        expect=expect,
        tops=tops,
        draw={0: normal, 1: normal},
    )


GROUPS = [([(20, 32), (31, 18), (26, 25)], 8), ([(43, 61), (70, 52)], 16)]
GROUP_SHAPES = [(6, 3, 3, 5), (6, 4, 3, 5), (4, 3, 2, 4), (4, 4, 2, 4)]
GROUPS_GIVEN = (
    "box_group_param { field_w: [20, 31, 26] field_h: [32, 18, 25] stride: 8 } "
    "box_group_param { field_w: [43, 70] field_h: [61, 52] stride: 16 }"
)
MOMENTS = ([0.1, -0.2, 0.3, 0.15], [0.4, 0.5, 0.6, 0.7])
MOMENTS_GIVEN = "bbox_mean: [0.1, -0.2, 0.3, 0.15] bbox_std: [0.4, 0.5, 0.6, 0.7]"


def group(config, tops=2, more="", **settings):
    def expect(*maps):
        rows = np.array(oracle.box_group_output(maps, GROUPS, **settings))
        if not len(rows):
            rows = np.zeros((1, 6))
            return np.reshape([0, 1, 1, 10, 10], (1, 5, 1, 1)), rows[:, :, None, None]
        return (rows[:, :5, None, None], rows[:, :, None, None])[:tops]

    return Case(
        "BoxGroupOutput",
        GROUP_SHAPES,
        f"box_group_output_param {{ {GROUPS_GIVEN} {config} }} {more}",
        expect=expect,
        tops=tops,
        draw={0: uniform(0, 1), 1: normal, 2: uniform(0, 1), 3: normal},
    )


REGIONS = [(9, 4), (9, 16), (9, 5), (1, 2)]


def regions(rng, shape):
    """Of three places, so that some overlap; the score behind them if there is one."""
    rows = np.zeros((shape[0], shape[1]))
    rows[:, 1:3] = rng.uniform(0, 9, (shape[0], 2)) + 12 * (np.arange(shape[0]) % 3)[:, None]
    rows[:, 3:5] = rows[:, 1:3] + rng.uniform(10, 30, (shape[0], 2))
    return rows.reshape(shape)


def frcnn(config, shapes=REGIONS, more="", size=(43.0, 51.0), **settings):
    return Case(
        "FrcnnOutput",
        shapes,
        f"frcnn_output_param {{ {config} }} bbox_reg_param {{ {more} }}",
        expect=lambda scores, deltas, rois, size: np.array(
            oracle.frcnn_output(
                scores.reshape(len(scores), -1),
                deltas.reshape(len(scores), -1),
                rois.reshape(len(scores), -1),
                size.reshape(-1),
                **settings,
            )
        )[:, :, None, None],
        draw={
            0: uniform(0, 1),
            1: uniform(-0.4, 0.4),
            2: regions,
            3: lambda rng, shape: np.resize(size, shape),
        },
    )


CASES = [
    case("fg_thr: -1 min_size: 4 iou_thr: 0.6", floor=-1, least=4, overlap_limit=0.6),
    case("min_size: 9 nms_type: 'IOMU' iou_thr: 0.7", least=9, part="IOMU", overlap_limit=0.7),
    case(
        "fg_thr: -3 min_size: 9 nms_type: 'IOFU' max_nms_num: 9 max_post_nms_num: 4",
        tops=1,
        floor=-3,
        least=9,
        part="IOFU",
        before=9,
        after=4,
    ),
    case(
        "field_whr: 1.5 field_xyr: 4 fg_thr: -0.5",
        more="bbox_reg_param { bbox_mean: [0.1, -0.2, 0.3, 0.15] bbox_std: [0.4, 0.5, 0.6, 0.7] }",
        floor=-0.5,
        wh=1.5,
        xy=4.0,
        moments=([0.1, -0.2, 0.3, 0.15], [0.4, 0.5, 0.6, 0.7]),
    ),
    case("fg_thr: 99", floor=99),
    group("min_size: 4 iou_thr: 0.6", least=4, overlap_limit=0.6),
    group("nms_type: 'IOMU' min_size: 9 fg_thr: 0.4", part="IOMU", least=9, floor=0.4),
    group(
        "min_size: 9 nms_type: 'IOFU' iou_thr: 0.7 max_nms_num: 19 max_post_nms_num: 4",
        tops=1,
        least=9,
        part="IOFU",
        overlap_limit=0.7,
        before=19,
        after=4,
    ),
    group(
        "field_whr: 1.5 field_xyr: 4",
        more=f"bbox_reg_param {{ {MOMENTS_GIVEN} }}",
        wh=1.5,
        xy=4.0,
        moments=MOMENTS,
    ),
    group("fg_thr: 1.5", floor=1.5),
    frcnn("conf_thr: 0.2", floor=0.2),
    frcnn("iou_thr: 0.3 nms_type: 'IOMU' max_det_num: 7", overlap_limit=0.3, part="IOMU", most=7),
    frcnn(
        "conf_thr: 0.3 iou_thr: 0.4 nms_type: 'IOFU'",
        shapes=[(9, 4, 1, 1), (9, 8, 1, 1), (9, 6, 1, 1), (1, 2, 1, 1)],
        more=f"cls_aware: false {MOMENTS_GIVEN}",
        floor=0.3,
        overlap_limit=0.4,
        part="IOFU",
        aware=False,
        moments=MOMENTS,
    ),
    frcnn("conf_thr: 2", floor=2),
]


def second_image(rng, shape):
    rows = regions(rng, shape)
    rows[1, 0] = 1
    return rows


def turned(rng, shape):
    rows = regions(rng, shape)
    rows[2, 3] = rows[2, 1] - 2
    return rows


def refused(config, at, says, shapes=SHAPES, more=""):
    given = f"box_output_param {{ {config} }} {more}"
    return Refusal("BoxOutput", shapes, given, at=at, says=says)


GOOD = FIELDS[0]
REFUSALS = [
    refused("field_w: 9 " + GOOD.split("]", 1)[1], "field_w", "1 field_w for 2 bottoms"),
    refused(GOOD.replace("[8, 16]", "[8, 0]"), "downsample_rate[1]", "positive, not 0"),
    refused(GOOD + " field_whr: 0.5", "field_whr", "at least 1 and finite, not 0.5"),
    refused(GOOD + " field_xyr: 0", "field_xyr", "above 0 and finite, not 0"),
    refused(GOOD + " num_param_set: 2", "num_param_set", "must be 1, not 2"),
    refused(GOOD, ".bbox_reg_param.bbox_std", "give 4", more="bbox_reg_param { bbox_std: 1 }"),
    refused(GOOD, ".bottom[1]", "N and K as in", [(2, 7, 4, 5), (2, 6, 2, 3)]),
    refused(GOOD, ".bottom[0]", "K > 1 classes", [(2, 5, 4, 5), (2, 5, 2, 3)]),
    *(
        Refusal("BoxGroupOutput", shapes, f"box_group_output_param {{ {text} }}", at=at, says=says)
        for text, at, says, shapes in (
            (GROUPS_GIVEN, "box_group_param", "2 box_group_param for 2 bottoms", GROUP_SHAPES[:2]),
            (GROUPS_GIVEN + " field_whr: 0.5", "field_whr", "at least 1 and finite", GROUP_SHAPES),
            (GROUPS_GIVEN + " field_xyr: 0", "field_xyr", "above 0 and finite", GROUP_SHAPES),
            (
                GROUPS_GIVEN.replace("[43, 70]", "43"),
                "box_group_param[1].field_w",
                "1 field_w for 2 field_h",
                GROUP_SHAPES,
            ),
            (
                GROUPS_GIVEN.replace("70", "0"),
                "box_group_param[1].field_w[1]",
                "positive, not 0",
                GROUP_SHAPES,
            ),
            (
                GROUPS_GIVEN.replace("stride: 8", ""),
                "box_group_param[0].stride",
                "positive, not 0",
                GROUP_SHAPES,
            ),
            (
                GROUPS_GIVEN,
                ".bottom[2]",
                r"N x 2 fields, K, H, W\) with N = 2 items",
                [*GROUP_SHAPES[:2], (6, 3, 2, 4), (6, 4, 2, 4)],
            ),
            (
                GROUPS_GIVEN,
                ".bottom[1]",
                r"must be \(6, 4, 3, 5\)",
                [GROUP_SHAPES[0], (6, 5, 3, 5), *GROUP_SHAPES[2:]],
            ),
        )
    ),
    *(
        Refusal(
            "FrcnnOutput", shapes, f"frcnn_output_param {{ {text} }}", at=at, says=says, **more
        )
        for text, at, says, shapes, more in (
            (
                "save_output_param { output_directory: 'x' }",
                "save_output_param.output_directory",
                "no files are written",
                REGIONS,
                {},
            ),
            ("", ".bottom[0]", "K > 1 classes", [(9, 1), *REGIONS[1:]], {}),
            ("", ".bottom[1]", r"\(9, 16\), as", [(9, 4), (9, 8), *REGIONS[2:]], {}),
            ("", ".bottom[2]", r"\(9, 5\) or \(9, 6\)", [*REGIONS[:2], (8, 5), (1, 2)], {}),
            ("", ".bottom[3]", r"\(1, 2\)", [*REGIONS[:3], (1, 3)], {}),
            (
                "",
                ".bottom[2]",
                "region 1 .* is of another item",
                REGIONS,
                {"draw": {2: second_image}},
            ),
            ("", ".bottom[2]", "region 2 .* before it", REGIONS, {"draw": {2: turned}}),
        )
    ),
]
