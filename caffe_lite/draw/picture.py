"""A laid-out graph as plain shapes, independent of the file format."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from caffe_lite.draw.graph import Edge, Graph, Part, Vertex
from caffe_lite.draw.layout import RANK_GAP, Point, Size, lay_out

MARGIN = 16.0
TITLE_SIZE, TEXT_SIZE, LABEL_SIZE = 13.0, 11.0, 10.0
LINE_HEIGHT = 1.35
PAD_X, PAD_Y = 12.0, 6.0
CORNER = 6.0
ARROW_LENGTH, ARROW_WIDTH = 8.0, 6.0
INK, LINE = "#202428", "#5A6472"

_NARROW = {**dict.fromkeys("ijl'|", 0.24), **dict.fromkeys(" .,:;/!ftI[]()-r", 0.34)}
_WIDE = {**dict.fromkeys("mwMW%@", 0.88), **dict.fromkeys("ABCDEFGHKNOPQRSTUVXYZ&", 0.71)}
_WIDTHS = {**_NARROW, **_WIDE}


@dataclass(frozen=True)
class Text:
    """A line of text, centred at (x, y); `size` is the font size in the picture's units."""

    x: float
    y: float
    text: str
    size: float
    bold: bool = False
    color: str = INK
    outlined: bool = False
    """Whether it has a white outline, because lines may pass behind it."""


@dataclass(frozen=True)
class Box:
    """A filled polygon with texts; `title` is the name of the layer or blob."""

    title: str
    is_blob: bool
    corners: tuple[Point, ...]
    fill: str
    stroke: str
    texts: tuple[Text, ...]


@dataclass(frozen=True)
class Arrow:
    """A line through points, as in `Layout.routes`, and the three corners of its head."""

    points: tuple[Point, ...]
    head: tuple[Point, Point, Point]
    horizontal: bool
    label: Text | None


@dataclass
class Picture:
    """Boxes and arrows within (0, 0) and (width, height), y downward."""

    title: str
    width: float
    height: float
    boxes: list[Box]
    arrows: list[Arrow]


def draw_picture(graph: Graph, rankdir: str) -> Picture:
    """Lay out a graph in the direction `rankdir`, one of RANKDIRS."""
    horizontal = rankdir in ("LR", "RL")
    sizes = [_vertex_size(vertex, horizontal) for vertex in graph.vertices]
    layout_sizes = [size[::-1] for size in sizes] if horizontal else sizes
    pairs = [(edge.source, edge.target) for edge in graph.edges]
    widest = max((text_width(edge.label, LABEL_SIZE) for edge in graph.edges), default=0.0)
    gap = max(RANK_GAP, widest + 2 * ARROW_LENGTH) if horizontal else RANK_GAP
    layout = lay_out(layout_sizes, pairs, gap)
    transform = _Transform(layout.height, rankdir)
    boxes, arrows = [], []
    for vertex, center, size in zip(graph.vertices, layout.centers, sizes, strict=True):
        boxes += _boxes(vertex, transform(center), size, rankdir)
    for edge, route in zip(graph.edges, layout.routes, strict=True):
        arrows.append(_arrow(edge, [transform(point) for point in route], horizontal))
    width, height = layout.width, layout.height
    if horizontal:
        width, height = height, width
    labels = [arrow.label for arrow in arrows if arrow.label]  # may extend beyond the boxes
    reach = [label.x + text_width(label.text, label.size) / 2 for label in labels]
    return Picture(
        graph.name, max([width + MARGIN, *reach]) + MARGIN, height + 2 * MARGIN, boxes, arrows
    )


def text_width(text: str, size: float, bold: bool = False) -> float:
    """An upper bound of the width of a line of text in the common sans-serif fonts."""
    width = sum(_WIDTHS.get(letter, 0.61 if letter.isascii() else 1.0) for letter in text)
    return width * size * (1.08 if bold else 1.0)


def tint(color: str, strength: float, other: int) -> str:
    """`color` mixed with grey of level `other`, 0 to 255; `strength` is the weight of `color`."""
    levels = [int(color[i : i + 2], 16) for i in (1, 3, 5)]
    mixed = [round(strength * level + (1 - strength) * other) for level in levels]
    return "#" + "".join(f"{level:02X}" for level in mixed)


