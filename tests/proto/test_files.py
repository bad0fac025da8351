from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from google.protobuf.message import Message

from caffe_lite.errors import CaffeError, DataError, PrototxtError, SolverError, WeightsError
from caffe_lite.proto import atomic, blobs, caffe_pb2, files

RANDOM = np.random.default_rng(1)


def weights() -> caffe_pb2.NetParameter:
    net = caffe_pb2.NetParameter(name="net")
    net.layer.add(name="data", type="Input")
    layer = net.layer.add(name="block/conv1", type="Convolution")
    for shape in [(2, 3, 4, 5), (2,), ()]:
        values = RANDOM.standard_normal(shape).astype(np.float32)
        layer.blobs.append(files.array_to_blob(values, values + 1))
    return net


def arrays(net: caffe_pb2.NetParameter, diff: bool = False) -> dict[str, list[np.ndarray]]:
    return {
        layer.name: [blobs.blob_to_array(blob, diff) for blob in layer.blobs]
        for layer in net.layer
    }


def assert_same(got: dict[str, list[np.ndarray]], expected: dict[str, list[np.ndarray]]) -> None:
    assert got.keys() == expected.keys()
    for name in expected:
        assert [array.shape for array in got[name]] == [array.shape for array in expected[name]]
        for a, b in zip(got[name], expected[name], strict=True):
            np.testing.assert_array_equal(a, b)


def message_of(call: Callable[[], object], kind: type[CaffeError]) -> str:
    with pytest.raises(kind) as caught:
        call()
    assert "\n" not in str(caught.value)
    return str(caught.value)


# -- blobs ---------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 3, 4), (300,), (70_000,)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_arrays_come_back(shape: tuple[int, ...], dtype: type) -> None:
    data, diff = RANDOM.standard_normal((2, *shape)).astype(dtype)
    blob = caffe_pb2.BlobProto.FromString(files.array_to_blob(data, diff).SerializeToString())
    for array, expected in [
        (blobs.blob_to_array(blob), data),
        (blobs.blob_to_array(blob, diff=True), diff),
    ]:
        assert array.shape == shape
        assert array.dtype == dtype or not array.size
        assert array.flags.writeable
        np.testing.assert_array_equal(array, expected)


def test_blobs_are_those_of_the_schema() -> None:
    blob = files.array_to_blob(np.arange(6).reshape(2, 3), np.ones((2, 3)))
    assert list(blob.shape.dim) == [2, 3]
    assert list(blob.data) == [0, 1, 2, 3, 4, 5]
    assert list(blob.double_diff) == [1] * 6
    assert not blob.diff
    assert not blob.double_data


@pytest.mark.parametrize("name", ["data", "diff"])
def test_numbers_cut_out_of_the_wire_are_the_same(name: str) -> None:
    blob = caffe_pb2.BlobProto(num=1, channels=300, data=[1.5] * 300, diff=[2.5] * 300)
    expected = np.array(getattr(blob, name), np.float32)
    got = blobs.from_wire(blob, blob.DESCRIPTOR.fields_by_name[name].number, "<f4")
    np.testing.assert_array_equal(got, expected)
    assert blobs.from_wire(blob, 8, "<f8").size == 0


def test_non_contiguous_and_big_endian_arrays() -> None:
    values = np.arange(12, dtype=">f4").reshape(3, 4).T
    np.testing.assert_array_equal(blobs.blob_to_array(files.array_to_blob(values)), values)


def test_legacy_shapes() -> None:
    blob = caffe_pb2.BlobProto(num=1, channels=1, height=2, width=3, data=range(6))
    assert blobs.blob_to_array(blob).shape == (1, 1, 2, 3)


@pytest.mark.parametrize(
    ("kind", "dtype", "expected"),
    [("FLOAT16", "<f2", np.float32), ("FLOAT", "<f4", np.float32), ("DOUBLE", "<f8", np.float64)],
)
def test_raw_values_of_nvidias_caffe(kind: str, dtype: str, expected: type) -> None:
    values = np.array([[1.5, -2, 65504]], dtype)
    number = caffe_pb2.Type.Value(kind)
    blob = caffe_pb2.BlobProto(
        raw_data=values.tobytes(), raw_data_type=number,
        raw_diff=(-values).tobytes(), raw_diff_type=number,
    )  # fmt: skip
    blob.shape.dim.extend([1, 3])
    got = blobs.blob_to_array(blob)
    assert got.dtype == expected
    np.testing.assert_array_equal(got, values)
    np.testing.assert_array_equal(blobs.blob_to_array(blob, diff=True), -values)


