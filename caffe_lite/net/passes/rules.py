"""Which layers belong to a net: include and exclude rules over phase, level and stages."""

from __future__ import annotations

from collections.abc import Sequence

from caffe_lite import glog
from caffe_lite.net.errors import net_error
from caffe_lite.proto import caffe_pb2
from caffe_lite.proto.nodes import Node

_log = glog.logger("caffe_lite.net")


def state_of(
    given: caffe_pb2.NetState, phase: int | None, level: int, stages: Sequence[str] | None
) -> caffe_pb2.NetState:
    """The file's own state, overridden by what the caller gives; None for what it does not."""
    state = caffe_pb2.NetState()
    state.CopyFrom(given)
    if phase is not None:
        state.phase = phase
    if phase is not None or level:
        state.level = level
    state.stage.extend(stages or ())
    return state


def select(nodes: Sequence[Node], state: caffe_pb2.NetState) -> list[Node]:
    """The layers that `state` includes, in order.

    A layer without rules is always included; one with `include` rules if any of them is met; one
    with `exclude` rules if none of them is.  Raises NetError for a layer with both.
    """
    return [node for node in nodes if _included(node, state)]


def _included(node: Node, state: caffe_pb2.NetState) -> bool:
    include, exclude = node.param.include, node.param.exclude
    if include and exclude:
        message = "has both include and exclude rules; give one kind only"
        raise net_error(node, "exclude", message)
    if include:
        obstacles = [obstacle(rule, state) for rule in include]
        if None in obstacles:
            return True
        _log.info("Leaving out %s: %s", node.name, "; ".join(filter(None, obstacles)))
        return False
    excluded = any(obstacle(rule, state) is None for rule in exclude)
    if excluded:
        _log.info("Leaving out %s: excluded by its rule", node.name)
    return not excluded


def obstacle(rule: caffe_pb2.NetStateRule, state: caffe_pb2.NetState) -> str | None:
    """Why `state` does not meet `rule`, as text; None if it does."""
    stages = set(state.stage)
    if rule.HasField("phase") and rule.phase != state.phase:
        wanted, got = (caffe_pb2.Phase.Name(phase) for phase in (rule.phase, state.phase))
        return f"it is for phase {wanted}, this is {got}"
    if rule.HasField("min_level") and state.level < rule.min_level:
        return f"level {state.level} is below min_level {rule.min_level}"
    if rule.HasField("max_level") and state.level > rule.max_level:
        return f"level {state.level} is above max_level {rule.max_level}"
    for stage in rule.stage:
        if stage not in stages:
            return f'stage "{stage}" is not on'
    for stage in rule.not_stage:
        if stage in stages:
            return f'stage "{stage}" is on'
    return None


def left_out(nodes: Sequence[Node], state: caffe_pb2.NetState) -> list[tuple[Node, str]]:
    """The layers that `state` does not include, each with when it would: "only in TRAIN"."""
    pairs = ((node, _otherwise(node, state)) for node in nodes)
    return [(node, when) for node, when in pairs if when is not None]


def _otherwise(node: Node, state: caffe_pb2.NetState) -> str | None:
    """When a layer that `state` leaves out is included; None for one that is not left out."""
    include, exclude = node.param.include, node.param.exclude
    if include:
        if any(obstacle(rule, state) is None for rule in include):
            return None
        return "only " + " or ".join(_condition(rule) for rule in include)
    met = [_condition(rule) for rule in exclude if obstacle(rule, state) is None]
    if not met:
        return None
    return "not " + " or ".join(met) if all(met) else "never"


def _condition(rule: caffe_pb2.NetStateRule) -> str:
    """What a rule asks for: ``in TRAIN with stage "deploy"``."""
    words = []
    if rule.HasField("phase"):
        words.append(f"in {caffe_pb2.Phase.Name(rule.phase)}")
    if rule.HasField("min_level"):
        words.append(f"from level {rule.min_level} on")
    if rule.HasField("max_level"):
        words.append(f"up to level {rule.max_level}")
    words += [f'with stage "{stage}"' for stage in rule.stage]
    words += [f'without stage "{stage}"' for stage in rule.not_stage]
    return " ".join(words)
