"""Detect digits with a small Faster R-CNN, trained end to end as py-faster-rcnn trains.

25 pictures of different sizes have one to three handwritten digits each; the net also learns from
their mirror images.  The data, the anchors' targets, the regions and their targets come from
Python layers.  These are in the folders rpn and roi_data_layer, where the nets of py-faster-rcnn
look for theirs: so those nets train with them, too.  The test is by mean average precision, on the
same pictures: so few show that the net learns, not how well it would do on others.

Output::

    iteration  300: rpn_cls_loss 0.049, rpn_loss_bbox 0.017, cls_loss 0.522, bbox_loss 0.230
    iteration  600: rpn_cls_loss 0.016, rpn_loss_bbox 0.010, cls_loss 0.321, bbox_loss 0.194
    iteration  900: rpn_cls_loss 0.011, rpn_loss_bbox 0.009, cls_loss 0.232, bbox_loss 0.167
    iteration 1200: rpn_cls_loss 0.008, rpn_loss_bbox 0.003, cls_loss 0.140, bbox_loss 0.102
    mean average precision: 100.0%
    picture: examples/pictures/faster_rcnn.png
"""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path

import numpy as np
from digit_pictures import compose
from digits import folder
from fast_rcnn import evaluation
from PIL import Image, ImageDraw
from roi_data_layer import roidb

import caffe_lite as caffe
from caffe_lite.proto import caffe_pb2

PICTURES, ITERATIONS, SHOWN, SCALE = 25, 1200, 4, 3
SIZES = (96, 160)  # target_size and max_size of faster_rcnn_train.prototxt
HERE = Path(__file__).resolve().parent
SOLVER = caffe_pb2.SolverParameter(
    train_net=str(HERE / "faster_rcnn_train.prototxt"), type="Adam", base_lr=0.001, momentum=0.9,
    lr_policy="step", gamma=0.1, stepsize=ITERATIONS * 3 // 4, random_seed=1,
    snapshot_after_train=False,
)  # fmt: skip
LOSSES = ["rpn_cls_loss", "rpn_loss_bbox", "cls_loss", "bbox_loss"]


def make_pictures() -> list[roidb.Entry]:
    """Write the pictures; their boxes, in which both corners are pixels of the box."""
    rng, entries = np.random.default_rng(1), []
    for number in range(PICTURES):
        picture, found = compose(rng, *rng.integers(80, 130, 2))
        picture.save(f"{number}.png")
        entries.append(
            {
                "image": f"{number}.png",
                "boxes": [[x1, y1, x2 - 1, y2 - 1] for _, x1, y1, x2, y2 in found],
                "gt_classes": [digit + 1 for digit, *_ in found],
            }
        )
    return entries


def draw(name: str, found: list[evaluation.Detection]) -> Image.Image:
    """A picture with the boxes of which the net is sure: label and score."""
    picture = Image.open(name)
    picture = picture.resize((SCALE * picture.width, SCALE * picture.height))
    pen = ImageDraw.Draw(picture)
    for label, score, (x1, y1, x2, y2) in found:
        if score > 0.5:
            corners = [SCALE * float(side) for side in (x1, y1, x2 + 1, y2 + 1)]
            pen.rectangle(corners, outline=(255, 210, 0))
            pen.text((corners[0], corners[1] - 12), f"{label - 1}: {score:.2f}", (255, 210, 0))
    return picture


target, home = folder().resolve() / "faster_rcnn.png", os.getcwd()
caffe.allow_python_layers()
with tempfile.TemporaryDirectory() as place:
    os.chdir(place)
    entries = make_pictures()
    Path("train.json").write_text(json.dumps(roidb.append_flipped_images(entries)))
    solver = caffe.get_solver(SOLVER)
    for _ in range(4):
        losses = []
        for _ in range(ITERATIONS // 4):
            solver.step(1)
            losses.append([float(solver.net.blobs[name].data) for name in LOSSES])
        means = ", ".join(f"{name} {mean:.3f}" for name, mean in zip(LOSSES, np.mean(losses, 0)))
        print(f"iteration {solver.iter:4d}: {means}")
    evaluation.unnormalize(solver.net)
    solver.net.save("faster_rcnn.caffemodel")

    net = caffe.Net(str(HERE / "faster_rcnn_test.prototxt"), "faster_rcnn.caffemodel", caffe.TEST)
    found = [evaluation.detect(net, entry["image"], *SIZES) for entry in entries]
    print(f"mean average precision: {evaluation.mean_average_precision(found, entries):.1%}")
    fullest = sorted(range(PICTURES), key=lambda i: -len(entries[i]["boxes"]))[:SHOWN]
    drawn = [draw(entries[i]["image"], found[i]) for i in fullest]
    os.chdir(home)
sheet = Image.new("RGB", (SHOWN * 4 + sum(each.width for each in drawn), SCALE * 130))
left = 0
for each in drawn:
    sheet.paste(each, (left, 0))
    left += each.width + 4
sheet.save(target)
print(f"picture: {os.path.relpath(target)}")
