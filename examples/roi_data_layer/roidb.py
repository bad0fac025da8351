"""A roidb: a list of pictures with their boxes.

An entry is a dictionary: "image", the picture's file, its path from the current folder; "boxes",
(N, 4), x1, y1, x2, y2 in its pixels; "gt_classes", (N,), the class of each box, or 0 for a region
that somebody proposes and of which no class is known; "flipped", optional: the boxes are those of
the mirrored picture.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from PIL import Image

Entry = dict[str, Any]


def read(path: str) -> list[Entry]:
    """The roidb in a JSON file: a list of entries, in which arrays are lists."""
    with open(path, encoding="utf-8") as file:
        return json.load(file)


def append_flipped_images(roidb: list[Entry]) -> list[Entry]:
    """The roidb, and after it each of its pictures mirrored."""
    mirrored = []
    for entry in roidb:
        with Image.open(entry["image"]) as image:
            width = image.width
        x1, y1, x2, y2 = np.reshape(entry["boxes"], (-1, 4)).T
        boxes = np.stack([width - 1 - x2, y1, width - 1 - x1, y2], axis=1).tolist()
        flipped = not entry.get("flipped", False)
        mirrored.append({**entry, "boxes": boxes, "flipped": flipped})
    return [*roidb, *mirrored]


def checked(roidb: list[Entry], num_classes: int) -> list[Entry]:
    """The entries, with arrays for lists.  Raises ValueError for one that cannot be learnt."""
    entries = []
    for number, entry in enumerate(roidb):
        place = f"entry {number} of the roidb"
        for key in "image", "boxes", "gt_classes":
            if not isinstance(entry, dict) or key not in entry:
                raise ValueError(f'{place} has no "{key}"')
        place += f' ("{entry["image"]}")'
        boxes = np.asarray(entry["boxes"], np.float32)
        classes = np.asarray(entry["gt_classes"], int)
        if boxes.shape != (len(classes), 4):
            raise ValueError(f"{place} has boxes {boxes.shape} for {len(classes)} classes")
        if not classes.any():
            raise ValueError(f"{place} has no box with a class; leave it out")
        if classes.min() < 0 or classes.max() >= num_classes:
            raise ValueError(f"{place} has classes {classes}, not 0 to {num_classes - 1}")
        if (boxes[:, 2:] < boxes[:, :2]).any():
            raise ValueError(f"{place} has a box whose second corner is before its first")
        entries.append({"flipped": False, **entry, "boxes": boxes, "gt_classes": classes})
    return entries
