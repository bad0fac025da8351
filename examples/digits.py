"""The functions that the examples share: the digits, the trained LeNet, the pictures.

Run an example with `python examples/NAME.py [WEIGHTS [FOLDER]]`.
"""

from __future__ import annotations

import functools
import gzip
import os
import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

LENET = Path(__file__).resolve().parent.parent / "models" / "lenet"
DEPLOY = str(LENET / "deploy.prototxt")

FILES = {"train": "train", "test": "t10k"}


@functools.cache
def load(part: str) -> tuple[np.ndarray, np.ndarray]:
    """The digits of "train" or "test": (N, 1, 28, 28) float32 from 0 to 1, and (N,) labels."""
    pixels = _read(f"{FILES[part]}-images-idx3-ubyte.gz", header=16).reshape(-1, 1, 28, 28)
    return pixels * np.float32(1 / 256), _read(f"{FILES[part]}-labels-idx1-ubyte.gz", header=8)


def weights() -> str:
    """The weights of LeNet: the program's first argument, or the file of models/lenet/train.sh."""
    path = Path(sys.argv[1]) if len(sys.argv) > 1 else LENET / "lenet_iter_1000.caffemodel"
    if not path.exists():
        sys.exit(f"{path} does not exist; run models/lenet/train.sh to make it")
    return str(path)


def folder() -> Path:
    """The folder for pictures: the program's second argument, or examples/pictures."""
    path = Path(sys.argv[2]) if len(sys.argv) > 2 else Path(__file__).parent / "pictures"
    path.mkdir(parents=True, exist_ok=True)
    return path


def save_picture(name: str, rows: list[list[np.ndarray]], scale: int = 3) -> None:
    """Write rows of grey images (height, width) as one PNG, each scaled to the full range."""
    height, width = rows[0][0].shape
    sheet = np.full((len(rows) * (height + 1) + 1, len(rows[0]) * (width + 1) + 1), 90, np.uint8)
    for i, row in enumerate(rows):
        for j, image in enumerate(row):
            top, left = i * (height + 1) + 1, j * (width + 1) + 1
            grey = (image - image.min()) / max(np.ptp(image), 1e-6) * 255
            sheet[top : top + height, left : left + width] = grey
    picture = Image.fromarray(sheet)
    picture.resize((picture.width * scale, picture.height * scale), Image.Resampling.NEAREST).save(
        folder() / name
    )
    print(f"picture: {os.path.relpath(folder() / name)}")


def save_points(name: str, points: np.ndarray, labels: np.ndarray) -> None:
    """Write points of a plane, (N, 2), as a PNG in which each point is the digit of its label."""
    low, high = points.min(0), points.max(0)
    positions = 10 + (points - low) / (high - low) * 560
    picture = Image.new("RGB", (600, 600), "white")
    draw = ImageDraw.Draw(picture)
    for (x, y), label in zip(positions, labels, strict=True):
        draw.text((x, y), str(label), fill=f"hsl({int(label) * 36}, 90%, 38%)")
    picture.save(folder() / name)
    print(f"picture: {os.path.relpath(folder() / name)}")


def _read(name: str, header: int) -> np.ndarray:
    """The bytes of an IDX file after its header."""
    with gzip.open(LENET / "digits" / name) as file:
        return np.frombuffer(file.read(), np.uint8, offset=header)
