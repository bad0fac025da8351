"""Small nets drawn at random from all layer types: the same seed draws the same net.

A net is drawn block by block.  Most blocks are a *guest*: a case of `tests/cases`, which says what
shapes, fields and values its type takes.  A bottom of a guest whose values are free comes from
the net, through an InnerProduct and a Reshape to the case's shape; one with values of its own,
labels and boxes, is an Input.  The other blocks are what nets are made of: chains of layers in
place after a layer that takes an epilogue, joins, slices, twins with shared parameters, ends
without a loss.

A block that the net refuses, or that gives no finite numbers, is taken out again.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

import caffe_lite as caffe
from caffe_lite.errors import CaffeError
from caffe_lite.layers import registry
from caffe_lite.layers.base import Layer
from caffe_lite.testing import Case, Draw, away_from, distinct, normal, uniform
from tests import every_case
from tests.net import source

Shape = tuple[int, ...]

# HDF5Output writes a file, and computes nothing
CASES = [case for case in every_case.CASES if case.type != "HDF5Output"]
TYPES = sorted({case.type for case in CASES})
OF_TYPE = {type_: [case for case in CASES if case.type == type_] for type_ in TYPES}

FREE = {normal, distinct, away_from(0).__qualname__}
"""The draws, or their names, in whose place any values will do."""
BETWEEN = uniform(0, 1).__qualname__
LARGEST = 1e4
"""A net with greater numbers is not drawn on: rounding would hide what is to be seen."""


@dataclass
class Drawn:
    """A net that was drawn, and how to make it."""

    seed: int
    phase: int
    dtype: type
    force_backward: bool
    folder: Path
    layers: list[str] = field(default_factory=list)
    inputs: dict[str, tuple[Shape, Draw]] = field(default_factory=dict)
    params: dict[str, dict[int, Draw]] = field(default_factory=dict)
    """How to draw a layer's parameters, where the usual values will not do."""
    feeds: dict[str, Callable[[Any], None]] = field(default_factory=dict)
    guests: list[Case] = field(default_factory=list)

    @property
    def text(self) -> str:
        """The prototxt."""
        lines = ["force_backward: true"] if self.force_backward else []
        for name, (shape, _) in self.inputs.items():
            dims = " ".join(f"dim: {size}" for size in shape)
            lines.append(
                f'layer {{ name: "{name}" type: "Input" top: "{name}" '
                f"input_param {{ shape {{ {dims} }} }} }}"
            )
        return "\n".join([*lines, *self.layers]) + "\n"

    def describe(self) -> str:
        """All that is needed to see it again."""
        phase = "TEST" if self.phase else "TRAIN"
        return f"seed {self.seed}, {phase}, {np.dtype(self.dtype)}\n{self.text}"

    def build(self) -> caffe.Net:
        """The net with its parameters; its random streams are those of the seed."""
        caffe.set_random_seed(self.seed)
        try:
            net = caffe.Net(source(self.text), self.phase, dtype=self.dtype)
        finally:
            caffe.set_random_seed(-1)
        draws = np.random.default_rng(self.seed)
        for layer in net.layers:
            own = self.params.get(layer.name, {})
            for index, blob in enumerate(layer.blobs):
                usual = _weights if layer.learnable[index] else uniform(0.5, 2)
                blob.data[...] = own.get(index, usual)(draws, blob.shape)
            if layer.name in self.feeds:
                self.feeds[layer.name](layer)
        return net

    def fill(self, net: caffe.Net, iteration: int) -> None:
        """Put an iteration's values into the inputs."""
        draws = np.random.default_rng((self.seed, iteration))
        for name, (_, draw) in self.inputs.items():
            blob = net.blobs[name]
            blob.data[...] = draw(draws, blob.shape)


def _weights(rng: np.random.Generator, shape: Shape) -> np.ndarray:
    """Values that keep the variance of what they multiply, about."""
    fan_in = int(np.prod(shape[1:])) if len(shape) > 1 else 1
    return rng.standard_normal(shape) / np.sqrt(max(1, fan_in))


def draw_net(seed: int, folder: Path) -> Drawn:
    """The net of a seed; `folder` is for the files of its data layers."""
    return _Drawer(seed, folder).draw()


