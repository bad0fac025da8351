"""HDF5: weights, states, and data; read by h5py."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import h5py
import numpy as np

from caffe_lite.data.hdf5 import Hdf5Rows
from caffe_lite.proto import files
from tools.fuzz.mutate import bytes_mutation
from tools.fuzz.targets import Files, Target
from tools.fuzz.targets.messages import _net, solver, states, weights_message

NAMES = ("data", "label")
LIST = b"data.h5\nvictim.h5\n\n./data.h5 data.h5"

SECRET = 121
"""The bytes of a file beside, which no link may reach."""


def _made(write: Callable[[Any], None]) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "file.h5"
        with h5py.File(path, "w") as file:
            write(file)
        return path.read_bytes()


def _written_by(write: Callable[[Path], None]) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "file.h5"
        write(path)
        return path.read_bytes()


def _weights() -> list[Files]:
    net = weights_message()
    seeds = [
        _written_by(lambda path: files.write_weights_hdf5(path, net)),
        _written_by(lambda path: files.write_weights_hdf5(path, net, write_diff=True)),
    ]

    def odd(file: Any) -> None:
        group = file.create_group("data/ip")
        group.create_dataset("0", data=np.ones((2, 12)), chunks=(1, 5), compression="gzip")
        group.create_dataset("1", (2,), "i8", fillvalue=3)
        file["data/conv"] = h5py.SoftLink("/data/ip")
        file["data/far"] = h5py.ExternalLink("victim", "/")

    return [{"w.h5": content} for content in [*seeds, _made(odd)]]


def _states() -> list[Files]:
    state = states()[0]
    state.learned_net = "w.caffemodel"
    weights = weights_message().SerializeToString()
    content = _written_by(lambda path: files.write_state_hdf5(path, state))
    return [{"s.h5": content, "w.caffemodel": weights}]


def _data() -> list[Files]:
    def plain(file: Any) -> None:
        file["data"] = np.arange(40, dtype=np.float32).reshape(4, 2, 5)
        file["label"] = np.arange(4.0)

    def packed(file: Any) -> None:
        values = np.arange(40).reshape(4, 2, 5)
        file.create_dataset(
            "data", data=values, chunks=(2, 1, 5), compression="gzip", shuffle=True
        )
        file.create_dataset("label", data=np.arange(4), fletcher32=True, chunks=(2,))

    def huge(file: Any) -> None:
        file.create_dataset("data", (2**20, 2, 500), "f4", chunks=(1000, 2, 5), compression="gzip")
        file.create_dataset("label", (2**20,), "f4", chunks=(1000,))

    def linked(file: Any) -> None:
        file["data"] = h5py.ExternalLink("victim.h5", "/data")
        file["label"] = np.arange(4.0)

    def outside(file: Any) -> None:
        file.create_dataset("data", (1, 17), "u1", external=[("victim", 0, 17)])
        file["label"] = np.arange(1.0)

    def virtual(file: Any) -> None:
        layout = h5py.VirtualLayout((4, 2, 5), "f4")
        layout[...] = h5py.VirtualSource("victim.h5", "data", (4, 2, 5))
        file.create_virtual_dataset("data", layout)
        file["label"] = np.arange(4.0)

    def victim(file: Any) -> None:
        file["data"] = np.full((4, 2, 5), SECRET, np.float32)
        file["label"] = np.arange(4.0)

    beside = {"list.txt": b"data.h5\n", "victim": bytes([SECRET]) * 40, "victim.h5": _made(victim)}
    makers = (plain, packed, huge, linked, outside, virtual)
    return [{"data.h5": _made(make), **beside} for make in makers]


def hdf5_mutation(rng: Random, content: bytes, others: Any = ()) -> bytes:
    """Bytes, half of the time those of headers, which are at the beginning of a small file."""
    if rng.random() < 0.5:
        head = bytes_mutation(rng, content[:2048], [other[:2048] for other in others])
        return head + content[2048:]
    return bytes_mutation(rng, content, others)


def _read_weights() -> None:
    net = files.read_weights("w.h5")
    for layer in net.layer:
        for blob in layer.blobs:
            files.blob_to_array(blob)
    _net().copy_from("w.h5")


def _read_rows() -> None:
    rows = Hdf5Rows("list.txt", NAMES, True, np.random.default_rng(1), np.float32)
    outputs = [np.empty((3, *shape), np.float32) for shape in rows.row_shapes]
    for _ in range(3):
        rows.read_into(outputs)
    if "victim" not in Path("list.txt").read_text(errors="replace"):
        assert not (outputs[0] == SECRET).all(), "values of another file were read"


TARGETS = [
    Target("weights_h5", _weights, _read_weights, hdf5_mutation, isolated=True),
    Target(
        "state_h5",
        _states,
        lambda: solver().restore("s.h5"),
        hdf5_mutation,
        ("s.h5",),
        isolated=True,
    ),
    Target("hdf5_data", _data, _read_rows, hdf5_mutation, ("data.h5",), isolated=True),
    Target(
        "hdf5_list",
        lambda: [{**case, "list.txt": LIST} for case in _data()[:2]],
        _read_rows,
        damaged=("list.txt",),
        isolated=True,
        names=True,
    ),
]
