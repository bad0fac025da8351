"""How alike two boxes are, and in which direction they become more alike.

A box is (x, y, w, h): its middle, its width and its height.  The measures: IOU, the area of both
over the area of either; GIOU, less the part of the enclosing box that is of neither (Rezatofighi
et al. 2019, arXiv:1902.09630); DIOU, less the distance of the middles over the diagonal of the
enclosing box; CIOU, less a difference of the proportions too (Zheng et al. 2019,
arXiv:1911.08287).
"""

from __future__ import annotations

import math

from caffe_lite.kernels.jit import jit

IOU, GIOU, SQUARES, DIOU, CIOU = range(5)
"""The measures, as the schema numbers them; SQUARES measures as IOU does."""
PROPORTIONS = 4 / math.pi**2


@jit
def intersection(a, b):
    """Width and height of what is in both boxes, negative where they are apart."""
    width = min(a[0] + a[2] / 2, b[0] + b[2] / 2) - max(a[0] - a[2] / 2, b[0] - b[2] / 2)
    height = min(a[1] + a[3] / 2, b[1] + b[3] / 2) - max(a[1] - a[3] / 2, b[1] - b[3] / 2)
    return width, height


@jit
def enclosure(a, b):
    """Width and height of the smallest box around both."""
    width = max(a[0] + a[2] / 2, b[0] + b[2] / 2) - min(a[0] - a[2] / 2, b[0] - b[2] / 2)
    height = max(a[1] + a[3] / 2, b[1] + b[3] / 2) - min(a[1] - a[3] / 2, b[1] - b[3] / 2)
    return width, height


@jit
def distance(a, b):
    """The square of the distance of the middles."""
    return (a[0] - b[0]) ** 2 + (a[1] - b[1]) ** 2


@jit
def proportion_weight(difference, shared):
    """How much the proportions count: more, the better the boxes overlap."""
    return difference / (1 - shared + difference + 0.000001)


@jit
def similarity(measure, a, b):
    """The measure of two boxes; b has an area.  DIOU takes the distance to the power of 0.6."""
    width, height = intersection(a, b)
    both = width * height if width >= 0 and height >= 0 else 0.0
    either = a[2] * a[3] + b[2] * b[3] - both
    shared = both / either
    wide, high = enclosure(a, b)
    if measure == GIOU:
        return shared - (wide * high - either) / (wide * high)
    if measure == DIOU:
        return shared - (distance(a, b) / (wide**2 + high**2)) ** 0.6
    if measure == CIOU:
        difference = PROPORTIONS * (math.atan(b[2] / b[3]) - math.atan(a[2] / a[3])) ** 2
        penalty = proportion_weight(difference, shared) * difference
        return shared - distance(a, b) / (wide**2 + high**2) - penalty
    return shared


@jit
def _edges(a, b):
    """What the edges of `a` bound of the intersection and of the enclosure, as signs.

    Eight numbers: for x and then for y, the lower and the upper edge of the intersection, then
    those of the enclosure; +1 or -1 if the size grows or shrinks as the edge of `a` grows.
    """
    left, right = a[0] - a[2] / 2, a[0] + a[2] / 2
    other_left, other_right = b[0] - b[2] / 2, b[0] + b[2] / 2
    top, bottom = a[1] - a[3] / 2, a[1] + a[3] / 2
    other_top, other_bottom = b[1] - b[3] / 2, b[1] + b[3] / 2
    return (
        -1.0 if left > other_left else 0.0,
        1.0 if right < other_right else 0.0,
        -1.0 if left < other_left else 0.0,
        1.0 if right > other_right else 0.0,
        -1.0 if top > other_top else 0.0,
        1.0 if bottom < other_bottom else 0.0,
        -1.0 if top < other_top else 0.0,
        1.0 if bottom > other_bottom else 0.0,
    )


@jit
def _edge_slope(measure, areas, own, shared, around):
    """The derivative of IOU, or GIOU, along one edge of the first box.

    areas: of both, of either, of the enclosure.  own, shared, around: how fast the edge makes the
    first box, what is in both, and the enclosure larger.
    """
    both, either, enclosing = areas
    union = own - shared
    slope = (either * shared - both * union) / either**2 if either > 0 else 0.0
    if measure == GIOU:
        return slope, (enclosing * union - either * around) / enclosing**2
    return slope, 0.0


@jit
def _area_slopes(measure, a, b, apart):
    """Slopes of IOU or GIOU: for x, y, w and h."""
    width, height = intersection(a, b)
    wide, high = enclosure(a, b)
    both = width * height
    areas = both, a[2] * a[3] + b[2] * b[3] - both, wide * high
    s = _edges(a, b)
    left = _edge_slope(measure, areas, -a[3], s[0] * height, s[2] * high)
    right = _edge_slope(measure, areas, a[3], s[1] * height, s[3] * high)
    top = _edge_slope(measure, areas, -a[2], s[4] * width, s[6] * wide)
    bottom = _edge_slope(measure, areas, a[2], s[5] * width, s[7] * wide)
    keep = 0.0 if apart and measure == GIOU else 1.0
    x0, x1 = keep * left[0] + left[1], keep * right[0] + right[1]
    y0, y1 = keep * top[0] + top[1], keep * bottom[0] + bottom[1]
    return x0 + x1, y0 + y1, x1 - x0, y1 - y0


@jit
def _distance_slopes(measure, a, b):
    """What DIOU and CIOU add to the slopes of IOU."""
    wide, high = enclosure(a, b)
    s = _edges(a, b)
    square, apart = wide**2 + high**2, distance(a, b)
    x = (2 * (b[0] - a[0]) * square - 2 * wide * (s[2] + s[3]) * apart) / square**2
    y = (2 * (b[1] - a[1]) * square - 2 * high * (s[6] + s[7]) * apart) / square**2
    w = wide * (s[3] - s[2]) * apart / square**2
    h = high * (s[7] - s[6]) * apart / square**2
    if measure == CIOU:
        width, height = intersection(a, b)
        both = width * height
        turn = math.atan(b[2] / b[3]) - math.atan(a[2] / a[3])
        shared = both / (a[2] * a[3] + b[2] * b[3] - both)
        weight = proportion_weight(PROPORTIONS * turn**2, shared)
        w += weight * 2 * PROPORTIONS * turn * a[3]
        h -= weight * 2 * PROPORTIONS * turn * a[2]
    return x, y, w, h


@jit
def ascent(measure, a, b):
    """The direction (x, y, w, h) in which `a` becomes more like `b`: MobileNet-YOLO's slopes.

    They are not all derivatives of the measure: for the sizes of IOU and GIOU they are twice as
    large, DIOU and CIOU take a distance to the power of 1 and move the middles as if the
    enclosing box shrank where it grows.  Boxes that are apart have for both negative sizes, whose
    product is taken for an area.  Where they are, DIOU and CIOU leave the slopes of IOU out.
    """
    width, height = intersection(a, b)
    apart = width <= 0 or height <= 0
    slopes = _area_slopes(measure, a, b, apart)
    if measure != DIOU and measure != CIOU:
        return slopes
    more = _distance_slopes(measure, a, b)
    keep = 0.0 if apart else 1.0
    return (
        keep * slopes[0] + more[0],
        keep * slopes[1] + more[1],
        keep * slopes[2] + more[2],
        keep * slopes[3] + more[3],
    )
