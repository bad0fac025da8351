"""What of a file is trained: which decides what most rules look at."""

from __future__ import annotations

from pathlib import Path

import pytest

from caffe_lite.arguments import ArgumentError
from caffe_lite.checking import check
from caffe_lite.checking.subjects import Checked, Request, gather
from tests.checking.files import NET, SOLVER, changed, found, write

DEPLOY = """name: "small"
layer { name: "data" type: "Input" top: "data"
  input_param { shape { dim: 2 dim: 1 dim: 8 dim: 9 } } }
layer { name: "ip" type: "InnerProduct" bottom: "data" top: "ip"
  param { lr_mult: 0 } param { lr_mult: 1 }
  inner_product_param { num_output: 3 weight_filler { type: "msra" } } }
"""
"""Whose bias, if this were trained, would learn while its weights do not."""
FROZEN = changed(
    NET,
    "param { lr_mult: 1 decay_mult: 1 }\n  param { lr_mult: 2 decay_mult: 0 }\n  convolution",
    "param { lr_mult: 0 }\n  param { lr_mult: 2 }\n  convolution",
)


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_a_net_with_a_loss_is_trained_without_a_solver_too() -> None:
    write(net=FROZEN)
    assert found(check("net.prototxt")) == ["bias-not-frozen"]
    assert check("net.prototxt").forecast is not None


@pytest.mark.parametrize("phase", [None, 0, 1])
def test_a_net_without_a_loss_is_not_trained(phase: int | None) -> None:
    write(net=DEPLOY)
    report = check("net.prototxt", phase=phase)
    assert report.findings == ()
    assert report.forecast is None


def test_a_solver_trains_its_net_even_if_it_has_no_loss() -> None:
    write(net=DEPLOY, solver=changed(SOLVER, "test_iter: 3\ntest_interval: 20\n", ""))
    assert "no-loss" in found(check("solver.prototxt"))


def test_a_net_for_tests_only_is_not_trained() -> None:
    write(net=FROZEN)
    assert found(check("net.prototxt", phase=1)) == []
    assert check("net.prototxt", phase=1).forecast is None


# -- the states of a net -------------------------------------------------------------------------

HEAD = """layer { name: "data" type: "DummyData" top: "x" top: "y" %s
  dummy_data_param { shape { dim: 2 dim: 3 } shape { dim: 2 dim: 3 } } }
"""
TANH = 'layer { name: "tanh" type: "TanH" bottom: "x" top: "tanh" %s }\n'
LOSS = 'layer { name: "loss" type: "EuclideanLoss" bottom: "x" bottom: "y" top: "loss" %s }\n'
TRAIN, TEST = "include { phase: TRAIN }", "include { phase: TEST }"


def gathered(net: str, **request: object) -> Checked:
    Path("net.prototxt").write_text(net)
    return gather(Request("net.prototxt", **request))  # type: ignore[arg-type]


def views(checked: Checked) -> list[tuple[str, list[str]]]:
    """The phase of each view, and its layers."""
    return [(view.phase, [node.name for node in view.nodes]) for view in checked.views]


@pytest.mark.parametrize(
    ("net", "wanted"),
    [
        (HEAD % "" + TANH % "", [("TEST", ["data", "tanh"])]),
        (HEAD % "" + LOSS % "", [("TRAIN", ["data", "loss"])]),
        (HEAD % "" + TANH % "loss_weight: 1", [("TRAIN", ["data", "tanh"])]),
        (HEAD % "" + TANH % "loss_weight: 0", [("TEST", ["data", "tanh"])]),
        (HEAD % "" + TANH % TEST, [("TRAIN", ["data"]), ("TEST", ["data", "tanh"])]),
        (
            HEAD % "" + TANH % "exclude { phase: TEST }",
            [("TRAIN", ["data", "tanh"]), ("TEST", ["data"])],
        ),
        (HEAD % "" + LOSS % "include { min_level: 0 }", [("TRAIN", ["data", "loss"])]),
        (HEAD % TRAIN + TANH % "", [("TRAIN", ["data", "tanh"])]),
        (HEAD % TEST + LOSS % "", [("TEST", ["data", "loss"])]),
    ],
)
def test_the_states_that_a_net_is_made_for(net: str, wanted: list[tuple[str, list[str]]]) -> None:
    checked = gathered(net)
    assert views(checked) == wanted
    assert checked.phases_without_data == []


@pytest.mark.parametrize("phase", [0, 1])
def test_the_state_that_is_asked_for(phase: int) -> None:
    name = ("TRAIN", "TEST")[phase]
    net = HEAD % TRAIN + TANH % TEST
    assert views(gathered(net, phase=phase)) == [(name, ["tanh" if phase else "data"])]
    levels = HEAD % "" + TANH % "include { min_level: 2 }" + LOSS % 'include { stage: "s" }'
    for request, names in (
        ({}, ["data"]),
        ({"level": 1}, ["data"]),
        ({"level": 2}, ["data", "tanh"]),
        ({"stages": ("s",)}, ["data", "loss"]),
        ({"level": 3, "stages": ("r", "s")}, ["data", "tanh", "loss"]),
    ):
        assert views(gathered(levels, phase=phase, **request)) == [(name, names)]


