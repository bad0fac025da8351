"""Classify pictures, or save the scores of many images.

The first form prints the best classes of each PICTURE: a file, a folder, or a pattern in quotes.

The second form is that of Caffe's classification: it prints the five best classes of each IMAGE.
The image is resized to the net's input and the mean of each channel is subtracted.  LABELS has one
class per line.

The third form is pycaffe's classify.py, and takes the flags from -model_def on.  It writes the
scores of all classes to an .npy file, one row for each image.  INPUT is an image, a folder, or an
.npy file of images (N, height, width, channels) with values from 0 to 1.  Each image is resized to
-images_dim, and the scores of ten crops are averaged.
"""

from __future__ import annotations

import argparse
import math
import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from caffe_lite.cli import UsageError, flags, pictures, preprocessing, ranks
from caffe_lite.cli.progress import watch
from caffe_lite.cli.streams import say

if TYPE_CHECKING:
    import numpy.typing as npt

    from caffe_lite.net.net import Net
    from caffe_lite.pictures.model import Result

    Array = npt.NDArray[Any]

USAGES = (
    pictures.USAGE,
    "DEPLOY WEIGHTS MEAN LABELS IMAGE [IMAGE ...]",
    "-model_def NET [flags] INPUT OUTPUT",
)
BEST = 5
SCORING = {**preprocessing.DEFAULTS, "center_only": False, "images_dim": [256, 256], "ext": "jpg"}
CLASSES = dict.fromkeys((*pictures.NAMES, "top", "blob"))
"""The flags of one form only, with their defaults."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of a model of pictures, and those of pycaffe's classify.py."""
    parser.add_argument(
        "files", metavar="FILE", nargs="+", help="see the three forms of the usage above"
    )
    pictures.add_arguments(parser)
    flags.add(
        parser,
        "top",
        f"how many classes to name, the best first (default: {BEST})",
        type=flags.positive,
    )
    flags.add(parser, "blob", "the output with the scores, of a net that has several")
    preprocessing.add_arguments(parser)
    flags.add_switch(parser, "center_only", "score the central crop only, not ten crops")
    flags.add(
        parser,
        "images_dim",
        "height and width to resize images to (default: 256,256)",
        type=flags.sizes,
        default=SCORING["images_dim"],
        metavar="H,W",
    )
    flags.add(
        parser,
        "ext",
        "the suffix of the images to read in a folder (default: jpg)",
        default=SCORING["ext"],
        metavar="SUFFIX",
    )
    flags.add_memory_limit(parser)
    flags.add_unknown_fields(parser)
    flags.accept_log(parser)


def run(args: argparse.Namespace) -> int:
    """Print classes or write scores, depending on the number of files."""
    if args.model:
        pictures.refuse(args, SCORING, "belongs to the form with -model_def")
        _classify(args)
        return 0
    pictures.refuse(args, CLASSES, "belongs to the form with -model")
    if len(args.files) >= 5:
        deploy, weights, mean, labels, *images = args.files
        _print_classes(deploy, weights, mean, labels, images, args.strict)
    elif len(args.files) == 2:
        source, target = args.files
        _write_scores(args, source, target)
    else:
        raise UsageError(f"{len(args.files)} files; the forms above take 2, or at least 5")
    return 0


def _classify(args: argparse.Namespace) -> None:
    """Print or write the best classes of each picture."""
    group = ranks.gather(args.model, args.weights, args.labels)
    with pictures.load(args) as model:
        from caffe_lite.pictures import records

        classify = model.classifier(args.labels, args.top or BEST, args.blob)
        found = pictures.pictures_of(args.files)
        table = records.Records("classes", records.CLASSES)

        def rows(result: Result) -> list[tuple[Any, ...]]:
            return records.class_rows(classify(result))

        pictures.answer(args, group, model, found, table, rows)


# -- as Caffe's classification -----------------------------------------------------------------


def _print_classes(
    deploy: str, weights: str, mean_file: str, labels: str, images: list[str], strict: bool
) -> None:
    """Print the best classes of each image, in the form of Caffe's classification."""
    from caffe_lite.distributed import dealt, in_order
    from caffe_lite.net.net import Net
    from caffe_lite.pictures.answers import read_lines
    from caffe_lite.proto import caffe_pb2

    group = ranks.gather(deploy, weights, mean_file, labels)
    with Net(deploy, caffe_pb2.TEST, weights=weights, strict=strict) as net:
        channels = _check_input(net)
        means = _channel_means(mean_file, channels)
        names = read_lines(labels)

        def classes(image: str) -> list[str]:
            scores = _scores(net, image, means)
            if len(names) != len(scores):
                raise _error(
                    f'"{labels}" has {len(names)} labels, but the net has {len(scores)} outputs'
                )
            best = (-scores).argsort(kind="stable")[:BEST]
            lines = [f'{scores[index]:.4f} - "{names[index]}"' for index in best]
            return [f"---------- Prediction for {image} ----------", *lines]

        for lines in in_order(group, map(classes, dealt(group, images, 1)), 1):
            say(*lines)


