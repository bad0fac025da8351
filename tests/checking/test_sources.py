"""The labels that a check reads: of which layers, how often, and whom they are compared with."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from caffe_lite.checking import check
from caffe_lite.checking.rules import sources
from caffe_lite.data.datum import array_to_datum
from caffe_lite.data.db import write_all
from tests.checking.files import NET, changed, found, write


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_a_source_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Though several rules ask, in both phases."""
    read = []
    original = sources._read_labels

    def counted(node: object) -> object:
        read.append(node)
        return original(node)  # type: ignore[arg-type]

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
