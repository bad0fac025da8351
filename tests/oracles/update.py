"""The update rules by the definitions in their papers, or in Caffe where it differs, in float64.

Every function gets weights, gradients and history arrays and returns the new weights and the new
history arrays; none changes its arguments.
"""

from __future__ import annotations

import math


def regularise(w, g, l2=0.0, l1=0.0):
    """The gradient of loss + l2/2 |w|^2 + l1 |w|_1, where the slope of |w| at 0 is 0."""
    return [
        gi + l2 * wi + l1 * (0.0 if wi == 0 else math.copysign(1.0, wi))
        for wi, gi in zip(w, g, strict=True)
    ]


def sgd(w, g, h, rate, momentum):
    """Polyak's momentum: a step includes a multiple of the last step."""
    h = [momentum * hi + rate * gi for hi, gi in zip(h, g, strict=True)]
    return [wi - hi for wi, hi in zip(w, h, strict=True)], [h]


def nesterov(w, g, h, rate, momentum):
    """Undo the last look-ahead, take the momentum step, and look ahead again."""
    out, velocity = [], []
    for wi, gi, hi in zip(w, g, h, strict=True):
        undone = wi + momentum * hi
        v = momentum * hi + rate * gi
        out.append(undone - v - momentum * v)
        velocity.append(v)
    return out, [velocity]


def adagrad(w, g, h, rate, delta):
    """The rate of each weight falls with the root of the sum of its squared gradients."""
    h = [hi + gi**2 for hi, gi in zip(h, g, strict=True)]
    w = [wi - rate * gi / (math.sqrt(hi) + delta) for wi, gi, hi in zip(w, g, h, strict=True)]
    return w, [h]


def rmsprop(w, g, h, rate, decay, delta):
    """AdaGrad with a moving average instead of the sum."""
    h = [decay * hi + (1 - decay) * gi**2 for hi, gi in zip(h, g, strict=True)]
    w = [wi - rate * gi / (math.sqrt(hi) + delta) for wi, gi, hi in zip(w, g, h, strict=True)]
    return w, [h]


def adadelta(w, g, h, u, rate, momentum, delta):
    """Steps in the units of the weights: the RMS of past steps over the RMS of gradients."""
    out, squares, moves = [], [], []
    for wi, gi, hi, ui in zip(w, g, h, u, strict=True):
        hi = momentum * hi + (1 - momentum) * gi**2
        move = math.sqrt(ui + delta) / math.sqrt(hi + delta) * gi
        out.append(wi - rate * move)
        squares.append(hi)
        moves.append(momentum * ui + (1 - momentum) * move**2)
    return out, [squares, moves]


def adam(w, g, m, v, alpha, beta1, beta2, delta, t):
    """Adam at step t >= 1, with delta added to the uncorrected root, as in Caffe."""
    correction = math.sqrt(1 - beta2**t) / (1 - beta1**t)
    m = [beta1 * mi + (1 - beta1) * gi for mi, gi in zip(m, g, strict=True)]
    v = [beta2 * vi + (1 - beta2) * gi**2 for vi, gi in zip(v, g, strict=True)]
    w = [
        wi - alpha * correction * mi / (math.sqrt(vi) + delta)
        for wi, mi, vi in zip(w, m, v, strict=True)
    ]
    return w, [m, v]


def sum_of_squares(x):
    """The sum of squares, exactly rounded."""
    return math.fsum(float(xi) ** 2 for xi in x)
