"""Factors that a net computes: BroadcastMul, ChannelScale."""

from __future__ import annotations

import numpy as np

from caffe_lite.export.arithmetic import per_channel, volume
from caffe_lite.export.graph import Value
from caffe_lite.export.registry import exports
from caffe_lite.export.writer import Writer
from caffe_lite.layers import channel


@exports("BroadcastMul")
def broadcast_mul(write: Writer, layer: channel.BroadcastMul) -> Value:
    """Mul."""
    x, factors = write.bottoms
    if volume(x) < volume(factors):
        x, factors = factors, x
    y = write.node("Mul", x, per_channel(write, factors, x), shape=x.shape)
    return write.reshape(y, write.tops[0])


@exports("ChannelScale")
def channel_scale(write: Writer, layer: channel.ChannelScale) -> list[Value]:
    """Mul."""
    x, factors = write.bottoms
    config = layer.config
    tops = []
    if config.global_scale:
        data = layer.scale.data
        if config.do_forward:
            data = np.clip(data, config.min_global_scale, config.max_global_scale)
        tops = [write.constant(data, "scale")]
    if not config.do_forward:
        y = x
    elif config.global_scale:
        y = write.node("Mul", x, tops[0])
    else:
        shape = x.sizes
        y = write.node("Mul", x, write.reshape(factors, (shape[0], 1, *shape[2:])))
    return [y, *tops][: len(write.tops)]
