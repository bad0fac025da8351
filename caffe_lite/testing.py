"""Test cases for layers, and checks of them, for the tests of this package and for layer authors.

A `Case` is one layer with small bottoms and the expected result.  `check_layer` runs all checks on
it; the tests of this package run each check on every case of every layer type.  A `Refusal` is a
layer that must raise an error.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from numpy.random import Generator

from caffe_lite.blob import Array, Blob, Shape
from caffe_lite.errors import LayerError
from caffe_lite.layers import registry
from caffe_lite.layers.base import Layer, Loss
from caffe_lite.proto import caffe_pb2, text

Draw = Callable[[Generator, Shape], Array]
"""Draws the values of one bottom or parameter."""


@dataclass(frozen=True)
class Case:
    """One layer with bottoms of given shapes, and the expected result.

    `expect(*bottoms, *params)` takes float64 arrays and returns the top, or a sequence of tops,
    computed independently of the layer.  It is None only for layers without a result (Silence).
    """

    type: str
    bottoms: Sequence[Shape]
    config: str = ""
    """Prototxt inside the layer's braces; ``{folder}`` becomes the folder of `files`."""
    expect: Callable[..., Any] | None = None
    tops: int | None = None
    """The number of tops; None for the least number that the layer declares."""
    draw: Mapping[int, Draw] = field(default_factory=dict)
    """The function that draws bottom i; the default is `normal`."""
    params: Mapping[int, Draw] = field(default_factory=dict)
    """The function that draws parameter i; the default is `normal`."""
    gradient: Sequence[int] | None = None
    """The bottoms whose gradient is checked; None for all differentiable ones."""
    top_gradient: Sequence[int] | None = None
    """The tops with a gradient; None for all, or for the first top of a loss."""
    phase: str = "TRAIN"
    tolerance: float = 1e-5
    """The largest error of float32 against `expect`, relative to the largest magnitude."""
    random: bool = False
    """Whether forward draws random values (Dropout in TRAIN), so `expect` is not compared."""
    files: Callable[[Path], None] | None = None
    """Writes the files that the layer reads (databases, lists) to a folder."""
    feed: Callable[[Any], None] | None = None
    """Called with the built layer, before its first forward (MemoryData's arrays)."""
    params_after: Callable[..., Sequence[Array]] | None = None
    """The parameters after one forward, for a layer that changes them (BatchNorm in TRAIN)."""


@dataclass(frozen=True)
class Refusal:
    """One layer that must raise LayerError, with the field and message of the error."""

    type: str
    bottoms: Sequence[Shape]
    config: str
    at: str
    """The invalid field, as in `LayerError.field`."""
    says: str
    """A regular expression that the message must contain."""
    tops: int | None = None
    draw: Mapping[int, Draw] = field(default_factory=dict)
    """Draws the bottoms, if the error is in the data and raised by forward."""
    phase: str = "TRAIN"


def normal(rng: Generator, shape: Shape) -> Array:
    """Standard normal values."""
    return rng.standard_normal(shape)


def uniform(low: float, high: float) -> Draw:
    """Uniform values on [`low`, `high`)."""
    return lambda rng, shape: rng.uniform(low, high, shape)


def away_from(*kinks: float, margin: float = 0.05) -> Draw:
    """Standard normal values at a distance of at least `margin` from each kink."""

    def draw(rng: Generator, shape: Shape) -> Array:
        x = rng.standard_normal(shape)
        for kink in kinks:
            near = np.abs(x - kink) < margin
            x[near] += np.where(x[near] < kink, -margin, margin)
        return x

    return draw


def distinct(rng: Generator, shape: Shape) -> Array:
    """Values between -1 and 1, at least 2/count apart, so that a maximum is unique."""
    count = int(np.prod(shape))
    return (rng.permutation(count).reshape(shape) + 0.5) * (2.0 / count) - 1.0


def integers(high: int, low: int = 0) -> Draw:
    """Integers from `low` to `high` - 1, for labels and indices."""
    return lambda rng, shape: rng.integers(low, high, shape).astype(np.float64)


def given(*values: float) -> Draw:
    """These values, in the shape of the blob."""
    return lambda rng, shape: np.array(values, np.float64).reshape(shape)


