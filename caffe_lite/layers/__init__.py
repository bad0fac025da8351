"""Every layer type, one file per family; importing this registers them all.

arithmetic.py       Axpy Eltwise Reduction
batch_norm.py       BatchNorm
classify.py         Accuracy ArgMax Softmax
convolution.py      Convolution Deconvolution DepthwiseConvolution Im2col
data.py             Data DummyData HDF5Data HDF5Output ImageData Input MemoryData WindowData
detection.py        DetectionOutput PriorBox
linear.py           Bias Embed InnerProduct Scale
loss.py             ContrastiveLoss EuclideanLoss HingeLoss InfogainLoss MultinomialLogisticLoss
                    SigmoidCrossEntropyLoss SoftmaxWithLoss
neuron.py           AbsVal BNLL Clip Dropout ELU Exp Log PReLU Power ReLU Sigmoid Swish TanH
                    Threshold
normalization.py    LRN MVN Normalize
pooling.py          Pooling ROIPooling SPP
python.py           Python
recurrent.py        LSTM LSTMUnit RNN
routing.py          BatchReindex Filter Parameter Silence Split
shape.py            Concat Crop Flatten Permute Reshape ShuffleChannel Slice Tile
"""

from __future__ import annotations

from typing import Any

from caffe_lite import net_spec
from caffe_lite.layers import (
    arithmetic,
    batch_norm,
    classify,
    convolution,
    data,
    detection,
    linear,
    loss,
    neuron,
    normalization,
    pooling,
    python,
    recurrent,
    routing,
    shape,
)
from caffe_lite.layers.registry import layer_types as layer_type_list

__all__ = [
    "arithmetic",
    "batch_norm",
    "classify",
    "convolution",
    "data",
    "detection",
    "layer_type_list",
    "linear",
    "loss",
    "neuron",
    "normalization",
    "pooling",
    "python",
    "recurrent",
    "routing",
    "shape",
]


def __getattr__(name: str) -> Any:
    """``from caffe_lite import layers as L``: L.Convolution(…) adds a layer to a net_spec."""
    if not name[:1].isupper():
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(net_spec.layers, name)
