"""What a layer must do, as data, and checks of it: for our tests and for authors of layers.

A `Case` is one layer on small bottoms with the tops it must give.  `check_layer` runs every check
that applies to it; the tests of this package do so for every case of every layer type.  A
`Refusal` is a layer that must be refused.

A check returns how many values it compared, so that one that compared nothing cannot pass.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
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
from caffe_lite.net.link import Link
from caffe_lite.proto import caffe_pb2, text

Draw = Callable[[Generator, Shape], Array]
"""Draws the values of one bottom or parameter."""


@dataclass(frozen=True)
class Case:
    """One layer on bottoms of given shapes, and the tops it must give.

    `expect(*bottoms, *params)` gets float64 arrays and returns the top, or a sequence of tops,
    computed independently of the layer.  None only for a layer without tops (Silence) and for one
    whose tops are random.
    """

    type: str
    bottoms: Sequence[Shape]
    config: str = ""
    """Prototxt inside the layer's braces; ``{folder}`` becomes the folder of `files`."""
    expect: Callable[..., Any] | None = None
    tops: int | None = None
    """How many tops; None for the least number that the layer declares."""
    draw: Mapping[int, Draw] = field(default_factory=dict)
    """How to draw bottom i; the others get `normal`."""
    params: Mapping[int, Draw] = field(default_factory=dict)
    """How to draw parameter i; the others get `normal`."""
    gradient: Sequence[int] | None = None
    """The bottoms whose gradient is checked; None for every bottom that can have one."""
    param_gradient: Sequence[int] | None = None
    """The parameters whose gradient is checked; None for every learnable one.  Others are moved by
    a rule that is no derivative."""
    top_gradient: Sequence[int] | None = None
    """The tops whose gradient is passed down; None for all, or for the first top of a loss."""
    phase: str = "TRAIN"
    tolerance: float = 1e-5
    """Greatest error in float32, relative to the largest magnitude of `expect`."""
    random: bool = False
    """Each forward draws new values (Dropout in TRAIN): `expect` is not compared."""
    files: Callable[[Path], None] | None = None
    """Writes what the layer reads (databases, lists) into a folder."""
    feed: Callable[[Any], None] | None = None
    """Called with the built layer, before its first forward (MemoryData's arrays)."""
    params_after: Callable[..., Sequence[Array]] | None = None
    """The parameters after one forward that changes them (BatchNorm in TRAIN)."""


@dataclass(frozen=True)
class Refusal:
    """One layer that must be refused, and the message it must be refused with."""

    type: str
    bottoms: Sequence[Shape]
    config: str
    at: str
    """The field that the error points at, as `LayerError.field` names it."""
    says: str
    """A regular expression found in the message."""
    tops: int | None = None
    draw: Mapping[int, Draw] = field(default_factory=dict)
    """Given when forward must refuse the data, not the shapes."""
    phase: str = "TRAIN"


def normal(rng: Generator, shape: Shape) -> Array:
    """Standard normal values."""
    return rng.standard_normal(shape)


def uniform(low: float, high: float) -> Draw:
    """Values spread evenly from `low` to `high`."""
    return lambda rng, shape: rng.uniform(low, high, shape)


def away_from(*kinks: float, margin: float = 0.05) -> Draw:
    """Standard normal values, none closer to a kink than `margin`."""

    def draw(rng: Generator, shape: Shape) -> Array:
        x = rng.standard_normal(shape)
        for kink in kinks:
            near = np.abs(x - kink) < margin
            x[near] += np.where(x[near] < kink, -margin, margin)
        return x

    return draw


def distinct(rng: Generator, shape: Shape) -> Array:
    """Values between -1 and 1, no two closer than 2/count: a maximum is never a tie."""
    count = int(np.prod(shape))
    return (rng.permutation(count).reshape(shape) + 0.5) * (2.0 / count) - 1.0


def integers(high: int, low: int = 0) -> Draw:
    """Integers from `low` to `high` - 1: labels and indices."""
    return lambda rng, shape: rng.integers(low, high, shape).astype(np.float64)


