"""Pooling of regions by its definition, bin by bin, in float64."""

from __future__ import annotations

import math

import numpy as np


def nearest(v):
    """The nearest whole number, halves away from zero."""
    return math.floor(v + 0.5) if v >= 0 else -math.floor(-v + 0.5)


def regions(scale, out_h, out_w, around=0):
    """Fast R-CNN's region pooling: the maximum of each bin, 0 for an empty one.

    around: how much larger a region becomes on each side, as a part of its size.
    """

    def bounds(first, last, bins, size):
        length = max(last - first + 1, 1)
        for b in range(bins):
            start = first + math.floor(b * length / bins)
            stop = first + math.ceil((b + 1) * length / bins)
            yield min(max(start, 0), size), min(max(stop, 0), size)

    def pool(x, rois):
        y = np.zeros((len(rois), x.shape[1], out_h, out_w))
        for r, (item, *corners) in enumerate(rois):
            left, top, right, bottom = corners
            wide, tall = around * (right - left + 1), around * (bottom - top + 1)
            corners = left - wide, top - tall, right + wide, bottom + tall
            left, top, right, bottom = (nearest(v * scale) for v in corners)
            for i, (h0, h1) in enumerate(bounds(top, bottom, out_h, x.shape[2])):
                for j, (w0, w1) in enumerate(bounds(left, right, out_w, x.shape[3])):
                    for c in range(x.shape[1]):
                        bin_ = x[int(item), c, h0:h1, w0:w1]
                        y[r, c, i, j] = bin_.max() if bin_.size else 0
        return y

    return pool


def means(scale, channels, bins):
    """R-FCN's pooling: the mean of each bin in a plane of its own, 0 for an empty one."""

    def bounds(first, last, size):
        start = nearest(first) * scale
        length = max((nearest(last) + 1) * scale - start, 0.1)
        for b in range(bins):
            low = math.floor(start + b * length / bins)
            high = math.ceil(start + (b + 1) * length / bins)
            yield range(min(max(low, 0), size), min(max(high, 0), size))

    def pool(x, rois):
        rois = rois.reshape(-1, 5)
        y = np.zeros((len(rois), channels, bins, bins))
        for r, (item, left, top, right, bottom) in enumerate(rois):
            for d in range(channels):
                plane = d * bins * bins
                for i, rows in enumerate(bounds(top, bottom, x.shape[2])):
                    for j, columns in enumerate(bounds(left, right, x.shape[3])):
                        values = [x[int(item), plane, h, w] for h in rows for w in columns]
                        y[r, d, i, j] = sum(values) / len(values) if values else 0
                        plane += 1
        return y

    return pool


def points(scale, out_h, out_w, around=0):
    """MS-CNN's ROIAlign: the values at the corners of the bins, linear between pixels."""

    def value(plane, at):
        if any(v < -0.5 or v > n - 0.5 for v, n in zip(at, plane.shape)):
            return 0.0
        at = [min(max(v, 0), n - 1) for v, n in zip(at, plane.shape)]
        return sum(
            plane[h, w] * max(0, 1 - abs(at[0] - h)) * max(0, 1 - abs(at[1] - w))
            for h, w in np.ndindex(plane.shape)
        )

    def align(x, rois):
        y = np.zeros((len(rois), x.shape[1], out_h + 1, out_w + 1))
        for r, (item, left, top, right, bottom) in enumerate(rois):
            wide, tall = around * (right - left + 1), around * (bottom - top + 1)
            left, right = (left - wide) * scale - 0.5, (right + wide) * scale - 0.5
            top, bottom = (top - tall) * scale - 0.5, (bottom + tall) * scale - 0.5
            if right <= left or bottom <= top:
                continue
            for c, i, j in np.ndindex(y.shape[1:]):
                h = top + i * (bottom - top) / out_h
                w = left + j * (right - left) / out_w
                y[r, c, i, j] = value(x[int(item), c], (h, w))
        return y

    return align


def middles(scale, out_h, out_w):
    """AffordanceNet's ROIAlignment: the values in the middle of the bins, cut to the plane."""

    def middle(first, last, b, bins, size):
        length = max(last - first + 1, 1)
        ends = [first + (b + k) * length / bins for k in (0, 1)]
        return sum(min(max(end, 0), size - 1) for end in ends) / 2

    def align(x, rois):
        y = np.zeros((len(rois), x.shape[1], out_h, out_w))
        for r, (item, *corners) in enumerate(rois):
            x1, y1, x2, y2 = (scale * v for v in corners)
            for i, j in np.ndindex(out_h, out_w):
                row = middle(y1, y2, i, out_h, x.shape[2])
                column = middle(x1, x2, j, out_w, x.shape[3])
                for h, w in np.ndindex(*x.shape[2:]):
                    share = max(0, 1 - abs(row - h)) * max(0, 1 - abs(column - w))
                    y[r, :, i, j] += share * x[int(item), :, h, w]
        return y

    return align