def test_raw_values_cut_short_are_refused() -> None:
    half = caffe_pb2.Type.Value("FLOAT16")
    blob = caffe_pb2.BlobProto(raw_data=b"abc", raw_data_type=half)
    message = message_of(lambda: files.blob_to_array(blob), WeightsError)
    assert message == "a blob's 3 bytes of raw_data are not values of type FLOAT16"


@pytest.mark.parametrize("dims", [[2, 2], [-1, -3], [2**40, 2**40]])
def test_as_many_values_as_the_shape_says(dims: list[int]) -> None:
    blob = caffe_pb2.BlobProto(data=[1, 2, 3])
    blob.shape.dim.extend(dims)
    assert "holds 3 values" in message_of(lambda: files.blob_to_array(blob), WeightsError)


def test_blobs_over_2_gb_are_refused_before_they_are_made() -> None:
    huge = np.broadcast_to(np.float32(0), (2**15, 2**15))
    message = message_of(lambda: files.array_to_blob(huge), WeightsError)
    assert "(32768, 32768) is over 2 GB" in message


@pytest.mark.parametrize(
    ("a", "b", "same"),
    [
        ((5,), (1, 1, 1, 5), True),
        ((4, 5), (1, 1, 4, 5), True),
        ((3, 4, 5, 6), (3, 4, 5, 6), True),
        ((5,), (5, 1, 1, 1), False),
        ((1, 1, 1, 1, 5), (1, 1, 1, 5), False),
        ((), (1, 1, 1, 1), True),
    ],
)
def test_same_legacy_shape(a: tuple[int, ...], b: tuple[int, ...], same: bool) -> None:
    assert files.same_legacy_shape(a, b) is same
    assert files.same_legacy_shape(b, a) is same


# -- weights -------------------------------------------------------------------------------


def test_binary_weights(tmp_path: Path) -> None:
    net = weights()
    path = tmp_path / "net.caffemodel"
    files.write_message(path, net)
    assert files.read_weights(path) == net
    assert not files.is_hdf5(path)


def test_weights_of_old_schemas_are_upgraded(tmp_path: Path) -> None:
    values = files.array_to_blob(np.arange(3))
    old = caffe_pb2.NetParameter(input=["data"])
    old.layers.add(name="v1", type=caffe_pb2.V1LayerParameter.CONVOLUTION).blobs.append(values)
    files.write_message(tmp_path / "v1", old)
    oldest = caffe_pb2.NetParameter()
    oldest.layers.add().layer.CopyFrom(
        caffe_pb2.V0LayerParameter(name="v0", type="conv", blobs=[values])
    )
    files.write_message(tmp_path / "v0", oldest)
    for name in ("v0", "v1"):
        (layer,) = files.read_weights(tmp_path / name).layer
        assert (layer.name, layer.type) == (name, "Convolution")
        assert list(layer.blobs) == [values]


@pytest.mark.parametrize("write_diff", [False, True])
def test_hdf5_weights(tmp_path: Path, write_diff: bool) -> None:
    net = weights()
    path = tmp_path / "named_wrongly.caffemodel"
    files.write_weights_hdf5(path, net, write_diff)
    assert files.is_hdf5(path)
    got = files.read_weights(path)
    expected = arrays(net)
    assert_same(arrays(got), expected)
    if write_diff:
        assert_same(arrays(got, diff=True), arrays(net, diff=True))
    else:
        assert not any(blob.diff for layer in got.layer for blob in layer.blobs)


def test_hdf5_weights_lie_where_caffe_puts_them(tmp_path: Path) -> None:
    files.write_weights_hdf5(tmp_path / "w.h5", weights(), write_diff=True)
    with h5py.File(tmp_path / "w.h5") as file:
        assert set(file) == {"data", "diff"}
        assert set(file["data"]) == {"data", "block"}
        assert set(file["data/block/conv1"]) == {"0", "1", "2"}
        assert file["diff/block/conv1/0"].shape == (2, 3, 4, 5)
        assert file["data/block/conv1/0"].dtype == np.float32


