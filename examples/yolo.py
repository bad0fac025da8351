"""Detect digits with a small YOLO, in the text of MobileNet-YOLO's Caffe.

The pictures and the database are those of detection.py.  The net is yolo.prototxt: AnnotatedData
gives boxes as YOLO's losses take them, crops the pictures at random and changes their size every
ten batches; Yolov3 is the loss of each of two maps.  The test is by mean average precision, on the
same pictures: so few show that the net learns, not how well it would do on others.

Output::

    map: 11 classes
    db: 40 images
    iteration  150, mean loss 27.464
    iteration  300, mean loss 6.219
    iteration  450, mean loss 4.680
    iteration  600, mean loss 2.377
    mean average precision: 98.8%
    picture: examples/pictures/yolo.png
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
    net=str(Path(__file__).resolve().with_suffix(".prototxt")), type="Adam", base_lr=0.004,
    momentum=0.9, lr_policy="step", gamma=0.1, stepsize=ITERATIONS * 3 // 4,
    test_iter=[PICTURES], test_interval=2 * ITERATIONS, test_initialization=False,
    eval_type="detection", ap_version="Integral", random_seed=1,
)  # fmt: skip

target, home = folder().resolve() / "yolo.png", os.getcwd()
with tempfile.TemporaryDirectory() as place:
    os.chdir(place)
    make_database(PICTURES)
    solver = caffe.get_solver(SOLVER)
    blobs = solver.net.blobs
    for _ in range(4):
        losses = []
        for _ in range(ITERATIONS // 4):
            solver.step(1)
            losses.append(float(blobs["large_loss"].data + blobs["small_loss"].data))
        print(f"iteration {solver.iter:4d}, mean loss {np.mean(losses):.3f}")
    print(f"mean average precision: {solver.test()[0].value:.1%}")
    sheet = draw_first(solver.test_nets[0], 4)
    os.chdir(home)
sheet.save(target)
print(f"picture: {os.path.relpath(target)}")