def given(*values: float) -> Draw:
    """Exactly these values."""
    return lambda rng, shape: np.array(values, np.float64).reshape(shape)


class Rig:
    """A case's layer, built on blobs with the case's values; all rigs of a case are the same."""

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
        """Build it.

        `bottoms` replaces the case's shapes.  `in_place` makes bottom 0 the top.  `nudge` adds to
        the values of ``"bottom0"``, ``"param1"`` and so on.
        """
        self.case = case
        self.folder = folder
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
        self.layer.any_output = True  # in the folder of the test
        self.layer.build(self.bottom, self.top)
        self.link = Link(self.layer, self.bottom, self.top)
        if isinstance(case, Case) and case.feed:
            case.feed(self.layer)
        own = case.params if isinstance(case, Case) else {}
        for index, blob in enumerate(self.layer.blobs):
            if index in own or not param.blobs:
                blob.data[...] = own.get(index, normal)(draws, blob.shape)
            blob.data[...] += nudge.get(f"param{index}", 0.0)

    def forward(self) -> list[Array]:
        """Run forward; copies of the tops."""
        self.link.run()
        return [blob.data.copy() for blob in self.top]

    def backward(self, flags: Sequence[bool] | None = None) -> None:
        """Put the case's gradients into the tops' diffs and run backward."""
        for blob, diff in zip(self.top, self.top_diffs(), strict=True):
            blob.diff[...] = diff
        flags = (
            [i in self.differentiable() for i in range(len(self.bottom))]
            if flags is None
            else flags
        )
        self.link.check_prepared()
        self.layer.backward(self.top, list(flags), self.bottom)

    def top_diffs(self) -> list[Array]:
        """Random gradients for the tops that pass a gradient down, zeros for the others."""
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
        without = {*self.layer.no_gradient, *self.layer.zero_gradient}
        return [i for i in range(len(self.bottom)) if i not in without]


def _parameter(case: Case | Refusal, folder: str) -> caffe_pb2.LayerParameter:
    param = caffe_pb2.LayerParameter()
    text.parse(case.config.replace("{folder}", folder), param, f"{case.type} case")
    param.name, param.type = "layer", case.type
    if not param.HasField("phase"):
        param.phase = caffe_pb2.Phase.Value(case.phase)
    return param


def _require_close(got: Array, wanted: Array, tolerance: float, what: str) -> int:
    """AssertionError unless `got` is `wanted` within `tolerance` of the largest magnitude.

    Returns how many values were compared.
    """
    wanted = np.asarray(wanted, np.float64)
    if got.shape != wanted.shape:
        raise AssertionError(f"{what}: shape {got.shape}, expected {wanted.shape}")
    if wanted.size:
        error = float(np.abs(got - wanted).max()) / max(float(np.abs(wanted).max()), 1e-3)
        if not error <= tolerance:
            raise AssertionError(f"{what}: relative error {error:.2e}, allowed {tolerance:.0e}")
    return wanted.size


def check_values(case: Case, folder: Path, dtype: npt.DTypeLike) -> int:
    """The tops are what the case expects; no bottom is modified; no diff is touched."""
    rig = Rig(case, dtype, folder)
    before = [blob.data.copy() for blob in rig.bottom]
    params = [blob.data.astype(np.float64) for blob in rig.layer.blobs]
    tops = rig.forward()
    compared = 0
    for index, (blob, old) in enumerate(zip(rig.bottom, before, strict=True)):
        if not np.array_equal(blob.data, old, equal_nan=True):
            raise AssertionError(f"bottom {index} was modified")
        if blob.has_diff:
            raise AssertionError(f"the diff of bottom {index} was touched in forward")
        compared += blob.count
    single = np.dtype(dtype) == np.float32
    if case.expect is not None and not case.random:
        wanted = case.expect(*[old.astype(np.float64) for old in before], *params)
        wanted = list(wanted) if isinstance(wanted, (list, tuple)) else [wanted]
        tolerance = case.tolerance if single else min(case.tolerance, 1e-7)
        for index, (top, want) in enumerate(zip(tops, wanted, strict=True)):
            compared += _require_close(top, want, tolerance, f"top {index}")
    if case.params_after is not None:
        wanted = case.params_after(*[old.astype(np.float64) for old in before], *params)
        tolerance = 1e-5 if single else 1e-7
        for index, (blob, want) in enumerate(zip(rig.layer.blobs, wanted, strict=True)):
            compared += _require_close(blob.data, want, tolerance, f"parameter {index} after")
    return compared


