"""Cases of the data layers."""

from __future__ import annotations

import importlib.util
import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from caffe_lite.data.datum import array_to_datum
from caffe_lite.data.db import create_db
from caffe_lite.proto import caffe_pb2, files
from caffe_lite.testing import Case, Refusal
from tests.oracles import image as oracle

Array = np.ndarray

# Each source has exactly one batch, so that every forward gives the same result.
PIXELS = np.random.default_rng(2).integers(0, 256, (3, 3, 6, 8), np.uint8)
SYMMETRIC = np.concatenate([PIXELS[:2, :, :, :3], PIXELS[:2, :, :, 2::-1]], axis=3)
FLOATS = np.random.default_rng(3).standard_normal((2, 4, 3, 5)).astype(np.float32)
MEAN = np.random.default_rng(4).uniform(0, 255, (1, 3, 6, 8)).astype(np.float32)
LABELS = [7, 0, 300]


def png(image: Array) -> bytes:
    """The bytes of a PNG file of a (channels, height, width) image, BGR or grey."""
    from PIL import Image

    shown = image[0] if len(image) == 1 else image[::-1].transpose(1, 2, 0)
    file = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(shown)).save(file, "PNG")
    return file.getvalue()


def database(
    backend: str, images: Sequence[Array], encoded: bool = False
) -> Callable[[Path], None]:
    """A function that writes a database ``db`` and its mean image."""

    def write(folder: Path) -> None:
        if (folder / "db").exists():
            return
        files.write_message(folder / "mean.binaryproto", files.array_to_blob(MEAN))
        with create_db(str(folder / "db"), backend) as writer:
            for index, image in enumerate(images):
                datum = array_to_datum(image, LABELS[index])
                if encoded:
                    datum = caffe_pb2.Datum(data=png(image), encoded=True, label=LABELS[index])
                writer.put(b"%08d" % index, datum.SerializeToString())

    return write


def batch(images: Sequence[Array], **settings: Any) -> Callable[..., list[Array]]:
    """The transformed images, and their labels."""

    def expect() -> list[Array]:
        return [
            np.stack([oracle.transform(image, **settings) for image in images]),
            np.array(LABELS[: len(images)], np.float64),
        ]

    return expect


def image_files(folder: Path) -> None:
    if (folder / "list.txt").exists():  # a reader may be using them
        return
    lines = []
    for image, label in zip(PIXELS, LABELS, strict=True):
        (folder / f"a {label}.png").write_bytes(png(image))
        lines.append(f"a {label}.png {label}\n")
    (folder / "list.txt").write_text("".join(lines))


def grey(images: Array) -> list[Array]:
    """libpng's conversion to grey without a gamma: 15-bit weights, rounded down."""
    blue, green, red = images.astype(np.int64).swapaxes(0, 1)
    return list(((9797 * red + 19234 * green + 3737 * blue) >> 15)[:, np.newaxis])


def halved(image: Array, height: int, width: int) -> Array:
    """Resize to half the size or the same; the weights are 1/2, exact in fixed point."""
    return np.floor(oracle.resize(image, height, width) + 0.5)


def resized() -> list[Array]:
    images = [halved(image, 3, 4) for image in PIXELS]
    return [np.stack(images), np.array(LABELS, np.float64)]


def hdf5_files(folder: Path) -> None:
    import h5py

    if (folder / "files.txt").exists():
        return
    with h5py.File(folder / "a.h5", "w") as file:
        file["data"] = FLOATS[:1]
        file["label"] = np.array([4])
    with h5py.File(folder / "b.h5", "w") as file:
        file["data"] = FLOATS[1:].astype(np.float64)
        file["label"] = np.array([9], np.uint8)
    (folder / "files.txt").write_text(f"{folder / 'a.h5'}\n{folder / 'b.h5'}\n")


def window_file(folder: Path) -> None:
    if (folder / "windows.txt").exists():
        return
    for name, image in (("p.png", PIXELS[0]), ("q.png", PIXELS[1])):
        (folder / name).write_bytes(png(image))
    (folder / "windows.txt").write_text(
        "# 0\np.png\n3 6 8\n1\n2 0.75 0 1 7 4\n"
        "# 1\nq.png\n3 6 8\n2\n5 0.25 0 2 3 5\n1 0.5 0 0 1 1\n"
    )


