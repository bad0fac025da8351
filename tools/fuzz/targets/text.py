"""Text files: prototxt, lists, tables, logs and flags."""

from __future__ import annotations

import importlib
import io
import json
import pkgutil
import re
from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import tests.cases
from caffe_lite import cli
from caffe_lite.checking import check, writing
from caffe_lite.cli import UsageError
from caffe_lite.data import images
from caffe_lite.data.detections import read_names, read_pictures
from caffe_lite.data.windows import read_windows
from caffe_lite.layers.registry import layer_class
from caffe_lite.net.net import Net
from caffe_lite.proto import caffe_pb2, files, text
from caffe_lite.proto.nodes import from_message
from caffe_lite.proto.unknown import unknown_of
from caffe_lite.solver import get_solver
from caffe_lite.testing import Case
from caffe_lite.training_log.parse import parse_log, to_csv
from tests.checking.files import BROKEN
from tools.fuzz.mutate import text_mutation
from tools.fuzz.targets import GOLDEN, ROOT, Files, Target

NETS = (
    "solvers/net.prototxt",
    "upgrade/v0_net.prototxt",
    "upgrade/v1_net.prototxt",
    *(f"data/layer_{kind}.prototxt" for kind in ("hdf5", "image_gray", "lmdb_encoded_png")),
)
SOLVERS = ("adam", "sgd_step", "sgd_poly", "sgd_clip", "rmsprop", "adadelta", "sgd_inv")

BRANCHED = b"""
name: "branched" state { level: 1 stage: "deploy" }
layer { name: "in" type: "Input" top: "data" input_param { shape { dim: [2, 3, 8, 9] } } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv" param { name: "w" lr_mult: 2 }
  convolution_param { num_output: 4 kernel_h: 3 kernel_w: 2 stride: 2 pad_h: 1 dilation: 1
    weight_filler { type: "msra" variance_norm: AVERAGE } bias_filler { value: .5 } } }
layer { name: "bn" type: "BatchNorm" bottom: "conv" top: "conv" batch_norm_param { eps: 1e-5 } }
layer { name: "pool" type: "Pooling" bottom: "conv" top: "pool"
  include { phase: TEST min_level: -1 }
  pooling_param { pool: AVE kernel_size: 3 stride: 2 pad: 1 } }
layer { name: "cat" type: "Concat" bottom: "conv" bottom: "conv" top: "cat"
  concat_param { axis: -3 } }
layer { name: "ip" type: "InnerProduct" bottom: "cat" top: "ip"
  inner_product_param { num_output: 5 axis: 1 transpose: true weight_filler { type: "xavier" } } }
layer { name: "reshape" type: "Reshape" bottom: "ip" top: "shaped"
  reshape_param { shape { dim: 0 dim: -1 dim: 1 } axis: 0 num_axes: -1 } }
layer { name: "loss" type: "EuclideanLoss" bottom: "ip" bottom: "ip" top: "loss" loss_weight: 2 }
"""

LOG = b"""Log file created at: 2026/02/10 13:39:00
I0210 13:39:20.381027 25210 solver.cpp:280] Solving LeNet
I0210 13:39:22.381027 25210 solver.cpp:337] Iteration 0, Testing net (#0)
I0210 13:39:23.381027 25210 solver.cpp:404]     Test net output #0: accuracy = 0.0933
I0210 13:39:23.381127 25210 solver.cpp:404]     Test net output #1: loss = 2.38 (* 1 = 2.38 loss)
I0210 13:39:24.381027 25210 solver.cpp:228] Iteration 0, loss = 2.39
I0210 13:39:24.381127 25210 solver.cpp:244]     Train net output #0: loss = 2.39 (* 1 = 2.39 loss)
I0210 13:39:24.381227 25210 solver.cpp:204] Iteration 0, lr = 0.01
I1231 23:59:59.999999 25210 solver.cpp:228] Iteration 100, loss = nan
I0101 00:00:00.000001 25210 solver.cpp:204] Iteration 100, lr = 9.9e-03
"""

FLAGS = b"""# how to train
-solver=solver.prototxt
--sigint_effect stop
-level 2
--stage=a,b
-continue-on-nan=false
-noallow_python_layers
-minloglevel 1
"""


