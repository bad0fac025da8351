"""Rules of wires, losses, names and phases: small nets beside each bound."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import caffe_lite as caffe
from caffe_lite.checking import Finding, Report, Severity, check
from caffe_lite.proto import caffe_pb2, files
from tests.checking.files import SOLVER, changed, found, of, write

DATA = """layer { name: "data" type: "DummyData" top: "data" top: "label"
  dummy_data_param { shape { dim: 2 dim: 3 dim: 7 dim: 6 } shape { dim: 2 } } }
"""
UNKNOWN = """layer { name: "data" type: "Data" top: "data" top: "label"
  data_param { source: "gone" batch_size: 2 } }
"""
QUIET = ["missing-file", "unknown-shape"]


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def layer(type_: str, bottoms: str, top: str, more: str = "") -> str:
    """A layer that is called as its first top."""
    words = [f'bottom: "{name}"' for name in bottoms.split()]
    words += [f'top: "{name}"' for name in top.split()]
    return f'layer {{ name: "{top.split()[0]}" type: "{type_}" {" ".join(words)} {more} }}\n'


def ip(bottom: str, top: str, more: str = "", outputs: int = 5) -> str:
    param = f'inner_product_param {{ num_output: {outputs} weight_filler {{ type: "xavier" }} }}'
    return layer("InnerProduct", bottom, top, f"{more} {param}")


LOSS = layer("SoftmaxWithLoss", "ip label", "loss")
PLAIN = ip("data", "ip") + LOSS


def checked(*layers: str, phase: int = 0, head: str = DATA) -> Report:
    Path("net.prototxt").write_text(head + "".join(layers))
    return check("net.prototxt", phase=phase, ignore=QUIET)


def solved(*layers: str, rate: float = 0.02, head: str = DATA) -> Report:
    """The report on a solver of this net, without tests."""
    solver = changed(SOLVER, "test_iter: 3\ntest_interval: 20\n", "")
    write(net=head + "".join(layers), solver=changed(solver, "0.02", str(rate)))
    return check("solver.prototxt", ignore=QUIET)


def severities(report: Report) -> list[tuple[str, Severity]]:
    return [(each.rule, each.severity) for each in report.findings]


def text_at(finding: Finding) -> str:
    """The net from the place of a finding on."""
    line = Path("net.prototxt").read_text().splitlines()[finding.location.line - 1]
    return line[finding.location.column - 1 :]


# -- blobs that nobody reads ---------------------------------------------------------------------


@pytest.mark.parametrize("phase", [0, 1])
def test_what_a_data_layer_brings_should_be_read(phase):
    loss = layer("EuclideanLoss", "ip ip", "loss")
    report = checked(ip("data", "ip"), loss, phase=phase)
    assert severities(report) == [("unread-blob", Severity.NOTE)]
    assert f'no layer of {"TEST" if phase else "TRAIN"} reads "label"' in str(report)
    assert text_at(report.findings[0]).startswith('"label"')
    report = checked(layer("Silence", "label", "x").replace('top: "x"', ""), phase=phase)
    assert severities(report) == [("unread-blob", Severity.WARNING)]


@pytest.mark.parametrize(
    ("extra", "found_there"),
    [
        (layer("TanH", "ip", "more"), [("unread-blob", Severity.WARNING)]),
        (layer("Softmax", "ip", "more"), [("unread-blob", Severity.NOTE)]),
        (layer("Sigmoid", "ip", "more"), [("unread-blob", Severity.NOTE)]),
        (layer("Slice", "ip", "more other", "slice_param { slice_point: 2 }"),
         [("unread-blob", Severity.NOTE)]),
        (layer("Accuracy", "ip label", "more"), []),
        (layer("ArgMax", "ip", "more"), []),
        (layer("Reduction", "ip", "more", "loss_weight: 1"), []),
        (layer("EuclideanLoss", "ip ip", "more"), []),
    ],
)  # fmt: skip
def test_a_top_that_nothing_reads_while_a_net_trains(extra, found_there):
    assert severities(checked(PLAIN, extra)) == found_there
    assert found(checked(PLAIN, extra, phase=1)) == []
    without_loss = ip("data", "ip") + layer("Silence", "label", "x").replace('top: "x"', "")
    if "label" not in extra and "loss_weight" not in extra and "Loss" not in extra:
        assert found(checked(without_loss, extra)) == []


def test_an_unknown_bottom_was_meant_to_read_it_perhaps():
    report = checked(PLAIN, layer("TanH", "ip", "more"), layer("TanH", "mor", "most"))
    assert found(report) == ["unknown-bottom"]
    report = checked(PLAIN, layer("Tanh", "ip", "more"))
    assert found(report) == ["unknown-type"]
    report = checked(PLAIN, layer("InnerProduct", "ip", "more"))
    assert found(report) == ["invalid-layer"]


# -- gradients -----------------------------------------------------------------------------------


def test_a_net_without_a_loss_learns_nothing():
    report = solved(ip("data", "ip"), layer("EuclideanLoss", "ip ip", "l", "loss_weight: 0"),
                    layer("Silence", "label", "x").replace('top: "x"', ""))  # fmt: skip
    finding = of(report, "no-loss")
    assert "the loss weights of all losses are 0" in finding.message
    assert text_at(finding).startswith("0 }")
    report = solved(ip("data", "ip"), layer("Silence", "ip label", "x").replace('top: "x"', ""))
    assert found(report) == ["no-loss"]
    assert report.findings[0].location.line == 1
    unknown = layer("Unknown", "ip label", "x")
    assert found(solved(ip("data", "ip"), unknown)) == ["unknown-type"]
    weighted = layer("Reduction", "ip", "sum", "loss_weight: 1")
    label = layer("Silence", "label", "x").replace('top: "x"', "")
    assert found(solved(ip("data", "ip"), weighted, label)) == []


def test_a_loss_whose_labels_would_learn():
    learned = layer("Reshape", "label", "column", "reshape_param { shape { dim: 0 dim: 1 } }")
    learned += ip("column", "guess", outputs=1)
    other = layer("SoftmaxWithLoss", "ip guess", "other")
    finding = of(checked(PLAIN, learned, other), "no-gradient")
    assert 'bottom 1 of SoftmaxWithLoss, "guess", gets no gradient' in finding.message
    stopped = layer("SoftmaxWithLoss", "ip guess", "other",
                    "propagate_down: true propagate_down: false")  # fmt: skip
    assert "no-gradient" not in found(checked(PLAIN, learned, stopped))
    frozen = "param { lr_mult: 0 } param { lr_mult: 0 }"
    learned = learned.replace('top: "guess"', f'top: "guess" {frozen}')
    assert "no-gradient" not in found(checked(PLAIN, learned, other))


@pytest.mark.parametrize("head", [DATA, UNKNOWN])
@pytest.mark.parametrize(
    ("params", "rules"),
    [
        ("", []),
        ("param { lr_mult: 0 } param { lr_mult: 0 }", ["nothing-learns"]),
        ("param { lr_mult: 0 } param { lr_mult: 1 }", ["bias-not-frozen"]),
        ("param { lr_mult: 1 } param { lr_mult: 0 }", []),
    ],
)
def test_a_net_in_which_nothing_learns(head, params, rules):
    assert found(checked(ip("data", "ip", params), LOSS, head=head)) == rules


def test_a_net_without_weights_need_not_learn():
    loss = layer("SoftmaxWithLoss", "data label", "loss")
    head = DATA.replace("dim: 3 dim: 7 dim: 6", "dim: 3")
    assert found(checked(loss, head=head)) == []
    norm = layer("BatchNorm", "data", "norm") + layer("SoftmaxWithLoss", "norm label", "loss")
    assert found(checked(norm, head=head)) == []  # its averages are not learned


def test_a_bias_alone_that_learns_is_something():
    report = checked(ip("data", "ip", "param { lr_mult: 0 }"), LOSS)
    assert found(report) == ["bias-not-frozen"]


@pytest.mark.parametrize("head", [DATA, UNKNOWN])
def test_a_layer_that_no_loss_reaches(head):
    side = ip("ip", "side") + layer("ArgMax", "side", "most")
    report = checked(PLAIN, side, head=head)
    assert found(report) == ["untrained-layer"]
    assert report.findings[0].subject == 'layer "side" (InnerProduct)'
    frozen = ip("ip", "side", "param { lr_mult: 0 } param { lr_mult: 0 }")
    assert found(checked(PLAIN, frozen, layer("ArgMax", "side", "most"), head=head)) == []
    assert found(checked(PLAIN, ip("ip", "side"), head=head)) == ["unread-blob"]
    assert found(checked(PLAIN, layer("ArgMax", "ip", "most"), head=head)) == []


# -- losses --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("loss", "below", "rule"),
    [
        ("SoftmaxWithLoss", "Softmax", "doubled-activation"),
        ("FocalLoss", "Softmax", "doubled-activation"),
        ("SigmoidCrossEntropyLoss", "Sigmoid", "doubled-activation"),
        ("SoftmaxWithLoss", "Sigmoid", ""),
        ("SigmoidCrossEntropyLoss", "Softmax", ""),
        ("MultinomialLogisticLoss", "Softmax", ""),
        ("SoftmaxWithLoss", "ReLU", "clipped-scores"),
        ("SoftmaxWithLoss", "Dropout", "clipped-scores"),
        ("FocalLoss", "ReLU", "clipped-scores"),
        ("SigmoidCrossEntropyLoss", "ReLU", "clipped-scores"),
        ("SoftmaxWithLoss", "TanH", ""),
        ("EuclideanLoss", "ReLU", ""),
    ],
)
def test_what_is_right_before_a_loss(loss, below, rule):
    pairs = loss in ("SigmoidCrossEntropyLoss", "EuclideanLoss")
    head = DATA.replace("shape { dim: 2 }", "shape { dim: 2 dim: 5 }") if pairs else DATA
    report = checked(ip("data", "ip"), layer(below, "ip", "b"), layer(loss, "b label", "loss"),
                     head=head)  # fmt: skip
    assert [each for each in found(report) if each != "fork-field"] == ([rule] if rule else [])
    says = {"Dropout": "drops scores", "ReLU": "cuts off negative scores"}.get(below, "")
    assert not rule or says in str(report)
    if rule == "doubled-activation":
        other = "or use MultinomialLogisticLoss" in str(report)
        assert other == (loss != "SigmoidCrossEntropyLoss")


def test_a_relu_that_leaks_cuts_nothing_off():
    leak = layer("ReLU", "ip", "b", "relu_param { negative_slope: 0.1 }")
    loss = layer("SoftmaxWithLoss", "b label", "loss")
    assert found(checked(ip("data", "ip"), leak, loss)) == []


@pytest.mark.parametrize(("weight", "count"), [("", 0), ("loss_weight: 2", 0),
                                               ("loss_weight: 0", 1)])  # fmt: skip
def test_a_loss_from_which_nothing_learns(weight, count):
    more = layer("SoftmaxWithLoss", "ip label", "more", weight)
    assert found(checked(PLAIN, more)) == ["zero-loss-weight"] * count
    none = layer("TanH", "ip", "t", "loss_weight: 0") + layer("Silence", "t", "x")
    assert found(checked(PLAIN, none.replace('top: "x"', ""))) == []


@pytest.mark.parametrize(
    ("param", "count"),
    [
        ("normalize: true", 0),
        ("normalization: VALID", 0),
        ("normalize: true normalization: VALID", 1),
        ("normalize: false normalization: BATCH_SIZE", 1),
    ],
)
@pytest.mark.parametrize("phase", [0, 1])
def test_one_of_two_normalizations_counts(param, count, phase):
    loss = layer("SoftmaxWithLoss", "ip label", "loss", f"loss_param {{ {param} }}")
    report = checked(ip("data", "ip"), loss, phase=phase)
    assert found(report) == ["ignored-normalize"] * count


def pixels(count: int, items: int = 2) -> str:
    return f"""layer {{ name: "data" type: "DummyData" top: "data" top: "label" dummy_data_param {{
      shape {{ dim: {items} dim: 3 dim: 1 dim: {count} }}
      shape {{ dim: {items} dim: 1 dim: 1 dim: {count} }} }} }}
    """


CONV = layer(
    "Convolution",
    "data",
    "ip",
    'convolution_param { num_output: 5 kernel_size: 1 weight_filler { type: "msra" } }',
)


@pytest.mark.parametrize(
    ("count", "param", "rate", "severity"),
    [
        (50, "normalization: NONE", 2e-4, Severity.WARNING),  # 2 x 50 terms
        (49, "normalization: NONE", 2e-4, None),
        (50, "normalization: NONE", 1e-4, Severity.NOTE),
        (100, "normalize: false", 2e-4, Severity.WARNING),
        (99, "normalize: false", 2e-4, None),
        (100, "normalization: BATCH_SIZE", 2e-4, Severity.WARNING),
        (500, "normalize: true", 2e-4, None),
        (500, "", 2e-4, None),
        (500, "normalization: FULL", 2e-4, None),
    ],
)
def test_from_how_many_terms_on_a_sum_is_told(count, param, rate, severity):
    loss = layer("SoftmaxWithLoss", "ip label", "loss", f"loss_param {{ {param} }}")
    report = solved(CONV, loss, rate=rate, head=pixels(count))
    assert severities(report) == [("summed-loss", severity)] * (severity is not None)
    if severity is not None:
        by = 1 if "NONE" in param else 2
        text = str(report)
        assert f"its {2 * count} terms are summed and divided by {by}," in text
        assert f"are {2 * count // by} times those of a mean" in text
        assert f"lower than usual, and is {rate:g}" in text
        assert text_at(report.findings[0]).startswith(param.split()[1])


def test_a_sum_is_told_without_a_solver_too():
    loss = layer("SoftmaxWithLoss", "ip label", "loss", "loss_param { normalization: NONE }")
    report = checked(CONV, loss, head=pixels(600))
    assert severities(report) == [("summed-loss", Severity.NOTE)]
    assert report.findings[0].message.endswith("base_lr must be that much lower")
    assert "its 1,200 terms are summed and divided by 1, so gradients are 1,200" in str(report)
    assert found(checked(CONV, loss, head=pixels(600), phase=1)) == []


@pytest.mark.parametrize(("param", "count"), [("", 0), ("normalization: NONE", 1),
                                              ("normalization: BATCH_SIZE", 0)])  # fmt: skip
def test_a_term_for_each_class_of_an_item_is_divided_by_items(param, count):
    head = DATA.replace("shape { dim: 2 }", "shape { dim: 2 dim: 250 }")
    loss = layer("SigmoidCrossEntropyLoss", "ip label", "loss", f"loss_param {{ {param} }}")
    report = checked(ip("data", "ip", outputs=250), loss, head=head)
    assert found(report) == ["summed-loss"] * count


def test_each_loss_is_looked_at() -> None:
    """Whatever the losses before it divide by."""
    head = DATA.replace("shape { dim: 2 }", "shape { dim: 2 dim: 250 }")
    losses = [
        layer("SigmoidCrossEntropyLoss", "ip label", name, f"loss_param {{ normalization: {by} }}")
        for name, by in (("a", "VALID"), ("b", "BATCH_SIZE"), ("c", "NONE"), ("d", "NONE"))
    ]
    report = checked(ip("data", "ip", outputs=250), *losses, head=head)
    assert found(report) == ["summed-loss"] * 2
    assert [each.location.line for each in report.findings] == [6, 7]


# -- names and phases ----------------------------------------------------------------------------


def test_layers_of_one_name():
    tanh = layer("TanH", "ip", "t").replace('name: "t"', 'name: "twice"')
    more = layer("TanH", "t", "u").replace('name: "u"', 'name: "twice"')
    scores = ip("u", "scores").replace('name: "scores"', 'name: "NAME"')
    loss = layer("SoftmaxWithLoss", "scores label", "loss")
    start = ip("data", "ip").replace('name: "ip"', 'name: "FIRST"')

    def net(first: str, last: str) -> Report:
        return checked(start.replace("FIRST", first), tanh, more, scores.replace("NAME", last),
                       loss)  # fmt: skip

    assert found(net("ip", "scores")) == []  # layers without weights may share a name
    report = net("ip", "twice")
    assert found(report) == ["duplicate-name"]
    assert 'another layer is called "twice" (line 4)' in str(report)
    assert text_at(report.findings[0]).startswith('"twice" type: "InnerProduct"')
    report = net("twice", "scores")
    assert found(report) == ["duplicate-name"] * 2
    assert {each.location.line for each in report.findings} == {4, 5}


def phased(train: str, test: str) -> str:
    return train.replace("layer {", "layer { include { phase: TRAIN }") + test.replace(
        "layer {", "layer { include { phase: TEST }"
    )


def test_layers_of_test_have_the_shapes_of_train():
    def of_shapes(train: str, test: str) -> Report:
        text = phased(train, test) + layer("SoftmaxWithLoss", "ip label", "loss")
        Path("net.prototxt").write_text(DATA + text)
        return check("net.prototxt")

    assert found(of_shapes(ip("data", "ip"), ip("data", "ip"))) == []
    report = of_shapes(ip("data", "ip"), ip("data", "ip", outputs=6))
    assert found(report) == ["phase-shapes"]
    assert "its weights have shapes (6, 126), (6,) in TEST, but (5, 126), (5,) in TRAIN (line 3)" \
        in str(report)  # fmt: skip
    report = of_shapes(ip("data", "ip"), layer("Reshape", "data", "ip",
                       "reshape_param { shape { dim: 2 dim: -1 } }"))  # fmt: skip
    assert "its weights have shapes none in TEST" in str(report)
    other = ip("data", "ip", outputs=6).replace('name: "ip"', 'name: "new"')
    report = of_shapes(ip("data", "ip"), other)
    assert found(report) == ["test-only-weights"]
    assert text_at(report.findings[0]).startswith('"new"')
    flat = layer("Reshape", "data", "flat", "reshape_param { shape { dim: 2 dim: -1 } }")
    flat = flat.replace('top: "flat"', 'top: "ip"')
    assert found(of_shapes(ip("data", "ip"), flat)) == []


def test_outputs_of_test_are_compared_where_shapes_are_unknown():
    def of_outputs(train: str, test: str) -> Report:
        loss = layer("SoftmaxWithLoss", "ip label", "loss")
        Path("net.prototxt").write_text(UNKNOWN + phased(train, test) + loss)
        return check("net.prototxt", ignore=QUIET)

    assert found(of_outputs(ip("data", "ip"), ip("data", "ip"))) == []
    report = of_outputs(ip("data", "ip"), ip("data", "ip", outputs=7))
    assert found(report) == ["phase-outputs"]
    assert "it has 7 outputs in TEST, but 5 in TRAIN (line 3)" in str(report)
    assert found(of_outputs(ip("data", "ip"), layer("TanH", "data", "ip"))) == []


# -- weights -------------------------------------------------------------------------------------


def saved(*layers: str) -> caffe_pb2.NetParameter:
    Path("net.prototxt").write_text(DATA + "".join(layers))
    with caffe.Net("net.prototxt", caffe.TRAIN) as net:
        message = net.to_proto()
    files.write_message("w.caffemodel", message)
    return message


def test_a_layer_is_told_once_though_both_phases_lack_its_weights():
    saved(ip("data", "ip"), LOSS)
    more = ip("ip", "more") + layer("TanH", "more", "t") + ip("t", "last")
    loss = layer("SoftmaxWithLoss", "last label", "loss")
    accuracy = layer("Accuracy", "last label", "accuracy", "include { phase: TEST }")
    Path("net.prototxt").write_text(DATA + ip("data", "ip") + more + loss + accuracy)
    report = check("net.prototxt", "w.caffemodel")
    assert severities(report) == [("untrained-weights", Severity.WARNING)] * 2
    assert [each.subject for each in report.findings] == [
        'layer "more" (InnerProduct)', 'layer "last" (InnerProduct)']  # fmt: skip
    assert "w.caffemodel has no weights for it, so it starts from its fillers" in str(report)
    report = check("net.prototxt", "w.caffemodel", phase=1)
    assert "so it stays untrained" in str(report)


def test_each_misfit_is_told_at_its_layer():
    message = saved(ip("data", "ip"), ip("ip", "two"), layer("SoftmaxWithLoss", "two label", "l"))
    net = ip("data", "ip", outputs=6) + ip("ip", "two")
    report = checked(net, layer("SoftmaxWithLoss", "two label", "l"))
    assert found(report) == []
    report = check("net.prototxt", "w.caffemodel", phase=0)
    assert found(report) == ["misfit-weights"] * 2
    assert [each.location.line for each in report.findings] == [3, 4]
    for each in message.layer:  # all of another shape: misfits, and not another net's
        for blob in each.blobs:
            blob.CopyFrom(files.array_to_blob(np.ones((2, 3), np.float32)))
    message.layer[0].name = "unknown"
    files.write_message("w.caffemodel", message)
    report = check("net.prototxt", "w.caffemodel", phase=0)
    assert set(found(report)) >= {"misfit-weights"}


def test_every_value_of_weights_must_be_a_number():
    message = saved(ip("data", "ip"), LOSS)
    report = check("net.prototxt", "w.caffemodel", phase=0)
    assert found(report) == []
    (ip_layer,) = [each for each in message.layer if each.name == "ip"]
    bias = files.blob_to_array(ip_layer.blobs[1]).copy()
    bias[3] = np.inf
    ip_layer.blobs[1].CopyFrom(files.array_to_blob(bias))
    files.write_message("w.caffemodel", message)
    report = check("net.prototxt", "w.caffemodel", phase=0)
    assert found(report) == ["weights-not-finite"]
    assert 'w.caffemodel: layer "ip", blob 1: 1 values are not finite' in str(report)
