"""Runs that are stopped and continued: small nets, each with data, layers and a solver of its own.

`tools/check_resume.py` trains them in processes of their own, as a user would.
"""

from __future__ import annotations

import importlib.util
import io
import textwrap
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
from PIL import Image

from caffe_lite.data.datum import array_to_datum
from caffe_lite.data.db import create_db
from caffe_lite.proto import caffe_pb2

HAS_LEVELDB = importlib.util.find_spec("plyvel") is not None

ITEMS = 11
"""In each source: no multiple of any batch size, so that batches go round."""

_DATA = """layer {{ name: "data" type: "{type}" top: "data" top: "label"
  include {{ phase: {phase} }} {rest} }}
"""
_CROP = "transform_param { crop_size: 4 mirror: true mean_value: 128 scale: 0.0078125 }"
_SCALE = "transform_param { crop_size: 4 mean_value: 128 scale: 0.0078125 }"
_CLASSIFY = """
layer { name: "ip" type: "InnerProduct" bottom: "data" top: "ip"
  inner_product_param { num_output: 3 weight_filler { type: "xavier" } } }
"""
_LOSS = """
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "loss" }
"""
_HDF5 = """layer {{ name: "data" type: "HDF5Data" top: "data" top: "label"
  include {{ phase: {phase} }}
  hdf5_data_param {{ source: "{source}" batch_size: {batch} {rest} }} }}
"""


def _source(kind: str, rest: str, test: str) -> str:
    return _DATA.format(type=kind, phase="TRAIN", rest=rest) + _DATA.format(
        type=kind, phase="TEST", rest=test
    )


def _rows(source: str, rest: str = "") -> str:
    return _HDF5.format(phase="TRAIN", source=source, batch=4, rest=rest) + _HDF5.format(
        phase="TEST", source=source, batch=3, rest=""
    )


def _images(rest: str = "", transform: str = _CROP) -> str:
    common = 'source: "images.txt" is_color: false'
    return _source(
        "ImageData",
        f"image_data_param {{ {common} batch_size: 4 {rest} }} {transform}",
        f"image_data_param {{ {common} batch_size: 3 }} {_SCALE}",
    )


def _noise(label: str = "", batch: int = 4, shape: str = "dim: 5") -> str:
    return f"""layer {{ name: "noise" type: "DummyData" top: "data" top: "label"
  dummy_data_param {{ shape {{ dim: {batch} {shape} }} shape {{ dim: {batch} {label} }}
    data_filler {{ type: "gaussian" }} data_filler {{ type: "constant" value: 1 }} }} }}
"""


def _neuron(type_: str, rest: str = "", blob: str = "ip") -> str:
    return f'layer {{ name: "{type_}" type: "{type_}" bottom: "{blob}" top: "{blob}" {rest} }}\n'


@dataclass(frozen=True)
class Config:
    """A net, and a solver's settings beside the common ones."""

    net: str
    solver: str = ""
    seeded: bool = True
    by_program: bool = False
    """Whether a program must give the net its data."""