class _Drawer:
    """One net while it is drawn."""

    def __init__(self, seed: int, folder: Path) -> None:
        self.rng = np.random.default_rng(zlib.crc32(f"net {seed}".encode()))
        self.seed = seed
        self.net = Drawn(
            seed,
            caffe.TEST if self.chance(0.25) else caffe.TRAIN,
            np.float64 if self.chance(0.4) else np.float32,
            self.chance(0.4),
            folder,
        )
        self.count = 0
        self.shapes: dict[str, Shape] = {}
        self.ends: list[str] = []  # blobs that no layer reads yet
        self.batch = int(self.rng.integers(1, 5))

    # -- choices ---------------------------------------------------------------------------

    def chance(self, probability: float) -> bool:
        return bool(self.rng.random() < probability)

    def pick(self, options: Sequence[Any]) -> Any:
        return options[int(self.rng.integers(len(options)))]

    def name(self, kind: str) -> str:
        self.count += 1
        return f"{kind}{self.count}"

    def blob(self, axes: int | None = None, least: int = 1) -> str | None:
        """A blob that some layer has made, with that many axes: often one that nobody reads."""
        found = [
            name
            for name, shape in self.shapes.items()
            if len(shape) >= least and (axes is None or len(shape) == axes)
        ]
        unread = [name for name in found if name in self.ends]
        if unread and self.chance(0.6):
            return str(self.pick(unread))
        return str(self.pick(found)) if found else None

    # -- drawing ---------------------------------------------------------------------------

    def draw(self) -> Drawn:
        self.attempt(self.begin)
        blocks = [
            (self.chain, 5),
            (self.direct, 5),
            (self.join, 3),
            (self.slice, 1),
            (self.pool, 2),
            (self.twin, 2),
            (self.loss_between, 1),
            (self.end, 1),
            (self.guest, 2),
        ]
        kinds = [block for block, weight in blocks for _ in range(weight)]
        plan = [self.pick(kinds) for _ in range(int(self.rng.integers(3, 8)))]
        # the types take turns, so that so many seeds have them all
        plan.insert(int(self.rng.integers(len(plan) + 1)), self.guest_in_turn)
        for block in plan:
            self.attempt(block)
        self.net.layers += self.closing()
        return self.net

    def attempt(self, block: Callable[[], object]) -> bool:
        """Draw a block; take it back if the net with it cannot be run."""
        before = replace(
            self.net,
            layers=list(self.net.layers),
            inputs=dict(self.net.inputs),
            params=dict(self.net.params),
            feeds=dict(self.net.feeds),
            guests=list(self.net.guests),
        )
        shapes, ends = dict(self.shapes), list(self.ends)
        block()
        if self.net.layers == before.layers or self.runs():
            return True
        self.net, self.shapes, self.ends = before, shapes, ends
        return False

    def runs(self) -> bool:
        """Whether the net so far runs, forward and backward, with finite numbers of some size."""
        tried = replace(self.net, layers=self.net.layers + self.closing())
        try:
            with tried.build() as net:
                tried.fill(net, 0)
                with np.errstate(all="ignore"):
                    net.forward()
                    net.backward()
                for name in self.shapes:
                    self.shapes[name] = net.blobs[name].shape
                arrays = [blob.data for blob in net.blob_list]
                arrays += [blob.diff for blob in net.blob_list if blob.has_diff]
                arrays += [learnable.blob.diff for learnable in net.learnable]
        except CaffeError:
            return False
        return all(bool(np.all(np.abs(array) < LARGEST)) for array in arrays)

    def add(
        self,
        type_: str,
        bottoms: Sequence[str],
        tops: Sequence[str],
        config: str = "",
        shapes: Sequence[Shape] = (),
    ) -> str:
        """Add a layer.  `shapes` are those of the tops, as far as they are known."""
        name = self.name(type_.lower())
        words = [f'bottom: "{bottom}"' for bottom in bottoms]
        words += [f'top: "{top}"' for top in tops]
        self.net.layers.append(
            f'layer {{ name: "{name}" type: "{type_}" {" ".join([*words, config]).strip()} }}'
        )
        for bottom in bottoms:
            if bottom in self.ends:
                self.ends.remove(bottom)
        for index, top in enumerate(tops):
            self.ends.append(top)
            if top not in self.shapes or index < len(shapes):
                self.shapes[top] = shapes[index] if index < len(shapes) else ()
        return name

    def input(self, shape: Shape, draw: Draw) -> str:
        name = self.name("x")
        self.net.inputs[name] = (tuple(shape), draw)
        return name

    def closing(self) -> list[str]:
        """Losses on the blobs that nobody reads, but for some."""
        lines = []
        for top in self.ends:
            draws = np.random.default_rng(zlib.crc32(f"{self.seed} {top}".encode()))
            if top not in self.shapes or draws.random() < 0.15:
                continue
            operation = ["SUM", "MEAN", "SUMSQ", "ASUM"][draws.integers(4)]
            weight = [1, 0.5, -2, 1][draws.integers(4)]
            lines.append(
                f'layer {{ name: "end_{top}" type: "Reduction" bottom: "{top}" top: "end_{top}" '
                f"reduction_param {{ operation: {operation} coeff: 0.5 }} loss_weight: {weight} }}"
            )
        return lines

    # -- blocks ----------------------------------------------------------------------------

    def begin(self) -> None:
        """An input that a convolution reads, or a plain one."""
        shape = (self.batch, int(self.rng.integers(2, 7)), *map(int, self.rng.integers(3, 9, 2)))
        x = self.input(shape, normal)
        if self.chance(0.5):
            self.shapes[x] = shape
        self.add("Convolution", [x], [self.name("b")], self.convolution())

    def convolution(self) -> str:
        kernel = int(self.rng.integers(1, 4))
        pad = int(self.rng.integers(0, 2))
        bias = self.pick(["", "bias_term: false"])
        outputs = int(self.rng.integers(2, 7))
        size = f"num_output: {outputs} kernel_size: {kernel}"
        return f"convolution_param {{ {size} pad: {pad} {bias} }}"

    def guest_in_turn(self) -> None:
        """A case of the seed's own type: another one where the net cannot take the first."""
        cases = OF_TYPE[TYPES[self.seed % len(TYPES)]]
        for _ in range(4):
            case = self.pick(cases)
            if self.attempt(lambda case=case: self.welcome(case)):
                return

    def guest(self) -> None:
        self.welcome(self.pick(CASES))

    def welcome(self, case: Case) -> None:
        """A case with bottoms of its shapes."""
        shapes = [tuple(shape) for shape in case.bottoms]
        sizes = {shape[0] for shape in shapes if shape}
        fixed = [draw for draw in case.draw.values() if not (_free(draw) or _range(draw))]
        if len(sizes) == 1 and all(shapes) and not fixed and self.chance(0.7):
            shapes = [(self.batch, *shape[1:]) for shape in shapes]
        bottoms = [
            self.bottom(shape, case.draw.get(index, normal)) for index, shape in enumerate(shapes)
        ]
        self.place(case, bottoms)

    def direct(self) -> None:
        """A case on blobs that the net has already, whatever their shapes."""
        suitable = [case for case in CASES if case.bottoms and all(map(_free, case.draw.values()))]
        for _ in range(4):
            case = self.pick(suitable)
            bottoms = [self.blob(len(shape)) for shape in case.bottoms]
            if None not in bottoms and self.attempt(
                lambda case=case, bottoms=bottoms: self.place(case, bottoms)
            ):
                return

    def place(self, case: Case, bottoms: Sequence[Any]) -> None:
        """Add a case's layer on blobs."""
        cls = registry.layer_class(case.type)
        least = cls.tops[0] if isinstance(cls.tops, tuple) else cls.tops
        count = least if case.tops is None else case.tops
        tops = [self.name("b") for _ in range(count)]
        if cls.in_place and bottoms and tops and bottoms[0] in self.shapes and self.chance(0.6):
            tops[0] = bottoms[0]
        config = case.config.replace("{folder}", str(self.net.folder))
        if "phase:" not in config and case.phase == "TEST":
            config += " phase: TEST"
        if case.files:
            case.files(self.net.folder)
        name = self.add(case.type, bottoms, tops, " ".join([config, *self.extras(cls, bottoms)]))
        if case.params:
            self.net.params[name] = dict(case.params)
        if case.feed:
            self.net.feeds[name] = case.feed
        self.net.guests.append(case)
        if not cls.differentiable:  # no loss may be above
            self.ends = [end for end in self.ends if end not in tops]
        if (
            cls.default_loss_weight
        ):  # in its gradient, where a layer above would write, as in Caffe
            self.ends = [end for end in self.ends if end != tops[0]]
            self.shapes.pop(tops[0], None)

    def extras(self, cls: type[Layer], bottoms: Sequence[str]) -> Iterator[str]:
        """Fields that any layer may have."""
        if self.chance(0.06):
            yield "param { lr_mult: 0 }"
        if bottoms and self.chance(0.05):
            flags = [i not in cls.no_gradient and self.chance(0.5) for i in range(len(bottoms))]
            yield " ".join(f"propagate_down: {str(flag).lower()}" for flag in flags)

    def bottom(self, shape: Shape, draw: Draw, free: bool = False) -> str:
        """A blob of a shape: one of the net if its values may be any, else an Input."""
        span = _range(draw)
        if not (free or _free(draw) or span) or self.chance(0.1):
            return self.input(shape, draw)
        same = [name for name, known in self.shapes.items() if known == shape]
        if same and span is None and self.chance(0.5):
            return str(self.pick(same))
        origin = self.blob(least=1)
        if origin is None:
            return self.input(shape, draw)
        return self.between(self.adapt(origin, shape), shape, span)

    def adapt(self, origin: str, shape: Shape) -> str:
        """A blob of a shape, computed from another."""
        keeps_batch = bool(shape) and self.shapes[origin][:1] == shape[:1]
        items = shape[1:] if keeps_batch else shape
        flat = origin
        if not keeps_batch:
            flat = self.name("b")
            self.add("Reshape", [origin], [flat], "reshape_param { shape { dim: 1 dim: -1 } }")
        inner = self.name("b")
        outputs = int(np.prod(items))
        self.add(
            "InnerProduct", [flat], [inner], f"inner_product_param {{ num_output: {outputs} }}"
        )
        if keeps_batch and len(items) == 1:
            self.shapes[inner] = shape
            return inner
        dims = ["dim: 0"] if keeps_batch else []
        dims += [f"dim: {size}" for size in items]
        top = self.name("b")
        config = f"reshape_param {{ shape {{ {' '.join(dims)} }} }}"
        self.add("Reshape", [inner], [top], config, [shape])
        return top

    def between(self, blob: str, shape: Shape, span: tuple[float, float] | None) -> str:
        """The blob, or another with its values moved between two numbers."""
        if span is None:
            return blob
        low, high = span
        squashed, moved = self.name("b"), self.name("b")
        self.add("Sigmoid", [blob], [squashed], "", [shape])
        config = f"power_param {{ scale: {high - low:g} shift: {low:g} }}"
        self.add("Power", [squashed], [moved], config, [shape])
        return moved

    def chain(self) -> None:
        """A layer that may take an epilogue, then layers in place on its top."""
        origin = self.blob(least=2)
        if origin is None:
            return
        shape = self.shapes[origin]
        top = self.name("b")
        first = self.pick(
            ["Convolution", "InnerProduct", "BatchNorm", "BN", "Axpy", "Eltwise", "Deconvolution"]
        )
        if first in ("Convolution", "Deconvolution", "Axpy") and len(shape) != 4:
            first = "InnerProduct"
        if not self.attempt(lambda: self.first_of_chain(first, origin, top)):
            return
        for _ in range(int(self.rng.integers(1, 6))):
            self.attempt(lambda: self.next_of_chain(top))
            if self.chance(0.06):  # a reader of the values between
                self.attempt(lambda: self.add("TanH", [top], [self.name("b")]) and None)

    def first_of_chain(self, first: str, origin: str, top: str) -> None:
        shape = self.shapes[origin]
        bottoms, config = [origin], ""
        if first in ("Convolution", "Deconvolution"):
            config = self.convolution()
            if self.chance(0.15):
                config = config.replace("num_output", "axis: 2 num_output")
        elif first == "InnerProduct":
            axis = self.pick(["", "", "axis: 2", "axis: -1"]) if len(shape) > 2 else ""
            bias = self.pick(["", "bias_term: false"])
            config = f"inner_product_param {{ num_output: 5 {axis} {bias} }}"
        elif first == "BatchNorm":
            config = self.pick(["", "", "batch_norm_param { use_global_stats: true }"])
        elif first == "BN":
            config = self.pick(["", "bn_param { frozen: true }"])
        elif first == "Eltwise":
            bottoms = [origin, self.bottom(shape, normal)]
            config = self.pick(["", "eltwise_param { coeff: 0.5 coeff: -2 }"])
        else:
            bottoms = [self.bottom(shape[:2], normal, True), origin, self.bottom(shape, normal)]
        if first in ("BatchNorm", "BN") and origin in self.shapes and self.chance(0.5):
            top = origin
        self.add(first, bottoms, [top], config)

    def next_of_chain(self, top: str) -> None:
        """A layer in place."""
        axes = len(self.shapes.get(top, ()))
        kind = self.pick(
            ["ReLU"] * 4 + ["Scale"] * 4 + ["BatchNorm"] * 3
            + ["Bias", "Bias", "Dropout", "Dropout", "BN", "ReLU6", "HardSigmoid", "PReLU", "ELU"]
        )  # fmt: skip
        config = ""
        if kind == "ReLU":
            config = self.pick(
                [
                    "",
                    "",
                    "relu_param { negative_slope: 0.1 }",
                    "relu_param { negative_slope: -0.5 }",
                ]
            )
        elif kind in ("Scale", "Bias"):
            axis = self.pick(["", "", "", *(f"axis: {i}" for i in range(-1, axes))])
            axis += self.pick(["", "", "", " num_axes: 2", " num_axes: 0", " num_axes: -1"])
            axis += self.pick(["", " bias_term: true"]) if kind == "Scale" else ""
            config = f"{kind.lower()}_param {{ {axis} }}"
        elif kind == "BatchNorm":
            config = self.pick(["", "batch_norm_param { use_global_stats: true }"])
        elif kind == "BN":
            config = self.pick(["", "bn_param { frozen: true }"])
        elif kind == "Dropout":
            config = self.pick(["", "dropout_param { dropout_ratio: 0.2 }"])
        apart = self.chance(0.08)
        self.add(kind, [top], [self.name("b") if apart else top], config)

    def join(self) -> None:
        """An Eltwise or a Concat of two or three blobs."""
        first = self.blob(least=2)
        if first is None:
            return
        shape = self.shapes[first]
        others = [self.bottom(shape, normal) for _ in range(int(self.rng.integers(1, 3)))]
        if self.chance(0.15):
            others[0] = first
        kind = self.pick(["Eltwise", "Eltwise", "Concat"])
        config = f"concat_param {{ axis: {int(self.rng.integers(0, len(shape)))} }}"
        if kind == "Eltwise":
            operation = self.pick(["SUM", "PROD", "MAX"])
            coefficients = ""
            if operation == "SUM" and self.chance(0.4):
                coefficients = " ".join(f"coeff: {c}" for c in (1, -0.5, 0.25)[: len(others) + 1])
            config = f"eltwise_param {{ operation: {operation} {coefficients} }}"
        self.add(kind, [first, *others], [self.name("b")], config)

    def slice(self) -> None:
        blob = self.blob(least=2)
        if blob is not None and self.shapes[blob][1] > 1:
            tops = [self.name("b"), self.name("b")]
            self.add("Slice", [blob], tops, "slice_param { axis: 1 slice_point: 1 }")

    def pool(self) -> None:
        """A maximum with its places, which nobody or only a loss reads, or an Eltwise."""
        blob = self.blob(4)
        if blob is None:
            return
        y, places = self.name("b"), self.name("b")
        pool = self.pick(["MAX", "MAX", "AVE"])
        tops = [y, places] if pool == "MAX" and self.chance(0.6) else [y]
        config = f"pooling_param {{ pool: {pool} kernel_size: 2 stride: {self.pick([1, 2])} }}"
        self.add("Pooling", [blob], tops, config)
        if len(tops) == 2 and self.chance(0.5):
            self.add("Eltwise", tops, [self.name("b")], "eltwise_param { coeff: 1 coeff: 0.01 }")

    def twin(self) -> None:
        """The same layer twice, on two blobs of one shape, with shared parameters."""
        one = self.blob(least=2)
        if one is None:
            return
        shape = self.shapes[one]
        other = self.bottom(shape, normal)
        kind = self.pick(["InnerProduct", "Scale", "PReLU"] + ["Convolution"] * (len(shape) == 4))
        config = {
            "InnerProduct": "inner_product_param { num_output: 3 }",
            "Scale": "scale_param { bias_term: true }",
            "Convolution": self.convolution(),
            "PReLU": "",
        }[kind]
        shared = self.name("w")
        names = [f'param {{ name: "{shared}" }}']
        if kind != "PReLU" and "false" not in config and self.chance(0.6):
            names.append(f'param {{ name: "{shared}b" }}')
        for bottom in (one, other):
            self.add(kind, [bottom], [self.name("b")], " ".join([config, *names]))

    def loss_between(self) -> None:
        """A blob with a loss weight that other layers read as well."""
        blob = self.blob(least=2)
        if blob is not None:
            top = self.name("b")
            self.add("Power", [blob], [top], "power_param { scale: 0.5 } loss_weight: 0.25")
            self.add("TanH", [top], [self.name("b")], "", [self.shapes[blob]])
            self.shapes[top] = self.shapes[blob]

    def end(self) -> None:
        """A branch that no loss is above."""
        blob = self.blob()
        if blob is not None:
            self.add("Silence", [blob], [])


def _free(draw: Draw) -> bool:
    return draw in FREE or getattr(draw, "__qualname__", "") in FREE


def _range(draw: Draw) -> tuple[float, float] | None:
    """The ends of a uniform draw; None for any other."""
    if getattr(draw, "__qualname__", "") != BETWEEN:
        return None
    values = draw(np.random.default_rng(0), (1000,))
    return float(values.min()), float(values.max())
