"""The losses of YOLO, of MobileNet-YOLO's Caffe: RegionLoss, Yolov3, YoloSeg.

As in Darknet, the gradient is what the layer wants changed, `delta`, and the loss the sum of its
squares: no derivative of one another.
"""

from __future__ import annotations

from math import prod

import numpy as np

from caffe_lite.blob import Array, Blob, Shape
from caffe_lite.kernels import yolo as kernels
from caffe_lite.layers.base import Loss
from caffe_lite.layers.declarations import Buffer, Reads
from caffe_lite.layers.registry import register


class _Delta(Loss):
    """A loss whose forward makes its gradient: the buffer ``delta``, for a loss weight of N."""

    backward_reads = Reads.NONE

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """Delta times the loss weight, for each item."""
        if propagate_down[0]:
            dx = bottom[0].diff
            dx[...] = self.buf.delta.reshape(dx.shape)
            dx *= float(top[0].diff) / max(1, len(dx))


class _Boxes(_Delta):
    """A loss of boxes that are predicted by cells and anchors, and the true ones."""

    def check(self, *bottom: Shape) -> None:
        """Each anchor predicts a box, an object and its class; rows of five numbers are true."""
        super().check(*bottom)
        x, truth = bottom
        config = self.config
        self.require(config.num > 0, "num", "num must be 1 or more, not 0")
        self.require(config.num_class > 0, "num_class", "num_class must be 1 or more, not 0")
        self.require(len(x) == 4, ".bottom[0]", f"must have 4 axes (N, C, H, W), not {x}")
        needed = config.num * (5 + config.num_class)
        self.require(
            x[1] == needed,
            ".bottom[0]",
            f"{x[1]} channels, but {config.num} anchors and {config.num_class} classes need "
            f"{config.num} (5 + {config.num_class}) = {needed}",
        )
        self.require(
            prod(truth[1:]) % 5 == 0,
            ".bottom[1]",
            f"{prod(truth[1:])} numbers for an item are no rows of class, x, y, w, h",
        )
        for i, value in enumerate(config.biases):
            self.require(value > 0, f"biases[{i}]", f"biases must be positive, not {value:g}")

    def buffers(self, *bottom: Shape) -> dict[str, Buffer]:
        """The activated prediction, and what it should change."""
        shape = self._view(bottom[0])
        return {"p": Buffer(shape), "delta": Buffer(shape)}

    def _view(self, x: Shape) -> Shape:
        """A prediction as (N, A, 5 + K, P)."""
        anchors = int(self.config.num)
        return (x[0], anchors, x[1] // anchors, x[2] * x[3])

    def truth(self, labels: Blob) -> Array:
        """The true boxes, (N, T, 5), all of which can be learned."""
        truth: Array = labels.data.reshape(labels.shape[0], -1, 5)
        there = np.logical_and.accumulate(truth[..., 3] != 0, axis=1)
        classes = self.config.num_class
        label = truth[..., 0]
        known = (label >= 0) & (label < classes) & (label == np.trunc(label))
        middles = (truth[..., 1:3] >= 0) & (truth[..., 1:3] < 1)
        sizes = (truth[..., 3:] > 0) & np.isfinite(truth[..., 3:])
        fine = known & middles.all(axis=-1) & sizes.all(axis=-1)
        if (there & ~fine).any():
            item, row = np.argwhere(there & ~fine)[0]
            numbers = " ".join(f"{value:g}" for value in truth[item, row])
            self.require(
                False,
                ".bottom[1]",
                f"box {row} of item {item}, {numbers}, must be of one of the classes 0 to "
                f"{classes - 1}, have its middle (x, y) from 0 to less than 1 and a positive size",
            )
        return truth


@register("RegionLoss")
class RegionLoss(_Boxes):
    """YOLO's loss, version 2 (Redmon, Farhadi 2017, arXiv:1612.08242).

    bottom[0]: (N, num (5 + num_class), H, H): for each anchor x, y, w, h, the object score, the
    classes' scores.  bottom[1]: (N, ..., T, 5): T boxes of class, x, y, w, h, fractions of the
    image; those after one with a width of 0 do not count.  top[0]: the loss, a scalar.

    `biases`: width and height of each anchor, in cells.  `rescore` and `bias_match` switch; all
    `..._scale` and `thresh` are as in Darknet.  As in the fork, the classes are always a softmax:
    `side`, `softmax`, `softmax_tree`, `class_map`, `absolute`, `jitter` and `random` change no
    number.
    """

    config_field = "region_loss_param"

    def check(self, *bottom: Shape) -> None:
        """Square maps, and as many anchors as boxes in a cell."""
        super().check(*bottom)
        x, config = bottom[0], self.config
        self.require(x[2] == x[3], ".bottom[0]", f"must be as high as wide, not {x[2]}x{x[3]}")
        self.require(
            len(config.biases) >= 2 * config.num,
            "biases",
            f"{len(config.biases)} biases for {config.num} anchors; give two for each",
        )
        self.require(config.coords == 4, "coords", f"coords must be 4, not {config.coords}")

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """See the kernel."""
        config, x, buf = self.config, bottom[0], self.buf
        biases = config.biases[: 2 * config.num]
        rules = kernels.RegionRules(
            anchors=np.array(biases, self.dtype).reshape(-1, 2) / x.shape[2],
            grid=(x.shape[2], x.shape[3]),
            thresh=config.thresh,
            object_scale=config.object_scale,
            noobject_scale=config.noobject_scale,
            class_scale=config.class_scale,
            coord_scale=config.coord_scale,
            rescore=bool(config.rescore),
            match_anchors=bool(config.bias_match),
        )
        kernels.activate_region(x.data.reshape(buf.p.shape), buf.p)
        kernels.region_delta(buf.p, self.truth(bottom[1]), rules, buf.delta)
        top[0].data[...] = np.vdot(buf.delta, buf.delta) / max(1, x.shape[0])


@register("Yolov3")
class Yolov3(_Boxes):
    """YOLO's loss, version 3, for one of the net's maps (Redmon, Farhadi 2018, arXiv:1804.02767).

    bottom[0]: (N, num (5 + num_class), H, W): for each anchor x, y, w, h, the object score, the
    classes' scores.  bottom[1]: (N, ..., T, 5): T boxes of class, x, y, w, h, fractions of the
    image; those after one with a width of 0 do not count.  top[0]: the loss, a scalar.

    `biases`: width and height of every anchor of the net, in pixels of an image of H W cells of
    `anchors_scale` pixels; `mask`: which of them are this map's.  A true box is taught to the
    anchor most like it, and to the others of the map above `iou_thresh`.  `iou_loss` says how
    alike two boxes are, and but for MSE also how the predicted one is moved: by at most
    `max_delta`.  `use_logic_gradient` scales by `object_scale`, and passes the gradient on through
    the logistic function.  As in the fork, `side` and `noobject_scale` change no number, the
    classes forget no box that another gave the same anchor, and with an `iou_loss` other than MSE
    `use_logic_gradient` takes the bottom for the middle's logistic function.
    """

    config_field = "yolov3_param"

    def check(self, *bottom: Shape) -> None:
        """As many anchors as boxes in a cell, all of them given."""
        super().check(*bottom)
        config = self.config
        anchors = len(config.biases) // 2
        self.require(
            anchors > 0 and len(config.biases) % 2 == 0,
            "biases",
            f"give two biases for each anchor, not {len(config.biases)} numbers",
        )
        self.require(
            len(config.mask) >= config.num,
            "mask",
            f"the mask names {len(config.mask)} of the anchors, but num is {config.num}",
        )
        for i, anchor in enumerate(config.mask):
            self.require(
                anchor < anchors,
                f"mask[{i}]",
                f"there are {anchors} anchors, but no anchor {anchor}",
            )
        scale = config.anchors_scale
        self.require(scale > 0, "anchors_scale", f"anchors_scale must be positive, not {scale}")

    def buffers(self, *bottom: Shape) -> dict[str, Buffer]:
        """Also how badly the true boxes were predicted."""
        return super().buffers(*bottom) | {"misses": Buffer((bottom[0][0], 2), np.float64)}

    def _rules(self, rows: int, columns: int) -> kernels.YoloRules:
        config = self.config
        image = np.array([columns, rows]) * config.anchors_scale
        return kernels.YoloRules(
            anchors=(np.array(config.biases).reshape(-1, 2) / image).astype(self.dtype),
            mask=np.array(config.mask[: config.num], np.int64),
            grid=(rows, columns),
            measure=config.iou_loss,
            thresh=config.thresh,
            object_scale=config.object_scale if config.use_logic_gradient else 1.0,
            class_scale=config.class_scale,
            coord_scale=config.coord_scale,
            others_above=config.iou_thresh,
            focal=config.use_focal_loss,
            smoothing=config.label_smooth_eps,
            normalizer=config.iou_normalizer,
            bound=config.max_delta,
            accumulate=config.accumulate,
        )

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """See the kernel."""
        x, buf = bottom[0].data.reshape(self.buf.p.shape), self.buf
        kernels.activate_yolo(x, buf.p)
        rules = self._rules(*bottom[0].shape[2:])
        kernels.yolo_delta(buf.p, self.truth(bottom[1]), rules, buf.delta, buf.misses)
        learned = buf.delta
        total = 0.0
        if self.config.iou_loss != self.config.MSE:
            learned = buf.delta[:, :, 4:]
            missed, taught = buf.misses.sum(axis=0)
            total += self.config.iou_normalizer * missed / max(1, taught)
            np.copyto(buf.p[:, :, :2], x[:, :, :2])  # the fork's: see the class
        total += float(np.square(learned).sum())
        top[0].data[...] = total / max(1, len(x))
        if self.config.use_logic_gradient:
            kernels.through_logistic(buf.p, buf.delta)


@register("YoloSeg")
class YoloSeg(_Delta):
    """The squared error of the logistic function of scores, times the square of `object_scale`.

    bottom[0]: scores, bottom[1]: what they should be, both (N, C, H, W).  bottom[2], optional:
    (N, C): how many pixels are of the class.  Then pixels above 0.5 weigh 2 - r, where r is the
    share of the class's pixels over the share of the others.  top[0]: the loss, a scalar.
    `num_class`, `class_scale`, `use_logic_gradient` and `use_hardsigmoid` change no number, as in
    the fork.
    """

    bottoms = (2, 3)
    config_field = "yolo_seg_param"
    no_gradient = (1, 2)

    def check(self, *bottom: Shape) -> None:
        """Labels like scores; one number for each item and class."""
        super().check(*bottom)
        x, label = bottom[:2]
        self.require(len(x) == 4, ".bottom[0]", f"must have 4 axes (N, C, H, W), not {x}")
        self.require(label == x, ".bottom[1]", f"{label} must have the shape of bottom[0] {x}")
        if len(bottom) > 2:
            self.require(
                prod(bottom[2]) == x[0] * x[1],
                ".bottom[2]",
                f"{bottom[2]} must be one number for each item and class of bottom[0] {x}",
            )

    def buffers(self, *bottom: Shape) -> dict[str, Buffer]:
        """The gradient."""
        n, c, h, w = bottom[0]
        return {"delta": Buffer((n, c, h * w))}

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """See the kernel."""
        delta = self.buf.delta
        scale = float(self.config.object_scale)
        weight = np.full(delta.shape[1], scale, self.dtype)
        if len(bottom) > 2:
            pixels = bottom[2].data.reshape(delta.shape[:2]).sum(axis=0)
            weight *= 2 - pixels / (len(delta) * delta.shape[2] - pixels)
        x, label = (blob.data.reshape(delta.shape) for blob in bottom[:2])
        kernels.segmentation_delta(x, label, scale, weight, delta)
        top[0].data[...] = np.vdot(delta, delta) / max(1, len(delta))
