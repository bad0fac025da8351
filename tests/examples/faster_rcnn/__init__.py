"""The modules of the Faster R-CNN example, and boxes to compare them with."""

from __future__ import annotations

import importlib
import json
from math import log
from typing import Any

import numpy as np

import caffe_lite as caffe
from tests.net import source

STDS = (0.1, 0.1, 0.2, 0.2)


def module(name: str) -> Any:
    """A module of the example."""
    return importlib.import_module(name)


def random_boxes(rng: np.random.Generator, count: int, reach: float = 60) -> np.ndarray:
    corner = rng.uniform(0, reach, (count, 2))
    return np.hstack([corner, corner + rng.uniform(8, 30, (count, 2))])


def overlap(a: np.ndarray, b: np.ndarray) -> float:
    """The area of both over the area of either.

    Both corners are pixels of a box, so boxes overlap that are less than one pixel apart; not so
    in the layer Proposal.
    """
    both = 1.0
    for low, high in (0, 2), (1, 3):
        both *= max(0.0, min(a[high], b[high]) - max(a[low], b[low]) + 1)
    areas = [(each[2] - each[0] + 1) * (each[3] - each[1] + 1) for each in (a, b)]
    return both / (sum(areas) - both)


def code_of(box: np.ndarray, truth: np.ndarray) -> list[float]:
    (w, h), (u, v) = ((each[2] - each[0] + 1, each[3] - each[1] + 1) for each in (box, truth))
    x, y = truth[0] + u / 2 - box[0] - w / 2, truth[1] + v / 2 - box[1] - h / 2
    return [x / w, y / h, log(u / w), log(v / h)]


def python_net(
    where: str, layer: str, param_str: str, bottoms: dict[str, np.ndarray], tops: int, phase: int
) -> list[np.ndarray]:
    """The tops of a Python layer for these bottoms, after one forward."""
    shapes = "".join(f" shape {{ dim: {list(each.shape)} }}" for each in bottoms.values())
    names = "".join(f' top: "{name}"' for name in bottoms)
    text = f"""
    layer {{ name: "given" type: "Input" {names} input_param {{ {shapes} }} }}
    layer {{ name: "tested" type: "Python" {names.replace("top", "bottom")}
      {" ".join(f'top: "top{i}"' for i in range(tops))}
      python_param {{ module: "{where}" layer: "{layer}" param_str: {json.dumps(param_str)} }} }}
    """
    net = caffe.Net(source(text), phase, python_layers=True)
    for name, values in bottoms.items():
        net.blobs[name].data[...] = values
    net.forward()
    return [net.blobs[f"top{i}"].data.copy() for i in range(tops)]