def test_hdf5_weights_leave_out_what_another_layer_owns(tmp_path: Path) -> None:
    net = caffe_pb2.NetParameter()
    layer = net.layer.add(name="sharer")
    layer.blobs.add()
    layer.blobs.append(files.array_to_blob(np.ones(2)))
    files.write_weights_hdf5(tmp_path / "w.h5", net)
    (got,) = files.read_weights(tmp_path / "w.h5").layer
    assert not got.blobs[0].ListFields()
    np.testing.assert_array_equal(files.blob_to_array(got.blobs[1]), np.ones(2))


def test_a_layer_inside_the_name_of_another(tmp_path: Path) -> None:
    net = caffe_pb2.NetParameter()
    for name in ("conv", "conv/+scale", "conv/scale"):  # one before the numbers of its blobs
        net.layer.add(name=name).blobs.append(files.array_to_blob(np.full(2, len(name))))
    files.write_weights_hdf5(tmp_path / "w.h5", net)
    assert_same(arrays(files.read_weights(tmp_path / "w.h5")), arrays(net))


@pytest.mark.parametrize("names", [["", "x"], ["same", "same"], ["conv", "conv/0"]])
def test_names_that_hdf5_cannot_hold(tmp_path: Path, names: list[str]) -> None:
    net = caffe_pb2.NetParameter()
    for name in names:
        net.layer.add(name=name).blobs.append(files.array_to_blob([1.0]))
    message = message_of(lambda: files.write_weights_hdf5(tmp_path / "w.h5", net), WeightsError)
    assert "HDF5 cannot store layer" in message
    assert list(tmp_path.iterdir()) == []


def make_hdf5(path: Path, build: Callable[[h5py.File], object]) -> Path:
    with h5py.File(path, "w") as file:
        build(file)
    return path


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda file: file.create_group("weights"), "the group /data is missing"),
        (
            lambda file: file.create_dataset("data/conv/x", data=1.0),
            "expected a blob's index below",
        ),
        (
            lambda file: file.create_dataset("data/conv/99999999", data=1.0),
            "expected a blob's index",
        ),
        (lambda file: file.create_dataset("data/conv/0", data=b"text"), "is not numeric"),
        (
            lambda file: file.create_dataset("data/conv/0", (2**20, 2**12), "f4", chunks=True),
            "is over 2 GB",
        ),
        (
            lambda file: file.create_group("data/conv").__setitem__(
                "0", h5py.ExternalLink("other.h5", "/secret")
            ),
            "/data/conv/0 is a link",
        ),
        (
            lambda file: file.create_group("data").__setitem__("conv", h5py.SoftLink("/data")),
            "/data/conv is a link",
        ),
        (
            lambda file: file.__setitem__("data", h5py.ExternalLink("other.h5", "/data")),
            "/data is a link",
        ),
        (
            lambda file: (
                file.create_group("data"),
                file.create_group("diff").__setitem__("conv", h5py.SoftLink("/data")),
            ),
            "/diff/conv is a link",
        ),
        (
            lambda file: file.create_dataset(
                "data/conv/0", (4,), "f4", external=[("other.raw", 0, 16)]
            ),
            "values in another file",
        ),
    ],
)
def test_hdf5_that_is_not_weights(
    tmp_path: Path, build: Callable[[h5py.File], object], message: str
) -> None:
    path = make_hdf5(tmp_path / "bad.h5", build)
    text = message_of(lambda: files.read_weights(path), WeightsError)
    assert text.startswith(f"{path}: ")
    assert message in text


def test_truncated_hdf5(tmp_path: Path) -> None:
    path = tmp_path / "short.h5"
    files.write_weights_hdf5(path, weights())
    path.write_bytes(path.read_bytes()[:1000])
    assert "damaged HDF5 file" in message_of(lambda: files.read_weights(path), WeightsError)


# -- solver states, means ------------------------------------------------------------------


def state() -> caffe_pb2.SolverState:
    history = [files.array_to_blob(np.arange(i + 3, dtype=np.float32)) for i in range(11)]
    return caffe_pb2.SolverState(
        iter=7, learned_net="lenet_iter_7.caffemodel", current_step=2, history=history
    )


