"""What the layers of detectors read and write besides blobs."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest

from caffe_lite.errors import LayerError
from caffe_lite.testing import Case, Rig
from tests.cases.detection import confidences, priors
from tests.cases.multibox import loss

MAP = 'item { name: "none" label: 0 } item { name: "cat" label: 1 } item { name: "dog" label: 2 }'


def rig(folder: Path, save: str, config: str = "") -> Rig:
    text = f"num_classes: 3 confidence_threshold: 0.9 {config} save_output_param {{ {save} }}"
    case = Case(
        "DetectionOutput",
        [(2, 28), (2, 21), (1, 2, 28)],
        f"detection_output_param {{ {text} }}",
        draw={1: confidences, 2: priors},
    )
    return Rig(case, np.float32, folder)


SAVED = """output_directory: "{folder}/out" output_name_prefix: "found_" output_format: "ILSVRC"
  label_map_file: "{folder}/map.prototxt" name_size_file: "{folder}/sizes.txt" """


@pytest.fixture
def lists(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "map.prototxt").write_text(MAP, encoding="utf-8")
    sizes = "a 40 60\nb 50 20\nc 30 30\n"
    (tmp_path / "sizes.txt").write_text(sizes, encoding="utf-8")
    return tmp_path


def test_detections_are_saved_by_image(lists: Path) -> None:
    layer = rig(lists, f"{SAVED} num_test_image: 2")
    (rows,) = layer.forward()
    assert len(rows[0, 0]) > 1
    lines = (lists / "out" / "found_.txt").read_text(encoding="utf-8").splitlines()
    found = [(line.split()[0], int(line.split()[1])) for line in lines]
    assert found == [("ab"[int(item)], int(label)) for item, label in rows[0, 0, :, :2]]


def test_images_without_detections_count(lists: Path) -> None:
    layer = rig(lists, f"{SAVED} num_test_image: 2")
    layer.bottom[1].data[...] = 0
    layer.forward()
    assert (lists / "out" / "found_.txt").read_text(encoding="utf-8") == ""


@pytest.mark.parametrize("name", ["map.prototxt", "sizes.txt"])
def test_lists_that_are_elsewhere_are_warned_of(
    lists: Path, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    (lists / name).unlink()
    layer = rig(lists, SAVED)
    layer.forward()
    layer.forward()
    assert not (lists / "out").exists()
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert f'{name}" is not here; no file is written' in record.getMessage()


@pytest.mark.parametrize(
    ("save", "config", "at", "says"),
    [
        (f"{SAVED} num_test_image: 4", "", "num_test_image", "is 4, but name_size_file has 3"),
        (f"{SAVED} num_test_image: 0", "", "num_test_image", "is 0, but name_size_file has 3"),
        (SAVED.replace("map.prototxt", "sizes.txt"), "", "label_map_file", "sizes.txt:1:"),
        (SAVED.replace("sizes.txt", "map.prototxt"), "", "name_size_file", "map.prototxt:1:"),
    ],
)
def test_lists_that_do_not_fit_are_refused(
    lists: Path, save: str, config: str, at: str, says: str
) -> None:
    with pytest.raises(LayerError, match=says) as error:
        rig(lists, save, config)
    assert error.value.field == f"save_output_param.{at}"


def test_a_label_without_a_name_is_refused(lists: Path) -> None:
    (lists / "map.prototxt").write_text('item { name: "cat" label: 1 }', encoding="utf-8")
    with pytest.raises(LayerError, match="has no label 2"):
        rig(lists, SAVED)


@pytest.mark.parametrize(
    ("case", "says"),
    [
        (loss("do_neg_mining: true"), "do_neg_mining is deprecated; use mining_type"),
        (loss("ignore_difficult_gt: true"), "ignore_difficult_gt has no effect, as in NVCaffe"),
        (
            Case(
                "DetectionOutput",
                [(2, 28), (2, 21), (1, 2, 28)],
                "detection_output_param { num_classes: 3 visualize: true }",
            ),
            "visualize shows nothing here",
        ),
    ],
)
def test_fields_without_effect_are_warned_of(
    case: Case, says: str, caplog: pytest.LogCaptureFixture
) -> None:
    Rig(case)
    assert says in caplog.text
