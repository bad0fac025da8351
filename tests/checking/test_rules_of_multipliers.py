"""Rules of lr_mult, decay_mult and fillers: which layers they mean, and from which value on."""

from __future__ import annotations

from pathlib import Path

import pytest

import caffe_lite as caffe
from caffe_lite.checking import Report, check
from caffe_lite.proto import files
from tests.checking.files import NET, SOLVER, changed, found, of, write

USUAL = "param { lr_mult: 1 decay_mult: 1 } param { lr_mult: 2 decay_mult: 0 }"
HEAD = """name: "multipliers"
layer { name: "data" type: "DummyData" top: "data" top: "label"
  dummy_data_param { shape { dim: 2 dim: 3 dim: 7 dim: 6 } shape { dim: 2 dim: 3 } } }
"""
FILLER = 'weight_filler { type: "xavier" }'
LOSS = 'layer { name: "loss" type: "EuclideanLoss" bottom: "ip" bottom: "label" top: "loss" }\n'


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def conv(name: str, bottom: str, params: str = USUAL, filler: str = FILLER, more: str = "") -> str:
    return f"""layer {{ name: "{name}" type: "Convolution" bottom: "{bottom}" top: "{name}"
      {params} convolution_param {{ num_output: 4 kernel_size: 1 {filler} {more} }} }}\n"""


def ip(bottom: str, params: str = USUAL, filler: str = FILLER) -> str:
    return f"""layer {{ name: "ip" type: "InnerProduct" bottom: "{bottom}" top: "ip" {params}
      inner_product_param {{ num_output: 3 {filler} }} }}\n"""


def checked(*layers: str, known: bool = True, weights: list[str] | None = None) -> Report:
    """The report on a solver's net of these layers, between data and a loss."""
    head = HEAD
    if not known:  # shapes are not known without the file
        head = """layer { name: "data" type: "Data" top: "data" top: "label"
          data_param { source: "gone" batch_size: 2 } }\n"""
    solver = changed(SOLVER, "test_iter: 3\ntest_interval: 20\n", "")
    write(net=head + "".join(layers) + LOSS, solver=solver)
    return check("solver.prototxt", weights or [], ignore=["missing-file", "unknown-shape"])


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize(
    ("params", "rules"),
    [
        ("", []),
        (USUAL, []),
        ("param { lr_mult: 0 }", ["bias-not-frozen"]),
        ("param { lr_mult: 0 } param { lr_mult: 0.5 }", ["bias-not-frozen"]),
        ("param { lr_mult: 0 } param { lr_mult: 0 }", []),
        ("param { lr_mult: 1 }", []),
        ("param { }", []),
        ("param { lr_mult: 3 }", ["one-param"]),
        ("param { decay_mult: 0 }", ["one-param"]),
        ("param { lr_mult: 1 decay_mult: 0 } param { lr_mult: 1 decay_mult: 0 }", []),
        ("param { lr_mult: 2 decay_mult: 0 } param { lr_mult: 1 }", ["swapped-params"]),
        ("param { lr_mult: 1 decay_mult: 0 } param { lr_mult: 1 }", []),
        ("param { lr_mult: 1 decay_mult: 0 } param { lr_mult: 2 }", []),
        ("param { lr_mult: 2 decay_mult: 1 } param { lr_mult: 1 decay_mult: 2 }", []),
        ("param { lr_mult: 100 } param { lr_mult: 1 }", []),
        ("param { lr_mult: 101 } param { lr_mult: 1 }", ["odd-multiplier"]),
        ("param { lr_mult: 1 } param { lr_mult: -1 }", ["odd-multiplier"]),
        ("param { decay_mult: 200 } param { decay_mult: 200 }", []),
        ("param { decay_mult: -1 } param { }", ["odd-multiplier"]),
    ],
)
def test_multipliers(params, rules, known):
    assert found(checked(conv("conv", "data", params), ip("conv"), known=known)) == rules


