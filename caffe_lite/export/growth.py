"""Which axes of a net's blobs may have any size: the batch, as far as the layers allow it.

Every layer answers for the tops' shapes without data, so the net is asked what it would make of
larger inputs.  An axis that grows with an axis of an input has a name instead of a number.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations

from caffe_lite.blob import Shape
from caffe_lite.errors import LayerError
from caffe_lite.export.graph import Sizes
from caffe_lite.layers.recurrent import Recurrent
from caffe_lite.net.net import Net

_TIMES = 3
"""How much larger an axis is made to see what grows with it."""
_MANY = 8
"""Of more axes than this only each alone and all together are tried."""

Tops = list[list[Shape]]
"""The shapes of each layer's tops."""


Place = tuple[int, int]
"""An axis: the blob's index and its own."""


class Growth:
    """The shapes of a net's tops, with names for the sizes that a user of the model chooses."""

    def __init__(self, net: Net, layers: int, fixed: bool = False) -> None:
        """Of the first so many layers.  `fixed`: no input may grow."""
        self._net, self._layers = net, net.layers[:layers]
        self._refusing: str | None = None
        self._base = self._walk(())
        self._symbols: dict[str, tuple[Place, ...]] = {}
        """The name of each size that may be chosen, and the axes of sources that have it."""
        self._name_dynamic()
        if not fixed:
            self._name_inputs()
        self._grown = {name: self._walk(places) for name, places in self._symbols.items()}

    def tops(self, layer: int) -> list[Sizes]:
        """The shapes of a layer's tops."""
        assert self._base is not None
        return [self._sizes(layer, top, shape) for top, shape in enumerate(self._base[layer])]

    @property
    def fixed_by(self) -> str | None:
        """The layer because of which no input may grow; None if one may, or there are none."""
        return None if self._symbols else self._refusing

    def _sizes(self, layer: int, top: int, shape: Shape) -> Sizes:
        sizes: list[int | str] = list(shape)
        for axis, size in enumerate(shape):
            grows = {
                name: grown[layer][top][axis]
                for name, grown in self._grown.items()
                if grown is not None and grown[layer][top][axis] != size
            }
            if grows:
                sizes[axis] = self._name(f"{self._layers[layer].name}_{top}_{axis}", size, grows)
        return tuple(sizes)

    def _name(self, place: str, size: int, grows: Mapping[str, int]) -> str:
        """N, or 3*N; of an axis that grows in another way, a name that says where it is."""
        (name, grown), *others = grows.items()
        blob, axis = self._symbols[name][0]
        one = self._net.blob_list[blob].shape[axis]
        if others or grown != size * _TIMES or size % one:
            return place
        return name if size == one else f"{size // one}*{name}"

    # -- which axes may grow ---------------------------------------------------------------

    def _name_dynamic(self) -> None:
        """Tops of which only forward knows how many items they have."""
        for layer, tops in zip(self._layers, self._net.wires.tops, strict=False):
            if layer.dynamic:
                for blob in tops:
                    self._symbols[f"{self._net.wires.blobs[blob]}_items"] = ((blob, 0),)

    def _name_inputs(self) -> None:
        """N for the first axis of the first input and those that must have its size.

        Other inputs' are their own.  Inputs of a recurrence have T steps of N streams.
        """
        recurrent = any(isinstance(layer, Recurrent) for layer in self._layers)
        wires = zip(self._layers, self._net.wires.tops, strict=False)
        inputs = [blob for layer, tops in wires if layer.type == "Input" for blob in tops]
        places = [
            (blob, axis)
            for axis in range(2 if recurrent else 1)
            for blob in inputs
            if len(self._net.blob_list[blob].shape) > axis
        ]
        groups = list(self._groups(places))
        of_streams = {blob for group in groups for blob, axis in group if axis == 1}
        for group in groups:
            steps = any(axis == 0 and blob in of_streams for blob, axis in group)
            name = "T" if steps else "N"
            if name in self._symbols:
                name = f"{name}_{self._net.wires.blobs[group[0][0]]}"
            self._symbols[name] = group

    def _groups(self, places: list[Place]) -> Iterator[tuple[Place, ...]]:
        """The least groups of axes that can grow together, and each of them alone cannot."""
        size = 1
        while places and size <= len(places):
            if 1 < size < len(places) and len(places) > _MANY:
                size = len(places)
            group = next(filter(self._can_grow, combinations(places, size)), None)
            if group is None:
                size += 1
            else:
                yield group
                places = [place for place in places if place not in group]

    def _can_grow(self, places: tuple[Place, ...]) -> bool:
        sizes = {self._net.blob_list[blob].shape[axis] for blob, axis in places}
        return len(sizes) == 1 and self._walk(places) is not None

    # -- what the net makes of inputs ------------------------------------------------------

    def _walk(self, places: tuple[Place, ...]) -> Tops | None:
        """The tops' shapes where some axes of sources are `_TIMES` as large.

        None where a layer refuses that.
        """
        shapes: dict[int, Shape] = {}
        tops: Tops = []
        wires = self._net.wires
        for index, layer in enumerate(self._layers):
            found = self._tops_of(index, [shapes[blob] for blob in wires.bottoms[index]])
            if found is None:
                return None
            is_source = not wires.bottoms[index] or layer.dynamic
            for blob, shape in zip(wires.tops[index], found, strict=True):
                shapes[blob] = _larger(shape, blob, places) if is_source else shape
            tops.append([shapes[blob] for blob in wires.tops[index]])
        return tops

    def _tops_of(self, index: int, bottom: list[Shape]) -> Sequence[Shape] | None:
        if not bottom:
            return [blob.shape for blob in self._net.links[index].top]
        try:
            return self._layers[index].shapes_for(*bottom)
        except LayerError:
            self._refusing = self._layers[index].name
            return None


def _larger(shape: Shape, blob: int, places: tuple[Place, ...]) -> Shape:
    """The shape of a source's top, larger at the places that are named."""
    return tuple(
        size * _TIMES if (blob, axis) in places else size for axis, size in enumerate(shape)
    )
