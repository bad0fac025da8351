"""Whether reading data limits training: images per second from an LMDB, and by AlexNet."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from caffe_lite import TRAIN
from caffe_lite.data.readers import Batch, RecordReader
from caffe_lite.data.transformer import DataTransformer
from caffe_lite.proto import caffe_pb2
from tools.bench import isolated, measure, nets, ours, records, weights
from tools.bench.report import Options, Section, number, table
from tools.bench.task import Task

RECORDS, SIZE, CROP, BATCH = 256, 256, 227, 64
MEANS = (104.0, 117.0, 123.0)


def _database(folder: str) -> Path:
    path = Path(folder) / f"images-{SIZE}"
    if not path.exists():
        records.write(path, RECORDS, (3, SIZE, SIZE), 1000)
    return path


def _transformation() -> caffe_pb2.TransformationParameter:
    return caffe_pb2.TransformationParameter(crop_size=CROP, mirror=True, mean_value=MEANS)


def reading(folder: str) -> float:
    """Images per second that the reader alone makes from the database, on one thread."""
    param = caffe_pb2.DataParameter(
        source=str(_database(folder)), batch_size=BATCH, backend=caffe_pb2.DataParameter.LMDB
    )
    transformer = DataTransformer(_transformation(), TRAIN, np.random.default_rng(0))
    reader = RecordReader(param, transformer, np.float32)
    batch: Batch | None = None

    def fill() -> None:
        nonlocal batch
        batch = reader.fill(batch)

    fill()
    rate = BATCH / measure.median(measure.passes(fill, 2.0, 3))
    reader.close()
    return rate


def training(folder: str, from_database: bool) -> float:
    """Images per second in AlexNet's training, from the database or from a constant batch."""
    text = nets.prototxt("alexnet", BATCH, True)
    if from_database:
        source = (
            'layer { name: "data" type: "Data" top: "data" top: "label" '
            f"transform_param {{ {_transformation()} }} "
            f'data_param {{ source: "{_database(folder)}" batch_size: {BATCH} backend: LMDB }} }}'
        )
        lines = text.splitlines()
        text = "\n".join([lines[0], source, *lines[2:]])
    path = Path(folder) / f"datapath-{from_database}.prototxt"
    path.write_text(text)
    if not from_database:
        run = ours.train(Task(f"alexnet:{BATCH}:train", str(path))).run
        run()
        return BATCH / measure.median(measure.passes(run, 6.0, 4))
    with ours.make_solver(str(path)) as solver:
        weights.fill(solver.net)
        solver.step(1)
        return BATCH / measure.median(measure.passes(lambda: solver.step(1), 6.0, 4))


def section(options: Options) -> Section:
    """The three rates."""

    def call(function: str, **arguments: Any) -> float:
        return float(
            isolated.call(
                f"tools.bench.datapath:{function}",
                threads=options.threads,
                folder=str(options.folder),
                **arguments,
            )
        )

    rates = {
        "reader alone, one thread": call("reading"),
        "AlexNet trains, from a batch that stays": call("training", from_database=False),
        "AlexNet trains, from the database": call("training", from_database=True),
    }
    text = "\n\n".join(
        [
            f"LMDB of {SIZE} x {SIZE} uint8 images, cropped to {CROP}, mirrored, less a mean:",
            table(
                ("what", "images a second"),
                [[name, number(rate)] for name, rate in rates.items()],
            ),
        ]
    )
    return Section("data", "The data path", text, rates)