def _nets() -> list[Files]:
    names = [GOLDEN / name for name in NETS]
    names += [ROOT / f"models/lenet/{name}.prototxt" for name in ("deploy", "train_test")]
    return [{"net.prototxt": path.read_bytes()} for path in names] + [{"net.prototxt": BRANCHED}]


def _built_nets() -> list[Files]:
    """A deployed net, a branched one, and one for each case of each layer type."""
    cases = [
        case
        for module in pkgutil.iter_modules(tests.cases.__path__)
        for case in importlib.import_module(f"tests.cases.{module.name}").CASES
        if not (case.files or case.feed)
    ]
    texts = [_net_of(case) for case in cases]
    texts += [(ROOT / "models/lenet/deploy.prototxt").read_bytes(), BRANCHED]
    return [{"net.prototxt": text} for text in texts]


def _net_of(case: Case) -> bytes:
    """The net of a case: its layer, and an Input with its bottoms."""
    bottoms = [f"b{index}" for index in range(len(case.bottoms))]
    shapes = [f"shape {{ {' '.join(f'dim: {dim}' for dim in shape)} }}" for shape in case.bottoms]
    source = (
        f'layer {{ name: "in" type: "Input" {_list("top", bottoms)} '
        f"input_param {{ {' '.join(shapes)} }} }}\n"
    )
    least = layer_class(case.type).tops
    least = least[0] if isinstance(least, tuple) else least
    tops = [f"t{index}" for index in range(least if case.tops is None else case.tops)]
    layer = (
        f'layer {{ name: "x" type: "{case.type}" {_list("bottom", bottoms)} {_list("top", tops)} '
        f"{case.config} }}\n"
    )
    return (source * bool(bottoms) + layer).encode()


def _list(field: str, names: Sequence[str]) -> str:
    return " ".join(f'{field}: "{name}"' for name in names)


def _solvers() -> list[Files]:
    net = b"""
layer { name: "in" type: "DummyData" top: "x" dummy_data_param { shape { dim: 2 dim: 3 } } }
layer { name: "ip" type: "InnerProduct" bottom: "x" top: "y"
  inner_product_param { num_output: 2 } }
layer { name: "l" type: "EuclideanLoss" bottom: "y" bottom: "y" top: "l" }
"""
    texts = [(GOLDEN / f"solvers/{name}_solver.prototxt").read_bytes() for name in SOLVERS]
    texts += [(GOLDEN / "upgrade/old_solver.prototxt").read_bytes()]
    return [{"solver.prototxt": text, "net.prototxt": net} for text in texts]


def _read_net() -> None:
    net = files.read_net("net.prototxt").to_message()
    text.format(net)


PRIVATE = b"""
policy: 3
layer { name: "in" type: "Input" top: "x" input_param { shape { dim: [2, 3] } layout: NCHW } }
layer { name: "g" type: "Gate" bottom: "x" top: "y" bypass: [true, 0x1f, -inf]
  gate_param { gain: 2.5 # why
    mode: FAST names: ['a' "b", "\\n"] inner < part { } part: { a: .5f } > }
  param { lr_mult: 1 slope: 1 } param { slope: -2; } }
"""


def _read_unknown(content: bytes) -> None:
    """Unknown fields are kept: what is written of them is read as the same net."""
    written = content.decode("utf-8", "surrogateescape")
    texts = []
    for _ in range(2):
        param = caffe_pb2.NetParameter()
        text.parse(written, param, "net.prototxt", allow_unknown_fields=True)
        for layer in param.layer:
            unknown_of(layer)
        written = text.format(param)
        texts.append(written)
    if texts[0] != texts[1]:
        raise AssertionError("what was written is read as another net")


def _read_unknown_file() -> None:
    _read_unknown(Path("net.prototxt").read_bytes())


def _build_net() -> None:
    for phase in (caffe_pb2.TRAIN, caffe_pb2.TEST):
        Net("net.prototxt", phase).close()


def _build_solver() -> None:
    source = files.read_solver("solver.prototxt")
    text.format(source.param)
    get_solver(source).close()


