"""Find things in pictures and draw boxes around them; or score windows of images, as in R-CNN.

The first form is for nets that end in a DetectionOutput, as SSD's, or in one of YOLO's; and for
those with an output of boxes and one of scores, which -boxes and -scores name.  It prints what is
in each PICTURE: a file, a folder, or a pattern in quotes.  With -output it draws the boxes.

The second form is pycaffe's detect.py, and takes the flags from -model_def on.  INPUT is a .csv
file with the columns filename, ymin, xmin, ymax, xmax, one window per line; or, for -crop_mode
selective_search, a .txt file of image names.  OUTPUT is a .csv file with the same columns and a
column for each class, or an .h5 file with the datasets filename, window (N, 4) and prediction
(N, classes).
"""

from __future__ import annotations

import argparse
import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from caffe_lite.cli import UsageError, flags, pictures, preprocessing, ranks
from caffe_lite.cli.streams import say

if TYPE_CHECKING:
    from caffe_lite.detector import Detector
    from caffe_lite.distributed import Group
    from caffe_lite.pictures.model import Result

USAGES = (pictures.USAGE, "-model_def NET [flags] INPUT OUTPUT")

COORDINATES = ("ymin", "xmin", "ymax", "xmax")
MODES = ("list", "selective_search")
CONTEXT = 16  # pixels

Windows = list[tuple[str, list[list[float]]]]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of a model of pictures, and those of pycaffe's detect.py."""
    parser.add_argument(
        "files", metavar="FILE", nargs="+", help="see the two forms of the usage above"
    )
    pictures.add_arguments(parser)
    flags.add(
        parser,
        "threshold",
        "the least score of what is shown (default: 0.5)",
        type=float,
        metavar="X",
    )
    flags.add(parser, "output", "the folder to draw the pictures to", metavar="FOLDER")
    flags.add(parser, "boxes", "the output with boxes, in fractions of the input", metavar="BLOB")
    flags.add(parser, "scores", "the output with a score or one for each class", metavar="BLOB")
    flags.add(
        parser,
        "nms",
        "with -boxes: suppress boxes that overlap a better one by more (default: 0.45)",
        type=float,
        metavar="X",
    )
    flags.add_switch(parser, "pixels", "with -boxes: they are in pixels of the input")
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
        default=CONTEXT,
    )
    flags.add_memory_limit(parser)
    flags.add_unknown_fields(parser)
    flags.accept_log(parser)


def run(args: argparse.Namespace) -> int:
    """Find things in pictures, or score windows."""
    if args.model:
        pictures.refuse(args, WINDOWS, "belongs to the form with -model_def")
        return _find(args)
    pictures.refuse(args, FINDING, "belongs to the form with -model")
    if len(args.files) != 2:
        raise UsageError(f"{len(args.files)} files; with -model_def they are 2, INPUT and OUTPUT")
    return _score(args, *args.files)


FINDING = dict.fromkeys((*pictures.NAMES, "threshold", "output", "boxes", "scores", "nms"))
FINDING |= {"pixels": False}
WINDOWS = {**preprocessing.DEFAULTS, "crop_mode": None, "context_pad": CONTEXT}
"""The flags of one form only, with their defaults."""


def _find(args: argparse.Namespace) -> int:
    """Print what is in the pictures, and draw it."""
    if not (args.boxes and args.scores) and (args.boxes or args.scores or args.nms or args.pixels):
        raise UsageError("-boxes and -scores must be given together, -nms and -pixels with them")
    group = ranks.gather(args.model, args.weights, args.labels)
    with pictures.load(args) as model:
        from caffe_lite.pictures import drawing, records

        given = {name: getattr(args, name) for name in ("threshold", "boxes", "scores", "nms")}
        settings = {name: value for name, value in given.items() if value is not None}
        detect = model.detector(args.labels, pixels=args.pixels, **settings)
        found = pictures.pictures_of(args.files)
        targets = drawing.targets(found, args.output) if args.output else []
        own_targets = iter(pictures.own(group, model, targets))

        def rows(result: Result) -> list[tuple[Any, ...]]:
            detections = detect(result)
            if args.output:
                drawing.make_folder(args.output)
                drawn = drawing.draw_detections(result.picture.name, detections)
                drawing.save(drawn, next(own_targets))
            return records.detection_rows(detections)

        table = records.Records("detections", records.DETECTIONS)
        pictures.answer(args, group, model, found, table, rows)
    return 0


# -- windows -----------------------------------------------------------------------------------


def _score(args: argparse.Namespace, source: str, target: str) -> int:
    """Score the windows and write the scores."""
    kind = Path(target).suffix
    if kind not in (".csv", ".h5", ".hdf5"):
        raise UsageError(f'OUTPUT must end with .csv or .h5, not "{kind}"')
    mode = args.crop_mode or MODES[Path(source).suffix == ".txt"]
    group = ranks.gather(args.model_def, args.pretrained_model, args.mean_file, source)
    options = preprocessing.options(args)
    from caffe_lite.detector import Detector

    if mode == "list":
        windows = read_windows(source)
        detector = Detector(context_pad=args.context_pad, **options)
        detections = list(_detections(group, detector, windows))
    else:
        names = _read_names(source)
        if not group.is_root:  # MATLAB proposes the windows of all images at once
            return 0
        detector = Detector(context_pad=args.context_pad, **options)
        detections = detector.detect_selective_search(names)
    if group.is_root:
        (_write_csv if kind == ".csv" else _write_hdf5)(target, detections)
    say(f"{target}: {len(detections)} windows")
    return 0


def _detections(group: Group, detector: Detector, images: Windows) -> Iterator[dict[str, Any]]:
    """What a detector finds in windows, at rank 0; each rank takes whole batches of the net.

    An image whose windows are in batches of several ranks is read by each of them.
    """
    from caffe_lite.distributed import dealt, in_order

    batch = detector.blobs[detector.inputs[0]].shape[0]
    windows = ((name, window) for name, windows in images for window in windows)
    own = [
        (name, [window for _, window in items])
        for name, items in groupby(dealt(group, windows, batch), key=itemgetter(0))
    ]

    def found() -> Iterator[dict[str, Any]]:
        yield from detector.detect_windows(own)

    yield from in_order(group, found(), batch)


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
