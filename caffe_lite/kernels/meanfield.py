"""Gaussian filters of many dimensions on a permutohedral lattice (Adams, Baek and Davis 2010).

Points with features of D dimensions are put into a lattice of simplices of D + 1 vertices.  To
filter is to *splat* each point's numbers onto the vertices around it, to *blur* along each of the
D + 1 directions of the lattice, and to *slice*: to take them back from the vertices.

P points, M vertices, C numbers a point.  A vertex is known by its *key*, the first D of its D + 1
whole coordinates, whose sum is 0.  x, y: (P, C).
"""

from __future__ import annotations

from math import sqrt
from typing import Any, NamedTuple

import numpy as np

from caffe_lite.kernels.jit import jit
from caffe_lite.kernels.parallel import launch, parallel


class Lattice(NamedTuple):
    """Points and their vertices."""

    vertex: Any
    """(P, D + 1): the vertices around each point."""
    share: Any
    """(P, D + 1): how much of it each of them gets."""
    neighbors: Any
    """(D + 1, M, 2): the next vertex of each, both ways along each direction; M for none."""
    start: Any
    """(M + 1,): vertex v has the entries start[v] to start[v + 1] of the next two."""
    point: Any
    """(P (D + 1),): the points around each vertex."""
    weight: Any
    """(P (D + 1),): their shares."""


# -- points in the lattice ---------------------------------------------------------------------


@jit
def _elevate(feature, elevated):
    """Put a feature onto the plane of D + 1 dimensions whose coordinates add up to 0."""
    d = feature.size
    wide = sqrt(2 / 3) * (d + 1)  # the deviation of the blur, in steps of the lattice
    total = feature[0] - feature[0]
    for i in range(d, 0, -1):
        step = feature[i - 1] * feature.dtype.type(wide / sqrt(i * (i + 1)))
        elevated[i] = total - i * step
        total += step
    elevated[0] = total


@jit
def _surround(elevated, base, rank):
    """The simplex of a point: its vertex of remainder 0, and the order of what is left over it."""
    size = elevated.size
    total = 0
    for i in range(size):
        below = np.floor(elevated[i] / size) * size
        above = np.ceil(elevated[i] / size) * size
        base[i] = int(above) if above - elevated[i] < elevated[i] - below else int(below)
        total += base[i] // size
        rank[i] = 0
    for i in range(size):
        for j in range(i + 1, size):
            if elevated[i] - base[i] < elevated[j] - base[j]:
                rank[i] += 1
            else:
                rank[j] += 1
    for i in range(size):  # back onto the plane
        rank[i] += total
        if rank[i] < 0:
            rank[i] += size
            base[i] += size
        elif rank[i] >= size:
            rank[i] -= size
            base[i] -= size


@parallel
def _embed(first, last, features, keys, share):
    size = features.shape[1] + 1
    elevated, parts = np.empty(size, features.dtype), np.empty(size + 1, features.dtype)
    base, rank = np.empty(size, np.int64), np.empty(size, np.int64)
    for p in range(first, last):
        _elevate(features[p], elevated)
        _surround(elevated, base, rank)
        parts[:] = 0
        for i in range(size):
            part = (elevated[i] - base[i]) / size
            parts[size - 1 - rank[i]] += part
            parts[size - rank[i]] -= part
        parts[0] += 1 + parts[size]
        for remainder in range(size):
            share[p, remainder] = parts[remainder]
            for i in range(size - 1):
                around = size if rank[i] > size - 1 - remainder else 0
                keys[p, remainder, i] = base[i] + remainder - around


def embed(features, keys, share):
    """The keys of the vertices around each point, and the shares that they get.

    features: (P, D), in units of the filter's deviation.  keys: (P, D + 1, D) whole numbers.
    share: (P, D + 1), which add up to 1.
    """
    launch(_embed, len(features), features.size * features.shape[1], features, keys, share)


# -- vertices ----------------------------------------------------------------------------------


@jit
def _slot(key, keys, own, table):
    """Where a key is in the table, or would be."""
    mask = table.size - 1
    mixed = 0
    for i in range(key.size):
        mixed = (mixed * 1000003 + int(key[i])) & 0x7FFFFFFF
    at = (mixed ^ (mixed >> 15)) & mask
    while table[at] >= 0:
        other = keys[own[table[at]]]
        same = True
        for i in range(key.size):
            same = same and other[i] == key[i]
        if same:
            break
        at = (at + 1) & mask
    return at


@jit
def number_vertices(keys, table, own, vertex):
    """Give equal keys one number, from 0 on; the count of numbers given.

    keys: (K, D).  table: (a power of 2 greater than K,), all -1: becomes the number of the key in
    each slot.  own: (K,), whose first entries say which key each number is of.  vertex: (K,).
    """
    count = 0
    for k in range(len(keys)):
        at = _slot(keys[k], keys, own, table)
        if table[at] < 0:
            table[at] = count
            own[count] = k
            count += 1
        vertex[k] = table[at]
    return count