def _checked() -> list[Files]:
    """Nets and solvers, whole and with something wrong."""
    texts = [path.read_bytes() for path in BROKEN]
    texts += [seed["net.prototxt"] for seed in (*_nets(), *_built_nets()[::7])]
    texts += [seed["solver.prototxt"] for seed in _solvers()]
    return [{"checked.prototxt": text} for text in texts]


def _check() -> None:
    """Everything that is wrong is a finding: nothing is raised, and every line is safe."""
    report = check("checked.prototxt")
    lines = [str(report), *writing.as_annotations(report)]
    json.loads(writing.as_json(report, timed=False))
    json.loads(writing.as_sarif(report, "0"))
    if not all(line.isprintable() for each in lines for line in each.split("\n")):
        raise AssertionError("a line of the report is not safe to print")


def _parse_log() -> None:
    log = parse_log("train.log")
    for rows in (log.train, log.test):
        to_csv(rows)


def _train_with_flags() -> None:
    """The command with these flags; it ends at the latest where the solver is missing."""
    printed = io.StringIO()
    with redirect_stderr(printed), redirect_stdout(io.StringIO()):
        code = cli.main(["train", "-flagfile=flags"])
    if code and "solver.prototxt: no such file" not in printed.getvalue():
        lines = printed.getvalue().splitlines(keepends=True)
        said = [line for line in lines if not re.match(r"usage: |[IWE]\d{4} ", line)]
        raise UsageError("".join(said).removesuffix("\n"))


def _read_list() -> None:
    images.read_list("list.txt")


def _parse(content: bytes) -> None:
    """The parser, the upgrades and the writer, without a file."""
    param = caffe_pb2.NetParameter()
    where = text.parse(content.decode("utf-8", "surrogateescape"), param, "net.prototxt")
    text.format(from_message(param, where, "net.prototxt").to_message())


def _small_texts() -> list[Files]:
    return [{"net.prototxt": BRANCHED}, *(seed for seed in _built_nets()[:-2:5])]


TARGETS = [
    Target("prototxt", _small_texts, _read_net, text_mutation, in_memory=_parse),
    Target("net_text", _nets, _read_net, text_mutation),
    Target(
        "unknown_fields",
        lambda: [{"net.prototxt": PRIVATE}],
        _read_unknown_file,
        text_mutation,
        in_memory=_read_unknown,
    ),
    Target("net_build", _built_nets, _build_net, text_mutation, ("net.prototxt",), names=True),
    Target(
        "solver_text", _solvers, _build_solver, text_mutation, ("solver.prototxt",), names=True
    ),
    Target("check", _checked, _check, text_mutation, names=True),
    Target(
        "image_list",
        lambda: [{"list.txt": b"a/b c.jpg 0\nd.png 17\n\n  e.jpg   -3\nf 2147483647\n"}],
        _read_list,
        text_mutation,
    ),
    Target(
        "window_file",
        lambda: [{"windows.txt": b"# 0\na.jpg\n3\n40\n50\n2\n1 0.7 0 0 9 9\n0 .2 5 6 20 30\n"
                                 b"# 1\nb_c.jpg 3 8 8 1\n2 1 0 0 7 7\n"}],
        lambda: void(read_windows("windows.txt")),
        text_mutation,
    ),
    Target(
        "label_map",
        lambda: [{"map.prototxt": b'item { name: "none" label: 0 display_name: "background" }\n'
                                  b'item { name: "cat" label: 1 display_name: "a cat" }\n'}],
        lambda: void(read_names("map.prototxt")),
        text_mutation,
    ),
    Target(
        "name_size",
        lambda: [{"sizes.txt": b"000001 375 500\n2 1 1\nimage/x 99999 7\n"}],
        lambda: void(read_pictures("sizes.txt")),
        text_mutation,
    ),
    Target("training_log", lambda: [{"train.log": LOG}], _parse_log, text_mutation),
    Target(
        "flag_file",
        lambda: [{"flags": FLAGS}],
        _train_with_flags,
        text_mutation,
        refusals=(UsageError,),
    ),
]  # fmt: skip


def void(value: object) -> None:
    """Drop a value."""
