"""The project's files that tests read, as in a fresh clone: listed, not searched for.

A user trains in the tree, so models/ and examples/ fill with databases, weights, logs and programs
of the user's own.  A test that copies a folder, or globs in one, would take them along.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from tools.record_golden import recorded

ROOT = Path(__file__).resolve().parent.parent
GOLDEN = ROOT / "tests" / "golden"

MODELS = [
    "models/alexnet/deploy.prototxt",
    "models/alexnet/readme.md",
    "models/alexnet/solver.prototxt",
    "models/alexnet/train_val.prototxt",
    "models/lenet/deploy.prototxt",
    "models/lenet/digits/t10k-images-idx3-ubyte.gz",
    "models/lenet/digits/t10k-labels-idx1-ubyte.gz",
    "models/lenet/digits/train-images-idx3-ubyte.gz",
    "models/lenet/digits/train-labels-idx1-ubyte.gz",
    "models/lenet/readme.md",
    "models/lenet/solver.prototxt",
    "models/lenet/train.sh",
    "models/lenet/train_test.prototxt",
]
EXAMPLES = [
    "examples/README.md",
    "examples/brewing_a_net.py",
    "examples/classification.py",
    "examples/detection.prototxt",
    "examples/detection.py",
    "examples/digit_pictures.py",
    "examples/digits.py",
    "examples/face_detector.py",
    "examples/fast_rcnn/__init__.py",
    "examples/fast_rcnn/boxes.py",
    "examples/fast_rcnn/evaluation.py",
    "examples/fast_rcnn/sampling.py",
    "examples/fast_rcnn/settings.py",
    "examples/faster_rcnn.py",
    "examples/faster_rcnn_test.prototxt",
    "examples/faster_rcnn_train.prototxt",
    "examples/feature_extraction.py",
    "examples/filters.py",
    "examples/fine_tuning.py",
    "examples/houses.py",
    "examples/mtcnn.py",
    "examples/net_surgery.py",
    "examples/nsfw.py",
    "examples/private_layer.py",
    "examples/roi_data_layer/__init__.py",
    "examples/roi_data_layer/layer.py",
    "examples/roi_data_layer/roidb.py",
    "examples/rpn/__init__.py",
    "examples/rpn/anchor_layer.py",
    "examples/rpn/anchor_target_layer.py",
    "examples/rpn/proposal_layer.py",
    "examples/rpn/proposal_target_layer.py",
    "examples/segmentation.py",
    "examples/segnet.prototxt",
    "examples/segnet.py",
    "examples/siamese.py",
    "examples/yolo.prototxt",
    "examples/yolo.py",
]
PAGES = [
    "README.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    *sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "docs").glob("*.md")),
    *(name for name in [*EXAMPLES, *MODELS] if name.endswith(".md")),
]


def copy(names: list[str], folder: Path, source: Path = ROOT) -> None:
    """Copy files by their paths in `source` to the same paths in `folder`."""
    for name in names:
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source / name, target)


def golden(name: str) -> list[Path]:
    """The recorded files in a folder of tests/golden, at any depth; of "" all."""
    return [GOLDEN / each for each in recorded() if not name or each.startswith(f"{name}/")]


def copy_golden(name: str, folder: Path) -> None:
    """Copy the recorded files in tests/golden/`name` into `folder`."""
    source = GOLDEN / name
    copy([path.relative_to(source).as_posix() for path in golden(name)], folder, source)