class Rig:
    """The layer of a case, built on blobs with the case's values; every rig of a case is equal."""

    def __init__(
        self,
        case: Case | Refusal,
        dtype: npt.DTypeLike = np.float64,
        folder: Path | None = None,
        *,
        bottoms: Sequence[Shape] | None = None,
        in_place: bool = False,
        nudge: Mapping[str, Array] | None = None,
    ) -> None:
        """Build the layer.

        `bottoms` overrides the case's shapes.  `in_place` makes bottom 0 the top.  `nudge` has
        arrays to add to ``"bottom0"``, ``"param1"`` and so on.
        """
        self.case = case
        nudge = nudge or {}
        shapes = case.bottoms if bottoms is None else bottoms
        draws = np.random.default_rng(zlib.crc32(repr((case.type, case.config)).encode()))
        if isinstance(case, Case) and case.files and folder:
            case.files(folder)
        param = _parameter(case, str(folder))
        cls = registry.layer_class(case.type).resolve(param, True)
        self.bottom = [Blob(shape, dtype) for shape in shapes]
        for index, blob in enumerate(self.bottom):
            blob.data[...] = case.draw.get(index, normal)(draws, blob.shape)
            blob.data[...] += nudge.get(f"bottom{index}", 0.0)
        least = cls.tops[0] if isinstance(cls.tops, tuple) else cls.tops
        count = least if case.tops is None else case.tops
        self.top = [Blob((), dtype) for _ in range(count)]
        if in_place:
            self.top[0] = self.bottom[0]
        self.layer: Layer = cls(param, dtype, np.random.default_rng(7))
        self.layer.build(self.bottom, self.top)
        if isinstance(case, Case) and case.feed:
            case.feed(self.layer)
        own = case.params if isinstance(case, Case) else {}
        for index, blob in enumerate(self.layer.blobs):
            if index in own or not param.blobs:
                blob.data[...] = own.get(index, normal)(draws, blob.shape)
            blob.data[...] += nudge.get(f"param{index}", 0.0)

    def forward(self) -> list[Array]:
        """Run forward; returns copies of the tops."""
        self.layer.prepare(self.bottom, self.top)
        self.layer.forward(self.bottom, self.top)
        return [blob.data.copy() for blob in self.top]

    def backward(self, flags: Sequence[bool] | None = None) -> None:
        """Copy the case's gradients to the diffs of the tops and run backward."""
        for blob, diff in zip(self.top, self.top_diffs(), strict=True):
            blob.diff[...] = diff
        flags = (
            [i in self.differentiable() for i in range(len(self.bottom))]
            if flags is None
            else flags
        )
        self.layer.backward(self.top, list(flags), self.bottom)

    def top_diffs(self) -> list[Array]:
        """Random gradients for the tops that have one, zeros for the others."""
        given = self.case.top_gradient if isinstance(self.case, Case) else None
        if given is None:
            given = (0,) if isinstance(self.layer, Loss) else range(len(self.top))
        draws = np.random.default_rng(11)
        diffs = [draws.standard_normal(blob.shape) for blob in self.top]
        return [diff if i in given else np.zeros(diff.shape) for i, diff in enumerate(diffs)]

    def differentiable(self) -> Sequence[int]:
        """The bottoms whose gradient is checked."""
        if isinstance(self.case, Case) and self.case.gradient is not None:
            return self.case.gradient
        if not self.layer.differentiable:
            return ()
        return [i for i in range(len(self.bottom)) if i not in self.layer.no_gradient]


def _parameter(case: Case | Refusal, folder: str) -> caffe_pb2.LayerParameter:
    param = caffe_pb2.LayerParameter()
    text.parse(case.config.replace("{folder}", folder), param, f"{case.type} case")
    param.name, param.type = "layer", case.type
    if not param.HasField("phase"):
        param.phase = caffe_pb2.Phase.Value(case.phase)
    return param


def _require_close(got: Array, wanted: Array, tolerance: float, what: str) -> None:
    """Raise AssertionError unless `got` is `wanted` within `tolerance`, relative to its maximum."""
    wanted = np.asarray(wanted, np.float64)
    if got.shape != wanted.shape:
        raise AssertionError(f"{what}: shape {got.shape}, expected {wanted.shape}")
    if not wanted.size:
        return
    error = float(np.abs(got - wanted).max()) / max(float(np.abs(wanted).max()), 1e-3)
    if not error <= tolerance:
        raise AssertionError(f"{what}: relative error {error:.2e}, allowed {tolerance:.0e}")


def check_values(case: Case, folder: Path, dtype: npt.DTypeLike) -> None:
    """Check that the tops are as expected, no bottom is modified, and no diff is allocated."""
    rig = Rig(case, dtype, folder)
    before = [blob.data.copy() for blob in rig.bottom]
    params = [blob.data.astype(np.float64) for blob in rig.layer.blobs]
    tops = rig.forward()
    for index, (blob, old) in enumerate(zip(rig.bottom, before, strict=True)):
        if not np.array_equal(blob.data, old, equal_nan=True):
            raise AssertionError(f"bottom {index} was modified")
        if blob.has_diff:
            raise AssertionError(f"the diff of bottom {index} was touched in forward")
    single = np.dtype(dtype) == np.float32
    if case.expect is not None and not case.random:
        wanted = case.expect(*[old.astype(np.float64) for old in before], *params)
        wanted = list(wanted) if isinstance(wanted, (list, tuple)) else [wanted]
        tolerance = case.tolerance if single else min(case.tolerance, 1e-7)
        for index, (top, want) in enumerate(zip(tops, wanted, strict=True)):
            _require_close(top, want, tolerance, f"top {index}")
    if case.params_after is not None:
        wanted = case.params_after(*[old.astype(np.float64) for old in before], *params)
        for index, (blob, want) in enumerate(zip(rig.layer.blobs, wanted, strict=True)):
            _require_close(blob.data, want, 1e-5 if single else 1e-7, f"parameter {index} after")


