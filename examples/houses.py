"""Pictures of houses with a number, and a label for each pixel: the data of segnet.py."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from digits import load
from PIL import Image

from caffe_lite.pictures import draw_labels

HEIGHT, WIDTH = 64, 96
CLASSES, VOID = ["sky", "ground", "wall", "stroke"], 4
COLORS = np.array([0, 2, 1, 6, 255], np.uint8)
"""The label in whose colour each class is drawn: the sky and the void have none."""


def compose(rng: np.random.Generator, pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A picture (height, width, 3) of a house, and its labels; its number is one of the digits.

    The outermost pixels of the wall and those around it are VOID.
    """
    dark, bright = [150, 40, 40, 0], [230, 120, 215, 1]  # the wall has any colour
    colors = rng.integers(dark, bright, (3, 4)).T.astype(float)
    colors[3] = colors[2] + rng.choice([-1, 1]) * 90
    labels = np.zeros((HEIGHT, WIDTH), np.uint8)
    labels[rng.integers(36, 50) :] = 1
    height, width = rng.integers(34, 50, 2)
    top, left = rng.integers(2, 62 - height), rng.integers(2, WIDTH - 2 - width)
    wall = np.s_[top : top + height, left : left + width]
    seen = labels.copy()
    seen[wall] = 2
    labels[top - 1 : top + height + 1, left - 1 : left + width + 1] = VOID
    labels[top + 1 : top + height - 1, left + 1 : left + width - 1] = 2
    down, right = top + rng.integers(2, height - 29), left + rng.integers(2, width - 29)
    digit = pixels[rng.integers(len(pixels)), 0] > 0.4
    for each in (labels, seen):
        each[down : down + 28, right : right + 28][digit] = 3
    picture = colors[seen] + rng.normal(0, 12, (HEIGHT, WIDTH, 3))
    picture += np.linspace(30, -30, HEIGHT)[:, None, None]
    return picture.clip(0, 255).astype(np.uint8), labels


def make_pictures(part: str, count: int, seed: int) -> np.ndarray:
    """Write `count` pictures, their label images and a list: how many pixels each class has."""
    rng, shares = np.random.default_rng(seed), np.zeros(len(CLASSES))
    lines, pixels = "", load(part)[0]
    for i in range(count):
        picture, labels = compose(rng, pixels)
        Image.fromarray(picture).save(f"{part}{i}.png")
        Image.fromarray(labels).save(f"{part}{i}.labels.png")
        lines += f"{part}{i}.png {part}{i}.labels.png\n"
        shares += np.bincount(labels.ravel(), minlength=VOID + 1)[:VOID]
    Path(f"{part}.txt").write_text(lines)
    return shares


def draw(picture: str, labels: np.ndarray) -> Image.Image:
    """The picture in a file, enlarged, under the colours of its labels' classes."""
    return draw_labels(picture, COLORS[labels], opacity=0.6).resize((3 * WIDTH, 3 * HEIGHT))
