"""Images with boxes, of one size or each of its own, and what each cell of a map is to find.

The data of Cascade R-CNN (Cai, Vasconcelos 2018, arXiv:1712.00726).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
from numpy.random import Generator

from caffe_lite.data import images
from caffe_lite.data.distortion import DISTORT, Distortion
from caffe_lite.data.image_gt import (
    LABELS,
    Cut,
    Scene,
    View,
    choose_middle,
    cut_of,
    enlarge,
    mean_values,
    read_scenes,
)
from caffe_lite.data.listed import ListedReader, log
from caffe_lite.data.readers import Batch, named
from caffe_lite.errors import DataError, LayerError
from caffe_lite.proto import caffe_pb2

Array = npt.NDArray[Any]
Shape = tuple[int, ...]

ROW = 8
"""Numbers of a true box: item, x1, y1, x2, y2, class, to be ignored, difficult."""
STEP = 32
"""What the sides of images that are resized are multiples of."""
SHUFFLES = ("random", "random_aspect", "random_mix_aspect")


def nearest(value: float) -> int:
    """The whole number next to a positive one, the greater of two."""
    return math.floor(value + 0.5)


def pixel_overlap(a: Array, b: Array, of_b: bool = False) -> Array:
    """The area of both boxes over that of either, or that of b: (A, B).

    Both corners of a box are pixels of it.  Boxes that share no more than one row share nothing.
    a: (A, 4), b: (B, 4), x1, y1, x2, y2.
    """
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    sides = np.minimum(a[:, None, 2:], b[None, :, 2:]) - low
    common = np.where((sides[..., 0] >= 0) & (sides[..., 1] > 0), np.prod(sides + 1, axis=2), 0)
    areas, others = (
        np.where((each[:, 2:] >= each[:, :2]).all(1), np.prod(each[:, 2:] - each[:, :2] + 1, 1), 0)
        for each in (a, b)
    )
    whole = np.broadcast_to(others, common.shape) if of_b else areas[:, None] + others - common
    real = (areas[:, None] > 0) & (others > 0)
    # a share on a threshold of float32 is on the same side of it as in the fork
    return np.where(real, common / np.where(real, whole, 1), 0).astype(np.float32)


class _Scenes(ListedReader):
    """What both readers share: the images of a window file, and the rows of their boxes."""

    item = "image"

    def __init__(
        self,
        config: caffe_pb2.DetectionDataParameter | caffe_pb2.EvalDataParameter,
        transform: caffe_pb2.TransformationParameter,
        dtype: npt.DTypeLike,
        rng: Generator,
        shuffle: bool,
    ) -> None:
        self._dtype = np.dtype(dtype)
        self._folder = config.root_folder
        self._scenes = read_scenes(config.source, with_difficult=True)
        self._scale = transform.scale
        self._channels = self._scenes[-1].size[0]
        self._mean = mean_values(transform, self._channels)
        self._cache: dict[str, bytes] | None = None
        super().__init__(len(self._scenes), config.batch_size, shuffle, config.source, rng)
        log.info("A total of %d images.", len(self._scenes))

    def _read(self, scene: Scene, path: str) -> Array:
        """The image's pixels, (C, H, W)."""
        if self._cache is None:
            pixels = images.read(path)
        else:
            if path not in self._cache:
                self._cache[path] = images.read_bytes(path)
            pixels = images.decode(self._cache[path])
        if len(pixels) != self._channels:
            raise DataError(
                f"has {len(pixels)} channels, but the last image of the window file has "
                f"{self._channels}"
            )
        return pixels

    def _rows(self, found: list[Array]) -> Array:
        """The true boxes of a batch: (G, 8, 1, 1); one row of -1 where there is none."""
        rows = np.concatenate(
            [np.insert(boxes, 0, item, axis=1) for item, boxes in enumerate(found)]
        )
        if not len(rows):
            rows = np.full((1, ROW), -1.0)
        return rows.astype(self._dtype).reshape(-1, ROW, 1, 1)


def _rescale(view: View, width: int, height: int) -> None:
    """Resize an image with all that is in it."""
    if (width, height) != view.size:
        images.check_pixels(width, height)
        view.scale(np.divide((width, height), view.size))
        view.resize(width, height)