def check_gradient(case: Case, folder: Path, step: float = 1e-5, tolerance: float = 1e-5) -> None:
    """Check the float64 gradient in random directions against central differences.

    For each bottom and each parameter, with random direction u and random top gradient v:
    <dx, u> = (<v, f(x + step u)> - <v, f(x - step u)>) / (2 step).
    """
    rig = Rig(case, np.float64, folder)
    wanted = {f"bottom{i}": rig.bottom[i] for i in rig.differentiable()}
    if rig.layer.differentiable:
        learns = enumerate(rig.layer.learnable)
        wanted.update({f"param{i}": rig.layer.blobs[i] for i, moves in learns if moves})
    if not wanted:
        return
    rig.forward()
    rig.backward()
    diffs = rig.top_diffs()
    draws = np.random.default_rng(13)
    for name, blob in wanted.items():
        direction = draws.standard_normal(blob.shape)
        analytic = float(np.vdot(blob.diff, direction))
        ends = []
        for sign in (1.0, -1.0):
            nudged = Rig(case, np.float64, folder, nudge={name: sign * step * direction})
            tops = nudged.forward()
            ends.append(sum(float(np.vdot(top, v)) for top, v in zip(tops, diffs, strict=True)))
        numeric = (ends[0] - ends[1]) / (2 * step)
        scale = max(abs(numeric), float(np.linalg.norm(blob.diff)), 1e-3)
        if not abs(analytic - numeric) <= tolerance * scale:
            raise AssertionError(
                f"gradient of {name}: {analytic:.8g}, by differences {numeric:.8g}"
            )


def check_diffs(case: Case, folder: Path) -> None:
    """Check that bottom diffs are assigned if propagate_down is set, and parameter diffs added."""
    rig = Rig(case, np.float64, folder)
    if not rig.layer.differentiable:
        return
    checked = rig.differentiable()
    rig.forward()
    for blob in rig.bottom:
        blob.diff[...] = 99.0
    rig.backward()
    first = [blob.diff.copy() for blob in [*rig.bottom, *rig.layer.blobs]]
    rig.backward()
    for index, blob in enumerate(rig.bottom):
        wanted = first[index] if index in checked else np.full(blob.shape, 99.0)
        _require_close(blob.diff, wanted, 1e-12, f"diff of bottom {index} the second time")
        if (
            index in checked
            and blob.count
            and np.array_equal(blob.diff, np.full(blob.shape, 99.0))
        ):
            raise AssertionError(f"the diff of bottom {index} was not assigned")
    for index, blob in enumerate(rig.layer.blobs):
        once = first[len(rig.bottom) + index]
        _require_close(blob.diff, 2 * once, 1e-12, f"diff of parameter {index} the second time")
    for blob in rig.bottom:
        blob.diff[...] = 99.0
    rig.backward([False] * len(rig.bottom))
    for index, blob in enumerate(rig.bottom):
        shared = any(blob.shares_diff_with(top) for top in rig.top)
        if not shared and not np.array_equal(blob.diff, np.full(blob.shape, 99.0)):
            raise AssertionError(f"the diff of bottom {index} was written without propagate_down")


def check_in_place(case: Case, folder: Path) -> None:
    """Check that the results in place are those with a separate top, forward and backward."""
    apart = Rig(case, np.float64, folder)
    if not apart.layer.in_place or not apart.bottom or apart.top[0].shape != apart.bottom[0].shape:
        return
    here = Rig(case, np.float64, folder, in_place=True)
    for got, wanted in zip(here.forward(), apart.forward(), strict=True):
        _require_close(got, wanted, 1e-12, "top in place")
    if not apart.layer.differentiable:
        return
    apart.backward()
    here.backward()
    for index in apart.differentiable():
        got, wanted = here.bottom[index].diff, apart.bottom[index].diff
        _require_close(got, wanted, 1e-12, f"diff of bottom {index} in place")
    for index, (got_blob, blob) in enumerate(
        zip(here.layer.blobs, apart.layer.blobs, strict=True)
    ):
        _require_close(got_blob.diff, blob.diff, 1e-12, f"diff of parameter {index} in place")


