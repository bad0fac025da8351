from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest

from caffe_lite.training_report import charts
from caffe_lite.training_report.charts import Line, Scale, chart, number_text, ticks
from caffe_lite.training_report.series import Point


def points(*pairs):
    return [Point(x, y, y, y) for x, y in pairs]


def drawn(*lines, **settings):
    """The chart as XML: what a browser would refuse is an error here."""
    return ElementTree.fromstring(chart("A title", lines, **settings))


def places(figure):
    return [
        [tuple(map(float, pair.split(","))) for pair in line.get("points").split()]
        for line in figure.iter("polyline")
        if line.get("points") != "0,5 26,5"
    ]


def test_values_are_at_their_places():
    """Of a linear axis: equal steps are equal distances, upward for larger values."""
    figure = drawn(Line("a", points((0, 10.0), (50, 11.0), (100, 12.0))))
    ((x0, y0), (x1, y1), (x2, y2)) = places(figure)[0]
    assert x1 - x0 == pytest.approx(x2 - x1, abs=0.2)
    assert y0 - y1 == pytest.approx(y1 - y2, abs=0.2)
    assert y0 > y1
    texts = {text.text: float(text.get("y")) for text in figure.iter("text")}
    assert texts["11"] == pytest.approx(y1, abs=0.1)


def test_an_axis_is_logarithmic_for_values_that_are_far_apart():
    figure = drawn(Line("a", points((0, 100.0), (1, 10.0), (2, 1.0))))
    ((_, y0), (_, y1), (_, y2)) = places(figure)[0]
    assert y1 - y0 == pytest.approx(y2 - y1, abs=0.2)
    figure = drawn(Line("a", points((0, 100.0), (1, 10.0), (2, -1.0))))
    ((_, y0), (_, y1), (_, y2)) = places(figure)[0]
    assert y1 - y0 > 2 * (y2 - y1)


@pytest.mark.parametrize(
    ("low", "high", "logarithmic"),
    [(0, 1, False), (0.0123, 0.0129, False), (-7, 3000, False), (1e-6, 1, True), (0.5, 20, True)],
)
def test_ticks_are_round_and_within_the_axis(low, high, logarithmic):
    found = ticks(Scale(low, high, 0, 1, logarithmic))
    assert 2 <= len(found) <= 10
    assert found == sorted(found)
    assert all(low <= value <= high for value in found)
    assert all(
        re.fullmatch(r"-?[125]0*e[+-]\d+|0e\+00|-?\d\.?\d*e[+-]\d+", f"{v:e}") for v in found
    )


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (2500, "2500"),
        (20000, "20k"),
        (-2e4, "-20k"),
        (1.5e6, "1.5M"),
        (3e9, "3G"),
        (0.002, "0.002"),
        (0.00025, "0.00025"),
        (1e-5, "1e-5"),
    ],
)
def test_numbers(value, text):
    assert number_text(value) == text


@pytest.mark.parametrize(("low", "high"), [(0.009978, 0.01), (-123450, -123000), (1e-9, 1.5e-9)])
def test_the_longest_values_fit_beside_the_axis(low, high):
    figure = drawn(Line("rate", points((0, low), (9, high))))
    texts = [each for each in figure.iter("text") if each.get("text-anchor") == "end"]
    assert texts
    for each in texts:
        assert 6.8 * len(each.text) <= float(each.get("x"))  # the width of a digit at 11 px


def test_a_band_lies_within_the_chart():
    figure = drawn(Line("a", [Point(0, 1.0, -50.0, 90.0), Point(1, 2.0, 1.5, 2.5)]))
    (band,) = (each for each in figure.iter("polygon"))
    ys = [float(pair.split(",")[1]) for pair in band.get("points").split()]
    assert charts.TOP <= min(ys) < max(ys) <= charts.HEIGHT - charts.BOTTOM


def test_a_rate_is_drawn_in_steps():
    figure = drawn(Line("rate", points((0, 1.0), (10, 0.5)), in_steps=True))
    (path,) = places(figure)
    assert len(path) == 3
    assert path[1] == (path[2][0], path[0][1])


def test_one_value_none_and_names_of_others():
    assert "No values yet" in chart("A title", [Line("a", [])])
    single = drawn(Line("a", points((7, 3.0))))
    assert len(list(single.iter("circle"))) == 1
    both = drawn(Line("<b> & 'c'", points((0, 1.0))), Line("d", points((0, 2.0))))
    items = ["".join(item.itertext()).strip() for item in both.iter("li")]
    assert items == ["<b> & 'c'", "d"]
    classes = [g.get("class") for g in both.iter("g") if (g.get("class") or "").startswith("line")]
    assert set(classes) == {"line color0", "line color1"}
    assert "<b> & 'c' from 1 to 1 at iteration 0" in both.find("svg/title").text
