"""Detect digits with a small SSD, from annotations to average precision.

40 pictures of one to three handwritten digits are written as images with annotations in PASCAL
VOC's XML, of which `create_annoset` makes a database.  The net is detection.prototxt; in training
its AnnotatedData layer crops the pictures at random.  The test is by mean average precision, on
the same pictures: so few show that the net learns, not how well it would do on others.

Output::

    map: 11 classes
    db: 40 images
    iteration  150, mean loss 6.473
    iteration  300, mean loss 2.079
    iteration  450, mean loss 1.404
    iteration  600, mean loss 1.218
    mean average precision: 100.0%
    picture: examples/pictures/detections.png
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import numpy as np
from digits import folder, scene
from PIL import Image, ImageDraw

import caffe_lite as caffe
from caffe_lite import cli
from caffe_lite.proto import caffe_pb2

PICTURES, SIZE, ITERATIONS, SHOWN = 40, 96, 600, 4
OBJECT = """<object><name>{}</name><bndbox><xmin>{}</xmin><ymin>{}</ymin><xmax>{}</xmax>
<ymax>{}</ymax></bndbox></object>"""
SOLVER = caffe_pb2.SolverParameter(
    net=str(Path(__file__).resolve().with_suffix(".prototxt")), type="Adam", base_lr=0.001,
    momentum=0.9, lr_policy="fixed", test_iter=[PICTURES], test_interval=2 * ITERATIONS,
    test_initialization=False, eval_type="detection", ap_version="Integral", random_seed=1,
)  # fmt: skip


def make_database() -> None:
    """Write pictures, annotations, a list and a label map, and make the database of them."""
    rng = np.random.default_rng(1)
    for number in range(PICTURES):
        picture, boxes = scene(rng, SIZE, SIZE)
        picture.save(f"{number}.png")
        objects = "".join(OBJECT.format(*box) for box in boxes)
        Path(f"{number}.xml").write_text(f"<annotation>{objects}</annotation>")
    Path("list").write_text("".join(f"{i}.png {i}.xml\n" for i in range(PICTURES)))
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


target, home = folder().resolve() / "detections.png", os.getcwd()
with tempfile.TemporaryDirectory() as place:
    os.chdir(place)
    make_database()
    solver = caffe.get_solver(SOLVER)
    for _ in range(4):
        losses = []
        for _ in range(ITERATIONS // 4):
            solver.step(1)
            losses.append(float(solver.net.blobs["loss"].data))
        print(f"iteration {solver.iter:4d}, mean loss {np.mean(losses):.3f}")
    print(f"mean average precision: {solver.test()[0].value:.1%}")
    sheet = Image.new("RGB", (SHOWN * (3 * SIZE + 4), 3 * SIZE))
    for index in range(SHOWN):
        solver.test_nets[0].forward()
        sheet.paste(draw(solver.test_nets[0]), (index * (3 * SIZE + 4), 0))
    os.chdir(home)
sheet.save(target)
print(f"picture: {os.path.relpath(target)}")
