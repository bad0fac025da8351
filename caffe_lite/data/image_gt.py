"""Images with boxes, cut and scaled around one of them, and what each cell of a map is to find.

The training data of MS-CNN (Cai et al. 2016, arXiv:1607.07155).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from numpy.random import Generator

from caffe_lite.data import images
from caffe_lite.data.listed import ListedReader, log
from caffe_lite.data.readers import Batch, named
from caffe_lite.data.windows import WordReader
from caffe_lite.errors import DataError, LayerError
from caffe_lite.proto import caffe_pb2

Array = npt.NDArray[Any]
Shape = tuple[int, ...]

LABELS, ROW = 6, 7
"""Numbers of a cell of a map: class, x, y, width, height, overlap; and of a true box."""
NO_BOX = (0, 1, 1, 2, 2, 1, 1)
"""The row where a batch has no true box: one to ignore."""
COVERED, MISSED = 0.4, 0.2
"""Share of a field that is of no interest, from which on its cell does not count; overlap with a
cell's field below which a box that no cell has found stays without one."""
NOISE = 10
"""Pixels by which a cut is moved at most."""


@dataclass(frozen=True)
class Scene:
    """An image's file, and its boxes in pixels."""

    image: str
    classes: Array
    """(B,), with `ignored`, 1 for a box that is not to be found, and the corners (B, 4)."""
    ignored: Array
    boxes: Array
    """x1, y1, x2, y2."""
    others: Array
    """What is of no interest: (M, 4)."""
    difficult: Array
    """(B,), 1 for a box that a measure may leave out."""
    size: Shape
    """Channels, height and width, as the file says."""


def read_scenes(path: str, with_difficult: bool = False) -> list[Scene]:
    """The scenes of a window file of MS-CNN, or `with_difficult` of Cascade R-CNN.

    For each image it has ``# index path channels height width count``, then for each box ``class
    ignored x1 y1 x2 y2``, or ``class ignored difficult x1 y1 x2 y2``, then the number of regions
    of no interest and for each ``x1 y1 x2 y2``, separated by any white space.  Raises DataError,
    with the line number, for any other content.
    """
    flags = ("flag to ignore it", *(("flag of difficulty",) if with_difficult else ()))
    take = WordReader(path)
    scenes: list[Scene] = []
    while take.more():
        take.mark()
        take.integer("the image's number")
        name = take.word("the image's path")
        shape = tuple(take.integer(what) for what in ("channels", "height", "width"))
        boxes = [
            [take.integer(f"a box's {what}") for what in ("class", *flags, *"xyXY")]
            for _ in range(take.integer("the number of boxes"))
        ]
        others = [
            [take.integer(f"a region's {what}") for what in ("x1", "y1", "x2", "y2")]
            for _ in range(take.integer("the number of regions of no interest"))
        ]
        table = np.array(boxes, np.float64).reshape(-1, 5 + len(flags))
        if (table[:, 0] < 1).any():
            raise DataError(
                f'"{path}": a box of "{name}" has class {table[:, 0].min():g}; it must be at '
                "least 1, as 0 is the background"
            )
        regions = np.array(others, np.float64).reshape(-1, 4)
        difficult = table[:, 2] if with_difficult else np.zeros(len(table))
        corners = table[:, -4:]
        scenes.append(Scene(name, table[:, 0], table[:, 1], corners, regions, difficult, shape))
    return scenes


def _round(value: float) -> int:
    return math.floor(value + 0.5)


@dataclass
class View:
    """An image on its way to a batch: its pixels (C, H, W), boxes, and the cut's middle."""

    pixels: Array
    boxes: Array
    others: Array
    middle: Array
    """x, y."""

    def scale(self, factors: Array) -> None:
        """Multiply what is measured in pixels by the factors of x and y."""
        self.boxes *= np.tile(factors, 2)
        self.others *= np.tile(factors, 2)

    def shift(self, by: Array) -> None:
        """Add to what is measured in pixels."""
        self.boxes += np.tile(by, 2)
        self.others += np.tile(by, 2)

    def resize(self, width: int, height: int) -> None:
        """Resize the pixels alone."""
        self.pixels = images.resize(self.pixels, height, width)

    @property
    def size(self) -> tuple[int, int]:
        """Width and height."""
        return self.pixels.shape[2], self.pixels.shape[1]


@dataclass(frozen=True)
class Cut:
    """Where a part of an image lies in the output, along x and y."""

    source: tuple[int, int]
    target: tuple[int, int]
    length: tuple[int, int]


