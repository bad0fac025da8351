"""Line charts as SVG within HTML; their colours are the page's."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import chain, pairwise
from typing import NamedTuple

from caffe_lite.markup import Markup, element, join
from caffe_lite.training_report.series import Point

WIDTH, HEIGHT = 400.0, 220.0
"""Units of a chart: about the pixels that it has on a telephone and on a desk."""
LEFT, RIGHT, TOP, BOTTOM = 68.0, 18.0, 10.0, 34.0
TICKS = 5
LOGARITHMIC_FROM = 30.0
"""An axis is logarithmic from this ratio of the largest to the smallest value on."""
DOTS = 40
"""A line of no more points shows each as a dot."""


class Line(NamedTuple):
    """One line of a chart."""

    name: str
    points: Sequence[Point]
    in_steps: bool = False
    """Whether a value holds until the next one."""


class Scale(NamedTuple):
    """Maps values of an axis to units of the chart."""

    low: float
    high: float
    start: float
    end: float
    is_logarithmic: bool = False

    def __call__(self, value: float) -> float:
        """The place of a value."""
        low, high = self.low, self.high
        if self.is_logarithmic:
            value, low, high = (math.log10(max(each, 1e-300)) for each in (value, low, high))
        return self.start + (value - low) / (high - low) * (self.end - self.start)


def chart(title: str, lines: Sequence[Line], unit: str = "", from_zero: bool = False) -> Markup:
    """A figure with a title, the lines over iterations and, for several, their names.

    Values are in `unit`, which the title shows.  Their axis begins at 0 if `from_zero`, and where
    it is near.  Without any point, the figure says that there is none.
    """
    heading = element("figcaption", title, element("span", f" ({unit})") if unit else None)
    shown = [line for line in lines if line.points]
    if not shown:
        return element("figure", heading, element("p", "No values yet.", class_="none"))
    x, y = _x_scale(shown), _y_scale(shown, from_zero)
    drawing = element(
        "svg",
        element("title", f"{title}: {_described(shown)}"),
        _grid(x, y),
        *(_line(line, number, x, y) for number, line in enumerate(shown)),
        viewBox=f"0 0 {WIDTH:g} {HEIGHT:g}",
        role="img",
        class_="chart",
    )
    return element("figure", heading, drawing, _legend(shown) if len(shown) > 1 else None)


def _described(lines: Sequence[Line]) -> str:
    """The lines in words, for those who do not see them."""
    return "; ".join(
        f"{line.name} from {line.points[0].y:.4g} to {line.points[-1].y:.4g} at iteration "
        f"{line.points[-1].x:.0f}"
        for line in lines
    )


def _x_scale(lines: Sequence[Line]) -> Scale:
    low = min(line.points[0].x for line in lines)
    high = max(line.points[-1].x for line in lines)
    return Scale(low, high if high > low else low + 1, LEFT, WIDTH - RIGHT)


def _y_scale(lines: Sequence[Line], from_zero: bool) -> Scale:
    values = [point.y for line in lines for point in line.points]
    low, high = min(values), max(values)
    bottom, top = HEIGHT - BOTTOM, TOP
    if low > 0 and high >= LOGARITHMIC_FROM * low and not from_zero:
        return Scale(low / 1.15, high * 1.15, bottom, top, is_logarithmic=True)
    if high == low:
        margin = abs(high) / 10 or 1.0
    else:
        margin = 0.06 * (high - low)
    lowest = low - margin
    if low >= 0 and (from_zero or low < 0.35 * high):
        lowest = 0.0
    return Scale(lowest, high + margin, bottom, top)


def ticks(scale: Scale, count: int = TICKS) -> list[float]:
    """Round values on an axis, about `count`: 1, 2 or 5 times powers of ten."""
    if scale.is_logarithmic:
        first, last = math.floor(math.log10(scale.low)), math.ceil(math.log10(scale.high))
        steps = (1, 2, 5) if last - first <= 2 else (1,)
        every = max(1, (last - first) // count)
        powers = range(first, last + 1, every)
        values = [step * 10.0**power for power in powers for step in steps]
    else:
        rough = (scale.high - scale.low) / count
        power = 10.0 ** math.floor(math.log10(rough))
        step = next(each * power for each in (1, 2, 5, 10) if each * power >= rough * 0.999)
        begin, end = math.ceil(scale.low / step - 1e-9), math.floor(scale.high / step + 1e-9)
        values = [number * step for number in range(begin, end + 1)]
    return [value for value in values if scale.low * (1 - 1e-9) <= value <= scale.high * 1.000001]


def number_text(value: float) -> str:
    """A tick's value, short: 20k, 1.5M, 0.002, 1e-5."""
    size = abs(value)
    for limit, sign in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if size >= limit:
            return f"{value / (1e3 if sign == 'k' else limit):.4g}{sign}"
    if size and size < 1e-3:
        mantissa, _, power = f"{value:.2g}".partition("e")
        return f"{mantissa}e{int(power)}" if power else mantissa
    return f"{value:.6g}"


