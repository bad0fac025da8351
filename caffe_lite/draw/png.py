"""Output of a picture as PNG, drawn with Pillow."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from functools import cache
from typing import Any

from caffe_lite.draw.layout import Point
from caffe_lite.draw.picture import LINE, Arrow, Box, Picture, Text

SCALE = 2.0
"""Pixels per unit of a picture, unless the image would be too large."""
LARGEST_SIDE, LARGEST_AREA = 16000, 40e6
"""The size in pixels that most programs can show; a larger picture has one pixel per unit."""
OVERSAMPLING = 2
BAND = 1024
"""Rows drawn at a time, as a whole oversampled picture of a deep net may not fit in memory."""
CURVE_PIECES = 16


def to_png(picture: Picture) -> bytes:
    """The content of the PNG file."""
    from PIL import Image

    scale = _scale(picture.width, picture.height)
    width, height = round(scale * picture.width), round(scale * picture.height)
    image = Image.new("RGB", (width, height), "white")
    for top in range(0, height, BAND):
        rows = min(BAND, height - top)
        large = Image.new("RGB", (OVERSAMPLING * width, OVERSAMPLING * rows), "white")
        _Band(large, OVERSAMPLING * scale, top / scale, rows / scale).draw(picture)
        image.paste(large.resize((width, rows), Image.Resampling.BOX), (0, top))
    content = io.BytesIO()
    image.save(content, "PNG")
    return content.getvalue()


def _scale(width: float, height: float) -> float:
    """Pixels per unit of a picture of this size."""
    for_side, for_area = (
        LARGEST_SIDE / max(width, height),
        math.sqrt(LARGEST_AREA / width / height),
    )
    return max(1.0, min(SCALE, for_side, for_area))


class _Band:
    """Draws the rows `top` to `top + height` of a picture, in the picture's units."""

    def __init__(self, image: Any, scale: float, top: float, height: float) -> None:
        from PIL import ImageDraw

        self._pen = ImageDraw.Draw(image)
        self._scale = scale
        self._top, self._bottom = top, top + height

    def draw(self, picture: Picture) -> None:
        for arrow in picture.arrows:
            if self._overlaps(arrow.points):
                self._arrow(arrow)
        for box in picture.boxes:
            if self._overlaps(box.corners):
                self._box(box)
        for arrow in picture.arrows:
            if arrow.label and self._overlaps([(arrow.label.x, arrow.label.y)]):
                self._text(arrow.label)

    def _overlaps(self, points: Sequence[Point]) -> bool:
        reach = 20.0  # more than half a line of text or an arrow head
        ys = [y for _, y in points]
        return min(ys) - reach <= self._bottom and max(ys) + reach >= self._top

    def _pixels(self, points: Sequence[Point]) -> list[Point]:
        return [(self._scale * x, self._scale * (y - self._top)) for x, y in points]

    def _arrow(self, arrow: Arrow) -> None:
        width = max(1, round(1.3 * self._scale))
        self._pen.line(self._pixels(_curve(arrow)), LINE, width, joint="curve")
        self._pen.polygon(self._pixels(arrow.head), LINE)

    def _box(self, box: Box) -> None:
        corners = self._pixels(box.corners)
        self._pen.polygon(corners, box.fill)
        width = max(1, round(self._scale))
        self._pen.line([*corners, *corners[:2]], box.stroke, width, joint="curve")
        for text in box.texts:
            self._text(text)

    def _text(self, text: Text) -> None:
        ((x, y),) = self._pixels([(text.x, text.y)])
        font = _font(round(self._scale * text.size))
        rim = round(1.5 * self._scale) if text.outlined else 0
        if text.bold:  # Pillow's default font has no bold face
            rim = max(1, round(self._scale / 5))
        rim_color = "#FFFFFF" if text.outlined else text.color
        line = " ".join(text.text.splitlines())
        self._pen.text(
            (x, y), line, text.color, font, anchor="mm", stroke_width=rim, stroke_fill=rim_color
        )


@cache
def _font(size: int) -> Any:
    from PIL import ImageFont

    return ImageFont.load_default(size)


def _curve(arrow: Arrow) -> list[Point]:
    """The points of a line, including points on its curves, which are those of `svg`."""
    line = [arrow.points[0]]
    for x1, y1 in arrow.points[1:]:
        x0, y0 = line[-1]
        straight = y1 == y0 if arrow.horizontal else x1 == x0
        for piece in range(1, 1 if straight else CURVE_PIECES):
            t = piece / CURVE_PIECES
            along = 1.5 * t * (1 - t) + t**3  # a Bézier curve with both control points halfway
            aside = (3 - 2 * t) * t * t
            u, v = (along, aside) if arrow.horizontal else (aside, along)
            line.append((x0 + u * (x1 - x0), y0 + v * (y1 - y0)))
        line.append((x1, y1))
    return line