class EvalReader(_Scenes):
    """Batches of whole images in their order, the true boxes, and the images' sizes."""

    def __init__(
        self,
        config: caffe_pb2.EvalDataParameter,
        transform: caffe_pb2.TransformationParameter,
        dtype: npt.DTypeLike,
        rng: Generator,
    ) -> None:
        self._config = config
        super().__init__(config, transform, dtype, rng, shuffle=False)

    @property
    def shapes(self) -> list[Shape]:
        """The shapes of a batch's arrays, as far as they are known before an image is read."""
        config, size = self._config, self._scenes[-1].size[1:]
        if config.resize_width and config.resize_height:
            size = (config.resize_height, config.resize_width)
        elif config.short_size and config.long_size:
            size = (config.long_size, config.short_size)
        count = config.batch_size
        return [(count, self._channels, *size), (1, ROW, 1, 1), (count, 2, 1, 1)]

    def fill(self, old: Batch | None) -> Batch:
        """The next batch."""
        views, found = [], []
        for _, index in self._places():
            scene = self._scenes[index]
            path = self._folder + scene.image
            with named(f'image "{path}"'):
                pixels = self._read(scene, path)
                view = View(pixels, scene.boxes.copy(), scene.others.copy(), np.zeros(2))
                _rescale(view, *self._size(view))
            views.append(((view.pixels - self._mean) * self._scale).astype(self._dtype))
            found.append(
                np.column_stack([view.boxes, scene.classes, scene.ignored, scene.difficult])
            )
        sizes = np.array([each.shape[1:] for each in views], self._dtype).reshape(-1, 2, 1, 1)
        batch = Batch(np.stack(views), self._rows(found), others=(sizes,))
        batch.state = self.get_state()
        return batch

    def _size(self, view: View) -> tuple[int, int]:
        """Width and height of an image that is resized: multiples of 32."""
        config, size = self._config, view.size
        if config.resize_width and config.resize_height:
            size = config.resize_width, config.resize_height
        elif config.short_size and config.long_size:
            factor = config.short_size / min(size)
            size = (
                min(nearest(size[0] * factor), config.long_size),
                min(nearest(size[1] * factor), config.long_size),
            )
        width, height = (max(1, nearest(side / STEP)) * STEP for side in size)
        return width, height


