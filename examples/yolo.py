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

from pathlib import Path

from digit_pictures import train

from caffe_lite.proto import caffe_pb2

ITERATIONS = 600
SETTINGS = caffe_pb2.SolverParameter(
    net=str(Path(__file__).resolve().with_suffix(".prototxt")), type="Adam", base_lr=0.004,
    lr_policy="step", gamma=0.1, stepsize=ITERATIONS * 3 // 4,
)  # fmt: skip

train(SETTINGS, ITERATIONS, ["large_loss", "small_loss"], "yolo.png")