def overlap(a: Array, b: Array, of_b: bool = False) -> Array:
    """The area of both boxes over that of either, or that of b: (A, B).

    a: (A, 4), b: (B, 4), x1, y1, x2, y2.
    """
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, 2:], b[None, :, 2:])
    both = np.prod(np.maximum(high - low, 0), axis=2)
    areas, others = (np.prod(np.maximum(each[:, 2:] - each[:, :2], 0), axis=1) for each in (a, b))
    whole = np.broadcast_to(others, both.shape) if of_b else areas[:, None] + others - both
    real = (areas[:, None] > 0) & (others > 0)
    return np.where(real, both / np.where(real, whole, 1), 0)


def choose_middle(view: View, size: tuple[int, int], rng: Generator) -> int | None:
    """Of a cut of that width and height: a box's, whose number is returned, or a place inside."""
    if len(view.boxes):
        chosen = int(rng.integers(len(view.boxes)))
        box = view.boxes[chosen]
        view.middle = (box[:2] + box[2:]) / 2
        return chosen
    for axis, (length, wanted) in enumerate(zip(view.size, size)):
        view.middle[axis] = length / 2
        if length >= wanted:
            view.middle[axis] = rng.integers(length - wanted + 1) + wanted / 2
    return None


def enlarge(view: View, factors: Array) -> None:
    """Scale all; first cut off what will be far outside if it becomes much larger."""
    if (factors > 1.5).any():
        lengths = [
            min(_round(1.2 * size / factor), size) for size, factor in zip(view.size, factors)
        ]
        starts = [
            max(0, min(_round(middle - length / 2), size - length))
            for middle, length, size in zip(view.middle, lengths, view.size)
        ]
        (x, y), (w, h) = starts, lengths
        view.pixels = view.pixels[:, y : y + h, x : x + w]
        view.shift(-np.array(starts, np.float64))
        view.middle = view.middle - starts
    width, height = (max(1, _round(size * factor)) for size, factor in zip(view.size, factors))
    images.check_pixels(width, height)
    view.resize(width, height)
    view.scale(factors)
    view.middle = view.middle * factors


def cut_of(view: View, size: tuple[int, int], rng: Generator) -> Cut:
    """Of that width and height around the middle, moved a little; a smaller image lies there."""
    noise = rng.integers(-NOISE, NOISE, 2)
    places = []
    for length, wanted, middle, by in zip(view.size, size, view.middle, noise):
        source = target = 0
        if length < wanted:
            target = max(0, min(_round((wanted - length) / 2) + int(by), wanted - length))
        elif length > wanted:
            source = _round(middle) + int(by) - _round(wanted / 2)
            source = max(0, min(source, length - wanted))
        places.append((source, target, min(length, wanted)))
    (x, y) = places
    return Cut((x[0], y[0]), (x[1], y[1]), (x[2], y[2]))


def mean_values(transform: caffe_pb2.TransformationParameter, channels: int) -> Array:
    """Those of each channel, or the one of all: (C or 1, 1, 1)."""
    values = np.array(transform.mean_value or [0], np.float64)
    if len(values) not in (1, channels):
        raise LayerError(
            f"{len(values)} mean_value for images of {channels} channels; give one, or one for "
            "each",
            ".transform_param.mean_value",
        )
    return values.reshape(-1, 1, 1)


