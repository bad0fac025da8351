"""The labels that a check reads: of which layers, how often, and whom they are compared with."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from caffe_lite.checking import check
from caffe_lite.checking.rules import sources
from caffe_lite.data.datum import array_to_datum
from caffe_lite.data.db import write_all
from caffe_lite.data.hdf5 import first_values, write_datasets
from tests.checking.files import NET, changed, found, write


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_a_source_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Though several rules ask, in both phases."""
    read = []
    original = sources._read_labels

    def counted(*words: object) -> object:
        read.append(words)
        return original(*words)  # type: ignore[arg-type]

    monkeypatch.setattr(sources, "_read_labels", counted)
    write()
    assert check("solver.prototxt").findings == ()
    assert len(read) == 2  # train.txt and test.txt


def test_labels_that_nobody_reads_are_none() -> None:
    """A Data layer may have one top."""
    records = [
        (b"%d" % i, array_to_datum(np.full((1, 8, 9), i, np.uint8), 7).SerializeToString())
        for i in range(3)
    ]
    write_all("db", "lmdb", records)
    net = NET.splitlines(keepends=True)
    data = """layer { name: "data" type: "Data" top: "data"
      data_param { source: "db" batch_size: 2 backend: LMDB } }
      layer { name: "label" type: "DummyData" top: "label" dummy_data_param { shape { dim: 2 } } }
    """
    write(net="".join([net[0], data, *net[7:]]))
    assert found(check("net.prototxt", phase=0)) == []


def test_other_layers_may_read_labels() -> None:
    """A regression of the labels is no classifier, however few outputs it has."""
    more = """layer { name: "age" type: "InnerProduct" bottom: "ip1" top: "age"
      inner_product_param { num_output: 1 weight_filler { type: "msra" } } }
      layer { name: "column" type: "Reshape" bottom: "label" top: "column"
      reshape_param { shape { dim: 0 dim: 1 } } }
      layer { name: "distance" type: "EuclideanLoss" bottom: "age" bottom: "column" top: "d" }
      layer { name: "second" type: "SmoothL1Loss" bottom: "age" bottom: "label" top: "s" }
      layer { name: "bare" type: "Eltwise" bottom: "label" bottom: "label" top: "twice" }
      layer { name: "none" type: "Silence" bottom: "twice" }
    """
    write(net=changed(NET, 'layer { name: "loss"', more + 'layer { name: "loss"'))
    assert [each for each in found(check("net.prototxt")) if "label" in each] == []


def test_labels_that_cannot_be_read_are_no_finding_of_their_own() -> None:
    """The layer says it, which opens the source, too."""
    write()
    Path("train.txt").write_text("0.png zero\n")
    assert found(check("net.prototxt", phase=0)) == ["unreadable-source"]


def with_hdf5(
    labels: list[list[float]], outputs: int = 4, tops: str = '"data" top: "label"'
) -> None:
    """The net, of which both phases read files with these labels."""
    net = NET.splitlines(keepends=True)
    head = f"""layer {{ name: "data" type: "HDF5Data" top: {tops}
      hdf5_data_param {{ source: "list.txt" batch_size: 3 }} }}
    """
    write(
        net=changed("".join([net[0], head, *net[7:]]), "num_output: 4", f"num_output: {outputs}")
    )
    for index, each in enumerate(labels):
        images = np.zeros((len(each), 1, 9, 8), np.float32)
        write_datasets(f"{index}.h5", {"data": images, "label": np.array(each, np.float32)})
    Path("list.txt").write_text("".join(f"{index}.h5\n" for index in range(len(labels))))


@pytest.mark.parametrize(
    ("labels", "outputs", "rules"),
    [
        ([[0, 1, 2], [3]], 4, []),
        ([[0, 1, 2], [3]], 3, ["label-range"]),
        ([[0, 1, 2, 3], [-1]], 4, ["label-range"]),
        ([[0, 1, 2], [3]], 5, ["unused-outputs"]),
        ([[0, 1, float("nan")], [3]], 4, []),
    ],
)
def test_the_labels_of_hdf5_files(
    labels: list[list[float]], outputs: int, rules: list[str]
) -> None:
    with_hdf5(labels, outputs)
    assert sorted(set(found(check("net.prototxt")))) == rules


def test_the_labels_of_hdf5_files_are_those_of_any_top() -> None:
    with_hdf5([[0, 1, 4]], tops='"label" top: "data"')
    findings = check("net.prototxt", phase=0).findings
    assert [each.rule for each in findings] == ["label-range"]
    assert "brings label 4" in findings[0].message


def test_no_more_than_so_many_labels_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was not read may need the outputs that seem to be unused."""
    monkeypatch.setattr(sources, "MOST_RECORDS", 4)
    with_hdf5([[0, 1], [2, 1]], outputs=5)
    assert found(check("net.prototxt", phase=0)) == ["unused-outputs"]
    with_hdf5([[0, 1], [2, 1, 9]], outputs=5)
    assert found(check("net.prototxt", phase=0)) == []


def test_first_values_are_whole_rows() -> None:
    for index, start in enumerate((0, 6)):
        rows = np.arange(start, start + 6, dtype=np.int16).reshape(3, 2)
        write_datasets(f"{index}.h5", {"y": rows})
    Path("list.txt").write_text("0.h5 1.h5")
    for most, count in ((1, 2), (2, 2), (5, 4), (6, 6), (7, 6), (8, 8), (11, 10)):
        values, are_all = first_values("list.txt", "y", most)
        assert values.tolist() == list(range(count)), most
        assert not are_all
    values, are_all = first_values("list.txt", "y", 12)
    assert values.tolist() == list(range(12))
    assert are_all
