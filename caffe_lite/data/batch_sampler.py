"""batch_sampler, yolo_data_jitter: crops of an image that are drawn at random."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from numpy.random import Generator

from caffe_lite.data.annotation import areas, coverages, intersections, overlaps
from caffe_lite.errors import LayerError
from caffe_lite.proto import caffe_pb2

Array = npt.NDArray[Any]

FIELD = ".annotated_data_param.batch_sampler"
JITTER = ".annotated_data_param.yolo_data_jitter"


class BatchSamplers:
    """Draws crops as SSD does (Liu et al. 2016, arXiv:1512.02325): `draw`.

    Each sampler tries max_trials boxes, and stops after max_sample that meet its constraints.
    Raises LayerError for settings of which no box can be drawn.
    """

    def __init__(self, params: Sequence[caffe_pb2.BatchSampler]) -> None:
        for index, param in enumerate(params):
            _check(param, f"{FIELD}[{index}]")
        self._params = [param for param in params if param.use_original_image]

    def draw(self, boxes: Array, rng: Generator) -> Array | None:
        """A crop (4,) of an image with these boxes (N, 4), or None for the whole image."""
        found = [crop for param in self._params for crop in _sample(param, boxes, rng)]
        return found[rng.integers(len(found))] if found else None


class Jitter:
    """Draws crops as MobileNet-YOLO does where there is no batch_sampler: `draw`.

    One of five is the whole image.  The sides of the others are from 1 - jitter to 1, and of one
    in four of these from 1 - jitter / 2.  Raises LayerError for a jitter that leaves no image.
    """

    def __init__(self, jitter: float) -> None:
        if not 0 <= jitter < 1:
            raise LayerError(f"must be from 0 to less than 1, not {jitter:g}", JITTER)
        self._jitter = jitter

    def draw(self, keep_aspect: bool, rng: Generator) -> Array:
        """A crop (4,), as much of the height as of the width with `keep_aspect`."""
        kind = rng.choice(3, p=[0.2, 0.2, 0.6])
        if kind == 0:
            return np.array([0, 0, 1, 1], np.float32)
        least = 1 - self._jitter / (2 if kind == 1 else 1)
        width = rng.uniform(least, 1)
        height = width if keep_aspect else rng.uniform(least, 1)
        left, top = rng.uniform(0, 1 - width), rng.uniform(0, 1 - height)
        return np.array([left, top, left + width, top + height], np.float32)


def _sample(param: caffe_pb2.BatchSampler, boxes: Array, rng: Generator) -> list[Array]:
    most = param.max_sample if param.HasField("max_sample") else param.max_trials
    found: list[Array] = []
    for _ in range(param.max_trials):
        if len(found) >= most:
            break
        crop = _box(param.sampler, rng)
        if satisfies(crop, boxes, param.sample_constraint):
            found.append(crop)
    return found


def _box(sampler: caffe_pb2.Sampler, rng: Generator) -> Array:
    """A box in the image: its area is scale squared, its width over its height aspect_ratio."""
    scale = rng.uniform(sampler.min_scale, sampler.max_scale)
    ratio = rng.uniform(sampler.min_aspect_ratio, sampler.max_aspect_ratio)
    ratio = min(max(ratio, scale**2), 1 / scale**2)  # so that neither side is above 1
    width, height = min(scale * ratio**0.5, 1.0), min(scale / ratio**0.5, 1.0)
    left, top = rng.uniform(0, 1 - width), rng.uniform(0, 1 - height)
    return np.array([left, top, left + width, top + height], np.float32)


def satisfies(crop: Array, boxes: Array, constraint: caffe_pb2.SampleConstraint) -> bool:
    """Whether a crop (4,) meets a constraint for one of the boxes (N, 4); an empty one it meets.

    The overlap is Jaccard's; the sample's coverage is the part of the crop that the box covers,
    the object's coverage the part of the box that the crop covers.  The first of the three with a
    bound decides, whatever the bounds of the others: SSD notes that a box was found before it has
    compared them.
    """
    for name, measure in _MEASURES.items():
        least, most = f"min_{name}", f"max_{name}"
        if not (constraint.HasField(least) or constraint.HasField(most)):
            continue
        values = measure(boxes, crop)
        met = np.ones(len(boxes), bool)
        if constraint.HasField(least):
            met &= values >= np.float32(getattr(constraint, least))
        if constraint.HasField(most):
            met &= values <= np.float32(getattr(constraint, most))
        return bool(met.any())
    return True


def _sample_coverages(boxes: Array, crop: Array) -> Array:
    answer: Array = intersections(boxes, crop) / areas(crop)
    return answer


_MEASURES: dict[str, Callable[[Array, Array], Array]] = {
    "jaccard_overlap": overlaps,
    "sample_coverage": _sample_coverages,
    "object_coverage": coverages,
}


def _check(param: caffe_pb2.BatchSampler, field: str) -> None:
    sampler = param.sampler
    ratios = sampler.min_aspect_ratio, sampler.max_aspect_ratio
    if not 0 < sampler.min_scale <= sampler.max_scale <= 1:
        raise LayerError(
            f"min_scale {sampler.min_scale:g} and max_scale {sampler.max_scale:g} must be in "
            "order, above 0 and at most 1",
            f"{field}.sampler",
        )
    if not 0 < ratios[0] <= ratios[1] < np.finfo(np.float32).max:
        raise LayerError(
            f"min_aspect_ratio {ratios[0]:g} and max_aspect_ratio {ratios[1]:g} must be in order, "
            "above 0 and finite",
            f"{field}.sampler",
        )
