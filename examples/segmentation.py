"""Name each pixel of a page of digits, and colour the page: a net trained here in some seconds.

The net is fully convolutional: it learns from pages of 64 x 64 pixels, and then takes a page of
any size.  Its labels are 0 for paper and 1 to 10 for the strokes of the digits 0 to 9.

Output::

    iteration 200: loss 0.276
    iteration 400: loss 0.140
    iteration 600: loss 0.111
    of the strokes on a page of 128 x 224 pixels, 80.3% have the right digit
    picture: examples/pictures/segmentation.png
"""

from __future__ import annotations

import os
from tempfile import TemporaryDirectory

import numpy as np
from digits import folder, load

import caffe_lite as caffe
from caffe_lite import layers as L
from caffe_lite import params as P
from caffe_lite.pictures import draw_labels
from caffe_lite.proto import caffe_pb2

PAGES, SIDE = 8, 64


def small_net(train: bool) -> caffe_pb2.NetParameter:
    """Convolutions, the last of them at a quarter of the page's size, and an enlargement."""
    n = caffe.NetSpec()
    n.data = L.Input(shape={"dim": [PAGES, 1, SIDE, SIDE]})
    top = n.data
    for i, (outputs, dilation) in enumerate([(16, 1), (32, 1), (64, 1), (64, 2)], 1):
        n[f"conv{i}"] = L.Convolution(
            top, num_output=outputs, kernel_size=3, pad=dilation, dilation=dilation,
            weight_filler={"type": "msra"},
        )  # fmt: skip
        n[f"relu{i}"] = top = L.ReLU(n[f"conv{i}"], in_place=True)
        if i <= 2:
            n[f"pool{i}"] = top = L.Pooling(top, pool=P.Pooling.MAX, kernel_size=2, stride=2)
    n.small = L.Convolution(top, num_output=11, kernel_size=1, weight_filler={"type": "msra"})
    n.score = L.Deconvolution(
        n.small, convolution_param={"num_output": 11, "kernel_size": 4, "stride": 4,
                                    "weight_filler": {"type": "msra"}},
    )  # fmt: skip
    if train:
        n.label = L.Input(shape={"dim": [PAGES, 1, SIDE, SIDE]})
        n.loss = L.SoftmaxWithLoss(n.score, n.label)
    return n.to_proto()


def page(
    rng: np.random.Generator, part: str, rows: int, columns: int
) -> tuple[np.ndarray, np.ndarray]:
    """A page of digits in a grid of 32 pixels, (height, width) from 0 to 1, and its labels."""
    paper = np.zeros((32 * rows, 32 * columns), np.float32)
    labels = np.zeros(paper.shape, np.uint8)
    pixels, digits = DIGITS[part]
    for row in range(rows):
        for column in range(columns):
            i, down, right = rng.integers(len(digits)), *rng.integers(5, size=2)
            place = np.s_[32 * row + down :, 32 * column + right :]
            paper[place][:28, :28] = pixels[i, 0]
            labels[place][:28, :28] = (pixels[i, 0] > 0.3) * (digits[i] + 1)
    return paper, labels


DIGITS = {part: load(part) for part in ("train", "test")}
rng = np.random.default_rng(1)
settings = caffe_pb2.SolverParameter(
    type="Adam", base_lr=0.004, momentum=0.9, lr_policy="fixed", random_seed=1,
    snapshot_after_train=False, train_net_param=small_net(train=True),
)  # fmt: skip
with TemporaryDirectory() as place:
    path = os.path.join(place, "solver.prototxt")
    with open(path, "w") as file:
        file.write(str(settings))
    solver = caffe.get_solver(path)
    losses = []
    for i in range(1, 601):
        made = [page(rng, "train", SIDE // 32, SIDE // 32) for _ in range(PAGES)]
        solver.net.blobs["data"].data[:, 0] = [paper for paper, _ in made]
        solver.net.blobs["label"].data[:, 0] = [labels for _, labels in made]
        solver.step(1)
        losses.append(float(solver.net.blobs["loss"].data))
        if i % 200 == 0:
            print(f"iteration {i}: loss {np.mean(losses[-20:]):.3f}")
    weights = os.path.join(place, "pages.caffemodel")
    solver.net.save(weights)
    model = caffe.load(small_net(train=False), weights, scale=1 / 256, input_size="any")

paper, labels = page(rng, "test", 4, 7)
picture = (paper * 255).astype(np.uint8)
found = model.segment(picture)
strokes = labels > 0
right = (found == labels)[strokes].mean()
height, width = found.shape
print(f"of the strokes on a page of {height} x {width} pixels, {right:.1%} have the right digit")
drawn = draw_labels(picture, found, opacity=0.7)
drawn.resize((3 * width, 3 * height)).save(folder() / "segmentation.png")
print(f"picture: {os.path.relpath(folder() / 'segmentation.png')}")
