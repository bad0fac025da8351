"""Commands on several ranks print and write what one process does, to the byte."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from caffe_lite.cli import pictures
from caffe_lite.data.datum import array_to_datum
from caffe_lite.data.db import open_db, write_all
from caffe_lite.pictures import load
from caffe_lite.proto import caffe_pb2, files
from caffe_lite.proto.blobs import array_to_blob
from tests.distributed import commanding
from tests.distributed.launching import needs_mpi, run
from tests.distributed.test_order import group_of

HEIGHT, WIDTH, CLASSES = 13, 17, 6
SIZES = [(HEIGHT, WIDTH), (20, 31), (9, 14)]
PICTURES = 23

BODY = f"""
layer {{ name: "conv" type: "Convolution" bottom: "data" top: "conv"
  convolution_param {{ num_output: 11 kernel_size: 3 }} }}
layer {{ name: "pool" type: "Pooling" bottom: "conv" top: "pool"
  pooling_param {{ pool: AVE global_pooling: true }} }}
layer {{ name: "ip" type: "InnerProduct" bottom: "pool" top: "ip"
  inner_product_param {{ num_output: {CLASSES} }} }}
"""

NET = f"""
layer {{ name: "data" type: "Input" top: "data"
  input_param {{ shape {{ dim: 5 dim: 3 dim: {HEIGHT} dim: {WIDTH} }} }} }}
{BODY}
layer {{ name: "prob" type: "Softmax" bottom: "ip" top: "prob" }}
"""

SCORED = f"""
layer {{ name: "images" type: "Data" top: "data" top: "label"
  data_param {{ source: "parts.txt" backend: LMDB batch_size: 5 }}
  transform_param {{ crop_size: 9 scale: 0.05 }} }}
{BODY}
layer {{ name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "loss" }}
layer {{ name: "accuracy" type: "Accuracy" bottom: "ip" bottom: "label" top: "accuracy" }}
"""

TURNS = f"""
layer {{ name: "data" type: "DummyData" top: "data"
  dummy_data_param {{ shape {{ dim: 2 dim: 3 dim: 7 dim: 9 }} data_filler {{ value: 0.7 }} }} }}
{BODY}
"""
"""Its batches can only be run in turn: this source leaves none out."""

ONE = ("-model_def", "net.prototxt", "-pretrained_model", "net.caffemodel")
MODEL = ("-model", "net.prototxt", "-weights", "net.caffemodel", "-labels", "labels.txt")

COMMANDS = {
    "convert_imageset": ["-encoded", "-encode_type", "png", "pictures/", "list.txt", "db"],
    "convert_imageset, resized": [
        *("-resize_height", "5", "-resize_width", "7", "-shuffle"),
        *("-backend", "leveldb", "pictures/", "list.txt", "leveldb"),
    ],
    "classify": [
        *MODEL,
        "-batch",
        "4",
        "-csv",
        "classes.csv",
        "-json",
        "classes.json",
        "pictures",
    ],
    "classify, any size": [*MODEL, "-batch", "3", "-input_size", "any", "pictures"],
    "classify, few": [*MODEL, "pictures/03.png"],
    "classify, Caffe's": [
        *("net.prototxt", "net.caffemodel", "mean.binaryproto", "labels.txt"),
        *(f"pictures/{index:02}.png" for index in range(7)),
    ],
    "classify, crops": [*ONE, "-images_dim", "15,19", "-ext", "png", "pictures", "scores.npy"],
    "classify, centres": [*ONE, "-center_only", "-ext", "png", "pictures", "centres.npy"],
    "test": ["-model", "scored.prototxt", "-weights", "net.caffemodel", "-iterations", "10"],
    "extract_features": [
        *("net.caffemodel", "scored.prototxt", "label,ip", "label,ip"),
        *("7", "lmdb"),
    ],
    "extract_features, hdf5": [
        *("net.caffemodel", "scored.prototxt", "accuracy,ip", "accuracy.h5,ip.h5"),
        *("2", "hdf5"),
    ],
    "extract_features, in turn": [
        *("net.caffemodel", "turns.prototxt", "pool", "turns.h5"),
        *("4", "hdf5"),
    ],
    "detect": [*ONE, "-context_pad", "0", "windows.csv", "windows_out.csv"],
    "detect, hdf5": [*ONE, "-context_pad", "0", "windows.csv", "windows_out.h5"],
}


def fill(folder: Path) -> None:
    """The files that the commands read."""
    rng = np.random.default_rng(3)
    (folder / "pictures").mkdir()
    lines, windows = [], ["filename,ymin,xmin,ymax,xmax"]
    for index in range(PICTURES):
        height, width = SIZES[index // 5 % 3]
        pixels = rng.integers(0, 256, (height, width, 3), np.uint8)
        Image.fromarray(pixels).save(folder / "pictures" / f"{index:02}.png")
        lines.append(f"{index:02}.png {index % CLASSES}\n" + "gone.png 1\n" * (index % 7 == 3))
        windows += [f"pictures/{index:02}.png,{y},1,{y + 5},9" for y in range(index % 4)]
    (folder / "list.txt").write_text("".join(lines))
    (folder / "windows.csv").write_text("\n".join(windows) + "\n")
    (folder / "labels.txt").write_text("".join(f"class {i}\n" for i in range(CLASSES)))
    (folder / "net.prototxt").write_text(NET)
    (folder / "scored.prototxt").write_text(SCORED)
    (folder / "turns.prototxt").write_text(TURNS)
    for part, count in (("part0", 4), ("part1", 12)):
        images = rng.integers(0, 256, (count, 3, 10, 11), np.uint8)
        datums = (array_to_datum(image, i % CLASSES) for i, image in enumerate(images))
        records = [
            (b"%d%d" % (i // 10, i % 10), d.SerializeToString()) for i, d in enumerate(datums)
        ]
        write_all(str(folder / part), "lmdb", records)
    (folder / "parts.txt").write_text("part0\npart1\n")
    net = caffe_pb2.NetParameter()
    for name, *shapes in (("conv", (11, 3, 3, 3), (11,)), ("ip", (CLASSES, 11), (CLASSES,))):
        scale = 0.02 if name == "conv" else 0.05
        blobs = [array_to_blob(rng.normal(0, scale, shape).astype(np.float32)) for shape in shapes]
        net.layer.add(name=name).blobs.extend(blobs)
    files.write_message(str(folder / "net.caffemodel"), net)
    mean = rng.uniform(90, 130, (1, 3, 4, 5)).astype(np.float32)
    files.write_message(str(folder / "mean.binaryproto"), array_to_blob(mean))


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> list[tuple[Path, list[list[list[str]]]]]:
    """For one process and for three ranks: its folder, and what each command prints by rank."""
    start = tmp_path_factory.mktemp("start")
    fill(start)
    commands = [[name.partition(",")[0], *words] for name, words in COMMANDS.items()]
    (start / "commands.json").write_text(json.dumps(commands))
    found = []
    for ranks in (1, 3):
        folder = tmp_path_factory.mktemp("ranks") / str(ranks)
        shutil.copytree(start, folder)
        run(ranks, commanding.__file__, "commands.json", "printed.json", folder=folder)
        found.append((folder, json.loads((folder / "printed.json").read_text())))
    return found


def _scores_in(log: str) -> list[str]:
    """The lines of a log that have the outputs of batches, and their means."""
    messages = [line.partition("] ")[2] for line in log.splitlines()]
    return [
        line
        for line in messages[messages.index("Running for 10 iterations.") + 1 :]
        if "=" in line or "Loss:" in line
    ]


@needs_mpi
@pytest.mark.parametrize("name", COMMANDS)
def test_rank_0_prints_what_one_process_does_and_the_others_nothing(name, folders):
    index = list(COMMANDS).index(name)
    ((_, (one,)), (_, three)) = folders
    out, err = one[index]
    if name == "test":
        first, second = (_scores_in(each[index][1]) for each in (one, three[0]))
        assert first == second
        assert len(first) == 10 * 2 + 3
    else:
        out = out.partition(" images classified in ")[0]
        assert out
        assert three[0][index][0].startswith(out)
        told = three[0][index][1]
        if name.endswith("in turn"):
            assert "rank 0 runs all batches" in told
        else:
            assert told == err
    assert ("skipped: " in err) == name.startswith("convert")
    assert three[1][index] == three[2][index] == ["", ""]


@needs_mpi
@pytest.mark.parametrize(
    "file",
    [
        *("db/data.mdb", "classes.csv", "classes.json", "scores.npy", "centres.npy"),
        *("windows_out.csv", "windows_out.h5", "label/data.mdb", "ip/data.mdb"),
        *("accuracy.h5", "ip.h5", "turns.h5"),
    ],
)
def test_files_are_the_same_to_the_byte(file, folders):
    (one, _), (three, _) = folders
    assert (three / file).read_bytes() == (one / file).read_bytes()


@needs_mpi
def test_every_picture_has_its_answer(folders):
    """Of three ranks, in a file that was seen to be that of one process."""
    (_, _), (three, _) = folders
    found = json.loads((three / "classes.json").read_text())
    assert [each["image"] for each in found] == [f"pictures/{i:02}.png" for i in range(PICTURES)]
    assert np.load(three / "scores.npy").shape == (PICTURES, CLASSES)


@needs_mpi
def test_records_in_a_leveldb_are_the_same(folders):
    pytest.importorskip("plyvel")
    (one, _), (three, _) = folders
    sources = (str(folder / "leveldb") for folder in (one, three))
    expected, records = (list(open_db(source, "leveldb")) for source in sources)
    assert records == expected
    assert len(records) == PICTURES


@pytest.mark.parametrize(("size", "batch"), [(None, 11), ("any", 3)])
def test_ranks_take_whole_batches(size, batch, tmp_path, monkeypatch):
    """A picture's numbers depend on how many others are in its batch."""
    fill(tmp_path)
    monkeypatch.chdir(tmp_path)
    with load("net.prototxt", "net.caffemodel", batch=batch, input_size=size) as model:

        def scores(names):
            return [result.outputs["prob"] for result in model.run(names)]

        names = [f"pictures/{index:02}.png" for index in range(PICTURES)]
        alone = scores(names)
        for wrong in (False, True)[: 1 if size else 2]:  # up to five pictures have one size
            found: list = [None] * PICTURES
            for rank in range(3):
                group = group_of(rank, 3)
                own = list(group.own(names)) if wrong else pictures.own(group, model, names)
                for name, each in zip(own, scores(own), strict=True):
                    found[names.index(name)] = each
            np.testing.assert_allclose(found, alone, rtol=1e-5)
            assert np.array_equal(found, alone) != wrong


