"""batch_sampler: every crop meets its constraints, by their definitions in plain loops."""

from __future__ import annotations

import numpy as np
import pytest

from caffe_lite.data import batch_sampler
from caffe_lite.data.batch_sampler import BatchSamplers, Jitter, satisfies
from caffe_lite.errors import LayerError
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


def drawn_of(config: str, count: int, boxes: np.ndarray = BOXES) -> list[np.ndarray]:
    """The crops that one sampler keeps, of some draws."""
    (param,) = samplers(config)._params
    rng = np.random.default_rng(4)
    return [crop for _ in range(count) for crop in batch_sampler._sample(param, boxes, rng)]


@pytest.mark.parametrize(
    ("config", "count"),
    [
        ("max_sample: 3 max_trials: 20", 3),
        ("max_sample: 3 max_trials: 2", 2),
        ("max_trials: 7", 7),
        ("max_sample: 0 max_trials: 7", 0),
        ("", 100),
    ],
)
def test_how_many_crops_a_sampler_keeps(config: str, count: int) -> None:
    assert len(drawn_of(f"batch_sampler {{ {config} }}", 1)) == count


def test_trials_that_meet_nothing_count() -> None:
    """Half of the trials meet it; more are kept where more are tried."""
    constraint = "sample_constraint { min_jaccard_overlap: 0.25 } sampler { min_scale: 0.3 }"
    tries = [
        len(drawn_of(f"batch_sampler {{ max_trials: {trials} {constraint} }}", 40)) / 40
        for trials in (4, 16)
    ]
    assert 0.5 < tries[0] < 3.5
    assert tries[1] == pytest.approx(4 * tries[0], rel=0.3)


@pytest.mark.parametrize(
    ("scale", "ratios", "least", "most"),
    [
        (0.5, (1, 1), 1, 1),
        (0.5, (0.5, 2), 0.5, 2),
        (0.8, (0.1, 9), 0.64, 1 / 0.64),  # no side is above 1
        (1.0, (0.1, 9), 1, 1),
    ],
)
def test_scale_squared_is_the_area_and_the_ratio_is_bounded(scale, ratios, least, most) -> None:
    crops = np.stack(
        drawn_of(
            f"batch_sampler {{ max_trials: 400 sampler {{ min_scale: {scale} max_scale: {scale} "
            f"min_aspect_ratio: {ratios[0]} max_aspect_ratio: {ratios[1]} }} }}",
            1,
        )
    )
    width, height = (crops[:, 2:] - crops[:, :2]).T
    np.testing.assert_allclose(width * height, scale**2, rtol=1e-4)
    assert (width / height).min() == pytest.approx(least, rel=0.03)
    assert (width / height).max() == pytest.approx(most, rel=0.03)
    for corner, room in zip(crops.T[:2], (1 - width, 1 - height), strict=True):
        assert (corner >= 0).all()
        if scale == 0.5:
            share = corner / np.maximum(room, 1e-9)
            assert share.min() < 0.02
            assert share.max() > 0.98
            assert abs(share.mean() - 0.5) < 0.06


def test_bounds_are_met_by_what_is_equal_to_them() -> None:
    crop, boxes = np.array([0, 0, 1, 0.5], np.float32), np.array([[0, 0, 0.5, 0.5]], np.float32)
    for name, value in (
        ("jaccard_overlap", 0.5),
        ("sample_coverage", 0.5),
        ("object_coverage", 1.0),
    ):
        for bound, by, answer in (("min", 0, True), ("max", 0, True), ("min", 0.01, False),
                                  ("max", -0.01, False), ("min", -0.01, True),
                                  ("max", 0.01, True)):  # fmt: skip
            constraint = caffe_pb2.SampleConstraint(**{f"{bound}_{name}": value + by})
            assert satisfies(crop, boxes, constraint) == answer, (bound, name, by)


@pytest.mark.parametrize(
    ("sampler", "says"),
    [
        ("min_scale: 1 max_scale: 1", None),
        ("min_scale: 0.5 max_scale: 0.5", None),
        ("min_scale: 0", "min_scale 0 and max_scale 1"),
        ("min_scale: 0.6 max_scale: 0.5", "min_scale 0.6 and max_scale 0.5"),
        ("max_scale: 1.1", "max_scale 1.1"),
        ("min_aspect_ratio: 2 max_aspect_ratio: 2", None),
        ("min_aspect_ratio: 0", "min_aspect_ratio 0 and max_aspect_ratio 1"),
        ("min_aspect_ratio: 2 max_aspect_ratio: 1.5", "min_aspect_ratio 2"),
        ("max_aspect_ratio: inf", "and finite"),
    ],
)
def test_settings_of_a_sampler(sampler: str, says: str | None) -> None:
    config = f"batch_sampler {{ }} batch_sampler {{ sampler {{ {sampler} }} }}"
    if says is None:
        samplers(config)
        return
    with pytest.raises(LayerError, match=says) as error:
        samplers(config)
    assert error.value.field == ".annotated_data_param.batch_sampler[1].sampler"


@pytest.mark.parametrize("jitter", [-0.1, 1.0, 1.5])
def test_a_jitter_leaves_an_image(jitter: float) -> None:
    with pytest.raises(LayerError, match="must be from 0 to less than 1"):
        Jitter(jitter)
    for allowed in (0.0, 0.99):
        crop = Jitter(allowed).draw(False, np.random.default_rng(1))
        assert (crop[2:] - crop[:2] > 0).all()
