"""Cases of AnnotatedData."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from caffe_lite.data.datum import array_to_datum
from caffe_lite.data.db import create_db
from caffe_lite.proto import caffe_pb2
from caffe_lite.testing import Case, Refusal
from tests.cases.data import PIXELS, png
from tests.oracles import image as oracle

Array = np.ndarray

# of the 3 images: label, instance, difficult, and the box, in eighths of the width and sixths of
# the height, so that a crop to whole pixels is exact
OBJECTS = [
    [(4, 0, 0, (1, 1, 5, 4)), (4, 1, 1, (0, 0, 8, 6)), (2, 0, 0, (6, 0, 8, 1))],
    [],
    [(1, 0, 1, (2, 2, 4, 5))],
]


def annotated(
    objects: Sequence[tuple[int, int, int, tuple[float, ...]]], image: Array, encoded: bool = False
) -> caffe_pb2.AnnotatedDatum:
    """A record of an image with boxes in pixels."""
    record = caffe_pb2.AnnotatedDatum(type="BBOX")
    if encoded:
        record.datum.CopyFrom(caffe_pb2.Datum(data=png(image), encoded=True))
    else:
        record.datum.CopyFrom(array_to_datum(image))
    height, width = image.shape[1:]
    groups: dict[int, caffe_pb2.AnnotationGroup] = {}
    for label, instance, difficult, (x0, y0, x1, y1) in objects:
        if label not in groups:
            groups[label] = record.annotation_group.add(group_label=label)
        each = groups[label].annotation.add(instance_id=instance)
        each.bbox.CopyFrom(
            caffe_pb2.NormalizedBBox(
                xmin=x0 / width,
                ymin=y0 / height,
                xmax=x1 / width,
                ymax=y1 / height,
                difficult=bool(difficult),
            )
        )
    return record


def database(encoded: bool = False, typed: bool = True) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        if (folder / "db").exists():
            return
        with create_db(str(folder / "db"), "lmdb") as writer:
            for index, (image, objects) in enumerate(zip(PIXELS, OBJECTS, strict=True)):
                record = annotated(objects, image, encoded)
                if not typed:
                    record.ClearField("type")
                    record.datum.label = 10 * index
                writer.put(b"%08d" % index, record.SerializeToString())

    return write


def rows(left: float, top: float, width: float, height: float) -> Array:
    """The labels of the three images, cropped to this window of pixels, in plain loops."""
    found = []
    for item, objects in enumerate(OBJECTS):
        for label, instance, difficult, (x0, y0, x1, y1) in objects:
            cut = [
                min(max((x0 - left) / width, 0), 1),
                min(max((y0 - top) / height, 0), 1),
                min(max((x1 - left) / width, 0), 1),
                min(max((y1 - top) / height, 0), 1),
            ]
            if cut[0] < cut[2] and cut[1] < cut[3]:
                found.append([item, label, instance, *cut, difficult])
    return np.array([[found]], np.float64)


def yolo_rows(difficult: bool) -> Array:
    """The labels of the three images for YOLO, in plain loops."""
    y = np.zeros((3, 1, 300, 5))
    for item, objects in enumerate(OBJECTS):
        kept = [each for each in objects if difficult or not each[2]]
        for row, (label, _, _, (x0, y0, x1, y1)) in enumerate(kept):
            y[item, 0, row] = [
                label - 1, (x0 + x1) / 2 / 8, (y0 + y1) / 2 / 6, (x1 - x0) / 8, (y1 - y0) / 6
            ]  # fmt: skip
    return y


DB = 'data_param { source: "{folder}/db" backend: LMDB batch_size: 3 } '

CASES = [
    Case(
        "AnnotatedData",
        [],
        DB + "transform_param { mean_value: 9 scale: 0.5 }",
        tops=2,
        files=database(),
        expect=lambda: [
            np.stack([oracle.transform(image, 0, 0, (6, 8), 9, 0.5) for image in PIXELS]),
            rows(0, 0, 8, 6),
        ],
    ),
    Case(
        "AnnotatedData",
        [],
        DB + "transform_param { crop_h: 4 crop_w: 3 }",
        phase="TEST",
        tops=2,
        files=database(encoded=True),
        expect=lambda: [
            np.stack([oracle.transform(image, 1, 2, (4, 3)) for image in PIXELS]),
            rows(2, 1, 3, 4),
        ],
    ),
    Case(
        "AnnotatedData",
        [],
        DB + "transform_param { crop_size: 3 emit_constraint { emit_type: CENTER } }",
        phase="TEST",
        tops=2,
        files=database(),
        # of the four boxes only the second and the fourth have their centres in the window
        expect=lambda: [
            np.stack([oracle.transform(image, 1, 2, (3, 3)) for image in PIXELS]),
            rows(2, 1, 3, 3)[:, :, [0, 1, 2]],
        ],
    ),
    Case(
        "AnnotatedData",
        [],
        DB,
        tops=2,
        files=database(typed=False),
        expect=lambda: [PIXELS.astype(np.float64), np.array([0.0, 10.0, 20.0])],
    ),
    Case(
        "AnnotatedData",
        [],
        DB + "annotated_data_param { yolo_data_type: 1 yolo_data_jitter: 0 }",
        tops=2,
        files=database(),
        expect=lambda: [PIXELS.astype(np.float64), yolo_rows(difficult=True)],
    ),
    Case(
        "AnnotatedData",
        [],
        DB + "annotated_data_param { yolo_data_type: 1 batch_sampler { } train_diffcult: false }",
        tops=2,
        files=database(),
        expect=lambda: [PIXELS.astype(np.float64), yolo_rows(difficult=False)],
    ),
    Case("AnnotatedData", [], DB, tops=1, files=database(), expect=lambda: PIXELS),
    Case(
        "AnnotatedData",
        [],
        DB + "transform_param { mirror: true distort_param { brightness_prob: 1 "
        "brightness_delta: 30 } expand_param { max_expand_ratio: 2 } resize_param { height: 4 "
        "width: 5 interp_mode: AREA interp_mode: CUBIC } } "
        "annotated_data_param { batch_sampler { sampler { min_scale: 0.5 } max_sample: 1 } }",
        tops=2,
        files=database(),
        random=True,
    ),
]


def refusal(at: str, says: str, rest: str, batch: int = 3, source: str = "nowhere") -> Refusal:
    config = f'data_param {{ source: "{source}" backend: LMDB batch_size: {batch} }} {rest}'
    return Refusal("AnnotatedData", [], config, at=at, says=says, tops=2)


REFUSALS = [
    refusal("source", "names no source", "", source=""),
    refusal(
        "batch_size",
        "FIT_SMALL_SIZE takes batch_size 1, not 3",
        "transform_param { resize_param { resize_mode: FIT_SMALL_SIZE height: 3 width: 3 } }",
    ),
    refusal(
        ".transform_param.resize_param[0].width",
        "width must be 1 or more",
        "transform_param { resize_param { height: 3 } }",
    ),
    refusal(
        ".transform_param.resize_param[1].height",
        "height must be 1 or more",
        "transform_param { resize_param { height: 3 width: 3 } resize_param { } }",
    ),
    refusal(
        ".transform_param.resize_param[0].prob",
        "the prob of 2 resize_param must add up to 1, not 0.8",
        "transform_param { resize_param { height: 3 width: 3 prob: 0.5 } "
        "resize_param { height: 4 width: 3 prob: 0.3 } }",
    ),
    refusal(
        ".transform_param.resize_param[1].prob",
        "prob must be from 0 to 1, not -0.5",
        "transform_param { resize_param { height: 3 width: 3 } "
        "resize_param { height: 4 width: 3 prob: -0.5 } }",
    ),
    refusal(
        ".annotated_data_param.yolo_data_jitter",
        "must be from 0 to less than 1, not 1",
        "annotated_data_param { yolo_data_type: 1 yolo_data_jitter: 1 }",
    ),
    refusal(
        ".transform_param.distort_param.hue_delta",
        "hue_delta must be from 0 to 1e.06, not -1",
        "transform_param { distort_param { hue_delta: -1 } }",
    ),
    refusal(
        ".transform_param.distort_param.brightness_delta",
        "brightness_delta must be from 0 to 1e.06, not inf",
        "transform_param { distort_param { brightness_delta: inf } }",
    ),
    refusal(
        ".transform_param.distort_param.contrast_upper",
        "contrast_upper must be from contrast_lower, 1, to 1e.06, not 0.5",
        "transform_param { distort_param { contrast_lower: 1 contrast_upper: 0.5 } }",
    ),
    refusal(
        ".transform_param.expand_param.max_expand_ratio",
        "must be 1 or more, not 0.5",
        "transform_param { expand_param { max_expand_ratio: 0.5 } }",
    ),
    refusal(
        ".annotated_data_param.batch_sampler[1].sampler",
        "min_scale 0.5 and max_scale 0.3 must be in order",
        "annotated_data_param { batch_sampler { } batch_sampler { sampler { min_scale: 0.5 "
        "max_scale: 0.3 } } }",
    ),
    refusal(
        ".annotated_data_param.batch_sampler[0].sampler",
        "min_aspect_ratio 0 and max_aspect_ratio 1 must be in order",
        "annotated_data_param { batch_sampler { sampler { min_aspect_ratio: 0 } } }",
    ),
]