WRONG = {
    "a bad picture": (
        ["classify", *MODEL, "-csv", "out", "-batch", "1", "pictures", "bad.png"],
        'bad.png": not an image',
        2,  # number 23 is of the last of three ranks
    ),
    "another size": (
        ["convert_imageset", "-check_size", "pictures/", "list.txt", "out"],
        'image "05.png" has shape (3, 20, 31), but the first, "00.png", has (3, 13, 17)',
        0,
    ),
    "usage": (["detect", *ONE, "windows.csv", "out.txt"], "OUTPUT must end with .csv or .h5", 0),
}


@needs_mpi
@pytest.mark.parametrize("what", WRONG)
def test_one_error_ends_all_and_nothing_is_written(what, tmp_path):
    words, problem, rank = WRONG[what]
    fill(tmp_path)
    (tmp_path / "bad.png").write_bytes(b"no picture")
    done = run(3, "-m", "caffe_lite", *words, folder=tmp_path, code=2 if what == "usage" else 1)
    lines = [line for line in done.stderr.splitlines() if problem in line]
    assert len(lines) == 1, done.stderr
    assert (f"(rank {rank} of 3, on " in lines[0]) == bool(rank)
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    assert done.stderr.count("usage: ") == (what == "usage")
    assert not [path.name for path in tmp_path.iterdir() if "out" in path.name]