def _grid(x: Scale, y: Scale) -> Markup:
    def rows() -> Iterator[Markup]:
        for value in ticks(y):
            at = f"{y(value):.1f}"
            yield element("line", x1=LEFT, x2=WIDTH - RIGHT, y1=at, y2=at)
            yield element(
                "text", number_text(value), x=LEFT - 7, y=at, dy="0.35em", text_anchor="end"
            )
        for value in ticks(x):
            if value != round(value):
                continue
            at = f"{x(value):.1f}"
            yield element("line", x1=at, x2=at, y1=HEIGHT - BOTTOM, y2=HEIGHT - BOTTOM + 4)
            yield element(
                "text", number_text(value), x=at, y=HEIGHT - BOTTOM + 17, text_anchor="middle"
            )

    axis = element(
        "text", "iteration", x=(LEFT + WIDTH - RIGHT) / 2, y=HEIGHT - 3, text_anchor="middle"
    )
    return element("g", *rows(), axis, class_="grid")


def _line(line: Line, number: int, x: Scale, y: Scale) -> Markup:
    places = [(x(point.x), y(point.y)) for point in line.points]
    if line.in_steps:
        corners = [(x1, y0) for (_, y0), (x1, _) in pairwise(places)]
        path = [places[0], *chain.from_iterable(zip(corners, places[1:], strict=True))]
    else:
        path = places
    dots = len(places) <= DOTS and not line.in_steps
    return element(
        "g",
        _band(line, x, y),
        element("polyline", points=_points(path)),
        *(
            element("circle", cx=f"{a:.1f}", cy=f"{b:.1f}", r=2.5)
            for a, b in (places if dots or len(places) == 1 else ())
        ),
        class_=f"line color{number % COLORS}",
    )


COLORS = 6
"""The number of the page's colours for lines, each with its own dashes."""


def _band(line: Line, x: Scale, y: Scale) -> Markup | None:
    """Between the smallest and the largest values, as far as the chart shows them."""
    if all(point.low == point.high for point in line.points):
        return None
    upper = [(x(p.x), max(TOP, min(HEIGHT - BOTTOM, y(p.high)))) for p in line.points]
    lower = [(x(p.x), max(TOP, min(HEIGHT - BOTTOM, y(p.low)))) for p in line.points]
    return element("polygon", points=_points([*upper, *reversed(lower)]), class_="band")


def _points(places: Sequence[tuple[float, float]]) -> str:
    return " ".join(f"{a:.1f},{b:.1f}" for a, b in places)


def _legend(lines: Sequence[Line]) -> Markup:
    items = []
    for number, line in enumerate(lines):
        sample = element(
            "svg",
            element(
                "g",
                element("polyline", points="0,5 26,5"),
                class_=f"line color{number % COLORS}",
            ),
            viewBox="0 0 26 10",
            width=26,
            height=10,
            aria_hidden="true",
        )
        items.append(element("li", sample, " ", line.name))
    return element("ul", join(*items), class_="legend")
