"""Which axes of a net's blobs may have any size: the batch, as far as the layers allow it.

Every layer answers for the tops' shapes without data, so the net is asked what it would make of
larger inputs.  An axis that grows with an input's first axis has a name instead of a number.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations

from caffe_lite.blob import Shape
from caffe_lite.errors import LayerError
from caffe_lite.export.graph import Sizes
from caffe_lite.layers.base import Layer
from caffe_lite.net.net import Net

_TIMES = 3
"""How much larger an axis is made to see what grows with it."""
_MANY = 8
"""With more inputs than this only all of them are tried together."""

Tops = list[list[Shape]]
"""The shapes of each layer's tops."""


class Growth:
    """The shapes of a net's tops, with names for the sizes that a user of the model chooses."""

    def __init__(self, net: Net, layers: int, fixed: bool = False) -> None:
        """Of the first so many layers.  `fixed`: no input may grow."""
        self._net, self._layers = net, layers
        self._base = self._walk({})
        self.symbols: dict[str, frozenset[int]] = {}
        """The name of each size that may be chosen, and the blobs whose first axis has it."""
        self._name_dynamic()
        if not fixed:
            self._name_inputs()
        self._grown = {
            name: self._walk(dict.fromkeys(blobs, _TIMES)) for name, blobs in self.symbols.items()
        }

    def tops(self, layer: int) -> list[Sizes]:
        """The shapes of a layer's tops."""
        assert self._base is not None
        return [self._sizes(layer, top, shape) for top, shape in enumerate(self._base[layer])]

    def _sizes(self, layer: int, top: int, shape: Shape) -> Sizes:
        sizes: list[int | str] = list(shape)
        for axis, size in enumerate(shape):
            grows = {
                name: grown[layer][top][axis]
                for name, grown in self._grown.items()
                if grown is not None and grown[layer][top][axis] != size
            }
            if grows:
                sizes[axis] = self._name(layer, top, axis, grows)
        return tuple(sizes)

    def _name(self, layer: int, top: int, axis: int, grows: Mapping[str, int]) -> str:
        """N, or 3*N; of an axis that grows in another way, a name that says where it is."""
        assert self._base is not None
        size = self._base[layer][top][axis]
        (name, grown), *others = grows.items()
        one = self._first_size(name)
        if others or grown != size * _TIMES or size % one:
            return f"{self._net.layers[layer].name}_{top}_{axis}"
        return name if size == one else f"{size // one}*{name}"

    def _first_size(self, name: str) -> int:
        return self._net.blob_list[min(self.symbols[name])].shape[0]

    # -- which axes may grow ---------------------------------------------------------------

    def _name_dynamic(self) -> None:
        """Tops of which only forward knows how many items they have."""
        for index, layer in enumerate(self._net.layers[: self._layers]):
            if layer.dynamic:
                for blob in self._net.wires.tops[index]:
                    self.symbols[f"{self._net.wires.blobs[blob]}_items"] = frozenset([blob])

    def _name_inputs(self) -> None:
        """N for the first input and those that must have its size; others' are their own."""
        tops = [
            self._net.wires.tops[index]
            for index, layer in enumerate(self._net.layers[: self._layers])
            if layer.type == "Input"
        ]
        left = [blob for each in tops for blob in each if self._net.blob_list[blob].shape]
        alone = [blob for blob in left if self._can_grow([blob])]
        groups = [[blob] for blob in alone]
        left = [blob for blob in left if blob not in alone]
        for size in self._group_sizes(len(left)):
            found = next((g for g in combinations(left, size) if self._can_grow(g)), None)
            if found is not None:
                groups.append(list(found))
                break
        for group in sorted(groups):
            name = "N" if "N" not in self.symbols else f"N_{self._net.wires.blobs[group[0]]}"
            self.symbols[name] = frozenset(group)

    @staticmethod
    def _group_sizes(count: int) -> Iterator[int]:
        yield from range(count, 1, -1) if count <= _MANY else [count]

    def _can_grow(self, blobs: Sequence[int]) -> bool:
        first = {self._net.blob_list[blob].shape[0] for blob in blobs}
        return len(first) == 1 and self._walk(dict.fromkeys(blobs, _TIMES)) is not None

    # -- what the net makes of inputs ------------------------------------------------------

    def _walk(self, times: Mapping[int, int]) -> Tops | None:
        """The tops' shapes where the first axis of some blobs is so many times as large.

        None where a layer refuses that.
        """
        shapes: dict[int, Shape] = {}
        tops: Tops = []
        wires = self._net.wires
        for index in range(self._layers):
            found = self._tops_of(index, [shapes[blob] for blob in wires.bottoms[index]])
            if found is None:
                return None
            chosen = not wires.bottoms[index] or self._net.layers[index].dynamic
            for blob, shape in zip(wires.tops[index], found, strict=True):
                many = times.get(blob, 1) if chosen else 1
                shapes[blob] = (shape[0] * many, *shape[1:]) if many > 1 else shape
            tops.append([shapes[blob] for blob in wires.tops[index]])
        return tops

    def _tops_of(self, index: int, bottom: list[Shape]) -> Sequence[Shape] | None:
        layer: Layer = self._net.layers[index]
        if not bottom:
            return [blob.shape for blob in self._net.links[index].top]
        try:
            return layer.shapes_for(*bottom)
        except LayerError:
            return None