_RECORDS = _source(
    "Data",
    f'data_param {{ source: "records.lmdb" backend: LMDB batch_size: 4 }} {_CROP}',
    f'data_param {{ source: "records.lmdb" backend: LMDB batch_size: 3 }} {_SCALE}',
)
_LEVELS = _source(
    "Data",
    f'data_param {{ source: "records.leveldb" backend: LEVELDB batch_size: 4 }} {_SCALE}',
    f'data_param {{ source: "records.leveldb" backend: LEVELDB batch_size: 3 }} {_CROP}',
)
_WINDOWS = _source(
    "WindowData",
    'window_data_param { source: "windows.txt" batch_size: 4 fg_threshold: 0.5 bg_threshold: 0.5 '
    "fg_fraction: 0.5 scale: 0.0078125 } transform_param { crop_size: 4 mirror: true }",
    'window_data_param { source: "windows.txt" batch_size: 3 fg_threshold: 0.5 bg_threshold: 0.5 '
    "fg_fraction: 0.5 scale: 0.0078125 } transform_param { crop_size: 4 }",
)
_BOXES = _source(
    "AnnotatedData",
    'data_param { source: "boxes.lmdb" backend: LMDB batch_size: 4 } transform_param { '
    "mirror: true scale: 0.0078125 resize_param { height: 5 width: 4 interp_mode: LINEAR "
    "interp_mode: AREA } expand_param { max_expand_ratio: 2 } distort_param { brightness_prob: 1 "
    "brightness_delta: 30 hue_prob: 0.5 hue_delta: 9 } } annotated_data_param { batch_sampler { "
    "max_sample: 1 sampler { min_scale: 0.5 } } }",
    'data_param { source: "boxes.lmdb" backend: LMDB batch_size: 3 } transform_param { '
    "scale: 0.0078125 resize_param { height: 5 width: 4 } }",
)
_BOX_SUM = """layer { name: "boxes" type: "Reduction" bottom: "label" top: "boxes"
  reduction_param { operation: MEAN } }
layer { name: "sum" type: "Reduction" bottom: "ip" top: "sum" loss_weight: 0.1
  reduction_param { operation: SUMSQ } }
"""
_STREAMS = """layer { name: "x" type: "DummyData" top: "x" top: "cont" top: "t"
  dummy_data_param { shape { dim: 2 dim: 3 dim: 4 } shape { dim: 2 dim: 3 }
    shape { dim: 2 dim: 3 dim: 5 }
    data_filler { type: "gaussian" } data_filler { type: "constant" value: 1 }
    data_filler { type: "uniform" max: 0.5 } } }
layer { name: "before" type: "InnerProduct" bottom: "x" top: "before"
  inner_product_param { axis: 2 num_output: 4 weight_filler { type: "xavier" } } }
layer { name: "memory" type: "%s" bottom: "before" bottom: "cont" top: "memory"
  recurrent_param { num_output: 5 weight_filler { type: "uniform" min: -0.5 max: 0.5 } } }
layer { name: "after" type: "InnerProduct" bottom: "memory" top: "after"
  inner_product_param { axis: 2 num_output: 5 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "EuclideanLoss" bottom: "after" bottom: "t" top: "loss" }
"""
_POOL = """layer { name: "pool" type: "Pooling" bottom: "data" top: "pool"
  pooling_param { pool: STOCHASTIC kernel_size: 2 stride: 2 } }
layer { name: "ip" type: "InnerProduct" bottom: "pool" top: "ip"
  inner_product_param { num_output: 3 weight_filler { type: "xavier" } } }
"""
_POSITIVE = """layer { name: "noise" type: "DummyData" top: "data" top: "label"
  dummy_data_param { shape { dim: 4 dim: 2 dim: 4 dim: 4 } shape { dim: 4 }
    data_filler { type: "uniform" } data_filler { type: "constant" value: 1 } } }
"""
_MARGINS = """layer { name: "margin" type: "MarginInnerProduct" bottom: "data" bottom: "label"
  top: "margin" margin_inner_product_param { num_output: 3 type: DOUBLE base: 100 gamma: 0.2
    power: 1 lambda_min: 1 weight_filler { type: "xavier" } } }
layer { name: "add" type: "LabelSpecificAdd" bottom: "margin" bottom: "label" top: "margin"
  label_specific_add_param { bias_base: 0.1 bias_gamma: 0.1 bias_power: 1 bias_max: 5 } }
layer { name: "rescale" type: "LabelSpecificRescale" bottom: "margin" bottom: "label" top: "ip"
  label_specific_rescale_param { positive_weight_base: 2 gamma: 0.1 power: 1 } }
"""
_NORMS = """layer { name: "norm" type: "BatchNorm" bottom: "data" top: "norm"
  batch_norm_param { scale_filler { type: "constant" value: 1 } } }
layer { name: "conv" type: "Convolution" bottom: "norm" top: "conv"
  convolution_param { num_output: 2 kernel_size: 3 weight_filler { type: "msra" } } }
layer { name: "plain" type: "BatchNorm" bottom: "conv" top: "conv" }
layer { name: "scale" type: "Scale" bottom: "conv" top: "conv" }
layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" }
layer { name: "ip" type: "InnerProduct" bottom: "conv" top: "ip"
  inner_product_param { num_output: 3 weight_filler { type: "xavier" } } }
"""
_DISTANCES = """layer { name: "far" type: "InnerProduct" bottom: "data" top: "far"
  inner_product_param { num_output: 3 weight_filler { type: "xavier" } } }
layer { name: "abs" type: "AbsVal" bottom: "far" top: "distance" }
layer { name: "loss" type: "GeneralContrastiveLoss" bottom: "distance" bottom: "label" top: "loss"
  general_contrastive_loss_param { negative_margin: 1 add_intra_mae: true } }
"""
_OWN = """layer { name: "judge" type: "InnerProduct" bottom: "ip" top: "judge"
  include { phase: TEST }
  inner_product_param { num_output: 3 weight_filler { type: "gaussian" std: 1 } } }
layer { name: "judged" type: "SoftmaxWithLoss" bottom: "judge" bottom: "label" top: "judged"
  include { phase: TEST } }
"""
_SEGMENTS = """layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
  convolution_param { num_output: 2 kernel_size: 1 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "conv" bottom: "label" top: "loss" }
layer { name: "measures" type: "SegAccuracy" bottom: "conv" bottom: "label" top: "measures"
  seg_accuracy_param { reset: false } include { phase: TEST } }
"""
_PYTHON = """layer { name: "count" type: "Python" top: "data" top: "label"
  python_param { module: "resuming_layer" layer: "Counting" } }
"""
_MEMORY = """layer { name: "memory" type: "MemoryData" top: "data" top: "label"
  memory_data_param { batch_size: 2 channels: 1 height: 2 width: 3 } }
"""
_TWICE = _CLASSIFY + _neuron("Dropout") + _LOSS