class DetectionReader(_Scenes):
    """Batches of images cut to one size, a map of labels for each field, and the true boxes."""

    def __init__(
        self,
        config: caffe_pb2.DetectionDataParameter,
        transform: caffe_pb2.TransformationParameter,
        dtype: npt.DTypeLike,
        rng: Generator,
    ) -> None:
        self._config = config
        self._mirror = transform.mirror
        self._distortion = None
        if config.HasField("distort_param"):
            try:
                self._distortion = Distortion(config.distort_param)
            except LayerError as error:
                error.field = (error.field or DISTORT).replace(DISTORT, "distort_param")
                raise
        super().__init__(config, transform, dtype, rng, shuffle=config.HasField("shuffle"))
        if config.cache_images:
            self._cache = {}

    def _arrange(self) -> None:
        """Shuffle, and let images that are wide, and those that are not, come in groups."""
        super()._arrange()
        if not self._shuffle or self._config.shuffle == "random":
            return
        wide = np.array([scene.size[2] > scene.size[1] for scene in self._scenes])
        lists = [self._order[~wide[self._order]], self._order[wide[self._order]]]
        if self._order_rng.integers(2):
            lists.reverse()
        if self._config.shuffle == "random_mix_aspect":
            lists = _mixed(lists, self._config.mix_group_size)
        self._order = np.concatenate(lists)

    @property
    def shapes(self) -> list[Shape]:
        """The shapes of a batch's arrays, as far as they are known before an image is read."""
        size = self._scenes[-1].size[1:]
        return self._shapes(*self._template(size[1], size[0], 1.0, upright=True))

    def _shapes(self, width: int, height: int) -> list[Shape]:
        config = self._config
        maps = [
            (config.batch_size, LABELS, nearest(height / stride), nearest(width / stride))
            for stride in config.stride
        ]
        boxes = [(1, ROW, 1, 1)] if config.output_gt_boxes else []
        return [(config.batch_size, self._channels, height, width), *maps, *boxes]

    def fill(self, old: Batch | None) -> Batch:
        """The next batch; its first image says whether it is upright."""
        arrays: list[Array] = []
        found, ratio, size = [], 1.0, (0, 0)
        for item, index in self._places():
            scene = self._scenes[index]
            path = self._folder + scene.image
            with named(f'image "{path}"'):
                if not item and self._config.template_ratio:
                    ratio = float(self._rng.choice(self._config.template_ratio))
                view = self._view(scene, path, ratio)
                if not item:
                    size = self._template(*view.size, ratio)
                    images.check_pixels(*size)
                    arrays = [np.zeros(shape, self._dtype) for shape in self._shapes(*size)]
                maps = [each[item] for each in arrays[1 : 1 + len(self._config.stride)]]
                found.append(self._write(scene, view, size, arrays[0][item], maps))
        if self._config.output_gt_boxes:
            arrays[-1] = self._rows(found)
        batch = Batch(arrays[0], arrays[1], others=tuple(arrays[2:]))
        batch.state = self.get_state()
        return batch

    def _view(self, scene: Scene, path: str, ratio: float) -> View:
        """The image, with other colours, mirrored at random, and resized."""
        config = self._config
        pixels = self._read(scene, path)
        if self._distortion is not None:
            pixels = self._distortion.apply(pixels, self._rng)
        view = View(pixels, scene.boxes.copy(), scene.others.copy(), np.zeros(2))
        if self._mirror and self._rng.integers(2):
            view.pixels = view.pixels[:, :, ::-1]
            for boxes in (view.boxes, view.others):
                boxes[:, [0, 2]] = view.size[0] - boxes[:, [2, 0]]
        width, height = view.size
        factor = 1.0
        if config.resize_width and config.resize_height:
            width, height = config.resize_width, config.resize_height
        elif config.HasField("resize_ratio"):
            factor = config.resize_ratio
        elif config.short_size and config.long_size:
            factor = nearest(config.short_size * ratio / STEP) * STEP / min(width, height)
        _rescale(view, nearest(width * factor), nearest(height * factor))
        return view

    def _template(
        self, width: int, height: int, ratio: float, upright: bool = False
    ) -> tuple[int, int]:
        """Width and height of a batch whose first image has these after it was resized."""
        config = self._config
        if config.crop_width and config.crop_height:
            return config.crop_width, config.crop_height
        if config.resize_width and config.resize_height:
            return config.resize_width, config.resize_height
        upright = upright or height >= width
        if config.crop_short_size and config.crop_long_size:
            size = config.crop_short_size, config.crop_long_size
        elif config.short_size and config.long_size:
            short, long = (
                nearest(side * ratio / STEP) * STEP
                for side in (config.short_size, config.long_size)
            )
            size = short, long
        else:
            return width, height
        return size if upright else size[::-1]

    def _write(
        self, scene: Scene, view: View, size: tuple[int, int], y: Array, maps: list[Array]
    ) -> Array:
        """Write an image and its maps of labels; the true boxes, (B, 7)."""
        chosen = choose_middle(view, size, self._rng)
        factors = self._factors(view, chosen)
        if (factors != 1).any():
            enlarge(view, factors)
        cut = cut_of(view, size, self._rng)
        view.shift(np.subtract(cut.target, cut.source))
        (sx, sy), (tx, ty), (w, h) = cut.source, cut.target, cut.length
        part = view.pixels[:, sy : sy + h, sx : sx + w]
        y[:, ty : ty + h, tx : tx + w] = (part - self._mean) * self._scale
        middles = (view.boxes[:, :2] + view.boxes[:, 2:]) / 2
        sides = view.boxes[:, 2:] - view.boxes[:, :2] + 1
        lost = (middles < 0) | (middles >= size)
        lost |= sides < (self._config.min_gt_width, self._config.min_gt_height)
        ignored = np.where(lost.any(axis=1), 1, scene.ignored)
        label_anchors(view, scene.classes, ignored, cut, self._config, maps)
        return np.column_stack([view.boxes, scene.classes, ignored, scene.difficult])

    def _factors(self, view: View, chosen: int | None) -> Array:
        """How to scale x and y: both by a factor that is drawn, and to another shape."""
        config = self._config
        relative = config.HasField("low_scale_ratio") and config.HasField("high_scale_ratio")
        absolute = config.HasField("min_scale") and config.HasField("max_scale")
        if not (relative or absolute) or self._rng.uniform() >= config.multiscale_prob:
            return np.ones(2)
        if relative:
            bounds = np.log2([config.low_scale_ratio, config.high_scale_ratio])
        elif chosen is None:
            bounds = np.ones(2)
        else:
            sides = view.boxes[chosen, 2:] - view.boxes[chosen, :2] + 1
            bounds = np.log2(np.array([config.min_scale, config.max_scale])) - (
                np.log2(np.prod(sides)) / 2
            )
        factors = np.full(2, 2 ** self._rng.uniform(*bounds))
        if config.HasField("min_whaspect") and config.HasField("max_whaspect"):
            shape = self._rng.uniform(*np.log2([config.min_whaspect, config.max_whaspect]))
            factors *= 2 ** (np.array([shape, -shape]) / 2)
        return factors


