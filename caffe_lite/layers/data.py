"""Layers that bring data into a net, and HDF5Output, which takes it out."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from caffe_lite import arguments, fillers, glog, states
from caffe_lite.blob import Array, Blob, Shape
from caffe_lite.data import outputs
from caffe_lite.data.datum import datum_to_array
from caffe_lite.data.hdf5 import Hdf5Rows, is_marked, write_datasets
from caffe_lite.data.readers import ImageReader, Reader, RecordReader
from caffe_lite.data.transformer import OF_FORKS, DataTransformer
from caffe_lite.data.windows import WindowReader, window_settings
from caffe_lite.errors import DataError, LayerError
from caffe_lite.layers.base import Layer, Source, TakesShare
from caffe_lite.layers.declarations import Count
from caffe_lite.layers.description import Drawing
from caffe_lite.layers.prefetching import Prefetching, missing
from caffe_lite.layers.registry import register
from caffe_lite.proto import caffe_pb2
from caffe_lite.states import State

log = glog.logger("caffe_lite.data")


@register("Data")
class Data(Prefetching):
    """The Datums of a database, in the order of their keys, round and round.

    `source` is a database, or a text file that lists databases, one path a line: they are read
    one after the other as if they were one.
    top[0]: (batch_size, channels, height, width), transformed as transform_param says; the sizes
    are those of each batch's first Datum.  top[1], if there is one: the labels (batch_size,).
    `rand_skip` and `force_encoded_color` have no effect, as in Caffe 1.0.

    Intel's `shuffle` reads the records of one database in an order that is drawn anew in each
    round.
    """

    config_field = "data_param"
    tops: ClassVar[Count] = (1, 2)
    heeds = OF_FORKS | {"data_param.shuffle"}

    @classmethod
    def drawing(cls, param: caffe_pb2.LayerParameter) -> Drawing:
        """The batch size."""
        return Drawing(batch_size=param.data_param.batch_size)

    def _open(self) -> Reader:
        return RecordReader(self.config, self._transformer(), self.dtype)


@register("ImageData")
class ImageData(Prefetching):
    """The images of a list file, one "path label" a line, round and round.

    top[0]: (batch_size, channels, height, width), three channels in the order BGR or, with
    is_color: false, one; resized to new_height x new_width if given, then transformed as
    transform_param says.  Without either, the sizes are those of each batch's first image.
    top[1]: the labels (batch_size,).  Paths are `root_folder` followed by the list's.
    """

    config_field = "image_data_param"
    heeds = OF_FORKS

    @classmethod
    def _declared_channels(cls, param: caffe_pb2.LayerParameter) -> int:
        return 3 if param.image_data_param.is_color else 1

    @classmethod
    def _declared_size(cls, param: caffe_pb2.LayerParameter) -> Shape:
        return (param.image_data_param.new_height, param.image_data_param.new_width)

    def _open(self) -> Reader:
        self.require_new_size()
        return ImageReader(self.config, self._transformer(), self.dtype)


@register("WindowData")
class WindowData(Prefetching):
    """Windows drawn at random from a window file, warped to crop_size x crop_size (R-CNN).

    top[0]: (batch_size, channels, crop_size, crop_size), floor(fg_fraction * batch_size)
    foreground windows after the background ones; top[1]: their classes (batch_size,), 0 for
    background.  As in Caffe, crop_size, mirror, mean_file and mean_value come from
    transform_param, but scale from window_data_param; its other fields of these names, and
    ``transform_param.scale``, have no effect.  Outside an image the values are zero.
    """

    config_field = "window_data_param"

    @classmethod
    def _declared_channels(cls, param: caffe_pb2.LayerParameter) -> int:
        return 3

    def _open(self) -> WindowReader:
        settings = window_settings(self.config, self.param.transform_param)
        mean = self._transformer().mean
        return WindowReader(self.config.source, settings, mean, self.dtype, self.rng)


@register("HDF5Data")
class HDF5Data(TakesShare, Source):
    """The rows of HDF5 files that a list names; a top gets the dataset of its own name.

    top[i]: (batch_size, ...) of the dataset's further axes.  Files are read whole, one at a
    time; `shuffle` shuffles the files and the rows of each.  A batch goes on into the next file.
    """

    config_field = "hdf5_data_param"
    takes_turns = True
    tops: ClassVar[Count] = (1, None)

    @classmethod
    def needs_stand_in(cls, param: caffe_pb2.LayerParameter) -> bool:
        """Where its list is missing."""
        return missing(param.hdf5_data_param.source)

    @classmethod
    def source_shapes(
        cls,
        param: caffe_pb2.LayerParameter,
        items: Mapping[str, Shape],
        channels: int | None = None,
    ) -> list[Shape] | None:
        """Its fields say nothing of its tops but batch_size."""
        if any(name not in items for name in param.top):
            return None
        return [(param.hdf5_data_param.batch_size, *items[name]) for name in param.top]

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Read the first file and shape the tops."""
        self.require(
            not self.param.HasField("transform_param"),
            ".transform_param",
            "does not transform its data; leave transform_param out",
        )
        self.require(bool(self.config.source), "source", "names no source")
        self.require(self.config.batch_size > 0, "batch_size", "batch_size must be 1 or more")
        try:
            self._rows = Hdf5Rows(
                self.config.source, self.param.top, self.config.shuffle, self.rng, self.dtype
            )
        except DataError as error:
            error.field = "source"
            raise

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Shape the tops, again if a program has reshaped them."""
        for blob, shape in zip(top, self._rows.row_shapes, strict=True):
            blob.reshape(self.config.batch_size, *shape)

    def get_state(self) -> State:
        """The position in the files."""
        return self._rows.get_state()

    def set_state(self, state: State) -> None:
        """Read on from there."""
        self._rows.set_state(state)

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Copy the next rows into the tops."""
        self._rows.share = self.share
        self._rows.read_into([blob.data for blob in top])