def _has_values(rig: Rig) -> bool:
    case = rig.case
    expected = isinstance(case, Case) and case.expect is not None and not case.random
    return bool(rig.bottom) or (expected and bool(rig.top))


def _moved(rig: Rig) -> dict[str, Blob]:
    """The blobs that have a gradient, under the names of `nudge`."""
    moved = {f"bottom{i}": rig.bottom[i] for i in rig.differentiable()}
    if rig.layer.differentiable:
        chosen = rig.case.param_gradient if isinstance(rig.case, Case) else None
        learns = [i for i, learnable in enumerate(rig.layer.learnable) if learnable]
        learns = learns if chosen is None else [i for i in learns if i in chosen]
        moved.update({f"param{i}": rig.layer.blobs[i] for i in learns})
    return moved


def check_gradient(case: Case, folder: Path, step: float = 1e-5, tolerance: float = 1e-5) -> int:
    """Along random directions, the float64 gradient is the slope of central differences.

    For each bottom and each parameter with random direction u and random top gradient v:
    <dx, u> = (<v, f(x + step u)> - <v, f(x - step u)>) / (2 step).
    """
    rig = Rig(case, np.float64, folder)
    moved = _moved(rig)
    if not moved:
        return 0
    rig.forward()
    rig.backward()
    diffs = rig.top_diffs()
    draws = np.random.default_rng(13)
    for name, blob in moved.items():
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
    return sum(blob.count for blob in moved.values())


def check_diffs(case: Case, folder: Path) -> int:
    """Backward assigns bottom diffs, adds to parameter diffs, and heeds `propagate_down`."""
    rig = Rig(case, np.float64, folder)
    if not rig.layer.differentiable:
        return 0
    checked = rig.differentiable()
    rig.forward()
    for blob in rig.bottom:
        blob.diff[...] = 99.0
    rig.backward()
    first = [blob.diff.copy() for blob in [*rig.bottom, *rig.layer.blobs]]
    rig.backward()
    compared = 0
    for index, blob in enumerate(rig.bottom):
        untouched = np.full(blob.shape, 99.0)
        wanted = first[index] if index in checked else untouched
        what = f"diff of bottom {index} the second time"
        compared += _require_close(blob.diff, wanted, 1e-12, what)
        if index in checked and blob.count and np.array_equal(blob.diff, untouched):
            raise AssertionError(f"the diff of bottom {index} was not assigned")
    for index, blob in enumerate(rig.layer.blobs):
        once = first[len(rig.bottom) + index]
        what = f"diff of parameter {index} the second time"
        compared += _require_close(blob.diff, 2 * once, 1e-12, what)
    for blob in rig.bottom:
        blob.diff[...] = 99.0
    rig.backward([False] * len(rig.bottom))
    for index, blob in enumerate(rig.bottom):
        shared = any(blob.shares_diff_with(top) for top in rig.top)
        if not shared and not np.array_equal(blob.diff, np.full(blob.shape, 99.0)):
            raise AssertionError(f"the diff of bottom {index} was written without propagate_down")
    return compared


def _can_be_in_place(rig: Rig) -> bool:
    return (
        rig.layer.in_place
        and bool(rig.bottom)
        and bool(rig.top)
        and rig.top[0].shape == rig.bottom[0].shape
    )