def check_reshape(case: Case, folder: Path) -> None:
    """Check that a layer whose axis 0 grows, shrinks and returns computes as a new layer does."""
    rig = Rig(case, np.float64, folder)
    if not rig.bottom or not rig.top:
        return
    for change in (3, -1, 0):
        shapes = [(max(1, s[0] + change), *s[1:]) if s else s for s in case.bottoms]
        try:
            fresh = Rig(case, np.float64, folder, bottoms=shapes)
            wanted = fresh.forward()
        except LayerError:
            continue
        if [b.shape for b in fresh.layer.blobs] != [b.shape for b in rig.layer.blobs]:
            continue
        for blob, new in zip(rig.bottom, fresh.bottom, strict=True):
            blob.reshape(*new.shape)
            blob.data[...] = new.data
        rig.layer.rng = np.random.default_rng(7)
        again = Rig(case, np.float64, folder, bottoms=shapes)
        for blob, new in zip(rig.layer.blobs, again.layer.blobs, strict=True):
            blob.data[...] = new.data
        for index, (got, want) in enumerate(zip(rig.forward(), wanted, strict=True)):
            _require_close(got, want, 1e-12, f"top {index} at shapes {shapes}")
        if fresh.layer.differentiable:
            fresh.backward()
            rig.backward()
            for index in fresh.differentiable():
                got, want = rig.bottom[index].diff, fresh.bottom[index].diff
                _require_close(got, want, 1e-12, f"diff of bottom {index} at shapes {shapes}")


def check_saved(case: Case, folder: Path) -> None:
    """Check that a layer built from its own message has the same parameters."""
    rig = Rig(case, np.float32, folder)
    message = rig.layer.to_proto()
    message.phase = rig.layer.param.phase
    twin = registry.layer_class(case.type).resolve(message, True)(message, np.float32)
    twin.build(rig.bottom, [Blob((), np.float32) for _ in rig.top])
    for blob, saved in zip(twin.blobs, rig.layer.blobs, strict=True):
        if not np.array_equal(blob.data, saved.data):
            raise AssertionError("a parameter changed on its way through the message")
    twin.close()


def check_counts(case: Case, folder: Path) -> None:
    """Check that one bottom or top too many, or too few, is an error that names it."""
    rig = Rig(case, np.float32, folder)
    layer = rig.layer
    for what, declared in (("bottom", layer.bottoms), ("top", layer.tops)):
        least, most = declared if isinstance(declared, tuple) else (declared, declared)
        wrong = [least - 1] if least else []
        wrong += [most + 1] if most is not None else []
        for count in wrong:
            blobs = {"bottom": list(rig.bottom), "top": list(rig.top)}
            blobs[what] = [Blob((2,)) for _ in range(count)]
            try:
                type(layer)(layer.param, np.float32).build(blobs["bottom"], blobs["top"])
            except LayerError as error:
                if what in str(error.field):
                    continue
                raise AssertionError(f"{count} {what}s: the error names {error.field}") from None
            raise AssertionError(f"{count} {what}s were not refused")


def results(case: Case, folder: Path) -> list[Array]:
    """All float32 results of a case, forward and backward, to compare runs bit by bit."""
    rig = Rig(case, np.float32, folder)
    found = rig.forward()
    if rig.layer.differentiable:
        rig.backward()
        found += [rig.bottom[i].diff.copy() for i in rig.differentiable()]
        found += [blob.diff.copy() for blob in rig.layer.blobs]
    rig.layer.close()
    return found


def check_refusal(refusal: Refusal) -> None:
    """Check that the layer raises LayerError with the field and message of the refusal."""
    try:
        Rig(refusal).forward()
    except LayerError as error:
        if error.field != refusal.at:
            raise AssertionError(
                f"points at {error.field}, not {refusal.at}: {error.message}"
            ) from error
        if not re.search(refusal.says, error.message):
            raise AssertionError(f"says {error.message!r}, not {refusal.says!r}") from error
        return
    raise AssertionError("was not refused")


CHECKS: Mapping[str, Callable[[Case, Path], None]] = {
    "float64": lambda case, folder: check_values(case, folder, np.float64),
    "float32": lambda case, folder: check_values(case, folder, np.float32),
    "gradient": check_gradient,
    "diffs": check_diffs,
    "in_place": check_in_place,
    "reshape": check_reshape,
    "saved": check_saved,
    "counts": check_counts,
}
"""The checks by name."""


def check_layer(case: Case, folder: Path) -> None:
    """Run every check on a case, with its files in `folder`; AssertionError if one fails."""
    for check in CHECKS.values():
        check(case, folder)