def windows() -> list[Array]:
    """One background window of q and twice the same foreground window of p, not resized."""
    ground, object_ = PIXELS[1][:, 2:6, 0:4], halved(PIXELS[0][:, 1:5], 4, 4)
    mean = np.array([1.0, 2.0, 3.0])[:, np.newaxis, np.newaxis]
    return [(np.stack([ground, object_, object_]) - mean) * 0.5, np.array([0.0, 2.0, 2.0])]


CASES = [
    Case(
        "Data",
        [],
        'data_param { source: "{folder}/db" backend: LMDB batch_size: 3 }',
        tops=2,
        files=database("lmdb", PIXELS),
        expect=batch(PIXELS, row=0, column=0, size=(6, 8)),
    ),
    Case(
        "Data",
        [],
        'data_param { source: "{folder}/db" backend: LMDB batch_size: 3 } '
        "transform_param { crop_size: 3 scale: 0.5 mean_value: 9 mean_value: 99 mean_value: 1.5 }",
        phase="TEST",
        files=database("lmdb", PIXELS),
        expect=lambda: batch(
            PIXELS,
            row=1,
            column=2,
            size=(3, 3),
            scale=0.5,
            mean=np.array([9, 99, 1.5])[:, np.newaxis, np.newaxis],
        )()[:1],
    ),
    Case(
        "Data",
        [],
        'data_param { source: "{folder}/db" backend: LMDB batch_size: 3 } '
        'transform_param { crop_size: 5 mean_file: "{folder}/mean.binaryproto" }',
        tops=2,
        phase="TEST",
        files=database("lmdb", PIXELS),
        expect=batch(PIXELS, row=0, column=1, size=(5, 5), mean=MEAN[0].astype(np.float64)),
    ),
    Case(
        "Data",
        [],
        'data_param { source: "{folder}/db" backend: LMDB batch_size: 3 } '
        "transform_param { force_gray: true }",
        tops=2,
        files=database("lmdb", PIXELS, encoded=True),
        expect=batch(grey(PIXELS), row=0, column=0, size=(6, 8)),
    ),
    Case(
        "Data",
        [],
        'data_param { source: "{folder}/db" backend: LMDB batch_size: 3 } '
        "transform_param { force_color: true }",
        tops=2,
        files=database("lmdb", [image[:1] for image in PIXELS], encoded=True),
        expect=batch(PIXELS[:, [0, 0, 0]], row=0, column=0, size=(6, 8)),
    ),
    Case(
        "Data",
        [],
        'data_param { source: "{folder}/db" backend: LMDB batch_size: 3 } '
        "transform_param { mean_value: 9 resize_param { height: 3 width: 4 } "
        "noise_param { inverse: true } }",
        tops=2,
        phase="TEST",
        files=database("lmdb", PIXELS, encoded=True),
        expect=lambda: [255 - 9 - resized()[0], np.array(LABELS, np.float64)],
    ),
    Case(
        "Data",
        [],
        'data_param { source: "{folder}/db" backend: LMDB batch_size: 2 prefetch: 1 } '
        "transform_param { crop_size: 6 mirror: true }",
        tops=2,
        files=database("lmdb", SYMMETRIC),  # so that random crops and mirroring have no effect
        expect=batch(SYMMETRIC, row=0, column=0, size=(6, 6)),
    ),
    Case(
        "Data",
        [],
        'data_param { source: "{folder}/db" backend: LMDB batch_size: 3 } '
        "transform_param { crop_size: 2 mirror: true }",
        files=database("lmdb", PIXELS),
        random=True,
    ),
    Case(
        "ImageData",
        [],
        'image_data_param { source: "{folder}/list.txt" root_folder: "{folder}/" batch_size: 3 } '
        "transform_param { scale: 0.25 }",
        files=image_files,
        expect=batch(PIXELS, row=0, column=0, size=(6, 8), scale=0.25),
    ),
    Case(
        "ImageData",
        [],
        'image_data_param { source: "{folder}/list.txt" root_folder: "{folder}/" batch_size: 3 '
        "is_color: false rand_skip: 1 shuffle: false }",
        files=image_files,
        expect=batch(grey(PIXELS), row=0, column=0, size=(6, 8)),
    ),
    Case(
        "ImageData",
        [],
        'image_data_param { source: "{folder}/list.txt" root_folder: "{folder}/" batch_size: 3 '
        "new_height: 3 new_width: 4 }",
        files=image_files,
        expect=resized,
    ),
    Case(
        "HDF5Data",
        [],
        'top: "data" top: "label" hdf5_data_param { source: "{folder}/files.txt" batch_size: 2 }',
        tops=2,
        files=hdf5_files,
        expect=lambda: [FLOATS.astype(np.float64), np.array([4.0, 9.0])],
    ),
    Case(
        "HDF5Output",
        [(2, 3, 4), (2,)],
        'hdf5_output_param { file_name: "{folder}/out.h5" }',
        tops=0,
        expect=lambda data, label: [],
    ),
    Case(
        "MemoryData",
        [],
        "memory_data_param { batch_size: 2 channels: 4 height: 3 width: 5 }",
        feed=lambda layer: layer.set_input_arrays(FLOATS, np.array([3, 8])),
        expect=lambda: [FLOATS.astype(np.float64), np.array([3.0, 8.0])],
    ),
    Case(
        "WindowData",
        [],
        'window_data_param { source: "{folder}/windows.txt" root_folder: "{folder}/" '
        "batch_size: 3 fg_fraction: 0.7 fg_threshold: 0.6 bg_threshold: 0.4 scale: 0.5 "
        'context_pad: 0 crop_mode: "warp" cache_images: true } '
        "transform_param { crop_size: 4 mean_value: 1 mean_value: 2 mean_value: 3 }",
        files=window_file,
        expect=windows,
    ),
    Case(
        "DummyData",
        [],
        "dummy_data_param { shape { dim: 2 dim: 3 } shape { dim: 4 } "
        "data_filler { value: 1.5 } data_filler { value: -2 } }",
        tops=2,
        expect=lambda: [np.full((2, 3), 1.5), np.full(4, -2.0)],
    ),
    Case(
        "DummyData",
        [],
        "dummy_data_param { num: 2 channels: 3 height: 4 height: 6 width: 5 }",
        tops=2,
        expect=lambda: [np.zeros((2, 3, 4, 5)), np.zeros((2, 3, 6, 5))],
    ),
    Case(
        "DummyData",
        [],
        'dummy_data_param { shape { dim: 2 dim: 3 } data_filler { type: "gaussian" } }',
        random=True,
    ),
    Case(
        "Input",
        [],
        "input_param { shape { dim: 2 dim: 3 dim: 4 } shape { dim: 2 } }",
        tops=2,
        expect=lambda: [np.zeros((2, 3, 4)), np.zeros(2)],
    ),
    Case(
        "MemoryData",
        [],
        "memory_data_param { batch_size: 2 channels: 3 height: 2 width: 1 }",
        feed=lambda layer: layer.set_input_arrays(
            np.arange(24.0).reshape(4, 3, 2, 1), np.array([5, 6, 7, 8])
        ),
        expect=lambda: [np.arange(12.0).reshape(2, 3, 2, 1), np.array([5, 6])],
    ),
]
if importlib.util.find_spec("plyvel"):
    CASES.append(
        Case(
            "Data",
            [],
            'data_param { source: "{folder}/db" batch_size: 2 } '
            "transform_param { mean_value: 0.5 }",
            tops=2,
            files=database("leveldb", FLOATS),
            expect=batch(FLOATS, row=0, column=0, size=(3, 5), mean=0.5),
        )
    )