@register("HDF5Output")
class HDF5Output(TakesShare, Layer):
    """Write two bottoms to an HDF5 file, as the datasets "data" and "label".

    bottom[0]: (N, ...), bottom[1]: (N, ...), at most four axes each; they are written with four,
    as Caffe writes them.  The file is made by the first forward; a second forward is refused, as
    in Caffe.  It is in the current folder or below it, and replaces only a file that such a layer
    has written; the net's `any_output` permits any file.  Of several ranks, rank 0 writes its own.
    """

    config_field = "hdf5_output_param"
    bottoms: ClassVar[Count] = 2
    tops: ClassVar[Count] = 0
    differentiable = False
    lasting = ("_written",)
    _written = False

    @classmethod
    def needs_stand_in(cls, param: caffe_pb2.LayerParameter) -> bool:
        """Always: it would write its file."""
        return True

    def check(self, *bottom: Shape) -> None:
        """There is a file name in a folder that exists, and the bottoms have as many items."""
        name = self.config.file_name
        self.require(bool(name), "file_name", "names no file to write to")
        self._require_place(name)
        folder = os.path.dirname(name) or "."
        self.require(os.path.isdir(folder), "file_name", f'there is no folder "{folder}"')
        for i, shape in enumerate(bottom):
            self.require(
                len(shape) <= 4, f".bottom[{i}]", f"has {len(shape)} axes {shape}; 4 are possible"
            )
        data, label = (_four_axes(shape) for shape in bottom)
        self.require(
            data[0] == label[0],
            ".bottom[1]",
            f"has {label[0]} items, but the first bottom {data[0]}",
        )

    def _require_place(self, name: str) -> None:
        problem = outputs.problem_with(name, self.any_output)
        self.require(problem is None, "file_name", problem or "")
        replaces = os.path.lexists(name) and not (self._written or is_marked(name))
        self.require(
            outputs.any_allowed(self.any_output) or not replaces,
            "file_name",
            f'"{name}" exists, and no HDF5Output has written it; remove it, choose another name, '
            f"or allow it with {outputs.HOW}",
        )

    def top_shapes(self, *bottom: Shape) -> Sequence[Shape]:
        """There are no tops."""
        return []

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Write the file."""
        name = self.config.file_name
        self.require(
            not self._written,
            "file_name",
            f'"{name}" is written already; as in Caffe, one net writes one batch',
        )
        self._require_place(name)
        if self.share.rank:  # rank 0 writes
            return
        arrays = [blob.data.reshape(_four_axes(blob.shape)) for blob in bottom]
        write_datasets(name, dict(zip(("data", "label"), arrays, strict=True)))
        self._written = True

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """Nothing comes back from a file."""


def _four_axes(shape: Shape) -> Shape:
    return (*shape, *(1,) * (4 - len(shape)))


@register("MemoryData")
class MemoryData(TakesShare, Source):
    """Arrays in memory, given by `set_input_arrays`, batch after batch, round and round.

    top[0]: (batch_size, channels, height, width); top[1]: labels (batch_size,).
    """

    config_field = "memory_data_param"
    takes_turns = True
    tops: ClassVar[Count] = 2
    _data: Array | None = None
    _first = True  # no batch was taken from here on

    @classmethod
    def needs_stand_in(cls, param: caffe_pb2.LayerParameter) -> bool:
        """Always: its data come from a program."""
        return True

    @classmethod
    def source_shapes(
        cls,
        param: caffe_pb2.LayerParameter,
        items: Mapping[str, Shape],
        channels: int | None = None,
    ) -> list[Shape] | None:
        """From batch_size, channels, height and width."""
        config = param.memory_data_param
        item = items.get(param.top[0]) if param.top else None
        if item is None and config.batch_size:
            item = (config.channels, config.height, config.width)
        if item is None:
            return None
        return [(config.batch_size, *item), *[(config.batch_size,)] * (len(param.top) - 1)]

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Check the sizes."""
        for field in ("batch_size", "channels", "height", "width"):
            self.require(getattr(self.config, field) > 0, field, f"{field} must be 1 or more")

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Shape the tops, again if a program has reshaped them."""
        top[0].reshape(self.config.batch_size, *self._item_shape())
        top[1].reshape(self.config.batch_size)

    def _item_shape(self) -> Shape:
        return (self.config.channels, self.config.height, self.config.width)

    def set_input_arrays(self, data: Array, labels: Array) -> None:
        """Feed from these arrays: data (N, channels, height, width), labels of N numbers.

        N is a multiple of batch_size; of that of all ranks in training, and all are given the same
        arrays.  Contiguous arrays of the net's type are not copied: what is written into them
        later is what the net sees.  transform_param has no effect.
        """
        data, labels = arguments.numbers(data, "the data"), arguments.numbers(labels, "the labels")
        self.require(
            data.ndim == 4 and data.shape[1:] == self._item_shape(),
            None,
            f"the data must have shape (N, {', '.join(map(str, self._item_shape()))}), "
            f"not {data.shape}",
        )
        self._require_batches(len(data))
        self.require(
            labels.size == len(data),
            None,
            f"{len(data)} images need as many labels, not {labels.shape}",
        )
        if self.param.HasField("transform_param"):
            log.warning('layer "%s" does not transform the arrays it is given', self.name)
        self._data = np.ascontiguousarray(data, self.dtype)
        self._labels = np.ascontiguousarray(labels, self.dtype).reshape(-1)
        self._at, self._first = 0, True

    def add_datums(self, datums: Sequence[caffe_pb2.Datum]) -> None:
        """Feed from Datums, their number a multiple of batch_size, each transformed now."""
        self._require_batches(len(datums))
        transformer = DataTransformer(self.param.transform_param, self.phase, self.rng)
        data = np.empty((len(datums), *self._item_shape()), self.dtype)
        for datum, row in zip(datums, data, strict=True):
            image = datum_to_array(datum, transformer.color)
            shape = transformer.output_shape(image.shape)
            self.require(
                shape == row.shape, None, f"a Datum gives {shape}, but the layer takes {row.shape}"
            )
            transformer.apply(image, row)
        self._data, self._at, self._first = data, 0, True
        self._labels = np.array([datum.label for datum in datums], self.dtype)

    def get_state(self) -> State:
        """The item that the next batch begins with; the arrays belong to the program."""
        state = super().get_state()
        return (
            state if self._data is None else {**state, "item": self._at, "items": len(self._data)}
        )

    def set_state(self, state: State) -> None:
        """Go on in the arrays that the program has given again."""
        if self._data is None:
            log.warning(
                'layer "%s" has no arrays yet: it begins with the first item of those that the '
                "program gives it; give them before restoring, and it goes on in them",
                self.name,
            )
        elif "item" in state:
            at = states.integer(state, "item", below=len(self._data))
            if at % self.config.batch_size:
                raise states.refuse("item", at, f"a multiple of {self.config.batch_size}")
            self._at, self._first = at, True
            states.note_change(state, "items", len(self._data), self.name)
        super().set_state(state)

    def _require_batches(self, count: int) -> None:
        size = self.config.batch_size
        self.require(
            count > 0 and count % self.share.rows(size) == 0,
            "batch_size",
            f"{count} images are not a multiple of batch_size {size}"
            + (f" on {self.share.size} ranks" if self.share.turn > 1 else ""),
        )

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Copy the next batch into the tops."""
        if self._data is None:
            raise LayerError("has no data yet; call net.set_input_arrays(data, labels) first")
        size, share, count = self.config.batch_size, self.share, len(self._data)
        begin = (self._at + size * share.batches_before(self._first)) % count
        end, self._first = begin + share.rows(size), False
        own = slice(begin + share.before, end, share.turn)
        top[0].data[...], top[1].data[...] = self._data[own], self._labels[own]
        self._at = end % count


