"""What a side of a comparison gets, and what it returns.

This imports no more than NumPy, so that the first answer of another library can be timed in a
process that has not loaded caffe_lite.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass

import numpy as np

from tools.bench.inputs import Array
from tools.bench.measure import Pass
from tools.bench.rows import Row, parse


@dataclass(frozen=True)
class Task:
    """A row with its files; training needs only the prototxt."""

    key: str
    prototxt: str
    threads: int = 0
    weights: str = ""
    onnx: str = ""
    """The net as an ONNX file; MNN's is beside it."""
    image: str = ""
    """The .npy file of a batch of images."""

    @property
    def row(self) -> Row:
        """The row of that key."""
        return parse(self.key)

    def batch(self) -> Array:
        """The images, of the shape of the net's input."""
        return np.load(self.image)  # type: ignore[no-any-return]

    def to_json(self) -> str:
        """As text, for the command line of a process."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Task:
        """What `to_json` has written."""
        return cls(**json.loads(text))


@dataclass(frozen=True)
class Prepared:
    """A function that runs one pass, one that returns the outputs by name, and a note."""

    run: Pass
    outputs: Callable[[], dict[str, Array]] | None = None
    note: str = ""