class ImageGtReader(ListedReader):
    """Batches of images, a map of labels for each size of field, and the true boxes.

    An image with a box that is not to be ignored appears `fg_img_multiple` times in the list.
    """

    item = "image"

    def __init__(
        self,
        config: caffe_pb2.ImageGtDataParameter,
        transform: caffe_pb2.TransformationParameter,
        dtype: npt.DTypeLike,
        rng: Generator,
    ) -> None:
        self._config = config
        self._dtype = np.dtype(dtype)
        scenes = read_scenes(config.source)
        shape = scenes[-1].size
        self._scenes = [
            scene
            for scene in scenes
            for _ in range(config.fg_img_multiple if (scene.ignored == 0).any() else 1)
        ]
        count = len(self._scenes)
        super().__init__(count, config.batch_size, config.shuffle, config.source, rng)
        log.info("A total of %d images.", count)
        self._mirror = transform.mirror
        self._mean = mean_values(transform, shape[0])
        self._height, self._width = self._size(shape[1:])
        self._channels = shape[0]
        self._cache: dict[str, bytes] = {}

    def _size(self, size: Shape) -> tuple[int, int]:
        """Height and width of the output."""
        config = self._config
        height, width = size
        if config.resize_height and config.resize_width:
            height, width = config.resize_height, config.resize_width
        if config.HasField("crop_height") and config.HasField("crop_width"):
            for name, most in (("crop_height", height), ("crop_width", width)):
                if getattr(config, name) > most:
                    raise LayerError(
                        f"{name} {getattr(config, name)} is larger than the image's {most}", name
                    )
            height, width = config.crop_height or height, config.crop_width or width
        return height, width

    @property
    def shapes(self) -> list[Shape]:
        """The shapes of a batch's arrays; how many true boxes there are, only a batch says."""
        size, config = self._config.batch_size, self._config
        maps = [
            (size, LABELS, *(_round(side / rate) for side in (self._height, self._width)))
            for rate in config.downsample_rate
        ]
        boxes = [(1, ROW, 1, 1)] if config.output_gt_boxes else []
        return [(size, self._channels, self._height, self._width), *maps, *boxes]

    def fill(self, old: Batch | None) -> Batch:
        """The next batch; reuses the arrays of `old`."""
        if old is None:
            arrays = [np.empty(shape, self._dtype) for shape in self.shapes]
            old = Batch(arrays[0], arrays[1], others=tuple(arrays[2:]))
        count = len(self._config.downsample_rate)
        maps = old.tops[1 : 1 + count]
        for array in (old.data, *maps):
            array.fill(0)
        rows: list[Array] = []
        for item, index in self._places():
            scene = self._scenes[index]
            path = self._config.root_folder + scene.image
            with named(f'image "{path}"'):
                truths = self._write(scene, path, old.data[item], [each[item] for each in maps])
            rows.append(np.insert(truths, 0, item, axis=1))
        if self._config.output_gt_boxes:
            found = np.concatenate(rows)
            if not len(found):
                found = np.array([NO_BOX])
            boxes = found.astype(self._dtype).reshape(-1, ROW, 1, 1)
            old.others = (*old.others[: count - 1], boxes)
        old.state = self.get_state()
        return old

    def _write(self, scene: Scene, path: str, y: Array, maps: list[Array]) -> Array:
        """Write an image and its maps of labels; the true boxes, (B, 6)."""
        view = self._view(scene, path, len(y))
        size = self._width, self._height
        self._chosen = choose_middle(view, size, self._rng)
        factors = self._factors(view)
        if (factors != 1).any():
            enlarge(view, factors)
        cut = cut_of(view, size, self._rng)
        view.shift(np.subtract(cut.target, cut.source))
        (sx, sy), (tx, ty), (w, h) = cut.source, cut.target, cut.length
        part = view.pixels[:, sy : sy + h, sx : sx + w]
        y[:, ty : ty + h, tx : tx + w] = (part - self._mean) * self._config.scale
        ignored = np.where(self._is_small_or_outside(view.boxes), 1, scene.ignored)
        label_maps(view, scene.classes, ignored, cut, self._config, maps)
        return np.column_stack([view.boxes, scene.classes, ignored])

    def _view(self, scene: Scene, path: str, channels: int) -> View:
        """The image, mirrored at random, and resized."""
        if self._config.cache_images:
            if path not in self._cache:
                self._cache[path] = images.read_bytes(path)
            pixels = images.decode(self._cache[path])
        else:
            pixels = images.read(path)
        if len(pixels) != channels:
            raise DataError(f"has {len(pixels)} channels, the window file says {channels}")
        view = View(pixels, scene.boxes.copy(), scene.others.copy(), np.zeros(2))
        if self._mirror and self._rng.integers(2):
            view.pixels = view.pixels[:, :, ::-1]
            for boxes in (view.boxes, view.others):
                boxes[:, [0, 2]] = view.size[0] - boxes[:, [2, 0]]
        size = self._config.resize_width, self._config.resize_height
        if all(size) and size != view.size:
            view.scale(np.divide(size, view.size))
            view.resize(*size)
        return view

    def _factors(self, view: View) -> Array:
        """How to scale x and y: for half of the images with boxes such that one has a new size."""
        config = self._config
        scales = config.do_multiple_scale and config.min_scale and config.max_scale
        if not scales or self._chosen is None or not self._rng.integers(2):
            return np.ones(2)
        size = view.boxes[self._chosen, 2:] - view.boxes[self._chosen, :2]
        steps = np.arange(_round(2 * math.log2(config.max_scale / config.min_scale) + 1)) / 2
        areas, area = (config.min_scale * 2**steps) ** 2, float(np.prod(size))
        likeness = np.minimum(areas, area) / np.maximum(areas, area)
        factors = np.full(2, 2 ** (self._rng.choice(steps) - steps[np.argmax(likeness)]))
        shapes = config.HasField("min_whaspect") and config.HasField("max_whaspect")
        if shapes and self._rng.integers(2):
            self._change_shape(size, factors)
        return factors

    def _change_shape(self, size: Array, factors: Array) -> None:
        """Let width over height be another number, if the box remains of a size to be found."""
        config = self._config
        count = max(1, _round((config.max_whaspect - config.min_whaspect) / 0.05))
        wanted = self._rng.integers(count) * 0.05 + config.min_whaspect
        change = wanted / (size[0] / size[1])
        axis, factor = (0, change) if self._rng.integers(2) else (1, 1 / change)
        length = size[axis] * factors[axis] * factor
        if config.min_scale * 0.8 <= length <= config.max_scale * 1.2:
            factors[axis] *= factor

    def _is_small_or_outside(self, boxes: Array) -> Array:
        """Which boxes are too small to be found, or have their middle outside of the output."""
        config = self._config
        middles, sizes = (boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2] + 1
        outside = (middles < 0) | (middles >= (self._width, self._height))
        small = sizes < (config.min_gt_width, config.min_gt_height)
        found: Array = np.any(outside | small, axis=1)
        return found