def check_in_place(case: Case, folder: Path) -> int:
    """In place gives what a top of its own gives, forward and backward."""
    apart = Rig(case, np.float64, folder)
    if not _can_be_in_place(apart):
        return 0
    here = Rig(case, np.float64, folder, in_place=True)
    compared = 0
    for got, wanted in zip(here.forward(), apart.forward(), strict=True):
        compared += _require_close(got, wanted, 1e-12, "top in place")
    if not apart.layer.differentiable:
        return compared
    apart.backward()
    here.backward()
    for index in apart.differentiable():
        got, wanted = here.bottom[index].diff, apart.bottom[index].diff
        compared += _require_close(got, wanted, 1e-12, f"diff of bottom {index} in place")
    for index, (got_blob, blob) in enumerate(
        zip(here.layer.blobs, apart.layer.blobs, strict=True)
    ):
        what = f"diff of parameter {index} in place"
        compared += _require_close(got_blob.diff, blob.diff, 1e-12, what)
    return compared


def _other_shapes(rig: Rig, folder: Path) -> Iterator[list[Shape]]:
    """The case's shapes grown and shrunk along axis 0, where its layer takes them.

    Shapes that change a parameter's shape are left out: a built layer refuses those.
    """
    for change in (3, -1):
        shapes = [(max(1, s[0] + change), *s[1:]) if s else s for s in rig.case.bottoms]
        if shapes == [tuple(shape) for shape in rig.case.bottoms]:
            continue
        try:
            fresh = Rig(rig.case, np.float64, folder, bottoms=shapes)
        except LayerError:
            continue
        if [b.shape for b in fresh.layer.blobs] == [b.shape for b in rig.layer.blobs]:
            yield shapes


def _can_reshape(rig: Rig) -> bool:
    return rig.folder is not None and bool(rig.top) and any(_other_shapes(rig, rig.folder))


def check_reshape(case: Case, folder: Path) -> int:
    """Grown along axis 0, shrunk, and brought back, it computes what a new layer would."""
    rig = Rig(case, np.float64, folder)
    compared = 0
    if not _can_reshape(rig):
        return compared
    for shapes in [*_other_shapes(rig, folder), list(case.bottoms)]:
        fresh = Rig(case, np.float64, folder, bottoms=shapes)
        try:
            wanted = fresh.forward()
        except LayerError:  # the values do not suit the shape: a region of an image that is gone
            continue
        again = Rig(case, np.float64, folder, bottoms=shapes)
        for blob, new in zip(rig.bottom, again.bottom, strict=True):
            blob.reshape(*new.shape)
            blob.data[...] = new.data
        rig.layer.rng = np.random.default_rng(7)
        for blob, new in zip(rig.layer.blobs, again.layer.blobs, strict=True):
            blob.data[...] = new.data
        for index, (got, want) in enumerate(zip(rig.forward(), wanted, strict=True)):
            compared += _require_close(got, want, 1e-12, f"top {index} at shapes {shapes}")
        if fresh.layer.differentiable:
            fresh.backward()
            rig.backward()
            for index in fresh.differentiable():
                got, want = rig.bottom[index].diff, fresh.bottom[index].diff
                what = f"diff of bottom {index} at shapes {shapes}"
                compared += _require_close(got, want, 1e-12, what)
    return compared


def check_random(case: Case, folder: Path) -> int:
    """Each forward draws new values; layers with the same seed draw the same."""
    if not case.random:
        return 0
    one, two = Rig(case, np.float64, folder), Rig(case, np.float64, folder)
    first, second = one.forward(), one.forward()
    compared = 0
    for index, (top, again, other) in enumerate(zip(first, second, two.forward(), strict=True)):
        compared += _require_close(other, top, 0.0, f"top {index} of the same seed")
        if np.array_equal(top, again):
            raise AssertionError(f"top {index} was not drawn anew")
    for rig in (one, two):
        rig.layer.close()
    return compared


