"""A dense block by its definition (Huang et al. 2017, arXiv:1608.06993), in plain loops."""

from __future__ import annotations

import numpy as np

EPSILON = 1e-5


def normalize(x, scale, shift, mean, variance):
    """Each channel by a mean and a variance, then scaled, shifted and cut off at 0."""
    z = np.zeros(x.shape)
    for c in range(x.shape[1]):
        factor = scale[0, c, 0, 0] / np.sqrt(variance[c] + EPSILON)
        z[:, c] = np.maximum((x[:, c] - mean[c]) * factor + shift[0, c, 0, 0], 0)
    return z


def batch_statistics(x):
    planes = [x[:, c] for c in range(x.shape[1])]
    mean = [plane.sum() / plane.size for plane in planes]
    return mean, [((p - m) ** 2).sum() / p.size for p, m in zip(planes, mean)]


def convolve(x, w):
    """As in mathematics: the filter runs backwards.  Zeros around keep the size."""
    n, _, height, width = x.shape
    outputs, inputs, side, _ = w.shape
    y = np.zeros((n, outputs, height, width))
    for o, c, i, j in np.ndindex(outputs, inputs, side, side):
        for h, v in np.ndindex(height, width):
            row, column = h + side // 2 - i, v + side // 2 - j
            if 0 <= row < height and 0 <= column < width:
                y[:, o, h, v] += w[o, c, i, j] * x[:, c, row, column]
    return y


def block(count, bottleneck=False, training=True, fraction=0.1, unbiased=True):
    """The top, and the parameters after it.  fraction: the batch's share of what is stored."""

    def stage(x, params, first, filters, transition, after):
        scale, shift, mean, variance = (params[(first + k) * count + transition] for k in range(4))
        if training:
            used = batch_statistics(x)
            m = x.size // x.shape[1]
            corrected = [v * (m / (m - 1) if unbiased else 1) for v in used[1]]
            for k, batch in ((2, used[0]), (3, corrected)):
                index = (first + k) * count + transition
                batch = np.reshape(batch, params[index].shape)
                after[index] = (1 - fraction) * params[index] + fraction * batch
        else:
            used = mean.reshape(-1), variance.reshape(-1)
        return convolve(normalize(x, scale, shift, *used), params[filters * count + transition])

    def run(x, *params):
        after = list(params)
        for transition in range(count):
            if bottleneck:
                new = stage(x, params, 1, 5, transition, after)
                new = stage(new, params, 6, 0, transition, after)
            else:
                new = stage(x, params, 1, 0, transition, after)
            x = np.concatenate([x, new], axis=1)
        return x, after

    return run