def label_maps(
    view: View,
    classes: Array,
    ignored: Array,
    cut: Cut,
    config: caffe_pb2.ImageGtDataParameter,
    maps: list[Array],
) -> None:
    """Write what each cell of each map is to find: (6, H, W), zeros before.

    A cell has the box that overlaps its field most, if by more than `fg_threshold`; the class of
    one to ignore is 0.  The last number is that overlap, and 1 where a cell is outside of the
    image or its field has much of what is of no interest.  A box that no cell has is given to the
    cell of its middle, in the map where a field overlaps it most.
    """
    boxes, best = view.boxes, np.zeros(len(view.boxes))
    found, where = np.zeros(len(boxes), bool), np.zeros(len(boxes), np.int64)
    for index, label in enumerate(maps):
        rate, (rows, columns) = config.downsample_rate[index], label.shape[1:]
        half = np.array([config.field_w[index], config.field_h[index]]) / 2
        y, x = (grid.reshape(-1) for grid in np.mgrid[:rows, :columns])
        middles = (np.column_stack([x, y]) + 0.5) * rate
        fields = np.hstack([middles - half, middles + half])
        (left, top), (wide, tall) = (
            [_round(v / rate) for v in each] for each in (cut.target, cut.length)
        )
        counts = (x >= left) & (x < left + wide) & (y >= top) & (y < top + tall)
        counts &= overlap(view.others, fields, of_b=True).sum(axis=0) < COVERED
        flat = label.reshape(LABELS, -1)
        flat[5] = 1
        both = overlap(boxes, fields[counts])
        flat[5, counts] = both.max(axis=0, initial=0)
        if not both.size:
            continue
        owner = both.argmax(axis=0)
        has = both.max(axis=0) > config.fg_threshold
        cells, owners = np.flatnonzero(counts)[has], owner[has]
        _assign(flat, cells, boxes[owners], np.where(ignored[owners] == 0, classes[owners], 0))
        found[owners] = True
        most = both.max(axis=1)
        where[most > best] = index
        best = np.maximum(best, most)
    for i in np.flatnonzero((ignored == 0) & ~found & (best >= MISSED)):
        label, rate = maps[where[i]], config.downsample_rate[where[i]]
        middle = (boxes[i, :2] + boxes[i, 2:]) / 2
        column, row = (
            max(0, min(math.floor(v / rate), size - 1))
            for v, size in zip(middle, (label.shape[2], label.shape[1]))
        )
        cell = row * label.shape[2] + column
        if label[0, row, column] <= 0:
            _assign(label.reshape(LABELS, -1), np.array([cell]), boxes[i : i + 1], classes[i])


def _assign(flat: Array, cells: Array, boxes: Array, classes: Array) -> None:
    """Let cells have boxes.  flat: (6, cells of a map)."""
    flat[0, cells] = classes
    flat[1:3, cells] = ((boxes[:, :2] + boxes[:, 2:]) / 2).T
    flat[3:5, cells] = (boxes[:, 2:] - boxes[:, :2]).T
