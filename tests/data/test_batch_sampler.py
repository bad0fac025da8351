"""batch_sampler: every crop meets its constraints, by their definitions in plain loops."""

from __future__ import annotations

import numpy as np
import pytest

from caffe_lite.data.batch_sampler import BatchSamplers, Jitter, satisfies
from caffe_lite.proto import caffe_pb2, text

BOXES = np.array(
    [[0.1, 0.2, 0.5, 0.7], [0.55, 0.05, 0.95, 0.4], [0.3, 0.6, 0.45, 0.98]], np.float32
)


def samplers(config: str) -> BatchSamplers:
    param = caffe_pb2.AnnotatedDataParameter()
    text.parse(config, param, "annotated")
    return BatchSamplers(param.batch_sampler)


def measures(crop: np.ndarray, box: np.ndarray) -> dict[str, float]:
    """The three measures of a crop and a box, counted on a grid of 400 x 400 points."""
    points = (np.arange(400) + 0.5) / 400
    inside = [
        (points > each[0]) & (points < each[2]) & (points[:, None] > each[1])
        & (points[:, None] < each[3])
        for each in (crop, box)
    ]  # fmt: skip
    shared, union = (inside[0] & inside[1]).sum(), (inside[0] | inside[1]).sum()
    return {
        "jaccard_overlap": shared / union,
        "sample_coverage": shared / inside[0].sum(),
        "object_coverage": shared / inside[1].sum(),
    }


CONSTRAINTS = [
    {"min_jaccard_overlap": 0.4},
    {"min_jaccard_overlap": 0.1, "max_jaccard_overlap": 0.2},
    {"min_jaccard_overlap": 0.02, "max_jaccard_overlap": 0.1},
    {"min_sample_coverage": 0.5},
    {"min_sample_coverage": 0.01, "max_sample_coverage": 0.05},
    {"min_object_coverage": 0.9},
    {"min_object_coverage": 0.01, "max_object_coverage": 0.1},
    {"min_object_coverage": 0.5, "max_object_coverage": 0.8},
]


@pytest.mark.parametrize("constraint", CONSTRAINTS, ids=str)
def test_every_crop_meets_its_constraint(constraint: dict[str, float]) -> None:
    words = " ".join(f"{name}: {value}" for name, value in constraint.items())
    drawn = samplers(
        "batch_sampler { max_sample: 1 max_trials: 60 sampler { min_scale: 0.3 "
        f"min_aspect_ratio: 0.5 max_aspect_ratio: 2 }} sample_constraint {{ {words} }} }}"
    )
    rng = np.random.default_rng(2)
    crops = [crop for _ in range(30) if (crop := drawn.draw(BOXES, rng)) is not None]
    assert len(crops) > 20
    for crop in crops:
        assert (crop[:2] >= 0).all()
        assert (crop[2:] <= 1 + 1e-6).all()
        width, height = crop[2:] - crop[:2]
        assert 0.3**2 - 1e-3 <= width * height <= 1.001
        assert 0.5 - 1e-3 <= width / height <= 2.001

        def met(box: np.ndarray, crop: np.ndarray = crop) -> bool:
            found = measures(crop, box)
            return all(
                found[name[4:]] >= value - 0.01 if name[:3] == "min" else
                found[name[4:]] <= value + 0.01
                for name, value in constraint.items()
            )  # fmt: skip

        assert any(met(box) for box in BOXES)
    # without the constraint others come, too: it is the constraint that is met
    rng = np.random.default_rng(2)
    free = samplers(
        "batch_sampler { max_sample: 1 sampler { min_scale: 0.3 min_aspect_ratio: 0.5 "
        "max_aspect_ratio: 2 } }"
    )
    param = caffe_pb2.SampleConstraint(**constraint)
    others = [satisfies(free.draw(BOXES, rng), BOXES, param) for _ in range(60)]
    assert not all(others)


def test_no_crop_is_the_whole_image() -> None:
    never = samplers("batch_sampler { sample_constraint { min_jaccard_overlap: 2 } }")
    assert never.draw(BOXES, np.random.default_rng(1)) is None
    assert never.draw(BOXES[:0], np.random.default_rng(1)) is None
    unused = samplers("batch_sampler { use_original_image: false }")
    assert unused.draw(BOXES, np.random.default_rng(1)) is None


def test_without_settings_a_crop_shows_all() -> None:
    crop = samplers("batch_sampler { }").draw(BOXES, np.random.default_rng(1))
    np.testing.assert_array_equal(crop, [0, 0, 1, 1])


def test_the_first_measure_with_a_bound_decides() -> None:
    """As in SSD, where a box that meets its bounds is noted before the others are compared."""
    crop = np.array([0.1, 0.2, 0.5, 0.7], np.float32)  # the first box
    met = {"min_jaccard_overlap": 0.9, "min_sample_coverage": 0.9, "min_object_coverage": 0.9}
    broken = {"max_sample_coverage": -1.0, "max_object_coverage": -1.0}
    jaccard, sample, object_ = met.items()
    for bounds, answer in (
        ([jaccard, *broken.items()], True),
        ([sample, ("max_object_coverage", -1.0)], True),
        ([("max_jaccard_overlap", -1.0), sample, object_], False),
        ([("max_sample_coverage", -1.0), object_], False),
    ):
        constraint = caffe_pb2.SampleConstraint(**dict(bounds))
        assert satisfies(crop, BOXES, constraint) == answer
    assert satisfies(crop, BOXES, caffe_pb2.SampleConstraint())


@pytest.mark.parametrize("keep_aspect", [False, True])
def test_jitter_draws_its_three_kinds(keep_aspect: bool) -> None:
    rng = np.random.default_rng(3)
    crops = np.stack([Jitter(0.6).draw(keep_aspect, rng) for _ in range(4000)])
    assert crops.min() >= 0
    assert crops.max() <= 1 + 1e-6
    width, height = (crops[:, 2:] - crops[:, :2]).T
    whole = (width == 1) & (height == 1)
    assert abs(whole.mean() - 0.2) < 0.03
    rest = width[~whole]
    # from 0.4 to 1 three of four, from 0.7 to 1 the others: below 0.7 are 3 / 4 * 1 / 2
    assert rest.min() > 0.4
    assert abs((rest < 0.7).mean() - 0.375) < 0.03
    assert abs((rest < 0.55).mean() - 0.1875) < 0.03
    likeness = np.corrcoef(width[~whole], height[~whole])[0, 1]
    assert likeness > 0.999 if keep_aspect else 0 < likeness < 0.3  # they share the least size
    room = crops[~whole, 0] / (1 - rest)  # where in the room that is left
    assert abs(room.mean() - 0.5) < 0.03
    assert room.min() < 0.05
    assert room.max() > 0.95


def test_samplers_take_turns() -> None:
    drawn = samplers(
        "batch_sampler { max_sample: 1 } batch_sampler { max_sample: 3 sampler { min_scale: 0.5 "
        "max_scale: 0.5 } }"
    )
    rng = np.random.default_rng(1)
    crops = [drawn.draw(BOXES, rng) for _ in range(200)]
    whole = sum(bool((crop == [0, 0, 1, 1]).all()) for crop in crops)
    assert 30 < whole < 70  # one of four
