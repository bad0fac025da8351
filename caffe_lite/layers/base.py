"""The contract of a layer: what it declares, the shapes it answers for, the work it does.

A layer declares what it is in class attributes, answers questions about shapes without data
(`check`, `params`, `top_shapes`, `buffers`), and hands arrays to kernels in `forward` and
`backward`.  What Caffe repeats in every layer (blob counts, fillers, reshaping, loss weights) is
done here once.  What only some layers need is in classes of its own: below, and in `fusion.py`.

The same class is pycaffe's ``caffe.Layer``: a user's Python layer overrides `setup`, `reshape`,
`forward` and `backward`.
"""

from __future__ import annotations

import builtins
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import accumulate
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
from google.protobuf.message import Message

from caffe_lite import fillers, states
from caffe_lite.blob import CHANGES, Array, Blob, BlobVec, Shape
from caffe_lite.distributed import ALONE, Group, Share
from caffe_lite.errors import LayerError, NotDifferentiable, OutOfMemory
from caffe_lite.layers import _gate
from caffe_lite.layers.declarations import Buffer, Buffers, Count, Param, Reads
from caffe_lite.layers.description import SAME_COORDINATES, CoordinateMap, Drawing, SlidingWindow
from caffe_lite.limits import Budget
from caffe_lite.phases import Phase
from caffe_lite.proto import caffe_pb2, unknown
from caffe_lite.proto.blobs import put_array
from caffe_lite.proto.fields import largest_integer
from caffe_lite.proto.files import blob_to_array, same_legacy_shape
from caffe_lite.proto.tree import Tree
from caffe_lite.states import State


