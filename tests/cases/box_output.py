"""Cases of MS-CNN's boxes."""

from __future__ import annotations

import numpy as np

from caffe_lite.testing import Case, Refusal, normal
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
]


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
]