CONFIGS = {
    "lmdb": Config(_RECORDS + _TWICE, "momentum: 0.9"),
    "leveldb": Config(_LEVELS + _TWICE, 'type: "Nesterov" momentum: 0.9 snapshot_format: HDF5'),
    "images": Config(_images() + _CLASSIFY + _LOSS, 'type: "AdaGrad"'),
    "shuffled": Config(_images("shuffle: true") + _TWICE, 'type: "RMSProp" rms_decay: 0.9'),
    "skipped": Config(
        _images("shuffle: true rand_skip: 5", _SCALE) + _CLASSIFY + _LOSS,
        'type: "AdaDelta" momentum: 0.9 delta: 1e-3',
        seeded=False,
    ),
    "rows": Config(_rows("one.txt") + _TWICE, 'type: "Adam" momentum: 0.9 momentum2: 0.99'),
    "rows shuffled": Config(
        _rows("three.txt", "shuffle: true") + _CLASSIFY + _LOSS, "snapshot_format: HDF5"
    ),
    "one file shuffled": Config(
        _rows("one.txt", "shuffle: true") + _CLASSIFY + _LOSS,
        'type: "Adam" momentum: 0.9 snapshot_format: HDF5',
        seeded=False,
    ),
    "windows": Config(_WINDOWS + _CLASSIFY + _LOSS, 'type: "Nesterov" momentum: 0.5'),
    "boxes": Config(_BOXES + _CLASSIFY + _BOX_SUM, "momentum: 0.9"),
    "pooling": Config(_POSITIVE + _POOL + _LOSS, 'type: "AdaGrad"', seeded=False),
    "selu": Config(
        _noise() + _CLASSIFY + _neuron("SeLu") + _neuron("SeLuDropout") + _LOSS,
        'type: "RMSProp" snapshot_format: HDF5',
    ),
    "lstm": Config(_STREAMS % "LSTM", "momentum: 0.9"),
    "rnn": Config(_STREAMS % "RNN", 'type: "Adam" momentum: 0.9', seeded=False),
    "settings": Config(
        _RECORDS + _TWICE,
        'momentum: 0.9 iter_size: 3 average_loss: 7 lr_policy: "multistep" gamma: 0.5 '
        "stepvalue: 3 stepvalue: 40 stepvalue: 60 clip_gradients: 1 weight_decay: 0.01 "
        'regularization_type: "L1" snapshot_diff: true',
    ),
    "plateau": Config(
        _RECORDS + _TWICE,
        'momentum: 0.9 average_loss: 3 lr_policy: "plateau" gamma: 0.5 plateau_winsize: 1 '
        "plateau_winsize: 2 plateau_winsize: 1",
    ),
    "plateau in HDF5": Config(
        _noise() + _TWICE,
        'type: "Adam" momentum: 0.9 lr_policy: "plateau" gamma: 0.5 plateau_winsize: 1 '
        "plateau_winsize: 1 plateau_winsize: 2 snapshot_format: HDF5",
    ),
    "margins": Config(
        _noise() + _MARGINS + _LOSS, 'type: "AdaDelta" momentum: 0.9 delta: 1e-3 average_loss: 4'
    ),
    "norms": Config(_RECORDS + _NORMS + _LOSS, "momentum: 0.9 average_loss: 3"),
    "distances": Config(_noise() + _DISTANCES, "momentum: 0.9"),
    "of the test alone": Config(_images() + _TWICE + _OWN, "momentum: 0.9", seeded=False),
    "segments": Config(
        _noise("dim: 1 dim: 2 dim: 2", shape="dim: 3 dim: 2 dim: 2") + _SEGMENTS, "momentum: 0.9"
    ),
    "python": Config(_PYTHON + _CLASSIFY + _LOSS, "momentum: 0.9"),
    "memory": Config(_MEMORY + _TWICE, "momentum: 0.9", by_program=True),
}

