"""Rules of files that a net reads: where they are looked for, and which labels need an output."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from caffe_lite.checking import check
from tests.checking.files import NET, changed, found, of, write


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_the_hint_for_a_file_that_a_folder_above_has():
    write()
    Path("deep/er").mkdir(parents=True)
    home = Path.cwd()
    for name in ("net.prototxt", "train.txt"):
        Path(name).rename(home / "deep" / "er" / name)
    Path("deep/er/train.txt").rename(home / "deep/train.txt")
    report = check("deep/er/net.prototxt", phase=0, ignore=["unknown-shape"])
    message = of(report, "missing-file").message
    assert message == (
        f'"train.txt" is not in the current folder; it is in {home / "deep"}: run this there'
    )
    absolute = changed(NET, '"train.txt"', f'"{home / "deep" / "gone.txt"}"')
    Path("deep/er/net.prototxt").write_text(absolute)
    report = check("deep/er/net.prototxt", phase=0, ignore=["unknown-shape"])
    assert of(report, "missing-file").message.endswith("is not in the current folder")


def test_images_of_a_list_are_looked_for_in_its_root_folder():
    write()
    Path("deep").mkdir()
    for name in ("1.png", "2.png"):
        Path(name).rename(f"deep/{name}")
    message = of(check("net.prototxt", phase=0), "missing-file").message
    assert '2 of the 4 images in "train.txt" are not here, the first is "1.png"' in message
    Image.new("L", (8, 9)).save("deep/0.png")
    source = 'image_data_param { source: "train.txt"'
    write(net=changed(NET, source, source + ' root_folder: "deep/"'))
    message = of(check("net.prototxt", phase=0), "missing-file").message
    assert '1 of the 4 images in "train.txt" are not here, the first is "deep/3.png"' in message


@pytest.mark.parametrize(
    ("ignore", "rules"),
    [
        ("", ["label-range"]),
        ("loss_param { ignore_label: 3 }", []),
        ("loss_param { ignore_label: 2 }", ["label-range"]),
        ("loss_param { ignore_label: -1 }", ["label-range"]),
    ],
)
def test_a_label_that_is_ignored_needs_no_output(ignore, rules):
    net = changed(NET, "num_output: 4", "num_output: 3")
    net = changed(net, 'bottom: "label" top: "loss"', f'bottom: "label" top: "loss" {ignore}')
    write(net=net)
    assert found(check("net.prototxt", phase=0)) == rules
    if rules:
        message = of(check("net.prototxt", phase=0), "label-range").message
        assert "has 3 outputs, for labels 0 to 2, but" in message
        assert "brings label 3;" in message


def test_a_mirror_is_random_in_test_only_for_data():
    mirrored = NET.replace("mean_value: 3", "mirror: true mean_value: 3")
    write(net=mirrored)
    report = check("net.prototxt")
    assert found(report) == ["random-in-test"]
    assert report.findings[0].location.line == 6
    write(net=mirrored.replace("mirror: true", "mirror: false"))
    assert found(check("net.prototxt")) == []
