"""Sources: DummyData, Input."""

from __future__ import annotations

import numpy as np

from caffe_lite.export.graph import Value
from caffe_lite.export.registry import exports
from caffe_lite.export.writer import Writer
from caffe_lite.layers import data


@exports("Input")
def inputs(write: Writer, layer: data.Input) -> list[Value]:
    """The inputs of the model."""
    values = [Value(name, shape) for name, shape in zip(layer.param.top, write.tops, strict=True)]
    write.graph.inputs.extend(values)
    return values


@exports("DummyData")
def dummy_data(write: Writer, layer: data.DummyData) -> list[Value]:
    """A constant.

    Values that are drawn anew in each forward are refused.
    """
    given = list(layer.config.data_filler)
    for index, filler in enumerate(given):
        if filler.type != "constant":
            what = f"draws {filler.type} numbers anew in each forward; use an Input layer"
            write.refuse(what, f"data_filler[{index}].type")
    fillers = given * len(write.tops) if len(given) == 1 else given
    values = [filler.value for filler in fillers] or [0.0] * len(write.tops)
    shapes = map(write.fixed, write.tops)
    return [
        write.constant(np.full(shape, value), "values")
        for shape, value in zip(shapes, values, strict=True)
    ]
