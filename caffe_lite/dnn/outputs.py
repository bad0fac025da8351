"""Running a net up to some layers, and reading what each of them computes.

A later layer may work in place on a layer's top.  Where one does, the net stops after the first of
them, and what it computed is copied; elsewhere it runs on, so that layers run as one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from caffe_lite.dnn.differences import detections_as_opencv
from caffe_lite.layers.base import Layer
from caffe_lite.net.net import Net

Array = npt.NDArray[Any]

_DETECTIONS = "DetectionOutput"


class OutputReader:
    """Reads the tops of layers of one net."""

    def __init__(self, net: Net) -> None:
        self._net = net
        self._index = {layer.name: index for index, layer in enumerate(net.layers)}

    def run(self, layers: Sequence[Layer]) -> list[list[Array]]:
        """Run the net up to the last of these layers; copies of the tops of each."""
        wanted = [self._index[layer.name] for layer in layers]
        last = max(wanted)
        stops = [index for index in sorted(set(wanted)) if self._is_overwritten(index, last)]
        found: dict[int, list[Array]] = {}
        start = 0
        for stop in [*stops, last]:
            if start <= stop:
                self._net.forward_from_to(start, stop)
            found.setdefault(stop, self._tops(stop))
            start = stop + 1
        return [found.setdefault(index, self._tops(index)) for index in wanted]

    def _is_overwritten(self, layer: int, last: int) -> bool:
        tops = self._net.wires.tops
        return any(set(tops[layer]) & set(later) for later in tops[layer + 1 : last + 1])

    def _tops(self, index: int) -> list[Array]:
        link = self._net.links[index]
        tops = [np.array(blob.data, order="C") for blob in link.top]
        if link.layer.type == _DETECTIONS:
            images = link.bottom[0].shape[0]
            keep = int(self._net.nodes[index].param.detection_output_param.keep_top_k)
            tops[0] = detections_as_opencv(tops[0], images * keep)
        return tops
