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

from pathlib import Path

from digit_pictures import train

from caffe_lite.proto import caffe_pb2

ITERATIONS = 600
SETTINGS = caffe_pb2.SolverParameter(
    net=str(Path(__file__).resolve().with_suffix(".prototxt")), type="Adam", base_lr=0.001,
    lr_policy="fixed",
)  # fmt: skip

train(SETTINGS, ITERATIONS, ["loss"], "detections.png")
