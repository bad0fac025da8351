"""Pictures of one to three digits, with a box for each: the data of the detectors."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from digits import folder, load
from PIL import Image, ImageDraw

import caffe_lite as caffe
from caffe_lite import cli
from caffe_lite.proto import caffe_pb2

SIZE = 96
PICTURES = 40
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


def train(
    settings: caffe_pb2.SolverParameter, iterations: int, losses: Sequence[str], sheet: str
) -> None:
    """Train a detector on the pictures, test it on them, and draw what it finds in four.

    settings: of the solver, what it has of its own.  losses: the blobs whose sum is the loss.
    sheet: the name of the drawing.
    """
    target, home = folder().resolve() / sheet, os.getcwd()
    param = caffe_pb2.SolverParameter(
        momentum=0.9, test_iter=[PICTURES], test_interval=2 * iterations,
        test_initialization=False, eval_type="detection", ap_version="Integral", random_seed=1,
    )  # fmt: skip
    param.MergeFrom(settings)
    with tempfile.TemporaryDirectory() as place:
        os.chdir(place)
        make_database(PICTURES)
        solver = caffe.get_solver(param)
        blobs = solver.net.blobs
        for _ in range(4):
            seen = []
            for _ in range(iterations // 4):
                solver.step(1)
                seen.append(float(sum(blobs[name].data for name in losses)))
            print(f"iteration {solver.iter:4d}, mean loss {np.mean(seen):.3f}")
        print(f"mean average precision: {solver.test()[0].value:.1%}")
        drawn = draw_first(solver.test_nets[0], 4)
        os.chdir(home)
    drawn.save(target)
    print(f"picture: {os.path.relpath(target)}")


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
