"""Output of a picture as SVG."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from xml.sax.saxutils import escape, quoteattr

from caffe_lite.draw.layout import Point
from caffe_lite.draw.picture import LINE, Arrow, Box, Picture, Text

_FONT = "Helvetica, Arial, 'Liberation Sans', 'DejaVu Sans', sans-serif"


def to_svg(picture: Picture) -> bytes:
    """The content of the SVG file, in UTF-8."""
    width, height = (f"{size:.0f}" for size in (picture.width, picture.height))
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}" font-family={quoteattr(_FONT)} text-anchor="middle">',
        f"<title>{escape(_printable(picture.title))}</title>",
        '<rect width="100%" height="100%" fill="#FFFFFF"/>',
        *(line for arrow in picture.arrows for line in _arrow(arrow)),
        *(line for box in picture.boxes for line in _box(box)),
        *(_text(arrow.label) for arrow in picture.arrows if arrow.label),
        "</svg>",
    ]
    return ("\n".join(lines) + "\n").encode()


def _arrow(arrow: Arrow) -> Iterator[str]:
    yield (
        f'<path class="edge" d="{_path(arrow)}" fill="none" stroke="{LINE}" '
        'stroke-width="1.3" stroke-linejoin="round"/>'
    )
    yield f'<polygon points="{_points(arrow.head)}" fill="{LINE}"/>'


def _path(arrow: Arrow) -> str:
    """A path that is straight along the direction of the net, and curved where it moves aside."""
    x0, y0 = arrow.points[0]
    steps = [f"M{x0:.1f},{y0:.1f}"]
    for x, y in arrow.points[1:]:
        if (y == y0) if arrow.horizontal else (x == x0):
            steps.append(f"L{x:.1f},{y:.1f}")
        elif arrow.horizontal:
            middle = (x0 + x) / 2
            steps.append(f"C{middle:.1f},{y0:.1f} {middle:.1f},{y:.1f} {x:.1f},{y:.1f}")
        else:
            middle = (y0 + y) / 2
            steps.append(f"C{x0:.1f},{middle:.1f} {x:.1f},{middle:.1f} {x:.1f},{y:.1f}")
        x0, y0 = x, y
    return " ".join(steps)


def _box(box: Box) -> Iterator[str]:
    yield f'<g class="{"blob" if box.is_blob else "layer"}">'
    yield f"<title>{escape(_printable(box.title))}</title>"
    yield (
        f'<polygon points="{_points(box.corners)}" fill="{box.fill}" stroke="{box.stroke}" '
        'stroke-linejoin="round"/>'
    )
    for text in box.texts:
        yield _text(text)
    yield "</g>"


def _text(text: Text) -> str:
    weight = ' font-weight="bold"' if text.bold else ""
    position = f'x="{text.x:.1f}" y="{text.y + 0.35 * text.size:.1f}" font-size="{text.size:g}"'
    content = escape(_printable(text.text))
    letters = f'<text {position} fill="{text.color}"{weight}>{content}</text>'
    if not text.outlined:
        return letters
    stroke = 'stroke="#FFFFFF" stroke-width="3" aria-hidden="true"'
    return f"<text {position} {stroke}>{content}</text>{letters}"


def _points(points: Sequence[Point]) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in points)


def _printable(text: str) -> str:
    """The text, with the characters that XML does not allow replaced."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)
