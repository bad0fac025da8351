"""Name each pixel of pictures of houses with SegNet, from lists of files to the inference net.

Pictures of sky, ground and walls with a house number are written with a label image for each.  The
net is segnet.prototxt, in the text of SegNet's own Caffe: DenseImageData reads the lists, Upsample
undoes the poolings, and a stroke, which is rare, weighs more in the loss than a pixel of the sky.
While it learns, BN uses each batch's mean and variance.  Then the averages of both over the
training pictures become part of its scale and shift, as SegNet's compute_bn_statistics.py does,
and the net with `bn_mode: INFERENCE` takes one picture at a time.  The picture shows what it
finds in three houses that it has not learnt, and below that what is there.

Output::

    weights of the classes: 0.55 0.98 1.02 12.75
    iteration  150, mean loss 0.601, strokes 86.2%
    iteration  300, mean loss 0.262, strokes 96.5%
    iteration  450, mean loss 0.128, strokes 90.3%
    right in pictures that it has not learnt: sky 98.7%, ground 98.6%, wall 92.3%, stroke 95.6%
    picture: examples/pictures/segnet.png
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import numpy as np
from digits import folder
from google.protobuf import text_format
from houses import CLASSES, HEIGHT, VOID, WIDTH, draw, make_pictures
from PIL import Image

import caffe_lite as caffe
from caffe_lite.proto import caffe_pb2

ITERATIONS, SHOWN = 450, 3
PICTURES = {"train": 80, "test": 20}
SOLVER = caffe_pb2.SolverParameter(
    base_lr=0.1, momentum=0.9, weight_decay=0.0005, lr_policy="step", gamma=0.1,
    stepsize=ITERATIONS * 2 // 3, random_seed=1, snapshot_after_train=False,
)  # fmt: skip


def fold_statistics(param: caffe_pb2.NetParameter, weights: str, batches: int) -> None:
    """Put the mean and the variance of the training pictures into each BN's scale and shift."""
    showing = caffe_pb2.NetParameter()
    showing.CopyFrom(param)
    for layer in (layers := [each for each in showing.layer if each.type == "BN"]):
        layer.top.extend([f"{layer.name}_mean", f"{layer.name}_variance"])
    net = caffe.Net(showing, caffe.TRAIN, weights=weights)
    sums = {layer.name: np.zeros((2, net.params[layer.name][0].count)) for layer in layers}
    for _ in range(batches):
        net.forward()
        for layer in layers:
            sums[layer.name] += [net.blobs[top].data.ravel() for top in layer.top[1:]]
    for layer in layers:
        mean, variance = sums[layer.name] / batches
        values = net.blobs[layer.top[0]].count / mean.size  # of a channel in a batch
        deviation = np.sqrt(variance * values / (values - 1) + 1e-9)
        scale, shift = (blob.data.reshape(-1) for blob in net.params[layer.name])
        scale /= deviation
        shift -= scale * mean
    net.save(weights)


def inference(param: caffe_pb2.NetParameter) -> caffe_pb2.NetParameter:
    """The net that takes a picture and answers with the scores of its pixels."""
    deploy = caffe_pb2.NetParameter(name=param.name, input=["data"])
    deploy.input_shape.add(dim=[1, 3, HEIGHT, WIDTH])
    deploy.layer.extend(each for each in param.layer if "label" not in [*each.top, *each.bottom])
    for layer in deploy.layer:
        if layer.type == "BN":
            layer.bn_param.bn_mode = layer.bn_param.INFERENCE
    return deploy


target, home = folder().resolve() / "segnet.png", os.getcwd()
net = caffe_pb2.NetParameter()
text_format.Parse(Path(__file__).with_suffix(".prototxt").read_text(), net)
with tempfile.TemporaryDirectory() as place:
    os.chdir(place)
    pixels = {part: make_pictures(part, count, count) for part, count in PICTURES.items()}
    print("weights of the classes:", *(np.median(pixels["train"]) / pixels["train"]).round(2))
    SOLVER.net_param.CopyFrom(net)
    solver = caffe.get_solver(SOLVER)
    for _ in range(3):
        losses, blobs = [], solver.net.blobs
        for _ in range(ITERATIONS // 3):
            solver.step(1)
            losses.append(float(blobs["loss"].data))
        strokes = blobs["per_class_accuracy"].data[CLASSES.index("stroke")]
        print(
            f"iteration {solver.iter:4d}, mean loss {np.mean(losses):.3f}, strokes {strokes:.1%}"
        )
    solver.net.save("weights")
    fold_statistics(net, "weights", PICTURES["train"] // 4)
    model = caffe.load(inference(net), "weights")
    right = np.zeros(len(CLASSES))
    sheet = Image.new("RGB", (SHOWN * 3 * WIDTH, 2 * 3 * HEIGHT))
    for i in range(PICTURES["test"]):
        labels = np.asarray(Image.open(f"test{i}.labels.png"))
        found = model.segment(f"test{i}.png")
        right += np.bincount(labels[labels == found], minlength=VOID)
        for row, shown in enumerate((found, labels) if i < SHOWN else ()):
            sheet.paste(draw(f"test{i}.png", shown), (i * 3 * WIDTH, row * 3 * HEIGHT))
    os.chdir(home)
shares = zip(CLASSES, right / pixels["test"], strict=True)
print("right in pictures that it has not learnt:", ", ".join(f"{n} {s:.1%}" for n, s in shares))
sheet.save(target)
print(f"picture: {os.path.relpath(target)}")
