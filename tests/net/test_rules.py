from __future__ import annotations

import pytest

from caffe_lite.errors import NetError
from caffe_lite.net.passes.rules import left_out, obstacle, select, state_of
from caffe_lite.proto import caffe_pb2
from tests.net import source


def state(text: str) -> caffe_pb2.NetState:
    from google.protobuf import text_format

    return text_format.Parse(text, caffe_pb2.NetState())


def rule(text: str) -> caffe_pb2.NetStateRule:
    from google.protobuf import text_format

    return text_format.Parse(text, caffe_pb2.NetStateRule())


@pytest.mark.parametrize(
    ("rule_text", "state_text", "met"),
    [
        ("", "", True),
        ("", "level: -1", True),
        ("", "level: 3", True),
        ("phase: TRAIN", "phase: TRAIN", True),
        ("phase: TRAIN", "phase: TEST", False),
        ("phase: TRAIN", "", False),  # a state without a phase is TEST
        ("min_level: 2", "level: 2", True),
        ("min_level: 2", "level: 1", False),
        ("max_level: 2", "level: 2", True),
        ("max_level: 2", "level: 3", False),
        ("min_level: -1", "level: 0", True),
        ('stage: "a" stage: "b"', 'stage: "b" stage: "a" stage: "c"', True),
        ('stage: "a" stage: "b"', 'stage: "a"', False),
        ('not_stage: "a" not_stage: "b"', 'stage: "c"', True),
        ('not_stage: "a" not_stage: "b"', 'stage: "b"', False),
        ('stage: "a" not_stage: "b" phase: TEST', 'phase: TEST stage: "a"', True),
        ('stage: "a" not_stage: "b" phase: TEST', 'phase: TRAIN stage: "a"', False),
    ],
)
def test_a_rule_is_met_when_all_its_parts_are(rule_text: str, state_text: str, met: bool) -> None:
    assert (obstacle(rule(rule_text), state(state_text)) is None) == met


NET = """
layer { name: "always" type: "Silence" }
layer { name: "train" type: "Silence" include { phase: TRAIN } }
layer { name: "either" type: "Silence" include { phase: TRAIN } include { stage: "deploy" } }
layer { name: "not_low" type: "Silence" exclude { max_level: 1 } exclude { stage: "deploy" } }
"""


@pytest.mark.parametrize(
    ("state_text", "names"),
    [
        ("phase: TRAIN level: 2", ["always", "train", "either", "not_low"]),
        ("phase: TEST level: 2", ["always", "not_low"]),
        ("phase: TEST", ["always"]),
        ('phase: TEST level: 2 stage: "deploy"', ["always", "either"]),
    ],
)
def test_any_include_rule_lets_in_and_any_exclude_rule_keeps_out(
    state_text: str, names: list[str]
) -> None:
    assert [node.name for node in select(source(NET).nodes, state(state_text))] == names


def test_both_kinds_of_rules_are_refused_with_their_place() -> None:
    net = 'layer {\n  name: "x" type: "Silence"\n  include { } exclude { phase: TEST }\n}\n'
    with pytest.raises(NetError, match=r'^net:3:15: layer "x" \(Silence\): has both include'):
        select(source(net).nodes, state(""))


@pytest.mark.parametrize(
    ("phase", "level", "stages", "wanted"),
    [
        (None, 0, None, 'phase: TRAIN level: 3 stage: "own"'),
        (None, 2, ["more"], 'phase: TRAIN level: 2 stage: "own" stage: "more"'),
        (1, 0, None, 'phase: TEST level: 0 stage: "own"'),
        (1, 2, [], 'phase: TEST level: 2 stage: "own"'),
        (0, 0, ["own"], 'phase: TRAIN level: 0 stage: "own" stage: "own"'),
    ],
)
def test_what_a_caller_gives_goes_before_the_files_state(
    phase: int | None, level: int, stages: list[str] | None, wanted: str
) -> None:
    given = state('phase: TRAIN level: 3 stage: "own"')
    assert state_of(given, phase, level, stages) == state(wanted)
    assert given == state('phase: TRAIN level: 3 stage: "own"')


@pytest.mark.parametrize(
    ("rules", "state_text", "when"),
    [
        ("", "phase: TEST", None),
        ("include { phase: TRAIN }", "phase: TRAIN", None),
        ("include { phase: TRAIN } include { phase: TEST }", "phase: TEST", None),
        ("include { phase: TRAIN }", "phase: TEST", "only in TRAIN"),
        (
            'include { phase: TRAIN min_level: 2 } include { max_level: -1 stage: "a" }',
            "phase: TEST",
            'only in TRAIN from level 2 on or up to level -1 with stage "a"',
        ),
        ('include { not_stage: "a" }', 'stage: "a"', 'only without stage "a"'),
        ("exclude { phase: TRAIN }", "phase: TEST", None),
        ("exclude { phase: TEST }", "phase: TEST", "not in TEST"),
        (
            'exclude { phase: TRAIN } exclude { phase: TEST } exclude { stage: "a" }',
            'phase: TEST stage: "a"',
            'not in TEST or with stage "a"',
        ),
        ("exclude { } exclude { phase: TEST }", "phase: TEST", "never"),
    ],
)
def test_when_a_layer_that_is_left_out_is_there(
    rules: str, state_text: str, when: str | None
) -> None:
    nodes = source(f'layer {{ name: "x" type: "Silence" {rules} }}').nodes
    found = left_out(nodes, state(state_text))
    assert found == ([] if when is None else [(nodes[0], when)])
