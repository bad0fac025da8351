from __future__ import annotations

import re

import pytest

from caffe_lite.errors import SolverError
from caffe_lite.proto import caffe_pb2
from caffe_lite.solver.settings import Settings

GOOD = 'net: "net.prototxt"\nbase_lr: 0.1\nlr_policy: "fixed"\n'
NET = 'name: "n" layer { name: "in" type: "Input" top: "x" input_param { shape { dim: 2 } } }'


@pytest.fixture
def solver(tmp_path, monkeypatch):
    """Writes a solver file beside a net, in the current folder; returns its Settings."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.prototxt").write_text(NET)

    def write(text):
        (tmp_path / "solver.prototxt").write_text(text)
        return Settings("solver.prototxt")

    return write


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        (GOOD + "iter_size: 0", 4, "iter_size must be at least 1, not 0"),
        (GOOD + "average_loss: -1", 4, "average_loss must be at least 1, not -1"),
        (GOOD + 'regularization_type: "L3"', 4, 'unknown regularization_type "L3"; use L1 or L2'),
        (GOOD + 'eval_type: "x"', 4, 'unknown eval_type "x"; use classification or detection'),
        (GOOD + 'ap_version: "x"', 4, 'unknown ap_version "x"; use 11point or MaxIntegral or'),
        ('net: "net.prototxt"\nlr_policy: "fxied"', 2, "did you mean fixed?"),
        ('lr_policy: "fixed"', 1, "there is no net to train; set one of net, net_param"),
        (GOOD + 'train_net: "net.prototxt"', 4, "net and train_net are both set"),
        (GOOD + "test_iter: 5", 4, "test_iter needs a test_interval of at least 1, not 0"),
        (GOOD + "test_iter: 5\ntest_interval: -2", 5, "at least 1, not -2"),
        (GOOD + 'test_net: "net.prototxt"', 4, "0 test_iter for 1 test nets"),
        (
            'train_net: "net.prototxt"\nlr_policy: "fixed"\ntest_iter: 5\ntest_interval: 1',
            3,
            "1 test_iter for 0 test nets",
        ),
        (
            GOOD + "test_iter: 5\ntest_interval: 1\ntest_state {}\ntest_state {}",
            6,
            "2 test_state for 1 test nets",
        ),
    ],
)
def test_refused(solver, text, line, says):
    with pytest.raises(SolverError, match=re.escape(says)) as caught:
        solver(text).check()
    assert caught.value.location.line == line
    assert caught.value.location.file.endswith("solver.prototxt")


def test_missing_net_says_where_it_would_exist(solver, tmp_path, monkeypatch):
    (tmp_path / "examples" / "mnist").mkdir(parents=True)
    (tmp_path / "elsewhere").mkdir()
    path = tmp_path / "examples" / "mnist" / "solver.prototxt"
    path.write_text('base_lr: 1\nlr_policy: "fixed"\nnet: "net.prototxt"')
    monkeypatch.chdir(tmp_path / "elsewhere")
    with pytest.raises(SolverError) as caught:
        Settings(path).train_net()
    assert caught.value.location.line == 3
    assert str(caught.value).endswith(f"so run this from {tmp_path}")


def test_missing_net_anywhere(solver):
    with pytest.raises(SolverError, match=r'net "gone.prototxt" does not exist in .*[^m]$'):
        solver('net: "gone.prototxt"\nlr_policy: "fixed"').train_net()


def test_a_name_that_no_file_can_have(solver):
    with pytest.raises(SolverError, match="does not exist in the current folder"):
        solver(f'net: "{"n" * 5000}"\nlr_policy: "fixed"').train_net()


def test_states_are_merged_over_the_net_s_own(solver, tmp_path):
    (tmp_path / "net.prototxt").write_text(NET + ' state { level: 2 stage: "own" }')
    settings = solver(
        GOOD
        + 'train_state { stage: "train" }\n'
        + "test_iter: 1 test_iter: 1 test_interval: 1\n"
        + 'test_state { level: 3 } test_state { stage: "second" }'
    )
    train = settings.train_net().param.state
    assert (train.phase, train.level) == (caffe_pb2.TRAIN, 2)
    assert list(train.stage) == ["own", "train"]
    first, second = (net.param.state for net in settings.test_nets())
    assert (first.phase, first.level, list(first.stage)) == (caffe_pb2.TEST, 3, ["own"])
    assert (second.level, list(second.stage)) == (2, ["own", "second"])


def test_test_nets_come_in_caffe_s_order(solver, tmp_path):
    (tmp_path / "other.prototxt").write_text(NET.replace('"n"', '"file"'))
    settings = solver(
        GOOD
        + 'test_net: "other.prototxt"\ntest_net_param { name: "message" }\n'
        + "test_iter: 1 test_iter: 1 test_iter: 1 test_iter: 1 test_interval: 1"
    )
    settings.check()
    assert [net.param.name for net in settings.test_nets()] == ["message", "file", "n", "n"]


def test_net_param_stands_in_the_solver(solver):
    settings = solver(f'lr_policy: "fixed"\nnet_param {{ {NET} }}\ntest_iter: 1 test_interval: 1')
    settings.check()
    assert settings.train_net().param.name == "n"
    assert [net.param.state.phase for net in settings.test_nets()] == [caffe_pb2.TEST]
    assert settings.train_net().nodes[0].where.location.line == 2


def test_fields_of_other_caffes_are_told(solver, caplog):
    settings = solver(GOOD + "richness: 300 larc: false")
    settings.check()
    settings.report_unread()
    assert not caplog.records
    settings = solver(GOOD + "rampup_lr: 0.1")
    settings.check()
    settings.report_unread()
    (record,) = caplog.records
    assert record.getMessage().endswith("solver.prototxt:4:12: rampup_lr has no effect here")


@pytest.mark.parametrize(
    "field", ["warmup_iter: 5", "larc: true", "local_lr_auto: true", "min_lr: 1e-4", "stagelr: 1"]
)
def test_fields_of_other_caffes_that_change_the_training_are_refused(solver, field):
    name = field.partition(":")[0]
    with pytest.raises(SolverError, match=rf"4:\d+: {name} is a field of a fork of Caffe"):
        solver(GOOD + field).check()


def test_what_tests_report_has_an_effect(solver, caplog):
    given = 'eval_type: "detection" ap_version: "11point" show_per_class_result: true'
    settings = solver(GOOD + given)
    settings.check()
    settings.report_unread()
    assert not caplog.records


def test_message_without_a_file():
    with pytest.raises(SolverError, match=r"^lr_policy is missing") as caught:
        Settings(caffe_pb2.SolverParameter()).check()
    assert caught.value.location is None


TWO = 'test_net: "net.prototxt"\n'
TRAIN = 'train_net: "net.prototxt"\nlr_policy: "fixed"\n'


@pytest.mark.parametrize(
    "text",
    [
        GOOD,
        TRAIN + TWO + "test_iter: 1 test_interval: 1",
        TRAIN + TWO + "test_net_param { } test_iter: 1 test_iter: 2 test_interval: 1",
        GOOD + TWO + "test_iter: 1 test_interval: 1",
        GOOD + "test_iter: 1 test_iter: 1 test_interval: 1 test_state { } test_state { }",
        GOOD + "iter_size: 1 average_loss: 1 test_interval: -1",
        'net: "net.prototxt"\nlr_policy: "plateau" plateau_winsize: 4',
    ],
)
def test_what_is_consistent_is_taken_without_a_word(solver, text, caplog):
    settings = solver(text)
    settings.check()
    settings.report_unread()
    assert caplog.messages == []
    assert settings.train_net().param.name == "n"


def test_a_window_that_no_policy_reads_is_told(solver, caplog):
    settings = solver(GOOD + "plateau_winsize: 4")
    settings.check()
    settings.report_unread()
    assert caplog.messages == ["solver.prototxt:4:18: plateau_winsize has no effect here"]


def test_all_files_of_nets_are_named(solver):
    assert solver(GOOD).net_files() == ["net.prototxt"]
    several = 'train_net: "a" test_net: "b" test_net: "c" net_param { }'
    assert solver(several).net_files() == ["a", "b", "c"]
    assert solver("net_param { }").net_files() == []


def test_the_log_says_where_each_net_comes_from(solver, caplog):
    caplog.set_level("INFO", "caffe_lite.solver")
    tests = "test_iter: 1 test_iter: 1 test_interval: 1"
    for text, said in (
        (f"{GOOD} {tests}", "from net file: net.prototxt"),
        (f"net_param {{ {NET} }} {tests}", "specified in net_param."),
    ):
        caplog.clear()
        settings = solver(text)
        settings.train_net()
        list(settings.test_nets())
        by = "net file: net.prototxt" if "file" in said else "net_param"
        assert [line for line in caplog.messages if "Creating" in line] == [
            f"Creating training net {said}",
            f"Creating test net (#0) specified by {by}",
            f"Creating test net (#1) specified by {by}",
        ]