def test_what_a_negative_multiplier_does():
    report = checked(conv("a", "data", "param { lr_mult: -1 decay_mult: -2 } param { }"), ip("a"))
    messages = [each.message for each in report.findings]
    assert messages == [
        "lr_mult -1 is negative, which raises the loss",
        "decay_mult -2 is negative, which lets weights grow",
    ]


@pytest.mark.parametrize("known", [True, False])
def test_a_layer_without_a_bias_has_one_multiplier(known):
    for params in ("param { lr_mult: 0 }", "param { lr_mult: 3 }"):
        layer = conv("conv", "data", params, more="bias_term: false")
        assert found(checked(layer, ip("conv"), known=known)) == []


def layers_with_bias(*biases: tuple[float, float]) -> list[str]:
    """A chain of convolutions, with lr_mult and decay_mult of each one's bias; weights have 4."""
    names = ["data", *"abcdefgh"]
    return [
        conv(
            names[index + 1],
            names[index],
            f"param {{ lr_mult: 4 }} param {{ lr_mult: {rate} decay_mult: {decay} }}",
        )
        for index, (rate, decay) in enumerate(biases)
    ]


@pytest.mark.parametrize(
    ("biases", "odd"),
    [
        ([(8, 0), (8, 0), (8, 0)], []),
        ([(8, 0), (8, 0), (8, 0), (4, 0)], ["d"]),
        ([(8, 0), (8, 0), (8, 1), (8, 0)], ["c"]),
        ([(4, 1), (8, 0), (8, 0), (8, 0), (8, 0), (8, 0), (8, 0), (4, 0)], ["a", "h"]),
        ([(4, 1), (8, 0), (8, 0), (8, 0), (8, 0), (4, 0)], []),  # 4 of 6 are too few
        ([(8, 0), (8, 0)], []),
        ([(8, 0), (4, 1)], []),
        ([(4, 1), (4, 1), (4, 1), (8, 0)], []),  # 1 and 1 are the values of no param
        ([(8, 0), (8, 0), (4, 1)], []),
    ],
)
def test_a_bias_unlike_those_of_most_layers(biases, odd):
    last = "abcdefgh"[len(biases) - 1]
    params = "param { lr_mult: 0 } param { lr_mult: 0 }"
    report = checked(*layers_with_bias(*biases), ip(last, params))
    assert found(report) == ["unlike-others"] * len(odd)
    assert [each.subject for each in report.findings] == [
        f'layer "{name}" (Convolution)' for name in odd
    ]


def test_a_bias_without_a_param_has_1_and_1():
    layers = layers_with_bias((8, 0), (8, 0), (8, 0))
    report = checked(*layers, ip("c", ""))
    assert found(report) == ["unlike-others"]
    finding = report.findings[0]
    assert "its bias has 1 times the weight's lr_mult and decay_mult 1;" in finding.message
    assert "the biases of 3 other layers have 2 times and 0" in finding.message
    lines = Path("net.prototxt").read_text().splitlines()
    wanted = next(i for i, line in enumerate(lines) if '"ip" type' in line)
    assert finding.location.line == wanted + 1
    report = checked(*layers, ip("c", "param { lr_mult: 3 } param { lr_mult: 3 }"))
    assert "its bias has 1 times" in of(report, "unlike-others").message
    location = of(report, "unlike-others").location
    line = Path("net.prototxt").read_text().splitlines()[location.line - 1]
    assert line[location.column - 1 :].startswith("param { lr_mult: 3 }\n".strip())


def test_the_rate_of_a_layer_without_params_is_1():
    layers = layers_with_bias((4, 1), (4, 1), (4, 1))
    odd = conv("d", "c", "param { lr_mult: 1 } param { lr_mult: 2 }")
    frozen = conv("e", "d", "param { lr_mult: 0 } param { lr_mult: 0 }")
    assert found(checked(*layers, odd, frozen, ip("e", ""))) == []
    twice = [conv(b, a, "param { lr_mult: 1 } param { lr_mult: 2 }") for a, b in
             (("data", "a"), ("a", "b"), ("b", "c"))]  # fmt: skip
    report = checked(*twice, ip("c", ""))
    assert "its bias has 1 times the weight's" in of(report, "unlike-others").message


