"""Pictures of one to three digits, with a box for each: the data of the detectors."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from digits import load
from PIL import Image, ImageDraw

import caffe_lite as caffe
from caffe_lite import cli

SIZE = 96
OBJECT = """<object><name>{}</name><bndbox><xmin>{}</xmin><ymin>{}</ymin><xmax>{}</xmax>
<ymax>{}</ymax></bndbox></object>"""


def compose(
    rng: np.random.Generator, height: int = SIZE, width: int = SIZE
) -> tuple[Image.Image, list[tuple[int, ...]]]:
    """A grey picture of one to three digits, and of each its number and its box.

    A box is x1, y1, x2, y2; the second corner is the first pixel that is outside.
    """
    images, labels = load("train")
    picture = rng.normal(60, 12, (height, width)).clip(0, 255).astype(np.uint8)
    taken, boxes = np.zeros((height, width), bool), []
    for _ in range(rng.integers(1, 4)):
        chosen, side = rng.integers(len(images)), int(rng.integers(28, 52))
        digit = np.asarray(Image.fromarray(np.uint8(images[chosen, 0] * 255)).resize((side, side)))
        top, left = rng.integers(0, (height - side, width - side))
        place = np.s_[top : top + side, left : left + side]
        if not taken[place].any():
            taken[place] = True
            picture[place] = np.maximum(picture[place], digit)
            y, x = np.nonzero(digit > 60)
            box = (left + x.min(), top + y.min(), left + x.max() + 1, top + y.max() + 1)
            boxes.append((int(labels[chosen]), *map(int, box)))
    return Image.fromarray(picture).convert("RGB"), boxes


def make_database(pictures: int) -> None:
    """Write pictures, annotations, a list and a label map, and make the database "db" of them."""
    rng = np.random.default_rng(1)
    for number in range(pictures):
        picture, boxes = compose(rng)
        picture.save(f"{number}.png")
        objects = "".join(OBJECT.format(*box) for box in boxes)
        Path(f"{number}.xml").write_text(f"<annotation>{objects}</annotation>")
    Path("list").write_text("".join(f"{i}.png {i}.xml\n" for i in range(pictures)))
    Path("classes").write_text("".join(f"{digit}\n" for digit in range(10)))
    cli.main(["create_label_map", "-include_background", "classes", "map"])
    flags = ["-anno_type", "detection", "-label_map_file", "map", "-encoded"]
    cli.main(["create_annoset", *flags, "./", "list", "db"])


def draw(net: caffe.Net) -> Image.Image:
    """The picture in a net with its detections: label and score."""
    picture = Image.fromarray(np.uint8(net.blobs["data"].data[0, 0] * 80 + 80)).convert("RGB")
    picture = picture.resize((3 * SIZE, 3 * SIZE))
    pen = ImageDraw.Draw(picture)
    for _, label, score, *box in net.blobs["detections"].data[0, 0]:
        if label > 0:  # -1 where nothing is found
            x0, y0, x1, y1 = (3 * SIZE * float(side) for side in box)
            pen.rectangle((x0, y0, x1, y1), outline=(255, 210, 0))
            pen.text((x0 + 2, y0 + 1), f"{int(label) - 1}: {score:.2f}", fill=(255, 210, 0))
    return picture


def draw_first(net: caffe.Net, count: int) -> Image.Image:
    """The next pictures of a net, with their detections, side by side."""
    sheet = Image.new("RGB", (count * (3 * SIZE + 4), 3 * SIZE))
    for index in range(count):
        net.forward()
        sheet.paste(draw(net), (index * (3 * SIZE + 4), 0))
    return sheet