REFUSALS = [
    Refusal("Data", [], "data_param { batch_size: 2 }", at="source", says="names no source"),
    Refusal("Data", [], 'data_param { source: "x" }', at="batch_size", says="1 or more"),
    Refusal(
        "Data",
        [],
        'data_param { source: "x" batch_size: 2 prefetch: 0 }',
        at=".data_param.prefetch",
        says="1 or more",
    ),
    Refusal(
        "Data",
        [],
        'data_param { source: "x" batch_size: 2 } '
        'transform_param { mean_file: "m" mean_value: 3 }',
        at=".transform_param.mean_value",
        says="remove one",
    ),
    Refusal(
        "Data",
        [],
        'data_param { source: "x" batch_size: 2 } '
        "transform_param { force_color: true force_gray: true }",
        at=".transform_param.force_gray",
        says="cannot both",
    ),
    *(
        Refusal("Data", [], f'data_param {{ source: "x" batch_size: 2 }} {rest}', at=at, says=says)
        for at, says, rest in (
            (
                ".transform_param.resize_param",
                "2 resize_param; one is possible",
                "transform_param { resize_param { } resize_param { } }",
            ),
            (
                ".transform_param.noise_param",
                "2 noise_param; one is possible",
                "transform_param { noise_param { } noise_param { } }",
            ),
            (
                ".transform_param.noise_param[0].convert_to_lab",
                "takes no convert_to_lab",
                "transform_param { noise_param { convert_to_lab: true } }",
            ),
        )
    ),
    Refusal(
        "ImageData",
        [],
        'image_data_param { source: "x" new_height: 5 }',
        at="new_width",
        says="new_height 5 and new_width 0",
    ),
    Refusal(
        "ImageData",
        [],
        'image_data_param { source: "x" new_width: 5 }',
        at="new_height",
        says="new_height 0 and new_width 5",
    ),
    Refusal(
        "HDF5Data",
        [],
        'top: "data" hdf5_data_param { source: "x" batch_size: 2 } transform_param { scale: 2 }',
        at=".transform_param",
        says="leave transform_param out",
    ),
    Refusal("HDF5Data", [], "hdf5_data_param { batch_size: 2 }", at="source", says="no source"),
    Refusal("HDF5Data", [], 'hdf5_data_param { source: "x" }', at="batch_size", says="1 or more"),
    Refusal("HDF5Output", [(2,), (2,)], "", at="file_name", says="names no file", tops=0),
    Refusal(
        "HDF5Output",
        [(2,), (2,)],
        'hdf5_output_param { file_name: "nowhere/out.h5" }',
        at="file_name",
        says='no folder "nowhere"',
        tops=0,
    ),
    Refusal(
        "HDF5Output",
        [(2, 1, 1, 1, 1), (2,)],
        'hdf5_output_param { file_name: "out.h5" }',
        at=".bottom[0]",
        says="has 5 axes",
        tops=0,
    ),
    Refusal(
        "HDF5Output",
        [(2, 3), (4,)],
        'hdf5_output_param { file_name: "out.h5" }',
        at=".bottom[1]",
        says="has 4 items, but the first bottom 2",
        tops=0,
    ),
    Refusal(
        "WindowData",
        [],
        'window_data_param { source: "x" batch_size: 2 }',
        at=".transform_param.crop_size",
        says="crop_size is missing",
    ),
    Refusal(
        "WindowData",
        [],
        'window_data_param { source: "x" batch_size: 2 context_pad: 4 } '
        "transform_param { crop_size: 8 }",
        at="context_pad",
        says="must be below half of crop_size 8",
    ),
    Refusal(
        "WindowData",
        [],
        'window_data_param { source: "x" batch_size: 2 crop_mode: "round" } '
        "transform_param { crop_size: 8 }",
        at="crop_mode",
        says='unknown crop_mode "round"',
    ),
    Refusal(
        "WindowData",
        [],
        'window_data_param { source: "x" batch_size: 2 fg_fraction: 1.5 } '
        "transform_param { crop_size: 8 }",
        at="fg_fraction",
        says="from 0 to 1",
    ),
    Refusal(
        "MemoryData",
        [],
        "memory_data_param { batch_size: 2 channels: 3 height: 4 }",
        at="width",
        says="width must be 1 or more",
    ),
    Refusal(
        "DummyData",
        [],
        "dummy_data_param { shape { dim: 1 } shape { dim: 2 } }",
        at="shape",
        says="2 shape for 1 tops",
    ),
    Refusal(
        "DummyData",
        [],
        "dummy_data_param { shape { dim: 1 } num: 2 }",
        at="shape",
        says="not both",
    ),
    Refusal(
        "DummyData",
        [],
        'dummy_data_param { shape { dim: 1 } data_filler { type: "constan" } }',
        at="data_filler[0].type",
        says="constan",
    ),
    Refusal(
        "Input",
        [],
        "input_param { shape { dim: 2 } shape { dim: 2 } }",
        at="shape",
        says="2 shapes for 3 tops",
        tops=3,
    ),
]