@pytest.mark.parametrize("write", [files.write_message, files.write_state_hdf5])
def test_solver_states(
    tmp_path: Path, write: Callable[[Path, caffe_pb2.SolverState], None]
) -> None:
    write(tmp_path / "state", state())
    assert files.read_state(tmp_path / "state") == state()


def test_hdf5_states_lie_where_caffe_puts_them(tmp_path: Path) -> None:
    files.write_state_hdf5(tmp_path / "s.h5", state())
    with h5py.File(tmp_path / "s.h5") as file:
        assert set(file) == {"iter", "learned_net", "current_step", "history"}
        assert file["iter"].shape == (1,)
        assert file["iter"].dtype == np.int32
        assert file["learned_net"].dtype == "S24"  # with the zero that ends a C string
        assert len(file["history"]) == 11


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda file: file.create_dataset("iter", data=[1]), "/iter or /history is missing"),
        (
            lambda file: (
                file.create_dataset("iter", data=[1]),
                file.create_dataset("history/1", data=[1.0]),
            ),
            "/history/0 is missing",
        ),
        (
            lambda file: (
                file.create_dataset("iter", (0,), "i4"),
                file.create_group("history"),
            ),
            "/iter is not an integer",
        ),
        (
            lambda file: (file.create_group("iter"), file.create_group("history")),
            "/iter is a group",
        ),
    ],
)
def test_hdf5_that_is_not_a_state(
    tmp_path: Path, build: Callable[[h5py.File], object], message: str
) -> None:
    path = make_hdf5(tmp_path / "bad.h5", build)
    assert message in message_of(lambda: files.read_state(path), SolverError)


def test_a_mean(tmp_path: Path) -> None:
    blob = caffe_pb2.BlobProto(num=1, channels=2, height=1, width=1, data=[5, 6])
    files.write_message(tmp_path / "mean.binaryproto", blob)
    assert files.read_blob(tmp_path / "mean.binaryproto") == blob


# -- files that are something else ---------------------------------------------------------

READERS = [
    (files.read_net, PrototxtError),
    (files.read_solver, PrototxtError),
    (files.read_weights, WeightsError),
    (files.read_state, SolverError),
    (files.read_blob, DataError),
]


@pytest.mark.parametrize(("read", "kind"), READERS)
def test_no_file_a_folder_an_empty_file(
    tmp_path: Path, read: Callable[[Path], object], kind: type[CaffeError]
) -> None:
    assert message_of(lambda: read(tmp_path / "no"), kind) == f"{tmp_path / 'no'}: no such file"
    assert "is a folder" in message_of(lambda: read(tmp_path), kind)
    (tmp_path / "empty").touch()
    assert "is empty; expected" in message_of(lambda: read(tmp_path / "empty"), kind)


FOREIGN = [
    (b"version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 2\n", "a Git LFS pointer"),
    (b"\n<!DOCTYPE html>\n<html>", "a web page"),
    (b"<HTML><body>", "a web page"),
    (b"\x1f\x8b\x08\0", "a gzip archive"),
    (b"PK\x03\x04\0", "a zip archive"),
    (b"\x93NUMPY\x01\0", "a NumPy array"),
]


@pytest.mark.parametrize(("read", "kind"), READERS)
@pytest.mark.parametrize(("content", "what"), FOREIGN)
def test_what_is_found_in_place_of_the_file(
    tmp_path: Path,
    read: Callable[[Path], object],
    kind: type[CaffeError],
    content: bytes,
    what: str,
) -> None:
    path = tmp_path / "file"
    path.write_bytes(content)
    assert f"this is {what}" in message_of(lambda: read(path), kind)


@pytest.mark.parametrize(("read", "kind"), READERS[2:])
def test_a_prototxt_in_place_of_a_binary(
    tmp_path: Path, read: Callable[[Path], object], kind: type[CaffeError]
) -> None:
    path = tmp_path / "file"
    path.write_text('name: "net"\nlayer { }\n')
    assert "this is text (a prototxt?)" in message_of(lambda: read(path), kind)


