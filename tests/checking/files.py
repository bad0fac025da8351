"""A solver and its net in which nothing is wrong, for tests to put one thing wrong at a time."""

from __future__ import annotations

from pathlib import Path

from caffe_lite.checking import Finding, Report

BROKEN = [
    Path(__file__).parent / "broken" / f"{name}.prototxt"
    for name in (
        "auxiliary_head",
        "cut_off",
        "files_solver",
        "fine_tuned",
        "forks",
        "misspelt",
        "per_pixel",
        "phases",
        "policy_solver",
        "two_softmaxes",
    )
]
"""Files with several things wrong; the comments say which, at their lines."""

NET = """name: "small"
layer { name: "data" type: "ImageData" top: "data" top: "label" include { phase: TRAIN }
  transform_param { mean_value: 3 scale: 0.5 }
  image_data_param { source: "train.txt" batch_size: 6 is_color: false } }
layer { name: "data" type: "ImageData" top: "data" top: "label" include { phase: TEST }
  transform_param { mean_value: 3 scale: 0.5 }
  image_data_param { source: "test.txt" batch_size: 5 is_color: false } }
layer { name: "conv1" type: "Convolution" bottom: "data" top: "conv1"
  param { lr_mult: 1 decay_mult: 1 }
  param { lr_mult: 2 decay_mult: 0 }
  convolution_param { num_output: 7 kernel_size: 3
    weight_filler { type: "xavier" } bias_filler { type: "constant" value: 0.1 } } }
layer { name: "relu1" type: "ReLU" bottom: "conv1" top: "conv1" }
layer { name: "ip1" type: "InnerProduct" bottom: "conv1" top: "ip1"
  param { lr_mult: 1 decay_mult: 1 }
  param { lr_mult: 2 decay_mult: 0 }
  inner_product_param { num_output: 11 weight_filler { type: "msra" } } }
layer { name: "relu2" type: "ReLU" bottom: "ip1" top: "ip1" }
layer { name: "ip2" type: "InnerProduct" bottom: "ip1" top: "ip2"
  param { lr_mult: 1 decay_mult: 1 }
  param { lr_mult: 2 decay_mult: 0 }
  inner_product_param { num_output: 4 weight_filler { type: "gaussian" std: 0.3 } } }
layer { name: "accuracy" type: "Accuracy" bottom: "ip2" bottom: "label" top: "accuracy"
  include { phase: TEST } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip2" bottom: "label" top: "loss" }
"""

SOLVER = """net: "net.prototxt"
test_iter: 3
test_interval: 20
base_lr: 0.02
lr_policy: "step"
gamma: 0.1
stepsize: 30
max_iter: 90
momentum: 0.9
weight_decay: 0.0005
snapshot_prefix: "small"
"""


def write(net: str = NET, solver: str = SOLVER) -> None:
    """Write the files and their data, labels 0 to 3, to the current folder."""
    from PIL import Image

    lines = []
    for label in range(4):
        name = f"{label}.png"
        Image.new("L", (8, 9), 40 * label).save(name)
        lines.append(f"{name} {label}\n")
    for name in ("train.txt", "test.txt"):
        Path(name).write_text("".join(lines))
    Path("net.prototxt").write_text(net)
    Path("solver.prototxt").write_text(solver)


def changed(text: str, old: str, new: str) -> str:
    """The text with one part replaced, which must be in it."""
    assert old in text, f"{old!r} is not in the text"
    return text.replace(old, new, 1)


def found(report: Report) -> list[str]:
    """The ids of the rules that have found something, in order."""
    return [each.rule for each in report.findings]


def of(report: Report, rule: str) -> Finding:
    """The only finding of a rule."""
    (finding,) = [each for each in report.findings if each.rule == rule]
    return finding