# -- weights that start at 0 ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("filler", "is_found"),
    [
        ("", True),
        ('weight_filler { type: "constant" }', True),
        ('weight_filler { type: "constant" value: 0.1 }', False),
        ('weight_filler { type: "gaussian" std: 0.1 }', False),
    ],
)
def test_which_fillers_give_zeros(filler, is_found):
    report = checked(conv("a", "data", filler=filler), conv("b", "a"), ip("b"))
    assert found(report) == ["zero-weights"] * is_found
    assert check("net.prototxt").findings == report.findings


def test_each_layer_of_zeros_is_told():
    frozen = "param { lr_mult: 0 } param { lr_mult: 0 }"
    report = checked(
        conv("a", "data", frozen, filler=""),
        conv("b", "a", filler=""),
        conv("c", "b", filler=""),
        conv("d", "c"),
        ip("d", filler=""),
    )
    subjects = [each.subject for each in report.findings]
    assert subjects == ['layer "b" (Convolution)', 'layer "c" (Convolution)']


def test_a_layer_whose_top_goes_to_a_loss_and_to_a_layer_does_not_only_feed_losses():
    side = conv("side", "a", more="")
    net = (conv("a", "data", filler=""), side, 'layer { name: "end" type: "EuclideanLoss" '
           'bottom: "a" bottom: "side" top: "end" }\n', ip("side"))  # fmt: skip
    assert found(checked(*net)) == ["zero-weights"]


def test_a_metric_reads_scores_as_a_loss_does():
    bare = changed(NET, 'weight_filler { type: "gaussian" std: 0.3 } ', "")
    bare = changed(bare, 'layer { name: "accuracy" type: "Accuracy" bottom: "ip2" bottom: "label" '
                   'top: "accuracy"\n  include { phase: TEST } }',
                   'layer { name: "accuracy" type: "Accuracy" bottom: "ip2" bottom: "label" '
                   'top: "accuracy" }')  # fmt: skip
    write(net=bare)
    assert found(check("solver.prototxt")) == []


def test_weights_that_are_given_need_no_filler():
    layers = conv("a", "data", filler=""), conv("b", "a"), ip("b")
    checked(*layers)
    with caffe.Net("net.prototxt", caffe.TRAIN) as net:
        files.write_message("w.caffemodel", net.to_proto())
    assert found(checked(*layers, weights=["w.caffemodel"])) == []
    assert found(checked(*layers)) == ["zero-weights"]
    blobs = "blobs { shape { dim: 4 dim: 3 dim: 1 dim: 1 } } blobs { shape { dim: 4 } }"
    layer = conv("a", "data", USUAL + blobs, filler="")
    assert "zero-weights" not in found(checked(layer, *layers[1:]))


@pytest.mark.parametrize("shared", [False, True])
def test_only_the_owner_of_shared_weights_is_told(shared):
    """A layer with another name of its own, or with none, is an owner, too."""
    names = ['name: "w"', 'name: "w"' if shared else 'name: "v"']
    layers = [
        conv(own, before, f"param {{ {name} }} param {{ }}", filler="")
        for own, before, name in (("a", "data", names[0]), ("b", "data", names[1]))
    ]
    both = 'layer { name: "sum" type: "Eltwise" bottom: "a" bottom: "b" top: "sum" }\n'
    report = checked(*layers, both, conv("c", "sum"), ip("c"))
    assert len(found(report)) == 2 - shared
    assert set(found(report)) == {"zero-weights"}


@pytest.mark.parametrize(
    "layer",
    [
        'type: "Scale" scale_param { bias_term: true }',
        'type: "PReLU"',
        'type: "Bias"',
        'type: "TanH"',
    ],
)
def test_layers_without_a_weight_filler_are_not_meant(layer):
    middle = f'layer {{ name: "m" bottom: "a" top: "m" {layer} }}\n'
    assert found(checked(conv("a", "data"), middle, conv("b", "m"), ip("b"))) == []
