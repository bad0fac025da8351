"""Cases of the layers that read images with labels of more than one number."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from caffe_lite.testing import Case, Refusal
from tests.cases.data import PIXELS, halved, png
from tests.oracles import image as oracle

Array = np.ndarray

# label images: (3, 1, 6, 8); with values on both sides of 128, and around it
LABELS = np.random.default_rng(6).integers(0, 5, (3, 1, 6, 8), np.uint8)
EDGES = np.random.default_rng(7).choice(np.array([0, 127, 128, 255], np.uint8), (3, 1, 6, 8))
MEANS = np.array([9, 99, 1.5]).reshape(3, 1, 1)
MEAN = "mean_value: 9 mean_value: 99 mean_value: 1.5"


def write(folder: Path) -> None:
    if (folder / "pairs.txt").exists():  # a reader may be using them
        return
    for index in range(3):
        (folder / f"{index}.png").write_bytes(png(PIXELS[index]))
        (folder / f"{index}.labels.png").write_bytes(png(LABELS[index]))
        (folder / f"{index}.edges.png").write_bytes(png(EDGES[index]))
    lists = {
        "pairs": [f"{i}.png {i}.labels.png" for i in range(3)],
        "edges": [f"{i}.png {i}.edges.png" for i in range(3)],
        "labels": [f"{i}.png {7 * i}" for i in range(3)],
        "images": [f"{i}.png" for i in range(3)],
        "many": [f"{i}.png {i} {i + 0.5} -{i}e1" for i in range(3)],
    }
    for name, lines in lists.items():
        (folder / f"{name}.txt").write_text("\n".join(lines) + "\n")


def source(name: str) -> str:
    return f'source: "{{folder}}/{name}.txt" root_folder: "{{folder}}/" batch_size: 3 '


def nearest(labels: Array) -> Array:
    """Labels (1, 6, 8) in 3 x 4: of each 2 x 2 the first."""
    return labels[:, ::2, ::2].astype(np.float64)


def transformed(row: int, column: int, height: int, width: int) -> Array:
    return np.stack(
        [oracle.transform(each, row, column, (height, width), MEANS, 0.5) for each in PIXELS]
    )


def dense(config: str, transform: str = "", **more: object) -> dict[str, object]:
    return {
        "type": "DenseImageData",
        "bottoms": [],
        "config": f"dense_image_data_param {{ {source('pairs')} {config} }} "
        f"transform_param {{ {transform} }}",
        "files": write,
        **more,
    }


def of_images(type_: str, name: str, config: str, transform: str, **more: object) -> Case:
    return Case(
        type_,
        [],
        f"image_data_param {{ {source(name)} {config} }} transform_param {{ {transform} }}",
        files=write,
        **more,
    )


def padded() -> list[Array]:
    """The images in 9 x 7, below them the mean; their middle columns; and their sizes."""
    y, z = np.zeros((3, 3, 9, 7)), np.full((3, 1, 9, 7), 250.0)
    y[:, :, :6] = transformed(0, 0, 6, 7)
    z[:, :, :6] = LABELS[..., :7]
    return [y, z, np.array([[[[6.0, 7.0]]]] * 3)]


CASES = [
    Case(
        **dense(
            "",
            f"{MEAN} scale: 0.5",
            expect=lambda: [transformed(0, 0, 6, 8), LABELS.astype(float)],
        )
    ),
    Case(
        **dense(
            "",
            f"{MEAN} scale: 0.5 crop_h: 3 crop_w: 5",
            phase="TEST",
            expect=lambda: [transformed(1, 1, 3, 5), LABELS[..., 1:4, 1:6].astype(float)],
        )
    ),
    Case(
        **dense(
            "new_height: 3 new_width: 4 is_color: true",
            expect=lambda: [
                np.stack([halved(each, 3, 4) for each in PIXELS]),
                np.stack([nearest(each) for each in LABELS]),
            ],
        )
    ),
    Case(
        **dense(
            "new_height: 3 new_width: 4 label_divide_factor: 2",
            expect=lambda: [
                np.stack([halved(each, 3, 4) for each in PIXELS]),
                LABELS[..., ::6, ::4].astype(float),  # 1 x 2: half of 3 x 4, rounded down
            ],
        )
    ),
    Case(**dense("crop_height: 3 crop_width: 5", phase="TEST", random=True)),
    of_images(
        "ImageLabelmapData",
        "edges",
        "",
        f"{MEAN} scale: 0.5",
        expect=lambda: [transformed(0, 0, 6, 8), (EDGES > 127).astype(float)],
    ),
    of_images(
        "ImageLabelmapData",
        "edges",
        "new_height: 3 new_width: 4",
        "",
        expect=lambda: [
            np.stack([halved(each, 3, 4) for each in PIXELS]),
            np.stack([(halved(each, 3, 4) > 127).astype(float) for each in EDGES]),
        ],
    ),
    of_images("ImageLabelmapData", "edges", "", "crop_size: 4", phase="TEST", random=True),
    of_images(
        "ImageSegData",
        "pairs",
        "label_type: PIXEL ignore_label: 250",
        f"{MEAN} scale: 0.5 crop_h: 9 crop_w: 7",
        phase="TEST",
        tops=3,
        expect=padded,
    ),
    of_images(
        "ImageSegData",
        "labels",
        "",
        f"{MEAN} scale: 0.5 crop_size: 4",
        phase="TEST",
        tops=2,
        expect=lambda: [
            transformed(1, 2, 4, 4),
            np.ones((3, 1, 4, 4)) * np.array([0, 7, 14]).reshape(3, 1, 1, 1),
        ],
    ),
    of_images(
        "ImageSegData",
        "images",
        "label_type: NONE",
        f"{MEAN} scale: 0.5",
        tops=3,
        expect=lambda: [
            transformed(0, 0, 6, 8),
            np.full((3, 1, 6, 8), 255.0),
            np.array([[[[6.0, 8.0]]]] * 3),
        ],
    ),
    of_images(
        "ImageSegData",
        "pairs",
        "label_type: PIXEL",
        "mirror: true crop_size: 5 scale_factors: 0.5 scale_factors: 1.5",
        tops=2,
        random=True,
    ),
    of_images(
        "MultiLabelImageData",
        "many",
        "",
        f"{MEAN} scale: 0.5 crop_size: 4",
        phase="TEST",
        expect=lambda: [
            transformed(1, 2, 4, 4),
            np.array([[0, 0.5, 0], [1, 1.5, -10], [2, 2.5, -20]]),
        ],
    ),
]


def not_dense(config: str, at: str, says: str) -> Refusal:
    config = f'dense_image_data_param {{ source: "x" batch_size: 1 {config} }}'
    return Refusal("DenseImageData", [], config, at=at, says=says)


REFUSALS = [
    not_dense("new_height: 3", "new_width", "new_height 3 and new_width 0 must both be given"),
    not_dense("crop_height: 3", "crop_width", "crop_height 3 and crop_width 0 must both be given"),
    not_dense("label_divide_factor: 0", "label_divide_factor", "must be 1 or more, not 0"),
    not_dense(
        "label_divide_factor: 2 crop_height: 3 crop_width: 3",
        "label_divide_factor",
        "labels of 1/2 of the size cannot be cropped",
    ),
    not_dense(
        "label_divide_factor: 8 new_height: 9 new_width: 7",
        "label_divide_factor",
        "8 leaves no labels of new_height 9 and new_width 7",
    ),
    Refusal(
        "ImageLabelmapData",
        [],
        'image_data_param { source: "x" new_width: 3 }',
        at="new_height",
        says="new_height 0 and new_width 3 must both be given",
    ),
    Refusal(
        "ImageSegData",
        [],
        'image_data_param { source: "x" } transform_param { mean_file: "nowhere" }',
        at=".transform_param.mean_file",
        says="takes no mean_file",
    ),
    Refusal(
        "ImageSegData",
        [],
        'image_data_param { source: "x" } transform_param { scale_factors: 1 scale_factors: -1 }',
        at=".transform_param.scale_factors[1]",
        says="must be above 0 and at most 100, not -1",
    ),
    Refusal(
        "MultiLabelImageData",
        [],
        "image_data_param { batch_size: 2 }",
        at="source",
        says="names no source",
    ),
]