def _error(message: str) -> Exception:
    from caffe_lite.errors import DataError

    return DataError(message)


def _check_input(net: Net) -> int:
    """The number of channels of the net's only input, 1 or 3."""
    if len(net.inputs) != 1 or len(net.outputs) != 1:
        raise _error(f"the net must have one input and one output, not {net.inputs} {net.outputs}")
    shape = net.blobs[net.inputs[0]].shape
    if len(shape) != 4 or shape[1] not in (1, 3):
        raise _error(f"the net's input must be (N, 1 or 3, height, width), not {tuple(shape)}")
    net.blobs[net.inputs[0]].reshape(1, *shape[1:])
    net.reshape()
    return int(shape[1])


def _channel_means(path: str, channels: int) -> Array:
    """The mean of each channel, (channels, 1, 1)."""
    from caffe_lite.data.mean import read_mean

    mean = read_mean(path)
    if len(mean) != channels:
        raise _error(f'the mean "{path}" has {len(mean)} channels, but the net has {channels}')
    means: Array = mean.reshape(channels, -1).mean(axis=1, dtype="float64")
    return means.reshape(channels, 1, 1)


def _scores(net: Net, path: str, means: Array) -> Array:
    """The net's output for one image, (classes,)."""
    from caffe_lite.data import images

    blob = net.blobs[net.inputs[0]]
    image = images.resize(images.read(path, color=len(means) == 3), *blob.shape[2:])
    blob.data[...] = image - means
    scores: Array = net.forward()[net.outputs[0]].reshape(-1)
    return scores


# -- as pycaffe's classify.py ------------------------------------------------------------------


def _write_scores(args: argparse.Namespace, source: str, target: str) -> None:
    """Write the scores of all images to an .npy file."""
    if len(args.images_dim) != 2:
        raise UsageError(f"-images_dim takes 2 sizes, height,width, not {len(args.images_dim)}")
    group = ranks.gather(args.model_def, args.pretrained_model, args.mean_file)
    options = preprocessing.options(args)
    import numpy as np

    from caffe_lite.classifier import Classifier
    from caffe_lite.distributed import dealt, in_order
    from caffe_lite.proto.files import write_atomically

    classifier = Classifier(image_dims=args.images_dim, **options)
    inputs = _inputs(os.path.expanduser(source), args.ext)
    batch, crops = classifier.blobs[classifier.inputs[0]].shape[0], 1 if args.center_only else 10
    block = batch // math.gcd(batch, crops)  # images whose crops fill batches
    images = _read(list(dealt(group, inputs, block)))
    start = time.perf_counter()

    def predictions() -> Iterator[Array]:
        if images:
            yield from classifier.predict(images, not args.center_only)

    found = list(in_order(group, predictions(), block))
    if not group.is_root:
        return
    scores = np.stack(found)
    say(f"{len(inputs)} images classified in {time.perf_counter() - start:.2f} s")

    def write(path: Path) -> None:
        with path.open("wb") as file:
            np.save(file, scores)

    write_atomically(target, write)
    say(f"{target}: scores {scores.shape}")


def _inputs(source: str, suffix: str) -> Sequence[Array | str]:
    """The images in a file or folder: arrays as `_read` gives them, or files to be read."""
    from caffe_lite.data import npy

    if source.endswith(".npy"):
        array = npy.read_array(source)
        if array.ndim != 4 or not array.size:
            raise _error(
                f'"{source}" must have the shape (N, height, width, channels), not {array.shape}'
            )
        return list(array)
    if not os.path.isdir(source):
        return [source]
    paths = sorted(Path(source).glob(f"*.{suffix}"))
    if not paths:
        raise _error(f'the folder "{source}" has no file with the suffix .{suffix}; see -ext')
    for path in paths:
        say(str(path))
    return [str(path) for path in paths]


def _read(inputs: Sequence[Array | str]) -> list[Array]:
    """The images (height, width, channels), with values from 0 to 1."""
    from caffe_lite.io import load_image

    return [
        load_image(each) if isinstance(each, str) else each
        for each in watch(inputs, len(inputs), "images")
    ]