def _fonts(part: Part) -> list[tuple[str, float, bool]]:
    """Each line with its font size and whether it is bold, as a layer's name is."""
    if part.is_blob or len(part.lines) == 1:
        return [(line, TEXT_SIZE, False) for line in part.lines]
    first, *others = part.lines
    return [(first, TITLE_SIZE, True), *((line, TEXT_SIZE, False) for line in others)]


def _part_size(part: Part) -> Size:
    lines = _fonts(part)
    width = max(text_width(*line) for line in lines) + 2 * PAD_X
    return (width, sum(size * LINE_HEIGHT for _, size, _ in lines) + 2 * PAD_Y)


def _vertex_size(vertex: Vertex, horizontal: bool) -> Size:
    widths, heights = zip(*map(_part_size, vertex.parts))
    if horizontal:
        return (sum(widths), max(heights))
    return (max(widths), sum(heights))


@dataclass(frozen=True)
class _Transform:
    """Maps points of a layout, which runs down, to the picture's direction and margin."""

    height: float
    rankdir: str

    def __call__(self, point: Point) -> Point:
        x, y = point
        if self.rankdir in ("BT", "RL"):
            y = self.height - y
        if self.rankdir in ("LR", "RL"):
            x, y = y, x
        return (x + MARGIN, y + MARGIN)


def _boxes(vertex: Vertex, center: Point, size: Size, rankdir: str) -> list[Box]:
    """The boxes of a vertex's parts, side by side in the order of the data flow."""
    parts = vertex.parts if rankdir in ("TB", "LR") else vertex.parts[::-1]
    x, y = center[0] - size[0] / 2, center[1] - size[1] / 2
    boxes = []
    for part in parts:
        width, height = _part_size(part)
        if rankdir in ("LR", "RL"):
            boxes.append(_box(part, x, y, width, size[1]))
            x += width
        else:
            boxes.append(_box(part, x, y, size[0], height))
            y += height
    return boxes


def _box(part: Part, x: float, y: float, width: float, height: float) -> Box:
    left, top, right, bottom = x, y, x + width, y + height
    corners: tuple[Point, ...] = ((left, top), (right, top), (right, bottom), (left, bottom))
    if part.is_blob:
        cut = CORNER
        corners = (
            *((left + cut, top), (right - cut, top), (right, top + cut), (right, bottom - cut)),
            *(
                (right - cut, bottom),
                (left + cut, bottom),
                (left, bottom - cut),
                (left, top + cut),
            ),
        )
    lines = _fonts(part)
    line_y = (top + bottom - sum(size * LINE_HEIGHT for _, size, _ in lines)) / 2
    texts = []
    for line, size, bold in lines:
        texts.append(Text(x + width / 2, line_y + size * LINE_HEIGHT / 2, line, size, bold))
        line_y += size * LINE_HEIGHT
    fill, stroke = tint(part.color, 0.45, 255), tint(part.color, 0.75, 0)
    return Box(part.name, part.is_blob, corners, fill, stroke, tuple(texts))


def _arrow(edge: Edge, route: Sequence[Point], horizontal: bool) -> Arrow:
    """An arrow whose line ends at the base of its head, with the label beside the head."""
    (x, y), start = route[-1], route[0]
    along = x - start[0] if horizontal else y - start[1]
    back, half = (ARROW_LENGTH if along >= 0 else -ARROW_LENGTH), ARROW_WIDTH / 2
    if horizontal:
        foot = (x - back, y)
        sides = ((x - back, y - half), (x - back, y + half))
        aside = text_width(edge.label, LABEL_SIZE) / 2 + ARROW_LENGTH
        beyond = 0.85 * LABEL_SIZE if y > start[1] + 1 else -0.85 * LABEL_SIZE
        middle = (x - math.copysign(aside, along), y + beyond)
    else:
        foot = (x, y - back)
        sides = ((x - half, y - back), (x + half, y - back))
        aside = 5.0 + text_width(edge.label, LABEL_SIZE) / 2
        middle = (x + math.copysign(aside, x - start[0]), y - 1.6 * back)
    label = Text(*middle, edge.label, LABEL_SIZE, color=LINE, outlined=True)
    axis = 0 if horizontal else 1
    points = [p for p in route[:-1] if (foot[axis] - p[axis]) * back >= 0]
    head = ((x, y), *sides)
    return Arrow((*points, foot), head, horizontal, label if edge.label else None)
