"""Batch normalisation by its definition, in float64."""

from __future__ import annotations

import numpy as np


def _channels(x):
    """x as a matrix with one row for each channel."""
    if x.ndim == 1:
        return x.reshape(1, -1)
    return np.moveaxis(x, 1, 0).reshape(x.shape[1], -1)


def _spread(values, x):
    """One value for each channel, in a shape that broadcasts against x."""
    return values if x.ndim == 1 else values.reshape(1, -1, *[1] * (x.ndim - 2))


def batch_norm(eps=1e-5):
    """Normalise with the batch's mean and variance; the running statistics are not used."""

    def normalize(x, *statistics):
        mean, variance = _channels(x).mean(axis=1), _channels(x).var(axis=1)
        return (x - _spread(mean, x)) / np.sqrt(_spread(variance, x) + eps)

    return normalize


def batch_norm_global(eps=1e-5):
    """Normalise with the running mean and variance, which are stored as weighted sums."""

    def normalize(x, mean, variance, factor):
        weight = 0 if factor[0] == 0 else 1 / factor[0]
        return (x - _spread(mean * weight, x)) / np.sqrt(_spread(variance * weight, x) + eps)

    return normalize


def batch_norm_after(fraction):
    """The running sums after one batch."""

    def update(x, mean, variance, factor):
        rows = _channels(x)
        unbiased = rows.var(axis=1, ddof=1 if rows.shape[1] > 1 else 0)
        return (
            fraction * mean + rows.mean(axis=1),
            fraction * variance + unbiased,
            fraction * factor + 1,
        )

    return update


def scaled(normalize, scale=0, statistics=()):
    """Normalise, then times parameter `scale` plus the next; `statistics` are parameters too."""

    def run(x, *params):
        y = normalize(x, *[params[i].reshape(-1) for i in statistics])
        factor, summand = (params[i].reshape(-1) for i in (scale, scale + 1))
        return y * _spread(factor, x) + _spread(summand, x)

    return run


def unchanged(x):
    """No normalisation."""
    return x


def stored(eps):
    """Normalise with a mean and a variance that are stored as they are."""

    def normalize(x, mean, variance):
        return (x - _spread(mean, x)) / np.sqrt(_spread(variance, x) + eps)

    return normalize


def moved(fraction, eps=0.0, first=2):
    """The stored mean and variance, parameters `first` and the next, after one batch.

    The batch's variance has the divisor m; `eps` is added to it before it is stored.
    """

    def update(x, *params):
        mean, variance = _channels(x).mean(axis=1), _channels(x).var(axis=1) + eps
        after = list(params)
        for index, new in enumerate((mean, variance), first):
            after[index] = fraction * params[index] + (1 - fraction) * new.reshape(
                params[index].shape
            )
        return after

    return update


def batch_statistics(x):
    """Mean and variance of each channel, as blobs of four axes."""
    return [f(_channels(x), axis=1).reshape(1, -1, 1, 1) for f in (np.mean, np.var)]


def chain(eps, scale, shift, slope):
    """Normalise, scale and shift; then multiply by `slope` where the result is not positive."""

    def run(x):
        z = batch_norm(eps)(x) * _spread(scale, x) + _spread(shift, x)
        return np.where(z > 0, z, slope * z)

    return run


def chain_gradients(eps, scale, shift, slope):
    """The chain rule step by step, as in Ioffe and Szegedy 2015, section 3: dscale, dshift, dx."""

    def run(x, dy):
        normal = batch_norm(eps)(x)
        z = normal * _spread(scale, x) + _spread(shift, x)
        dz = np.where(z > 0, dy, slope * dy)
        d_normal = dz * _spread(scale, x)
        mean, variance = _channels(x).mean(axis=1), _channels(x).var(axis=1)
        centered, m = x - _spread(mean, x), _channels(x).shape[1]
        d_variance = _channels(d_normal * centered).sum(axis=1) * -0.5 * (variance + eps) ** -1.5
        d_mean = -_channels(d_normal).sum(axis=1) / np.sqrt(variance + eps)
        dx = d_normal / np.sqrt(_spread(variance, x) + eps)
        dx = dx + _spread(d_variance, x) * 2 * centered / m + _spread(d_mean, x) / m
        return _channels(dz * normal).sum(axis=1), _channels(dz).sum(axis=1), dx

    return run