LAYER = '''\
import numpy as np
import caffe_lite as caffe

class Counting(caffe.Layer):
    """Numbers that say how many forwards there were, and random ones."""

    def setup(self, bottom, top):
        self.count = 0
        self.state = "a value of the user's"

    def reshape(self, bottom, top):
        top[0].reshape(4, 3)
        top[1].reshape(4)

    def forward(self, bottom, top):
        self.count += 1
        top[0].data[...] = self.rng.normal(size=(4, 3)) + self.count % 3
        top[1].data[...] = self.count % 3

    def backward(self, top, propagate_down, bottom):
        pass

    def get_state(self):
        return {**super().get_state(), "count": self.count}

    def set_state(self, state):
        super().set_state(state)
        self.count = state["count"]
'''


def write_data(folder: Path) -> None:
    """The sources of all configurations; without plyvel, of all but "leveldb"."""
    random = np.random.default_rng(5)
    images = random.integers(0, 256, (ITEMS, 1, 7, 6), np.uint8)
    for backend in ("lmdb", "leveldb") if HAS_LEVELDB else ("lmdb",):
        with create_db(str(folder / f"records.{backend}"), backend) as writer:
            for index, image in enumerate(images):
                datum = array_to_datum(image, index % 3)
                writer.put(b"%08d" % index, datum.SerializeToString())
    with create_db(str(folder / "boxes.lmdb"), "lmdb") as writer:
        for index, image in enumerate(np.repeat(images, 3, axis=1)):
            record = caffe_pb2.AnnotatedDatum(datum=array_to_datum(image), type="BBOX")
            group = record.annotation_group.add(group_label=index % 3)
            for xmin in np.arange(index % 4) / 5:  # none, in some images
                box = caffe_pb2.NormalizedBBox(xmin=xmin, ymin=0.2, xmax=xmin + 0.4, ymax=0.9)
                group.annotation.add().bbox.CopyFrom(box)
            writer.put(b"%08d" % index, record.SerializeToString())
    windows = []
    for index, image in enumerate(images):
        file = io.BytesIO()
        Image.fromarray(image[0]).save(file, "PNG")
        (folder / f"{index}.png").write_bytes(file.getvalue())
        windows.append(f"# {index} {index}.png 3 7 6 2 1 0.8 0 1 4 5 0 0.1 1 0 5 6")
    (folder / "images.txt").write_text(
        "".join(f"{index}.png {index % 3}\n" for index in range(ITEMS))
    )
    (folder / "windows.txt").write_text("\n".join(windows) + "\n")
    for name, rows in (("a", 5), ("b", 2), ("c", 7)):
        with h5py.File(folder / f"{name}.h5", "w") as rows_file:
            rows_file["data"] = random.standard_normal((rows, 3))
            rows_file["label"] = np.arange(rows) % 3
    (folder / "one.txt").write_text("a.h5\n")
    (folder / "three.txt").write_text("a.h5\nb.h5\nc.h5\n")
    (folder / "resuming_layer.py").write_text(LAYER)


def write_solver(config: Config, folder: Path, name: str, **settings: object) -> Path:
    """The solver of a configuration, with two test nets; the settings are in Caffe's syntax."""
    common = {
        "net_param": "{" + textwrap.indent(config.net, "  ") + "}",
        "base_lr": 0.02,
        "display": 2,
        "test_interval": 3,
        "snapshot_prefix": f'"{name}"',
        **settings,
    }
    lines = [f"{key}: {value}" for key, value in common.items() if key != "net_param"]
    lines.append(f"net_param {common['net_param']}")
    if "lr_policy" not in config.solver:
        lines.append('lr_policy: "fixed"')
    lines += ["test_iter: 2", "test_iter: 1", "test_state { }", 'test_state { stage: "other" }']
    if config.seeded:
        lines.append("random_seed: 17")
    path = folder / f"{name}.prototxt"
    path.write_text("\n".join([*lines, config.solver]) + "\n")
    return path