@pytest.mark.parametrize(
    ("data", "more", "is_told"),
    [
        (TRAIN, TEST, True),
        (TRAIN, "", False),  # a layer for both phases does not ask for data in TEST
        (TRAIN, "exclude { phase: TRAIN }", False),
        ('include { phase: TEST stage: "s" } ' + TRAIN, TEST, False),
        ('include { phase: TEST not_stage: "s" } ' + TRAIN, TEST, False),
    ],
)
def test_layers_of_a_phase_without_data(data: str, more: str, is_told: bool) -> None:
    request = {"stages": ("s",)} if "not_stage" in data else {}
    checked = gathered(HEAD % data + LOSS % TRAIN + TANH % more, **request)
    if "stage" in data and "not" not in data:
        assert [phase for phase, _ in views(checked)] == ["TRAIN"]
    assert len(checked.phases_without_data) == is_told
    if is_told:
        (problem,) = checked.phases_without_data
        assert problem.subject == 'layer "tanh" (TanH)'
        assert problem.message == (
            "is included in TEST, but no layer brings data in TEST; add a data layer with include "
            "{ phase: TEST }"
        )
        assert problem.location is not None
        assert problem.location.line == 4


def test_a_net_of_which_all_is_excluded_is_looked_at_in_train() -> None:
    net = HEAD % "include { phase: TRAIN min_level: 3 }" + LOSS % TRAIN
    assert [phase for phase, _ in views(gathered(net))] == ["TRAIN"]
    assert [phase for phase, _ in views(gathered(net, phase=1))] == ["TEST"]


def test_the_state_of_the_solver_s_net() -> None:
    Path("solver.prototxt").write_text(
        changed(SOLVER, "test_iter: 3\ntest_interval: 20\n", "") + "train_state { level: 1 }\n"
    )
    Path("net.prototxt").write_text(
        HEAD % ""
        + LOSS % ""
        + TANH % "include { min_level: 2 }"
        + 'layer { name: "staged" type: "TanH" bottom: "x" top: "s" include { stage: "s" } }'
    )
    names = ["data", "loss"]
    for request, more in (
        ({}, []),
        ({"level": 2}, ["tanh"]),
        ({"stages": ("s",)}, ["staged"]),
        ({"level": 2, "stages": ("s",)}, ["tanh", "staged"]),
    ):
        checked = gather(Request("solver.prototxt", **request))  # type: ignore[arg-type]
        assert views(checked) == [("TRAIN", names + more)]
        assert checked.settings is not None


def test_the_views_of_a_solver_are_its_train_net_and_its_test_nets() -> None:
    write()
    checked = gather(Request("solver.prototxt"))
    assert [view.training for view in checked.views] == [True, False]
    assert checked.train is checked.views[0]
    assert checked.tests == checked.views[1:]
    assert [node.name for _, _, node in checked.trained_layers()] == [
        node.name for node in checked.views[0].nodes
    ]
    Path("solver.prototxt").write_text("base_lr: 1\n")
    assert gather(Request("solver.prototxt")).views == []
    Path("solver.prototxt").write_text('test_net: "net.prototxt"\ntest_iter: 1\n')
    assert [view.training for view in gather(Request("solver.prototxt")).views] == [False]


def test_which_weights_are_looked_at() -> None:
    write(solver=SOLVER + 'weights: "a,b"\nweights: ",c"\n')
    assert gather(Request("solver.prototxt")).weights == ["a", "b", "c"]
    assert gather(Request("solver.prototxt", ("d",))).weights == ["d"]
    assert gather(Request("net.prototxt")).weights == []
    assert gather(Request("net.prototxt", ("d", "e"))).weights == ["d", "e"]


@pytest.mark.parametrize(
    ("text", "place"),
    [  # wrong as either: the one that goes further is told
        ('base_lr: 1\nmax_iter: "x"\n', (2, 11)),
        ('name: "n"\nlayer { name: 3 }\n', (2, 15)),
        ("layer {\n", None),
    ],
)
def test_the_error_of_what_a_file_is_rather(text: str, place: tuple[int, int] | None) -> None:
    Path("file.prototxt").write_text(text)
    checked = gather(Request("file.prototxt"))
    (error,) = checked.unreadable
    assert error.location is not None
    if place is not None:
        assert (error.location.line, error.location.column) == place
    assert checked.views == []


def test_an_old_schema_is_told_where_it_begins() -> None:
    for old, text in (
        ("layers", "layers { name: 'a' type: TANH bottom: 'x' top: 'a' }"),
        ("input", "input: 'x'\ninput_dim: 1\n"),
    ):
        checked = gathered(f"name: 'n'\n{text}")
        (problem,) = checked.old
        assert problem.message.startswith(f'"{old}" is of an old schema')
        assert problem.message.endswith("caffe-lite upgrade_net_proto_text")
        assert problem.location is not None
        assert problem.location.line == 2
    assert gathered(HEAD % "").old == []


def test_shapes_are_given_to_inputs_only() -> None:
    net = 'layer { name: "in" type: "Data" top: "b" top: "a" data_param { source: "gone" } }\n'
    checked = gathered(net + TANH.replace('"x"', '"b"') % "", input_shapes={"b": (2, 5)})
    (view,) = checked.views
    link = view.link(1)
    assert link is not None
    assert link.top[0].shape == (2, 5)
    checked = gathered(net + TANH.replace('"x"', '"b"') % "", input_shapes={"": (3, 7)})
    link = checked.views[0].link(1)
    assert link is not None
    assert link.top[0].shape == (3, 7)
    with pytest.raises(ArgumentError, match='for "tanh", but the inputs are: a, b'):
        gathered(net + TANH.replace('"x"', '"b"') % "", input_shapes={"tanh": (2, 5)})
    Path("net.prototxt").unlink()
    assert gather(Request("net.prototxt", input_shapes={"q": (1,)})).views == []