def test_weights_in_place_of_a_prototxt(tmp_path: Path) -> None:
    path = tmp_path / "net"
    files.write_message(path, weights())
    message = message_of(lambda: files.read_net(path), PrototxtError)
    assert message.startswith(f"{path}:2:1: this is a caffemodel, where a prototxt is")
    files.write_weights_hdf5(path, weights())
    assert "this is an HDF5 file" in message_of(lambda: files.read_net(path), PrototxtError)


def test_utf_16(tmp_path: Path) -> None:
    path = tmp_path / "net"
    path.write_text('name: "net"', encoding="utf-16")
    assert "text in UTF-16" in message_of(lambda: files.read_net(path), PrototxtError)


@pytest.mark.parametrize(("read", "kind"), READERS[2:])
def test_binary_of_another_kind(
    tmp_path: Path, read: Callable[[Path], object], kind: type[CaffeError]
) -> None:
    others: dict[object, Message] = {
        files.read_weights: state(),
        files.read_state: weights(),
        files.read_blob: weights(),
    }
    files.write_message(tmp_path / "other", others[read])
    assert str(tmp_path) in message_of(lambda: read(tmp_path / "other"), kind)


def test_weights_cut_short(tmp_path: Path) -> None:
    path = tmp_path / "net.caffemodel"
    files.write_message(path, weights())
    whole = path.read_bytes()
    path.write_bytes(whole[:-100])
    message = message_of(lambda: files.read_weights(path), WeightsError)
    assert message.endswith(f"or truncated ({len(whole) - 100} bytes)")


def test_garbage_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "garbage"
    for seed in range(200):
        path.write_bytes(b"\xff" + np.random.default_rng(seed).bytes(300))
        for read, kind in READERS:
            message_of(lambda read=read: read(path), kind)


def test_files_over_2_gb_are_not_read(tmp_path: Path) -> None:
    path = tmp_path / "huge"
    with open(path, "wb") as file:
        file.truncate(2**31)
    assert "over 2 GB" in message_of(lambda: files.read_weights(path), WeightsError)


def test_a_comment_in_another_encoding(tmp_path: Path) -> None:
    path = tmp_path / "net.prototxt"
    path.write_bytes(b'# \xd6\xd0\xce\xc4\r\nname: "net"\r\n')
    assert files.read_net(path).param.name == "net"


# -- writing -------------------------------------------------------------------------------


def test_text_is_written_as_utf_8(tmp_path: Path) -> None:
    files.write_text(tmp_path / "net.prototxt", 'name: "\u00e9"\n')
    assert files.read_net(tmp_path / "net.prototxt").param.name == "\u00e9"


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "net.caffemodel"
    path.write_text("old")

    def fail(temporary: Path) -> None:
        temporary.write_text("half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        files.write_atomically(path, fail)
    assert [each.name for each in tmp_path.iterdir()] == ["net.caffemodel"]
    assert path.read_text() == "old"


def test_what_cannot_be_written(tmp_path: Path) -> None:
    missing = tmp_path / "no" / "net.caffemodel"
    message = message_of(lambda: files.write_message(missing, weights()), CaffeError)
    assert message == f'{missing}: cannot be written: there is no folder "{tmp_path / "no"}"'
    assert "cannot be written" in message_of(lambda: files.write_text(tmp_path, "x"), CaffeError)
    message = message_of(lambda: files.write_weights_hdf5(missing, weights()), CaffeError)
    assert "there is no folder" in message
    assert list(tmp_path.iterdir()) == []


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "latest").symlink_to(tmp_path / "net")
    files.write_text(tmp_path / "latest", "new")
    assert (tmp_path / "latest").is_symlink()
    assert (tmp_path / "net").read_text() == "new"


def test_the_file_is_on_the_disk_before_it_has_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    events = []
    sync, replace = os.fsync, os.replace
    monkeypatch.setattr(atomic.os, "fsync", lambda fd: (events.append("sync"), sync(fd)))
    monkeypatch.setattr(
        atomic.os, "replace", lambda a, b: (events.append("rename"), replace(a, b))
    )
    files.write_text(tmp_path / "file", "x")
    assert events == ["sync", "rename", "sync"]


def test_messages_over_2_gb_are_not_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "LARGEST_MESSAGE", 100)
    message = message_of(lambda: files.write_message(tmp_path / "w", weights()), WeightsError)
    assert "write HDF5" in message
