"""Activations of pieces: ReLU6, NegReLU, HardSigmoid, HardSwish.

x and y are arrays of one shape.  A forward may be given one array as both x and y, a backward one
array as both dy and dx.  NaN stays NaN.
"""

from __future__ import annotations

from caffe_lite.kernels.parallel import elementwise


@elementwise
def relu6_forward(x, negative_slope, y):
    """y = min(max(x, 0) + negative_slope * min(x, 0), 6)."""
    zero, six = x.dtype.type(0), x.dtype.type(6)
    slope = x.dtype.type(negative_slope)
    for i in range(x.size):
        y[i] = min(max(x[i], zero) + slope * min(x[i], zero), six)


@elementwise
def relu6_backward(v, dy, negative_slope, dx):
    """dx = dy where 0 < v < 6, negative_slope * dy where v <= 0, 0 where v >= 6.

    v: x; or y, if the slope is not negative.
    """
    zero, six = v.dtype.type(0), v.dtype.type(6)
    slope = v.dtype.type(negative_slope)
    for i in range(v.size):
        passed = dy[i] if v[i] > zero else slope * dy[i]
        dx[i] = passed if v[i] < six else zero


@elementwise
def neg_relu_forward(x, negative_slope, y):
    """y = min(x, 0) + negative_slope * max(x, 0)."""
    zero = x.dtype.type(0)
    slope = x.dtype.type(negative_slope)
    for i in range(x.size):
        y[i] = min(x[i], zero) + slope * max(x[i], zero)


@elementwise
def neg_relu_backward(v, dy, negative_slope, dx):
    """dx = dy where v < 0, negative_slope * dy elsewhere.  v as in `relu6_backward`."""
    slope = v.dtype.type(negative_slope)
    for i in range(v.size):
        dx[i] = dy[i] if v[i] < 0 else slope * dy[i]


@elementwise
def hard_sigmoid_forward(x, y):
    """y = 0.2 x + 0.5, but not below 0 nor above 1."""
    zero, one = x.dtype.type(0), x.dtype.type(1)
    slope, half = x.dtype.type(0.2), x.dtype.type(0.5)
    for i in range(x.size):
        y[i] = min(max(x[i] * slope + half, zero), one)


@elementwise
def hard_sigmoid_backward(y, dy, dx):
    """dx = 0.2 dy where 0 < y < 1, 0 elsewhere."""
    zero, one, slope = y.dtype.type(0), y.dtype.type(1), y.dtype.type(0.2)
    for i in range(y.size):
        dx[i] = dy[i] * slope if zero < y[i] < one else zero


@elementwise
def hard_swish_forward(x, y):
    """y = x min(max(x + 3, 0), 6) / 6."""
    zero, three, six = x.dtype.type(0), x.dtype.type(3), x.dtype.type(6)
    for i in range(x.size):
        y[i] = x[i] * min(max(x[i] + three, zero), six) / six


@elementwise
def hard_swish_backward(x, dy, dx):
    """dx = 0 where x <= -3, dy where x >= 3, dy (2 x + 3) / 6 between."""
    zero, three, six = x.dtype.type(0), x.dtype.type(3), x.dtype.type(6)
    for i in range(x.size):
        if x[i] <= -three:
            dx[i] = zero
        elif x[i] >= three:
            dx[i] = dy[i]
        else:
            dx[i] = dy[i] * (x[i] + x[i] + three) / six
