"""Score windows of images, as in R-CNN.

INPUT is a .csv file with the columns filename, ymin, xmin, ymax, xmax, one window per line; or,
for -crop_mode selective_search, a .txt file of image names.  OUTPUT is a .csv file with the same
columns and a column for each class, or an .h5 file with the datasets filename, window (N, 4) and
prediction (N, classes).
"""

from __future__ import annotations

import argparse
import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from caffe_lite.cli import UsageError, flags, preprocessing
from caffe_lite.cli.streams import say

COORDINATES = ("ymin", "xmin", "ymax", "xmax")
MODES = ("list", "selective_search")

Windows = list[tuple[str, list[list[float]]]]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of pycaffe's detect.py."""
    parser.add_argument("input", metavar="INPUT", help="the .csv of windows, or .txt of images")
    parser.add_argument("output", metavar="OUTPUT", help="the .csv or .h5 to write")
    preprocessing.add_arguments(parser)
    flags.add(
        parser,
        "crop_mode",
        "the source of the windows (default: list for .csv, selective_search for .txt)",
        choices=MODES,
    )
    flags.add(
        parser,
        "context_pad",
        "width in pixels of the context around each window in the net's input (default: 16)",
        type=flags.size,
        default=16,
    )
    flags.add_memory_limit(parser)
    flags.add_unknown_fields(parser)
    flags.accept_log(parser)


def run(args: argparse.Namespace) -> int:
    """Score the windows and write the scores."""
    kind = Path(args.output).suffix
    if kind not in (".csv", ".h5", ".hdf5"):
        raise UsageError(f'OUTPUT must end with .csv or .h5, not "{kind}"')
    mode = args.crop_mode or MODES[Path(args.input).suffix == ".txt"]
    options = preprocessing.options(args)
    from caffe_lite.detector import Detector

    if mode == "list":
        windows = read_windows(args.input)
        detector = Detector(context_pad=args.context_pad, **options)
        detections = detector.detect_windows(windows)
    else:
        names = _read_names(args.input)
        detector = Detector(context_pad=args.context_pad, **options)
        detections = detector.detect_selective_search(names)
    (_write_csv if kind == ".csv" else _write_hdf5)(args.output, detections)
    say(f"{args.output}: {len(detections)} windows")
    return 0


def read_windows(path: str) -> Windows:
    """The (image, windows) pairs in a CSV file; a window is ymin, xmin, ymax, xmax."""
    from caffe_lite.errors import DataError

    rows = csv.DictReader(io.StringIO(_read(path)))
    missing = {"filename", *COORDINATES} - set(rows.fieldnames or ())
    if missing:
        raise DataError(f'"{path}" has no column {", ".join(sorted(missing))} in its first line')
    windows: dict[str, list[list[float]]] = {}
    for row in rows:
        try:
            window = [float(row[name]) for name in COORDINATES]
        except (TypeError, ValueError):
            raise DataError(
                f"{path}:{rows.line_num}: a line must be a file name and four numbers"
            ) from None
        ymin, xmin, ymax, xmax = window
        if not (ymin < ymax and xmin < xmax):
            raise DataError(
                f"{path}:{rows.line_num}: the window y {ymin:g} to {ymax:g}, x {xmin:g} to "
                f"{xmax:g} is empty"
            )
        windows.setdefault(row["filename"], []).append(window)
    if not windows:
        raise DataError(f'"{path}" has no windows')
    return list(windows.items())


def _read_names(path: str) -> list[str]:
    from caffe_lite.errors import DataError

    names = [line.strip() for line in _read(path).splitlines() if line.strip()]
    if not names:
        raise DataError(f'"{path}" names no images')
    return names


def _read(path: str) -> str:
    from caffe_lite import reading
    from caffe_lite.errors import DataError

    try:
        return reading.read_text(path)
    except OSError as error:
        raise DataError(f'cannot read "{path}": {error.strerror}') from None


def _write_csv(path: str, detections: Sequence[Mapping[str, Any]]) -> None:
    from caffe_lite.proto.files import write_text

    classes = range(len(detections[0]["prediction"]))
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(["filename", *COORDINATES, *(f"class{number}" for number in classes)])
    for each in detections:
        rows.writerow([each["filename"], *each["window"], *each["prediction"]])
    write_text(path, text.getvalue())


def _write_hdf5(path: str, detections: Sequence[Mapping[str, Any]]) -> None:
    import h5py
    import numpy as np

    from caffe_lite.proto.hdf5_writing import new_hdf5

    with new_hdf5(path) as file:
        names = [each["filename"] for each in detections]
        file.create_dataset("filename", data=names, dtype=h5py.string_dtype())
        for name in ("window", "prediction"):
            file.create_dataset(name, data=np.array([each[name] for each in detections]))
