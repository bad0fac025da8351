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
from digit_pictures import draw_first, make_database
from digits import folder

import caffe_lite as caffe
from caffe_lite.proto import caffe_pb2

PICTURES, ITERATIONS = 40, 600
SOLVER = caffe_pb2.SolverParameter(
    net=str(Path(__file__).resolve().with_suffix(".prototxt")), type="Adam", base_lr=0.001,
    momentum=0.9, lr_policy="fixed", test_iter=[PICTURES], test_interval=2 * ITERATIONS,
    test_initialization=False, eval_type="detection", ap_version="Integral", random_seed=1,
)  # fmt: skip

target, home = folder().resolve() / "detections.png", os.getcwd()
with tempfile.TemporaryDirectory() as place:
    os.chdir(place)
    make_database(PICTURES)
    solver = caffe.get_solver(SOLVER)
    for _ in range(4):
        losses = []
        for _ in range(ITERATIONS // 4):
            solver.step(1)
            losses.append(float(solver.net.blobs["loss"].data))
        print(f"iteration {solver.iter:4d}, mean loss {np.mean(losses):.3f}")
    print(f"mean average precision: {solver.test()[0].value:.1%}")
    sheet = draw_first(solver.test_nets[0], 4)
    os.chdir(home)
sheet.save(target)
print(f"picture: {os.path.relpath(target)}")