class Layer:
    """One step of a net."""

    bottoms: ClassVar[Count] = 1
    tops: ClassVar[Count] = 1
    config_field: ClassVar[str | None] = None
    """The field of LayerParameter that becomes `self.config`.

    A type that is registered from outside may name one that the schema does not have.
    """
    in_place: ClassVar[bool] = False
    """May a top be its bottom?"""
    backward_reads: Reads = Reads.BOTTOM
    in_place_keeps: Reads = Reads.NONE
    """What of its bottom's values is still true after this layer has overwritten them."""
    goes_back_in_place: ClassVar[bool] = False
    """May the gradient of bottom 0 be stored over that of top 0, where all blobs share memory?"""
    differentiable: ClassVar[bool] = True
    no_gradient: tuple[int, ...] = ()
    """Bottoms that never get a gradient: labels, indices."""
    zero_gradient: tuple[int, ...] = ()
    """Bottoms whose gradient is taken to be 0, which the net assigns: regions, weights."""
    automatic_tops: ClassVar[bool] = False
    """May the net invent names for tops that were not named (losses)?"""
    default_loss_weight: ClassVar[float] = 0.0
    """The loss weight of top 0 when the prototxt gives none."""
    dynamic: ClassVar[bool] = False
    """Do the tops' shapes depend on data, so that each forward may change them?"""
    repeatable: bool = False
    """Is all of forward's work done by launches, with arguments that depend on shapes alone?

    A net then runs the same launches again without calling forward (`kernels.parallel.recording`).
    A forward that does something else now and then says so with `unrecorded`.
    """
    backward_repeatable: bool = False
    """Is that true of backward's work, whose launches depend on what gets a gradient as well?"""
    takes_empty: ClassVar[bool] = False
    """May a bottom have an axis of size 0?  Only one of a layer that a user wrote."""
    overrules_lr_mult: ClassVar[bool] = False
    """Is an `lr_mult` of a parameter that is not learnable taken as 0, instead of refused?"""
    goes_backward: bool = True
    """Set to False by the net if no backward follows forward: keep nothing for it."""
    lasting: ClassVar[tuple[str, ...]] = ()
    """Attributes, numbers and arrays, that a forward leaves for the next: part of the state."""
    has_weights: bool = False
    """Set by the net: are its parameters from a file or another net, not from its fillers?"""
    any_output: bool = False
    """Set by the net: may it write outside of the current folder, and replace any file?"""
    heeds: ClassVar[frozenset[str]] = frozenset()
    """Fields that BVLC's type of this name does not read, but this layer does, those of its base
    classes included: parameter messages of other types, and what other Caffes added to its own and
    to ``loss_param`` and ``transform_param``; and values that these added to enums, as
    ``eltwise_param.operation=SORT``.  Others are refused if they change numbers."""

    def __init__(
        self,
        param: caffe_pb2.LayerParameter,
        dtype: npt.DTypeLike = np.float32,
        rng: np.random.Generator | None = None,
    ) -> None:
        self.param = param
        self.dtype = np.dtype(dtype)
        self.rng = rng if rng is not None else np.random.default_rng()
        self.config: Any = (
            unknown.config_of(param, self.config_field) if self.config_field else None
        )
        self.blobs = BlobVec(self.dtype)
        self.learnable: list[bool] = []
        self.param_propagate_down: list[bool] = []
        self.loss_weights: list[float] = []
        self.buf = Buffers()
        self.declared_buffers: dict[str, Buffer] = {}
        self.has_run = True
        """Whether forward has run with the shapes that the layer is prepared for.

        The net sets it.  A new layer's buffers are zeros, which any backward can read.
        """
        self.budget = Budget()
        """What is asked before memory is taken: the net's, for a layer of a net."""
        self._declared: list[tuple[Param, Blob]] = []
        self._bottom_shapes: list[Shape] | None = None  # those that the layer is prepared for
        self._top_shapes: list[Shape] = []
        self._seen: object = None  # the last change after which everything had these shapes

    # -- what it is ------------------------------------------------------------------------

    @property
    def name(self) -> str:
        """The layer's name in its net."""
        return str(self.param.name)

    @property
    def type(self) -> str:
        """The type it is registered under."""
        return str(self.param.type)

    @property
    def phase(self) -> Phase:
        """TRAIN (0) or TEST (1)."""
        return Phase(self.param.phase)

    @classmethod
    def resolve(cls, param: caffe_pb2.LayerParameter, python_layers: bool) -> builtins.type[Layer]:
        """The class that `param` asks for: this one, but for Python layers, which name theirs."""
        return cls

    @property
    def unknown_fields(self) -> Tree:
        """The fields of its LayerParameter that the schema does not have, as plain values."""
        return unknown.unknown_of(self.param)

    @property
    def training(self) -> bool:
        """Whether the phase is TRAIN."""
        return self.param.phase == caffe_pb2.TRAIN

    # -- what a layer answers; the arguments are the bottoms' shapes -----------------------

    def check(self, *bottom: Shape) -> None:
        """Refuse a bad configuration with `self.require`."""

    def params(self, *bottom: Shape) -> list[Param]:
        """The blobs it owns, each an attribute of its name from then on (asked once)."""
        return []

    def top_shapes(self, *bottom: Shape) -> Sequence[Shape] | None:
        """The tops' shapes; None when `setup` or `reshape` shaped the tops themselves."""
        return None

    def buffers(self, *bottom: Shape) -> dict[str, Buffer]:
        """The arrays that backward needs from forward, and workspace; made anew for new shapes."""
        return {}

    def workspace(self, *bottom: Shape) -> int:
        """Bytes that its kernels take while they run, where that grows with a setting."""
        return 0

    def prepared(self) -> int:
        """Bytes that kernels keep of its weights at most, in a net whose weights stay."""
        return 0

    def shapes_for(self, *bottom: Shape) -> Sequence[Shape] | None:
        """The tops' shapes for bottoms of other shapes; the layer, which is built, stays as it is.

        LayerError where it would refuse them; None as of `top_shapes`.
        """
        self._check_bottoms(list(bottom))
        self._check_params_for(list(bottom))
        return builtins.type(self).top_shapes(self, *bottom)

    # -- what others ask of a type; `param` is a message of it, and no layer need be made ----

    keeps_coordinates: ClassVar[bool] = False
    """Does each element of the top belong to the pixel of the same coordinates in the bottom?"""

    @classmethod
    def sliding_window(cls, param: caffe_pb2.LayerParameter) -> SlidingWindow | None:
        """The kernel that slides over the bottom, if the type has one."""
        return None

    @classmethod
    def coordinate_map(cls, param: caffe_pb2.LayerParameter) -> CoordinateMap | None:
        """The map from coordinates of the bottom to those of the top, if there is one."""
        if cls.keeps_coordinates:
            return SAME_COORDINATES
        window = cls.sliding_window(param)
        return None if window is None else window.coordinate_map()

    @classmethod
    def drawing(cls, param: caffe_pb2.LayerParameter) -> Drawing:
        """What a drawing shows of the layer, after its name and type."""
        return Drawing()

    @classmethod
    def needs_stand_in(cls, param: caffe_pb2.LayerParameter) -> bool:
        """Whether a dry run of the net needs another layer in this one's place.

        A layer whose data are not here does, and one that would write a file.
        """
        return False

    @classmethod
    def source_shapes(
        cls,
        param: caffe_pb2.LayerParameter,
        items: Mapping[str, Shape],
        channels: int | None = None,
    ) -> list[Shape] | None:
        """The shapes of a source's tops, without a look at its data.

        items: the shape of one item, without the batch axis, by the name of a top; it comes before
        what the fields say.  channels: assumed where they do not say how many.  None for a layer
        whose data must be opened.  Raises DataError for a mean file that cannot be used.
        """
        return None

    def multiply_adds(self, bottom: Sequence[Shape], top: Sequence[Shape]) -> int:
        """How often one forward multiplies by an element of a weight, each time with an addition.

        Convolutions, inner products and recurrences count; all other types say 0.
        """
        return 0

    # -- the work; the arguments are blobs -------------------------------------------------

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Called once, before any shape is asked for: open files, read ``self.param_str``."""

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Called after the tops were shaped, when a bottom's shape has changed."""

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Compute the tops' data from the bottoms' data."""
        raise NotImplementedError(f"{type(self).__name__} has no forward")

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """Assign the bottoms' diffs where `propagate_down`, add to the parameters' diffs."""
        raise NotDifferentiable(f"{self.type} has no gradient")

    def close(self) -> None:
        """Stop threads and close files.  Closing a net calls it; a second call does nothing."""

    # -- what a run needs to continue ------------------------------------------------------

    def get_state(self) -> State:
        """What the next forward depends on, beside parameters and bottoms; see `states`.

        These are the random stream, what `lasting` names, and lasting buffers.  A source adds its
        position.  A user's layer with more than that overrides both methods.
        """
        state: State = {"rng": states.of_generator(self.rng)}
        for name, value in self._lasting():
            state[name] = value.copy() if isinstance(value, np.ndarray) else value
        return state

    @property
    def remembers(self) -> bool:
        """Whether a forward leaves something for the next, beside a random stream."""
        return bool(self.get_state().keys() - {"rng"})

    def set_state(self, state: State) -> None:
        """Go on as after `get_state`.  Raises DataError or LayerError if that cannot be."""
        values = {name: states.like(state, name, value) for name, value in self._lasting()}
        states.restore_generator(self.rng, state)
        for name, value in values.items():
            place = self.buf if name in self.declared_buffers else self
            old = getattr(place, name)
            if not isinstance(old, np.ndarray):
                setattr(place, name, value)
            elif old.shape == value.shape:
                np.copyto(old, value)
            else:  # it was made for other bottoms: the next `prepare` is to look at these
                setattr(place, name, value.copy())
                self._bottom_shapes, self._seen = None, None

    def _lasting(self) -> list[tuple[str, Any]]:
        """The attributes and buffers that a forward leaves for the next."""
        buffers = [name for name, each in self.declared_buffers.items() if each.lasting]
        return [(name, getattr(self, name)) for name in self.lasting] + [
            (name, getattr(self.buf, name)) for name in buffers
        ]

    # -- what the net calls ----------------------------------------------------------------

    def build(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Check the counts, make the parameters, fill them, shape the tops."""
        self._check_count("bottom", len(bottom), self.bottoms)
        self._check_count("top", len(top), self.tops)
        self._read_loss_weights(len(top))
        shapes = [blob.shape for blob in bottom]
        with self._blaming(shapes):
            self.setup(bottom, top)
            self.learnable = [True] * len(self.blobs)
            self._check_bottoms(shapes)
            cls = builtins.type(self)  # a user's layer may have values of its own in these names
            for param in cls.params(self, *shapes):
                self._add_param(param)
            self._check_given_blobs()
            self._shape(bottom, top, shapes)
            self._fill_once(top)

    def _fill_once(self, top: list[Blob]) -> None:
        """Write values of the tops that stay; a net that is built without values leaves it out."""

    def _check_given_blobs(self) -> None:
        if self.param.blobs and len(self.param.blobs) != len(self.blobs):
            raise LayerError(
                f"carries {len(self.param.blobs)} weight blobs, but has {len(self.blobs)}",
                ".blobs",
            )
        if not self.param_propagate_down:
            self.param_propagate_down = [True] * len(self.blobs)

    def prepare(self, bottom: list[Blob], top: list[Blob]) -> bool:
        """Shape the tops again if a shape has changed, and say so; cheap when none has.

        A net calls it before every forward: a program may reshape any blob at any time.  Raises
        LayerError if kernels would get arrays of other shapes or types than they must.
        """
        if self._seen is CHANGES.latest:
            return False
        shapes = [blob.shape for blob in bottom]
        fits = shapes == self._bottom_shapes and _shapes(top) == self._top_shapes
        if not fits or self.dynamic:
            with self._blaming(shapes):
                self._check_bottoms(shapes)
                self._check_params_for(shapes)
                self.has_run = self.has_run and shapes == self._bottom_shapes
                self._shape(bottom, top, shapes)
        self._look(bottom, top)
        return not fits or self.dynamic

    def note_forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Forward has run, and may have reshaped the tops of a `dynamic` layer."""
        self.has_run = True
        if self.dynamic:
            self._bottom_shapes, self._top_shapes = _shapes(bottom), _shapes(top)

    def check_prepared(self, bottom: list[Blob], top: list[Blob]) -> None:
        """LayerError if anything has another shape or type than in the last forward.

        A net calls it before every backward; cheap when nothing has changed.
        """
        if self._seen is not CHANGES.latest:
            self._look(bottom, top)
        if not self.has_run:
            raise LayerError("has not run forward since a bottom was reshaped; run forward first")

    def is_prepared(self, bottom: list[Blob], top: list[Blob]) -> bool:
        """Whether `check_prepared` has nothing to say."""
        try:
            self.check_prepared(bottom, top)
        except LayerError:
            return False
        return True

    def to_proto(self, write_diff: bool = False) -> caffe_pb2.LayerParameter:
        """The layer's parameter message with its weights (and their diffs) in `blobs`."""
        message = caffe_pb2.LayerParameter()
        self.put_into(message, write_diff)
        return message

    def put_into(self, message: caffe_pb2.LayerParameter, write_diff: bool = False) -> None:
        """Fill a message as `to_proto` does: without a copy more, for one inside a net."""
        message.CopyFrom(self.param)
        del message.blobs[:]
        for blob in self.blobs:
            put_array(message.blobs.add(), blob.data, blob.diff if write_diff else None)

    # -- helpers for the layers ------------------------------------------------------------

    def require(self, ok: bool, field: str | None, message: str) -> None:
        """Raise LayerError(`message`) at `field` unless `ok`.

        `field` is a path below the layer's own parameter message, or, with a leading dot, below
        its LayerParameter.
        """
        if not ok:
            raise LayerError(message, field)

    def canonical_axis(self, axis: int, shape: Shape, field: str = "axis", extra: int = 0) -> int:
        """`axis` with negative values counted from the end; refused outside `shape`.

        `extra` = 1 admits the end itself, for layers that insert an axis.
        """
        n = len(shape) + extra
        if not -n <= axis < n:  # asked in every forward: the message is made when needed
            raise LayerError(
                f"axis {axis} is out of range for a bottom of {len(shape)} axes {shape}; "
                f"use {-n} to {n - 1}",
                field,
            )
        return axis % n

    def require_labels(
        self, outside: Array, values: Array, classes: int, remedy: str = ""
    ) -> None:
        """Refuse the first of the labels `values`, bottom 1, that is marked in `outside`.

        outside, values: arrays of as many numbers.  remedy: what helps, where LABEL is the label.
        """
        if outside.any():
            item = int(np.argmax(outside))
            label = f"{values.flat[item]:g}"
            raise LayerError(
                f"label {label} of item {item} is not one of the {classes} classes "
                f"0 to {classes - 1}{remedy.replace('LABEL', label)}",
                ".bottom[1]",
            )

    def ask_for_data(self, blobs: Sequence[Blob], what: str) -> None:
        """Ask for the memory of blobs' data, before the first of it is touched."""
        for blob in blobs:
            memory = blob.data_memory
            needed = max(blob.count * blob.dtype.itemsize, memory.array.nbytes)
            self.budget.ask(memory, needed, what)

    def ask_for_diff(self, blobs: Sequence[Blob], what: str) -> None:
        """Ask for the memory of blobs' diffs, before the first of it is touched."""
        for blob in blobs:
            memory = blob.diff_memory
            needed = max(blob.count * blob.dtype.itemsize, memory.array.nbytes)
            self.budget.ask(memory, needed, what)

    # -- inside ----------------------------------------------------------------------------

    @contextmanager
    def _blaming(self, bottom: Sequence[Shape]) -> Iterator[None]:
        """Let an error about memory name the field at fault: a size greater than the bottoms'."""
        try:
            yield
        except OutOfMemory as error:
            if error.field is None and isinstance(self.config, Message):
                largest, path = largest_integer(self.config)
                if largest > max((size for shape in bottom for size in shape), default=1):
                    error.field = path
            raise

    def _check_count(self, what: str, got: int, declared: Count) -> None:
        least, most = declared if isinstance(declared, tuple) else (declared, declared)
        if got >= least and (most is None or got <= most):
            return
        if least == most:
            wanted = f"exactly {least}"
        elif most is None:
            wanted = f"at least {least}"
        else:
            wanted = f"{least} to {most}"
        plural = "" if wanted.endswith(" 1") else "s"
        raise LayerError(f"takes {wanted} {what} blob{plural}, not {got}", f".{what}")

    def _check_bottoms(self, shapes: list[Shape]) -> None:
        for index, shape in enumerate(shapes):
            if 0 in shape and not self.takes_empty:
                name = _gate.name_of(index, self.param.bottom)
                raise LayerError(
                    f"bottom {name} has shape {shape}, which is empty; "
                    "every size must be 1 or more",
                    f".bottom[{index}]",
                )
        builtins.type(self).check(self, *shapes)

    def _check_params_for(self, shapes: list[Shape]) -> None:
        """The parameters that were made are those that bottoms of these shapes need."""
        if shapes == self._bottom_shapes or not self._declared:
            return
        for needed, (param, _) in zip(
            builtins.type(self).params(self, *shapes), self._declared, strict=True
        ):
            if tuple(needed.shape) != tuple(param.shape):
                raise LayerError(
                    f"bottom shapes {shapes} need a {param.name} of shape {tuple(needed.shape)}, "
                    f"but the layer was built with one of shape {tuple(param.shape)}",
                    ".bottom[0]",
                )

    def _read_loss_weights(self, tops: int) -> None:
        given = list(self.param.loss_weight)
        if given and len(given) != tops:
            raise LayerError(
                f"{len(given)} loss_weight values for {tops} tops; give one for each top, or none",
                ".loss_weight",
            )
        default = [self.default_loss_weight] + [0.0] * (tops - 1)
        self.loss_weights = (given or default)[:tops]

    def _add_param(self, param: Param) -> None:
        index = len(self.blobs)
        blob = self.blobs.add_blob(*param.shape)
        self._declared.append((param, blob))
        self.ask_for_data([blob], f"its {param.name} {param.shape}")
        self.learnable.append(param.learnable)
        setattr(self, param.name, blob)
        if index < len(self.param.blobs):
            blob.data[...] = self._given_values(index, param)
            return
        field = param.filler if isinstance(param.filler, str) else None
        message: Any = unknown.filler_of(self.config, field) if field else param.filler
        try:
            fillers.fill(blob.data, message, self.rng)
        except LayerError as error:
            error.field = f"{field}.{error.field}" if field and error.field else field
            raise

    def _given_values(self, index: int, param: Param) -> Array:
        """The values that the prototxt or caffemodel itself carries for a parameter."""
        values = blob_to_array(self.param.blobs[index])
        if values.shape != param.shape and not same_legacy_shape(values.shape, param.shape):
            raise LayerError(
                f"carries a {param.name} of shape {values.shape}, but needs {param.shape}",
                f".blobs[{index}]",
            )
        return values.reshape(param.shape)

    def _shape(self, bottom: list[Blob], top: list[Blob], shapes: list[Shape]) -> None:
        cls = builtins.type(self)
        answer = cls.top_shapes(self, *shapes)
        if answer is not None:
            for blob, shape in zip(top, answer, strict=True):
                blob.reshape(*shape)
        self.declared_buffers = cls.buffers(self, *shapes)
        self._ask_for_buffers(cls.workspace(self, *shapes))
        for name, buffer in self.declared_buffers.items():
            dtype = buffer.dtype_in(self.dtype)
            old = getattr(self.buf, name, None)
            if old is None or old.shape != buffer.shape or old.dtype != dtype:
                setattr(self.buf, name, np.zeros(buffer.shape, dtype))
        self.reshape(bottom, top)
        self.ask_for_data([*bottom, *top], "its blobs")
        for blob, weight in zip(top, self.loss_weights, strict=False):
            if weight:
                self.ask_for_diff([blob], "the gradient of its loss")
                blob.diff[...] = weight
        self._bottom_shapes, self._top_shapes = shapes, _shapes(top)

    def _look(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Compare everything that kernels get with what the layer is prepared for."""
        latest = CHANGES.latest  # before looking: another thread may change something meanwhile
        dtype, param = self.dtype, self.param
        _gate.check_blobs("bottom", bottom, self._bottom_shapes or [], param.bottom, dtype)
        _gate.check_blobs("top", top, self._top_shapes, param.top, dtype)
        _gate.check_parameters(self.blobs, self._declared, dtype)
        _gate.check_buffers(self.buf, self.declared_buffers, dtype)
        self._seen = None if self.dynamic else latest

    def _ask_for_buffers(self, passing: int) -> None:
        """Ask for the buffers.  passing: bytes of workspace that is not a buffer.

        In a net, workspace is the same memory for all layers (`share_workspaces`), until one is
        shaped anew.
        """
        kept, shared = 0, passing
        for buffer in self.declared_buffers.values():
            size = math.prod(buffer.shape) * buffer.dtype_in(self.dtype).itemsize
            if buffer.kept:
                kept += size
            else:
                shared += size
        self.budget.ask((self, "buffers"), kept, "what it keeps for backward")
        if self._bottom_shapes is None:
            self.budget.ask_at_most("workspace", shared, "its workspace")
        else:
            self.budget.ask((self, "workspace"), shared, "its workspace")


def _shapes(blobs: Sequence[Blob]) -> list[Shape]:
    return [blob.shape for blob in blobs]


class KeepsBottom(Layer):
    """A layer whose backward reads its bottom, which its top may overwrite: it keeps a copy then.

    The copy is the buffer ``bottom_copy``.  A layer has it if top 0 is bottom 0 and
    `backward_reads` names BOTTOM.
    """

    in_place = True
    _overwrites = False

    def buffers(self, *bottom: Shape) -> dict[str, Buffer]:
        """The copy of bottom 0, where one is needed."""
        if self._overwrites and self.backward_reads & Reads.BOTTOM:
            return {"bottom_copy": Buffer(bottom[0], backward_only=True)}
        return {}

    @property
    def bottom_copy(self) -> Array | None:
        """Where forward must copy bottom 0 to; None if no backward will need the copy."""
        return getattr(self.buf, "bottom_copy", None) if self.goes_backward else None

    def bottom_data(self, bottom: Blob) -> Array:
        """Bottom 0's data as they were before forward; for backward."""
        data: Array = getattr(self.buf, "bottom_copy", bottom.data)
        return data

    def _shape(self, bottom: list[Blob], top: list[Blob], shapes: list[Shape]) -> None:
        self._overwrites = top[0].shares_data_with(bottom[0])
        super()._shape(bottom, top, shapes)


class JoinsBottoms(Layer):
    """A layer whose top is its bottoms, one behind the other along an axis.

    A net that runs only forward may let bottoms be slices of the top (`net/passes/slices.py`).
    Forward copies what is not in its place.
    """

    def joined_axis(self, x: Shape) -> int:
        """The axis, for a first bottom of shape x."""
        raise NotImplementedError(f"{type(self).__name__} has no joined_axis")

    def places(self, bottom: list[Blob], top: list[Blob]) -> list[int]:
        """Where each bottom begins in the top's data, in elements.

        Empty where the bottoms do not lie whole in the top, and after a reshape, until the layer
        is prepared.
        """
        shapes = _shapes(bottom)
        if shapes != self._bottom_shapes or _shapes(top) != self._top_shapes:
            return []
        if math.prod(shapes[0][: self.joined_axis(shapes[0])]) != 1:
            return []
        return [0, *accumulate(blob.count for blob in bottom[:-1])]


class Neuron(Layer):
    """One bottom, one top of the same shape, each element by itself; works in place."""

    in_place = True
    keeps_coordinates = True

    def top_shapes(self, x: Shape) -> Sequence[Shape]:
        """The bottom's shape."""
        return [x]


class Loss(Layer):
    """A prediction and a label in, a scalar out, with loss weight 1.

    The label, bottom 1, gets no gradient.  The scalar's diff is the loss weight.
    """

    bottoms: ClassVar[Count] = 2
    no_gradient: tuple[int, ...] = (1,)
    automatic_tops = True
    default_loss_weight = 1.0

    def check(self, *bottom: Shape) -> None:
        """A prediction and a label have the same number of items."""
        if len(bottom) > 1:
            x, label = bottom[:2]
            self.require(
                bool(x) and bool(label) and x[0] == label[0],
                ".bottom[1]",
                f"the label {label} must have as many items as the prediction {x}",
            )

    def require_targets(self, x: Shape, target: Shape) -> None:
        """For losses whose label is a target for each score."""
        scores, targets = math.prod(x), math.prod(target)
        self.require(
            scores == targets, ".bottom[1]", f"{targets} targets {target} for {scores} scores {x}"
        )

    def top_shapes(self, *bottom: Shape) -> Sequence[Shape]:
        """A scalar."""
        return [()]

    def normalization(self) -> int:
        """The loss's NormalizationMode, with the deprecated `normalize` heeded as Caffe does."""
        loss = self.param.loss_param
        if loss.HasField("normalization") or not loss.HasField("normalize"):
            return int(loss.normalization)
        return int(loss.VALID if loss.normalize else loss.BATCH_SIZE)


class TakesShare:
    """A layer that reads records, or draws for them: the net says which are those of this rank.

    Its random numbers are then those that one process would draw for the same records, as its
    items are taken in turns from the batch of all ranks.
    """

    share: Share = ALONE
    takes_turns: ClassVar[bool] = False
    """Does it heed a share by batches?"""


class TakesGroup:
    """A layer that normalises by all items of a batch; with a group, by those of all ranks."""

    group: Group | None = None


class Source(Layer):
    """No bottoms; owns a reader or an array that the tops are copied from."""

    bottoms = 0
    differentiable = False
    backward_reads = Reads.NONE

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """There is nothing below a source."""