@register("DummyData")
class DummyData(TakesShare, Source):
    """Values from fillers.

    top[i]: the shape and the filler of number i, or the only ones; without a filler, zeros.
    Constant values are filled in once, when the net is built; all others at each forward.
    """

    config_field = "dummy_data_param"
    tops: ClassVar[Count] = (1, None)
    _LEGACY = ("num", "channels", "height", "width")

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Shape the tops."""
        given = list(self.config.data_filler) or [caffe_pb2.FillerParameter(type="constant")]
        self._require_one_each("data_filler", len(given), len(top))
        self._fillers = given * len(top) if len(given) == 1 else given
        for blob, shape in zip(top, self._shapes_of(len(top)), strict=True):
            blob.reshape(*shape)
        self.ask_for_data(top, "its tops")

    def _fill_once(self, top: list[Blob]) -> None:
        self._fill(top, constant=True)

    def _shapes_of(self, tops: int) -> list[Shape]:
        config = self.config
        legacy = [list(getattr(config, field)) for field in self._LEGACY]
        if not any(legacy):
            self._require_one_each("shape", len(config.shape), tops)
            shapes: list[Shape] = [tuple(shape.dim) for shape in config.shape]
        else:
            self.require(not config.shape, "shape", "give shape or num, channels, …, not both")
            for field, sizes in zip(self._LEGACY, legacy, strict=True):
                self._require_one_each(field, len(sizes), tops)
            columns = [sizes * tops if len(sizes) == 1 else sizes for sizes in legacy]
            shapes = list(zip(*columns, strict=True))
        return shapes * tops if len(shapes) == 1 else shapes

    def _require_one_each(self, field: str, count: int, tops: int) -> None:
        self.require(
            count in (1, tops), field, f"{count} {field} for {tops} tops; give 1, or one for each"
        )

    def _fill(self, top: list[Blob], constant: bool) -> None:
        for i, (blob, filler) in enumerate(zip(top, self._fillers, strict=True)):
            if (filler.type == "constant") == constant:
                try:
                    self._fill_rows(blob.data, filler)
                except LayerError as error:
                    index = i if len(self.config.data_filler) > 1 else 0
                    error.field = f"data_filler[{index}].{error.field}"
                    raise

    def _fill_rows(self, data: Array, filler: caffe_pb2.FillerParameter) -> None:
        """Fill an array with the items of this rank, of those that are drawn for all ranks."""
        share = self.share
        if share.turn == 1 or not data.ndim:
            fillers.fill(data, filler, self.rng)
            return
        whole = np.empty((share.rows(len(data)), *data.shape[1:]), data.dtype)
        fillers.fill(whole, filler, self.rng)
        data[...] = whole[share.before :: share.turn]

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Draw those tops anew that are not constant."""
        self._fill(top, constant=False)


@register("Input")
class Input(Source):
    """The net's inputs: the caller writes their values and may reshape them.

    top[i]: the shape of number i, or the only one; without one the caller must shape it.
    """

    config_field = "input_param"
    tops: ClassVar[Count] = (1, None)
    repeatable = True

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Shape the tops, this once: a shape that the caller gives them stays."""
        shapes: list[Any] = list(self.config.shape)
        self.require(
            len(shapes) in (0, 1, len(top)),
            "shape",
            f"{len(shapes)} shapes for {len(top)} tops; give none, 1, or one for each",
        )
        for i, blob in enumerate(top if shapes else []):
            blob.reshape(*shapes[i if len(shapes) > 1 else 0].dim)

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """The values are what the caller wrote."""