@parallel
def _neighbors(first, last, keys, own, table, neighbors):
    d = keys.shape[1]
    key = np.empty(d, np.int64)
    for v in range(first, last):
        for direction in range(d + 1):
            for way in range(2):
                step = 2 * way - 1
                for i in range(d):
                    key[i] = keys[own[v], i] + step
                if direction < d:
                    key[direction] -= step * (d + 1)
                found = table[_slot(key, keys, own, table)]
                neighbors[direction, v, way] = found if found >= 0 else neighbors.shape[1]


def find_neighbors(keys, own, table, neighbors):
    """The vertices next to each, by direction; arrays as in `number_vertices` and `Lattice`."""
    launch(_neighbors, neighbors.shape[1], neighbors.size, keys, own, table, neighbors)


@jit
def sort_by_vertex(vertex, share, start, point, weight):
    """The points around each vertex, in their order; arrays as in `Lattice`."""
    start[:] = 0
    points, around = vertex.shape
    for p in range(points):
        for k in range(around):
            start[vertex[p, k] + 1] += 1
    for v in range(start.size - 1):
        start[v + 1] += start[v]
    place = start.copy()
    for p in range(points):
        for k in range(around):
            at = place[vertex[p, k]]
            point[at], weight[at] = p, share[p, k]
            place[vertex[p, k]] += 1


# -- filtering ---------------------------------------------------------------------------------


@parallel
def _splat(first, last, x, start, point, weight, values):
    for v in range(first, last):
        values[v] = 0
        for entry in range(start[v], start[v + 1]):
            w, p = weight[entry], point[entry]
            for c in range(x.shape[1]):
                values[v, c] += w * x[p, c]


@parallel
def _blur(first, last, values, neighbors, blurred):
    half = values.dtype.type(0.5)
    for v in range(first, last):
        before, after = neighbors[v, 0], neighbors[v, 1]
        for c in range(values.shape[1]):
            blurred[v, c] = values[v, c] + half * (values[before, c] + values[after, c])


@parallel
def _slice(first, last, values, vertex, share, y):
    for p in range(first, last):
        y[p] = 0
        for k in range(vertex.shape[1]):
            v, w = vertex[p, k], share[p, k]
            for c in range(y.shape[1]):
                y[p, c] += w * values[v, c]


def gaussian(x, lattice, transposed, work, y):
    """y = the sums of x around each point, by Gaussian weights up to a factor for each lattice.

    transposed: apply the transpose, which blurs along the directions in the opposite order.
    work: (2, M + 1, C), workspace.
    """
    vertices, directions = len(lattice.start) - 1, len(lattice.neighbors)
    values, blurred = work
    values[vertices] = blurred[vertices] = 0  # what a vertex without a neighbour reads
    launch(_splat, vertices, x.size, x, lattice.start, lattice.point, lattice.weight, values)
    for i in range(directions):
        direction = directions - 1 - i if transposed else i
        launch(_blur, vertices, values.size, values, lattice.neighbors[direction], blurred)
        values, blurred = blurred, values
    launch(_slice, len(x), y.size, values, lattice.vertex, lattice.share, y)


# -- labels ------------------------------------------------------------------------------------


@parallel
def _below_greatest(first, last, x, y):
    for p in range(first, last):
        greatest = x[p, 0]
        for c in range(1, x.shape[1]):
            greatest = max(greatest, x[p, c])
        for c in range(x.shape[1]):
            y[p, c] = x[p, c] - greatest


@parallel
def _divide_by_sum(first, last, y):
    for p in range(first, last):
        total = y[p, 0]
        for c in range(1, y.shape[1]):
            total += y[p, c]
        for c in range(y.shape[1]):
            y[p, c] /= total


def softmax(x, y):
    """y = exp(x) / sum of exp(x), over the C numbers of each point."""
    launch(_below_greatest, len(x), x.size, x, y)
    np.exp(y, out=y)
    launch(_divide_by_sum, len(x), y.size, y)


@parallel
def _softmax_back(first, last, y, dy, dx):
    for p in range(first, last):
        along = y[p, 0] * dy[p, 0]
        for c in range(1, y.shape[1]):
            along += y[p, c] * dy[p, c]
        for c in range(y.shape[1]):
            dx[p, c] = y[p, c] * (dy[p, c] - along)


def softmax_backward(y, dy, dx):
    """dx = y (dy - sum of y dy)."""
    launch(_softmax_back, len(y), y.size, y, dy, dx)