def _mixed(lists: list[Array], size: int) -> list[Array]:
    """Groups of so many of both lists by turns, until one ends."""
    found, at, turn = [], [0, 0], 0
    while at[0] < len(lists[0]) and at[1] < len(lists[1]):
        group = lists[turn][at[turn] : at[turn] + size]
        found.append(group)
        at[turn] += len(group)
        turn = 1 - turn
    return [*found, lists[0][at[0] :], lists[1][at[1] :]]


def label_anchors(
    view: View,
    classes: Array,
    ignored: Array,
    cut: Cut,
    config: caffe_pb2.DetectionDataParameter,
    maps: list[Array],
) -> None:
    """Write what each cell of each map is to find: (6, H, W), zeros before.

    A cell has the box that overlaps its field most, if by more than `fg_threshold`; the class of
    one to ignore is 0.  The last number is that overlap, and 1 where a cell or its field is
    outside of the image, or without a box has much of what is of no interest.  A box that no cell
    has is given to the cell of its middle, in the map where a field overlaps it most.
    """
    boxes, best = view.boxes, np.zeros(len(view.boxes), np.float32)
    found, where = np.zeros(len(boxes), bool), np.zeros(len(boxes), np.int64)
    for index, label in enumerate(maps):
        fields, counts = _fields_of(index, label.shape[1:], cut, config)
        flat = label.reshape(LABELS, -1)
        flat[5] = 1
        both = pixel_overlap(boxes, fields[counts])
        most = both.max(axis=0, initial=0)
        has = most > config.fg_threshold
        covered = pixel_overlap(view.others, fields[counts], of_b=True).sum(axis=0)
        flat[5, counts] = np.where(has | (covered < config.ignore_fg_threshold), most, 1)
        if not both.size:
            continue
        owners = both.argmax(axis=0)[has]
        kinds = np.where(ignored[owners] == 0, classes[owners], 0)
        _assign(flat, np.flatnonzero(counts)[has], boxes[owners], kinds)
        found[owners] = True
        most = both.max(axis=1)
        where[most > best] = index
        best = np.maximum(best, most)
    missed = (ignored == 0) & ~found & (best >= config.pickup_iou_thr) & bool(maps)
    for i in np.flatnonzero(missed):
        label, stride = maps[where[i]], config.stride[where[i]]
        column, row = (
            max(0, min(math.floor(v / stride), size - 1))
            for v, size in zip((boxes[i, :2] + boxes[i, 2:]) / 2, label.shape[:0:-1])
        )
        if label[0, row, column] <= 0:
            cell = np.array([row * label.shape[2] + column])
            _assign(label.reshape(LABELS, -1), cell, boxes[i : i + 1], classes[i])
            label[5, row, column] = best[i]


def _fields_of(
    index: int, size: Shape, cut: Cut, config: caffe_pb2.DetectionDataParameter
) -> tuple[Array, Array]:
    """The fields of the cells of a map, (cells, 4), and which of them are inside of the image."""
    stride = config.stride[index]
    half = np.array([config.field_w[index], config.field_h[index]]) / 2
    y, x = (grid.reshape(-1) for grid in np.mgrid[: size[0], : size[1]])
    middles = (np.column_stack([x, y]) + 0.5) * stride
    fields = np.hstack([middles - half, middles + half])
    (left, top), (wide, tall) = (
        [nearest(v / stride) for v in each] for each in (cut.target, cut.length)
    )
    counts = (x >= left) & (x < left + wide) & (y >= top) & (y < top + tall)
    start, end = np.array(cut.target), np.add(cut.target, cut.length)
    if config.HasField("anchor_ignore_margin_ratio"):
        margin = config.anchor_ignore_margin_ratio * half
        counts &= (fields[:, :2] >= start - margin).all(axis=1)
        counts &= (fields[:, 2:] < end + margin).all(axis=1)
    elif config.HasField("anchor_ignore_iou_thr"):
        image = np.hstack([start, end]).reshape(1, 4)
        counts &= pixel_overlap(image, fields, of_b=True)[0] >= config.anchor_ignore_iou_thr
    return fields, counts


def _assign(flat: Array, cells: Array, boxes: Array, classes: Array) -> None:
    """Let cells have boxes.  flat: (6, cells of a map)."""
    flat[0, cells] = classes
    flat[1:3, cells] = ((boxes[:, :2] + boxes[:, 2:]) / 2).T
    flat[3:5, cells] = (boxes[:, 2:] - boxes[:, :2] + 1).T