def check_saved(case: Case, folder: Path) -> int:
    """A layer built from its own message has the same parameters."""
    rig = Rig(case, np.float32, folder)
    message = rig.layer.to_proto()
    message.phase = rig.layer.param.phase
    twin = registry.layer_class(case.type).resolve(message, True)(message, np.float32)
    twin.any_output = True  # in the folder of the test
    twin.build(rig.bottom, [Blob((), np.float32) for _ in rig.top])
    for blob, saved in zip(twin.blobs, rig.layer.blobs, strict=True):
        if not np.array_equal(blob.data, saved.data):
            raise AssertionError("a parameter changed on its way through the message")
    twin.close()
    return sum(blob.count for blob in rig.layer.blobs)


def _wrong_counts(layer: Layer) -> Iterator[tuple[str, int]]:
    """One bottom or top too few, and one too many, where the layer declares a bound."""
    for what, declared in (("bottom", layer.bottoms), ("top", layer.tops)):
        least, most = declared if isinstance(declared, tuple) else (declared, declared)
        if least:
            yield what, least - 1
        if most is not None:
            yield what, most + 1


def check_counts(case: Case, folder: Path) -> int:
    """One bottom or top too many, or too few, is refused and named."""
    rig = Rig(case, np.float32, folder)
    layer = rig.layer
    refused = 0
    for what, count in _wrong_counts(layer):
        blobs = {"bottom": list(rig.bottom), "top": list(rig.top)}
        blobs[what] = [Blob((2,)) for _ in range(count)]
        try:
            type(layer)(layer.param, np.float32).build(blobs["bottom"], blobs["top"])
        except LayerError as error:
            if what not in str(error.field):
                raise AssertionError(f"{count} {what}s: the error names {error.field}") from None
            refused += 1
        else:
            raise AssertionError(f"{count} {what}s were not refused")
    return refused


def results(case: Case, folder: Path, dtype: npt.DTypeLike = np.float32) -> list[Array]:
    """Every array that a case computes, forward and backward: to compare runs."""
    rig = Rig(case, dtype, folder)
    found = rig.forward()
    if rig.layer.differentiable:
        rig.backward()
        found += [rig.bottom[i].diff.copy() for i in rig.differentiable()]
        found += [blob.diff.copy() for blob in rig.layer.blobs]
    rig.layer.close()
    return found


def check_refusal(refusal: Refusal) -> None:
    """The layer is refused, at the field and in the words that the refusal says."""
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


@dataclass(frozen=True)
class Check:
    """Something that every layer must do, and whether a case can show it."""

    run: Callable[[Case, Path], int]
    """Returns how many values it compared: 0 where it does not apply."""
    applies: Callable[[Rig], bool]
    """Whether there is anything to compare, of a rig that has a folder."""


CHECKS: Mapping[str, Check] = {
    "float64": Check(lambda case, folder: check_values(case, folder, np.float64), _has_values),
    "float32": Check(lambda case, folder: check_values(case, folder, np.float32), _has_values),
    "gradient": Check(check_gradient, lambda rig: bool(_moved(rig))),
    "diffs": Check(check_diffs, lambda rig: rig.layer.differentiable),
    "in_place": Check(check_in_place, _can_be_in_place),
    "reshape": Check(check_reshape, _can_reshape),
    "random": Check(check_random, lambda rig: isinstance(rig.case, Case) and rig.case.random),
    "saved": Check(check_saved, lambda rig: bool(rig.layer.blobs)),
    "counts": Check(check_counts, lambda rig: any(_wrong_counts(rig.layer))),
}
"""Every check by name."""


def applicable(case: Case, folder: Path) -> list[str]:
    """The names of the checks that apply to a case."""
    rig = Rig(case, np.float64, folder)
    try:
        return [name for name, check in CHECKS.items() if check.applies(rig)]
    finally:
        rig.layer.close()


def run_check(name: str, case: Case, folder: Path) -> None:
    """Run one check; AssertionError says what is wrong, or that nothing was compared."""
    if not CHECKS[name].run(case, folder):
        raise AssertionError(f"{name}: nothing was compared")


def check_layer(case: Case, folder: Path) -> None:
    """Run every check that applies to a case, in a `folder` for its files.

    AssertionError says what is wrong.
    """
    for name in applicable(case, folder):
        run_check(name, case, folder)
