"""Each rule: one thing put wrong in files in which nothing is, and found at its place."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import caffe_lite as caffe
from caffe_lite.arguments import ArgumentError
from caffe_lite.checking import RULES, Severity, check
from caffe_lite.data.datum import array_to_datum
from caffe_lite.data.db import write_all
from caffe_lite.errors import Location
from caffe_lite.proto import caffe_pb2, files
from tests.checking.files import NET, SOLVER, changed, found, of, write


@dataclass(frozen=True)
class Case:
    """A part of the net or the solver, and what takes its place."""

    rule: str
    old: str
    new: str
    place: str
    """The text at which the finding must be, in the changed file."""
    says: str
    also: tuple[str, ...] = ()
    """Other rules that must find something, too."""


NET_CASES = [
    Case("unreadable", "num_output: 7", "num_output: seven", "seven", '"num_output"'),
    Case("unknown-field", "kernel_size: 3", "kernel_size: 3 gain: 2", "gain", 'no field "gain"'),
    Case(
        "fork-field",
        "num_output: 11 ",
        "num_output: 11 relu: true ",
        "true weight",
        "field of a fork of Caffe (Intel)",
    ),
    Case(
        "ineffective-field",
        'bottom: "conv1" top: "conv1" }',
        'bottom: "conv1" top: "conv1" pooling_param { kernel_size: 2 } }',
        "pooling_param",
        "ReLU does not read pooling_param",
    ),
    Case(
        "ineffective-field",
        '"xavier" }',
        '"xavier" std: 0.2 }',
        "0.2 }",
        'filler "xavier" does not read std',
    ),
    Case("invalid-filler", '"msra"', '"mrsa"', '"mrsa"', 'did you mean "msra"'),
    Case(
        "old-schema",
        'name: "small"',
        'name: "small" input: "extra" input_shape { dim: 2 }',
        '"extra"',
        "upgrade_net_proto_text",
        also=("unread-blob",),
    ),
    Case(
        "unknown-bottom",
        '"InnerProduct" bottom: "ip1"',
        '"InnerProduct" bottom: "ip3"',
        '"ip3"',
        'unknown bottom "ip3" (bottom index 0); did you mean "ip1"?',
    ),
    Case(
        "duplicate-top",
        'bottom: "ip1" top: "ip2"',
        'bottom: "ip1" top: "conv1"',
        '"conv1"\n  param { lr_mult: 1 decay_mult: 1 }\n  param { lr_mult: 2 decay_mult: 0 }\n'
        "  inner_product_param { num_output: 4",
        "is produced by layer",
        also=("unknown-bottom",),
    ),
    Case("unknown-type", '"ReLU"', '"Relu"', '"Relu"', "did you mean ReLU"),
    Case("invalid-layer", "kernel_size: 3", "kernel_size: 13", "13", "kernel 13x13"),
    Case(
        "invalid-layer",
        '"InnerProduct" bottom: "ip1" top: "ip2"',
        '"InnerProduct" bottom: "ip1" top: "ip1"',
        '"ip1"\n  param { lr_mult: 1 decay_mult: 1 }\n  param { lr_mult: 2 decay_mult: 0 }\n'
        "  inner_product_param { num_output: 4",
        "cannot work in place",
        also=("unknown-bottom",),
    ),
    Case("out-of-memory", "num_output: 11 ", "num_output: 2000000000 ", "2000000000", "memory"),
    Case(
        "python-layer",
        '"relu1" type: "ReLU"',
        '"relu1" type: "Python" python_param { module: "os" layer: "x" }',
        'layer { name: "relu1"',
        "-allow-python-layers",
    ),
    Case(
        "duplicate-name",
        '"ip2" type',
        '"ip1" type',
        '"ip1" type: "InnerProduct" bottom: "ip1"',
        "weights belong to names",
    ),
    Case(
        "unread-blob",
        'bottom: "ip1" top: "ip2"',
        'bottom: "conv1" top: "ip2"',
        '"ip1" }',
        'nothing reads "ip1"',
        also=("untrained-layer",),
    ),
    Case(
        "no-loss",
        'type: "SoftmaxWithLoss" bottom: "ip2" bottom: "label" top: "loss"',
        'type: "Silence" bottom: "ip2" bottom: "label"',
        'name: "small"',
        "has no loss in TRAIN",
    ),
    Case(
        "no-gradient",
        '"relu2" type: "ReLU" bottom: "ip1" top: "ip1"',
        '"relu2" type: "Threshold" bottom: "ip1" top: "ip1"',
        '"ip1" top: "ip1" }',
        'Threshold has no gradient for "ip1"',
    ),
    Case("untrained-layer", 'top: "ip2"', 'top: "ip2" propagate_down: false', "", "no loss gives"),
    Case(
        "doubled-activation",
        'layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip2"',
        'layer { name: "p" type: "Softmax" bottom: "ip2" top: "p" }\n'
        'layer { name: "loss" type: "SoftmaxWithLoss" bottom: "p"',
        '"p" bottom: "label"',
        "contains a Softmax",
    ),
    Case(
        "clipped-scores",
        'layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip2"',
        'layer { name: "r" type: "ReLU" bottom: "ip2" top: "r" }\n'
        'layer { name: "loss" type: "SoftmaxWithLoss" bottom: "r"',
        'layer { name: "r"',
        "cuts off negative scores",
    ),
    Case(
        "zero-loss-weight",
        'layer { name: "loss"',
        'layer { name: "other" type: "SoftmaxWithLoss" bottom: "ip2" bottom: "label" top: "o"\n'
        '  loss_weight: 0 }\nlayer { name: "loss"',
        "0 }\n",
        "nothing learns from this loss",
    ),
    Case(
        "ignored-normalize",
        'top: "loss" }',
        'top: "loss" loss_param { normalize: true normalization: VALID } }',
        "true normalization",
        "normalize has no effect",
    ),
    Case(
        "bias-not-frozen",
        '"conv1"\n  param { lr_mult: 1 decay_mult: 1 }\n  param { lr_mult: 2 decay_mult: 0 }',
        '"conv1"\n  param { lr_mult: 0 }',
        "0 }",
        "add param { lr_mult: 0 }",
    ),
    Case(
        "one-param",
        '"conv1"\n  param { lr_mult: 1 decay_mult: 1 }\n  param { lr_mult: 2 decay_mult: 0 }',
        '"conv1"\n  param { lr_mult: 3 decay_mult: 0.5 }',
        "param { lr_mult: 3",
        "lr_mult 3 and decay_mult 0.5 are for the weight",
    ),
    Case(
        "swapped-params",
        "param { lr_mult: 1 decay_mult: 1 }\n  param { lr_mult: 2 decay_mult: 0 }\n"
        "  inner_product_param { num_output: 4",
        "param { lr_mult: 2 decay_mult: 0 }\n  param { lr_mult: 1 decay_mult: 1 }\n"
        "  inner_product_param { num_output: 4",
        "param { lr_mult: 2 decay_mult: 0 }\n  param { lr_mult: 1",
        "exchange them",
    ),
    Case("odd-multiplier", "lr_mult: 2", "lr_mult: -2", "-2", "raises the loss"),
    Case("odd-multiplier", "lr_mult: 2", "lr_mult: 200", "200", "is it meant?"),
    Case(
        "zero-weights",
        'num_output: 11 weight_filler { type: "msra" }',
        "num_output: 11",
        "inner_product_param { num_output: 11",
        "its weights start at 0",
    ),
    Case(
        "missing-file",
        'scale: 0.5 }\n  image_data_param { source: "test.txt"',
        'scale: 0.5 }\n  image_data_param { source: "gone.txt"',
        '"gone.txt"',
        '"gone.txt" is not in the current folder',
    ),
    Case(
        "random-in-test",
        'scale: 0.5 }\n  image_data_param { source: "test.txt"',
        'scale: 0.5 mirror: true }\n  image_data_param { source: "test.txt"',
        "true }",
        "mirrors images at random in TEST",
    ),
    Case("label-range", "num_output: 4", "num_output: 3", "", "brings label 3"),
    Case(
        "different-heads",
        'layer { name: "loss"',
        'layer { name: "other" type: "SoftmaxWithLoss" bottom: "ip1" bottom: "label" top: "o" }\n'
        'layer { name: "loss"',
        "",
        "with the same labels, has",
        also=("unused-outputs", "clipped-scores"),
    ),
    Case(
        "test-only-weights",
        'layer { name: "accuracy"',
        'layer { name: "extra" type: "InnerProduct" bottom: "ip1" top: "extra"\n'
        "  inner_product_param { num_output: 6 } include { phase: TEST } }\n"
        'layer { name: "accuracy"',
        '"extra" type',
        "nothing trains it",
    ),
    Case(
        "unused-outputs",
        "num_output: 4",
        "num_output: 14",
        '"ip2" bottom: "label" top: "loss"',
        "14 outputs, but the largest label",
    ),
]

SOLVER_CASES = [
    Case("invalid-solver", '"step"', '"stepp"', '"stepp"', "did you mean step?"),
    Case("invalid-solver", "momentum: 0.9", 'momentum: 0.9 type: "RMSProp"', "0.9", "no momentum"),
    Case("policy-fields", "gamma: 0.1\n", "", '"step"', "reads gamma, which is not set"),
    Case("policy-fields", '"step"', '"fixed"', "0.1", "does not read gamma"),
    Case(
        "solver-type-fields",
        "momentum: 0.9",
        "momentum: 0.9 momentum2: 0.99",
        "0.99",
        "does not read momentum2",
    ),
    Case("late-step", "stepsize: 30", "stepsize: 90", "90", "never changes"),
    Case(
        "late-step",
        '"step"\ngamma: 0.1\nstepsize: 30',
        '"multistep"\ngamma: 0.1\nstepvalue: 30 stepvalue: 100',
        "100",
        "never reached",
    ),
    Case("learning-rate", "base_lr: 0.02\n", "", 'net: "net', "base_lr is not set"),
    Case("learning-rate", "momentum: 0.9", "momentum: 1.5", "1.5", "not between 0 and 1"),
    Case("no-iterations", "max_iter: 90\n", "", 'net: "net', "max_iter is 0"),
    Case("no-weight-decay", "weight_decay: 0.0005\n", "", 'net: "net', "weight_decay is 0"),
    Case(
        "idle-tests",
        "test_iter: 3\n",
        "",
        "20",
        "no effect without test_iter",
        also=("untested-net",),
    ),
    Case(
        "untested-net",
        "test_iter: 3\ntest_interval: 20\n",
        "",
        '"net.prototxt"',
        "set test_iter and test_interval",
    ),
    Case("idle-tests", "test_interval: 20", "test_interval: 200", "200", "is above max_iter 90"),
    Case("snapshot-folder", '"small"', '"gone/small"', '"gone/small"', 'the folder "gone" of'),
    Case("unreadable", '"net.prototxt"', '"other.prototxt"', '"other', "does not exist"),
]


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_nothing_is_found_where_nothing_is_wrong():
    write()
    assert check("solver.prototxt").findings == ()
    assert check("net.prototxt").findings == ()


@pytest.mark.parametrize("case", NET_CASES, ids=lambda case: f"{case.rule}: {case.new[:30]}")
def test_a_net_with_one_thing_wrong(case):
    net = changed(NET, case.old, case.new)
    write(net=net)
    report = check("solver.prototxt")
    expect(report, case, net, "net.prototxt")


@pytest.mark.parametrize("case", SOLVER_CASES, ids=lambda case: f"{case.rule}: {case.new[:30]}")
def test_a_solver_with_one_thing_wrong(case):
    solver = changed(SOLVER, case.old, case.new)
    write(solver=solver)
    expect(check("solver.prototxt"), case, solver, "solver.prototxt")


def expect(report, case, text, file):
    findings = [each for each in report.findings if each.rule == case.rule]
    assert findings, f"nothing found but {found(report)}"
    finding = findings[0]
    assert case.says in finding.message
    assert finding.location.file == file
    if case.place:
        before = (
            text[: text.index(case.new) + case.new.index(case.place)]
            if (case.place in case.new)
            else text[: text.index(case.place)]
        )
        line, column = before.count("\n") + 1, len(before) - before.rfind("\n")
        assert (finding.location.line, finding.location.column) == (line, column)
    assert set(found(report)) <= {case.rule, *case.also, "unknown-shape"}
    assert set(case.also) <= set(found(report))


def test_every_rule_has_a_case():
    elsewhere = {
        "unreadable-source",
        "unknown-shape",
        "nothing-learns",
        "summed-loss",
        "unlike-others",
        "no-test-data",
        "phase-shapes",
        "phase-outputs",
        *(id_ for id_ in RULES if "weights" in id_ and id_ not in ("zero-weights",)),
    }
    tested = {case.rule for case in (*NET_CASES, *SOLVER_CASES)}
    assert tested | elsewhere == set(RULES)


# -- rules that need more than one change ------------------------------------------------------


def test_data_that_are_here_and_cannot_be_used():
    write()
    Path("train.txt").write_text("0.png zero\n")
    finding = of(check("net.prototxt", ignore=["unread-blob"]), "unreadable-source")
    assert "train.txt:1" in finding.message
    assert finding.location.line == 4


def test_an_input_of_unknown_shape_is_a_note_and_a_shape_can_be_given():
    write()
    for name in ("train.txt", "test.txt"):
        Path(name).unlink()
    report = check("solver.prototxt")
    assert set(found(report)) == {"missing-file", "unknown-shape"}
    assert report.forecast is None
    given = check("solver.prototxt", input_shapes={"data": (6, 1, 9, 8)})
    assert set(found(given)) == {"missing-file"}
    assert given.forecast is not None


def test_images_that_are_not_here_are_taken_for_coloured_ones():
    crop = "transform_param { crop_size: 9 }"
    net = NET.replace("transform_param { mean_value: 3 scale: 0.5 }", crop)
    data = 'data_param { source: "gone" batch_size: 6 }'
    net = changed(
        net, 'image_data_param { source: "train.txt" batch_size: 6 is_color: false }', data
    )
    write(net=changed(net, '"ImageData"', '"Data"'))
    report = check("net.prototxt", phase=0)
    assert found(report) == ["missing-file"]
    assert report.forecast is not None
    links = report.forecast.view.links or []
    assert links[0].top[0].shape == (6, 3, 9, 9)


def test_the_shape_of_what_is_no_input_is_refused():
    write()
    with pytest.raises(ArgumentError, match="the inputs are: data, label"):
        check("solver.prototxt", input_shapes={"dato": (6, 1, 9, 8)})


def test_images_that_a_list_names_and_that_are_not_here():
    write()
    Path("2.png").unlink()
    finding = of(check("net.prototxt", phase=0), "missing-file")
    assert '1 of the 4 images in "train.txt"' in finding.message
    assert '"2.png"' in finding.message


def test_a_net_in_which_nothing_learns():
    frozen = NET.replace("lr_mult: 1 ", "lr_mult: 0 ").replace("lr_mult: 2 ", "lr_mult: 0 ")
    write(net=frozen)
    report = check("solver.prototxt")
    assert found(report) == ["nothing-learns"]
    assert report.findings[0].subject == 'layer "loss" (SoftmaxWithLoss)'


@pytest.mark.parametrize(
    ("normalization", "rate", "severity"),
    [
        ("normalize: false", "0.02", Severity.WARNING),
        ("normalize: false", "0.0000001", Severity.NOTE),
        ("normalization: NONE", "0.02", Severity.WARNING),
        ("normalization: VALID", "0.02", None),
        ("normalization: FULL", "0.02", None),
    ],
)
def test_a_loss_of_many_pixels_that_is_not_divided(normalization, rate, severity):
    net = f"""
    layer {{ name: "d" type: "DummyData" top: "x" top: "y" dummy_data_param {{
      shape {{ dim: 2 dim: 3 dim: 12 dim: 13 }} shape {{ dim: 2 dim: 1 dim: 12 dim: 13 }} }} }}
    layer {{ name: "c" type: "Convolution" bottom: "x" top: "s"
      convolution_param {{ num_output: 5 kernel_size: 1 weight_filler {{ type: "msra" }} }} }}
    layer {{ name: "loss" type: "SoftmaxWithLoss" bottom: "s" bottom: "y" top: "loss"
      loss_param {{ {normalization} }} }}"""
    solver = SOLVER.replace("0.02", rate).replace("test_iter: 3\n", "")
    write(net=net, solver=solver.replace("test_interval: 20\n", ""))
    report = check("solver.prototxt")
    assert [each.severity for each in report.findings] == (
        [severity] if severity is not None else []
    )
    if severity is not None:
        divided = 1 if "NONE" in normalization else 2 if "false" in normalization else 0
        assert f"divided by {divided}," in report.findings[0].message


def test_a_bias_unlike_those_of_other_layers():
    net = NET
    for index in range(3):
        name = f"more{index}"
        net = changed(
            net,
            'layer { name: "ip2"',
            f'layer {{ name: "{name}" type: "InnerProduct" bottom: "ip1" top: "{name}"\n'
            "  param { lr_mult: 1 decay_mult: 1 }\n  param { lr_mult: 2 decay_mult: 0 }\n"
            '  inner_product_param { num_output: 4 weight_filler { type: "msra" } } }\n'
            'layer { name: "ip2"',
        )
    odd = changed(net, "param { lr_mult: 2 decay_mult: 0 }", "param { lr_mult: 1 decay_mult: 1 }")
    write(net=odd)
    finding = of(check("net.prototxt", phase=0), "unlike-others")
    assert finding.subject == 'layer "conv1" (Convolution)'
    assert finding.location.line == 10
    write(net=net)
    assert "unlike-others" not in found(check("net.prototxt", phase=0))


def test_a_net_without_data_for_a_phase():
    lines = NET.splitlines(keepends=True)
    write(net="".join(lines[:4] + lines[7:]))
    report = check("net.prototxt")
    assert found(report) == ["no-test-data"]
    assert report.findings[0].subject == 'layer "accuracy" (Accuracy)'
    accuracy = NET.index('layer { name: "accuracy"')
    only_train = "".join(lines[:4] + lines[7:]).replace(
        NET[accuracy : NET.index('layer { name: "loss"')], ""
    )
    write(net=only_train)
    assert check("net.prototxt").findings == ()


def test_weights_of_other_shapes_in_test():
    write(net=NET)
    Image.new("L", (10, 9)).save("wide.png")
    Path("test.txt").write_text("wide.png 0\n")
    finding = of(check("solver.prototxt"), "phase-shapes")
    assert finding.subject == 'layer "ip1" (InnerProduct)'
    assert "(11, 392)" in finding.message  # 7 x 7 x 8
    assert "(11, 294)" in finding.message  # 7 x 7 x 6


def test_other_outputs_in_test_are_found_without_data():
    ip2 = NET[NET.index('layer { name: "ip2"') : NET.index('layer { name: "accuracy"')]
    train = ip2.replace('top: "ip2"', 'top: "ip2" include { phase: TRAIN }')
    test = ip2.replace('top: "ip2"', 'top: "ip2" include { phase: TEST }')
    write(net=NET.replace(ip2, train + test.replace("num_output: 4", "num_output: 5")))
    for name in ("train.txt", "test.txt"):
        Path(name).unlink()
    finding = of(check("solver.prototxt"), "phase-outputs")
    assert "5 outputs in TEST, but 4 in TRAIN" in finding.message


@pytest.mark.parametrize(
    ("type_", "momentum", "says"),
    [
        ("Adam", "", "use 0.9"),
        ("Adam", "momentum: 0.9\n", None),
        ("AdaDelta", "", "use 0.95"),
        ("AdaDelta", "momentum: 0.95\n", None),
        ("SGD", "", None),
    ],
)
def test_a_solver_whose_decay_is_its_momentum(type_, momentum, says):
    solver = changed(SOLVER, "momentum: 0.9\n", momentum)
    write(solver=solver + f'type: "{type_}"\ndelta: 0.1\n' * (type_ != "SGD"))
    report = check("solver.prototxt")
    assert found(report) == (["learning-rate"] if says else [])
    if says:
        assert says in report.findings[0].message


def test_a_scale_is_no_layer_with_a_weight_and_a_bias():
    """One param of it is no mistake, whether or not its shape is known."""
    scale = """layer { name: "scale" type: "Scale" bottom: "conv1" top: "conv1"
      param { lr_mult: 0 } scale_param { bias_term: true } }\n"""
    write(net=changed(NET, 'layer { name: "relu1"', scale + 'layer { name: "relu1"'))
    assert check("solver.prototxt").findings == ()
    for name in ("train.txt", "test.txt"):
        Path(name).unlink()
    assert set(found(check("solver.prototxt"))) == {"missing-file", "unknown-shape"}


def test_a_python_layer_whose_shape_is_given_is_not_run():
    lines = NET.splitlines(keepends=True)
    python = """layer { name: "data" type: "Python" top: "data" top: "label"
      python_param { module: "none" layer: "None" } }\n"""
    write(net="".join([lines[0], python, *lines[7:]]))
    assert found(check("net.prototxt", phase=0)) == ["python-layer"]
    given = check("net.prototxt", phase=0, input_shapes={"": (6, 1, 9, 8)})
    assert given.findings == ()
    assert given.forecast is not None


@pytest.mark.parametrize("backend", ["lmdb", "leveldb"])
def test_the_labels_of_a_database(backend):
    if backend == "leveldb":
        pytest.importorskip("plyvel")
    records = [
        (b"%03d" % i, array_to_datum(np.full((1, 9, 8), i, np.uint8), i % 4).SerializeToString())
        for i in range(9)
    ]
    write_all("db", backend, records)
    net = changed(NET, '"ImageData"', '"Data"')
    data = f'data_param {{ source: "db" batch_size: 6 backend: {backend.upper()} }}'
    net = changed(
        net, 'image_data_param { source: "train.txt" batch_size: 6 is_color: false }', data
    )
    write(net=net)
    assert check("solver.prototxt").findings == ()
    write(net=changed(net, "num_output: 4", "num_output: 3"))
    assert {each.rule for each in check("solver.prototxt").findings} == {"label-range"}
    write(net=changed(net, "num_output: 4", "num_output: 5"))
    assert {each.rule for each in check("solver.prototxt").findings} == {"unused-outputs"}


def test_a_net_without_any_filler_is_made_for_weights():
    bare = NET
    for filler in (
        'weight_filler { type: "xavier" } ',
        'weight_filler { type: "msra" } ',
        'weight_filler { type: "gaussian" std: 0.3 } ',
    ):
        bare = changed(bare, filler, "")
    write(net=bare)
    assert check("net.prototxt").findings == ()
    lines = [each.location.line for each in check("solver.prototxt").findings]
    assert lines == [11, 17]  # not the last layer: weights of 0 before a loss do learn


@pytest.mark.parametrize(
    ("params", "is_found"),
    [
        ("", True),
        ("param { lr_mult: 1 } param { lr_mult: 0 }", True),
        ("param { lr_mult: 0 } param { lr_mult: 0 }", False),
    ],
)
def test_weights_of_zeros_may_be_meant_where_they_do_not_learn(params, is_found):
    old = """  param { lr_mult: 1 decay_mult: 1 }
  param { lr_mult: 2 decay_mult: 0 }
  inner_product_param { num_output: 11 weight_filler { type: "msra" } } }"""
    write(net=changed(NET, old, f"{params} inner_product_param {{ num_output: 11 }} }}"))
    assert ("zero-weights" in found(check("solver.prototxt"))) == is_found


@pytest.mark.parametrize(("name", "is_found"), [("w", False), ("v", True)])
def test_weights_that_another_layer_fills_need_no_filler(name, is_found):
    old = """  param { lr_mult: 1 decay_mult: 1 }
  param { lr_mult: 2 decay_mult: 0 }
  inner_product_param { num_output: 11 weight_filler { type: "msra" } } }"""
    layers = [
        f"""param {{ name: "{own}" }} param {{ name: "{own}_bias" }}
        inner_product_param {{ num_output: 11 {filler} }} }}"""
        for own, filler in (("w", 'weight_filler { type: "msra" }'), (name, ""))
    ]
    more = 'layer { name: "again" type: "InnerProduct" bottom: "conv1" top: "again" '
    reader = 'layer { name: "reader" type: "TanH" bottom: "again" top: "reader" }'
    net = changed(NET, old, f"{layers[0]} {more} {layers[1]} {reader}")
    write(net=net)
    assert ("zero-weights" in found(check("solver.prototxt"))) == is_found


def test_labels_that_are_learned_have_no_gradient():
    """The bottom before them has one."""
    learned = """layer { name: "guess" type: "InnerProduct" bottom: "ip1" top: "guess"
      param { lr_mult: 1 } param { lr_mult: 1 }
      inner_product_param { num_output: 1 weight_filler { type: "msra" } } }
      layer { name: "other" type: "SoftmaxWithLoss" bottom: "ip2" bottom: "guess" top: "o" }
    """
    write(net=changed(NET, 'layer { name: "loss"', learned + 'layer { name: "loss"'))
    finding = of(check("net.prototxt"), "no-gradient")
    assert 'bottom 1 of SoftmaxWithLoss, "guess", gets no gradient' in finding.message


def test_a_layer_without_a_bias_needs_no_bias_filler():
    write(net=changed(NET, "num_output: 11 ", "num_output: 11 bias_term: false "))
    report = check("solver.prototxt")
    assert {each.subject for each in report.findings} == {'layer "ip1" (InnerProduct)'}
    assert all("2 param messages for 1 parameter" in each.message for each in report.findings)


def test_different_heads_are_found_without_shapes():
    head = """layer { name: "more" type: "InnerProduct" bottom: "ip1" top: "more"
      inner_product_param { num_output: 6 weight_filler { type: "msra" } } }
      layer { name: "other" type: "SoftmaxWithLoss" bottom: "more" bottom: "label" top: "o" }\n"""
    write(net=changed(NET, 'layer { name: "loss"', head + 'layer { name: "loss"'))
    for name in ("train.txt", "test.txt"):
        Path(name).unlink()
    findings = [e for e in check("net.prototxt", phase=0).findings if e.rule == "different-heads"]
    assert [each.subject for each in findings] == ['layer "loss" (SoftmaxWithLoss)']
    assert "has 4 outputs" in findings[0].message
    assert "has 6" in findings[0].message


def test_rules_can_be_ignored():
    write(solver=changed(SOLVER, "gamma: 0.1\n", ""))
    assert found(check("solver.prototxt")) == ["policy-fields"]
    assert check("solver.prototxt", ignore=["policy-fields"]).findings == ()
    with pytest.raises(ArgumentError, match="there is no rule policy"):
        check("solver.prototxt", ignore=["policy"])


# -- weights -----------------------------------------------------------------------------------


@pytest.fixture
def weights() -> caffe_pb2.NetParameter:
    write()
    with caffe.Net("net.prototxt", caffe.TRAIN) as net:
        return net.to_proto()


def save(message: caffe_pb2.NetParameter, path: str = "w.caffemodel") -> str:
    files.write_message(path, message)
    return path


def test_weights_that_fit(weights):
    assert check("net.prototxt", save(weights)).findings == ()


def test_weights_of_another_shape(weights):
    ip2 = next(layer for layer in weights.layer if layer.name == "ip2")
    ip2.blobs[0].CopyFrom(files.array_to_blob(np.ones((3, 11), np.float32)))
    report = check("net.prototxt", save(weights))
    assert set(found(report)) == {"misfit-weights"}
    assert "w.caffemodel" in report.findings[0].message
    assert "(3, 11), the net (4, 11)" in report.findings[0].message
    assert report.findings[0].location.line == 19


def test_a_layer_that_the_weights_lack_and_one_that_the_net_lacks(weights):
    next(layer for layer in weights.layer if layer.name == "ip1").name = "ip1_old"
    report = check("net.prototxt", save(weights))
    lacking = [each for each in report.findings if each.rule == "untrained-weights"]
    assert [(each.severity, each.location.line) for each in lacking] == [(Severity.WARNING, 14)]
    assert 'layer "ip1_old"' in of(report, "unused-weights").message
    assert set(found(report)) == {"untrained-weights", "unused-weights"}


def test_a_classifier_that_no_solver_trains_needs_weights(weights):
    next(layer for layer in weights.layer if layer.name == "ip2").name = "ip2_old"
    report = check("net.prototxt", save(weights))
    assert of(report, "untrained-weights").severity == Severity.WARNING


def test_weights_that_are_not_numbers(weights):
    conv1 = next(layer for layer in weights.layer if layer.name == "conv1")
    values = files.blob_to_array(conv1.blobs[0]).copy()
    values[2, 0, 1] = np.nan, np.inf, 1
    conv1.blobs[0].CopyFrom(files.array_to_blob(values))
    report = check("net.prototxt", save(weights))
    assert found(report) == ["weights-not-finite"]
    assert "blob 0: 2 values are not finite" in report.findings[0].message


def test_weights_that_cannot_be_read():
    write()
    Path("w.caffemodel").write_text("no weights")
    report = check("net.prototxt", ["w.caffemodel", "gone.caffemodel"])
    assert found(report) == ["unreadable-weights", "unreadable-weights"]
    assert "gone.caffemodel: no such file" in report.findings[1].message


def test_a_solver_s_own_weights_are_compared(weights):
    for layer in weights.layer:
        layer.name = {"ip2": "ip2_old", "ip1": "ip1_old"}.get(layer.name, layer.name)
    save(weights)
    write(solver=SOLVER + 'weights: "w.caffemodel"\n')
    report = check("solver.prototxt")
    assert found(report).count("unused-weights") == 2
    lacking = [each for each in report.findings if each.rule == "untrained-weights"]
    levels = {each.subject: each.severity for each in lacking}
    assert levels == {  # a new classifier is what fine-tuning is for
        'layer "ip1" (InnerProduct)': Severity.WARNING,
        'layer "ip2" (InnerProduct)': Severity.NOTE,
    }


def test_weights_of_another_net_are_told_once(weights):
    for layer in weights.layer:
        layer.name += "_other"
    report = check("net.prototxt", save(weights))
    assert found(report) == ["untrained-weights"]
    assert "none of the net's layers" in report.findings[0].message
    assert report.findings[0].location == Location("net.prototxt", 1, 1)
