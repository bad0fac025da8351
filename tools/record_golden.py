"""Copy into tests/golden/ what the tests need of the recorded answers of Caffe and its forks.

    python tools/record_golden.py FOLDER     copy from the recorded answers, write SHA256SUMS
    python tools/record_golden.py --check    exit 1 when a copy is not what SHA256SUMS says

FOLDER is the whole record, which is not part of the project: Caffe itself was run (CPU, float32)
on nets and inputs written for this purpose, and its answers were stored in

    layers/TYPE/CASE.prototxt, .npz   one layer, its inputs, outputs and gradients
    data/                             pictures, the databases that Caffe's tools made of them, and
                                      the batches of data layers, layer_NAME.prototxt, .npz
    solvers/                          a net, its data, solvers, and the runs that Caffe made
    upgrade/                          old files, and what Caffe's tools made of them
    nets/NAME_deploy.npz              whole nets
    forks/layers/, forks/nets/        the same of Caffe's forks, of their code: a key `fork` in the
                                      arrays of a layer says whose
    forks/annotated_data/             databases and batches of SSD's layer AnnotatedData

The README in each folder of tests/golden/ says what an array is.
"""

from __future__ import annotations

import argparse
import hashlib
import shutil
import sys
from fnmatch import fnmatchcase
from pathlib import Path

GOLDEN = Path(__file__).resolve().parent.parent / "tests" / "golden"
SUMS = "SHA256SUMS"
HEADER = """\
# Recorded from BVLC Caffe 1.0, and those in forks/ from its forks, on a CPU in float32, with nets
# and inputs written for this purpose.  forks/README.md names the nets of forks/nets/.
# Copied by tools/record_golden.py, byte for byte.  `sha256sum -c SHA256SUMS` checks the copies.
"""

TAKEN = [
    "layers/*.prototxt",
    "layers/*.npz",
    "data/images/*",
    "data/list.txt",
    "data/h5list.txt",
    "data/part?.h5",
    "data/mean_64x48.binaryproto",
    "data/lmdb_64x48/data.mdb",
    "data/lmdb_encoded_png50/data.mdb",
    "data/leveldb_gray40/*",
    "data/layer_hdf5.*",
    "data/layer_image_gray.*",
    "data/layer_leveldb_gray.*",
    "data/layer_lmdb_encoded_png.*",
    "data/layer_lmdb_mean_file_crop_scale.*",
    "solvers/*",
    "upgrade/*",
    "nets/*_deploy.npz",
    "forks/annotated_data/*.prototxt",
    "forks/annotated_data/*.npz",
    "forks/annotated_data/*/data.mdb",
    "forks/layers/*.prototxt",
    "forks/layers/*.npz",
    "forks/nets/*.npz",
]
"""Files of the record, as patterns whose * matches a slash too."""

LEFT_OUT = [
    # LevelDB's own log and lock, and its journal, which is empty
    "data/leveldb_gray40/LOG*",
    "data/leveldb_gray40/LOCK",
    "data/leveldb_gray40/*.log",
    # final states whose history is that of plain SGD, which sgd_momentum and sgd_step show
    "solvers/sgd_clip_iter_30.solverstate",
    "solvers/sgd_hdf5_snapshot_iter_30.solverstate.h5",
    "solvers/sgd_inv_iter_30.solverstate",
    "solvers/sgd_iter_size_iter_30.solverstate",
    "solvers/sgd_l1_iter_30.solverstate",
    "solvers/sgd_poly_iter_30.solverstate",
]
"""What the patterns of `TAKEN` match and the tests do not need."""


def wanted(name: str) -> bool:
    """Whether the file of the record, named by its path with slashes, is to be copied."""
    taken = any(fnmatchcase(name, pattern) for pattern in TAKEN)
    return taken and not any(fnmatchcase(name, pattern) for pattern in LEFT_OUT)


def sha256(path: Path) -> str:
    """The digest of a file's bytes, in hexadecimal."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def recorded(golden: Path = GOLDEN) -> dict[str, str]:
    """The digest of every copied file, by its path in `golden`, as SHA256SUMS has them."""
    lines = (golden / SUMS).read_text(encoding="utf-8").splitlines()
    pairs = (line.split("  ", 1) for line in lines if not line.startswith("#"))
    return {name: digest for digest, name in pairs}


def record(source: Path, golden: Path = GOLDEN) -> list[str]:
    """Copy from `source` and write SHA256SUMS; returns the paths of the copies."""
    paths = {path.relative_to(source).as_posix(): path for path in source.rglob("*")}
    names = sorted(name for name, path in paths.items() if path.is_file() and wanted(name))
    if not names:
        raise SystemExit(f"{source}: holds none of the recorded answers")
    for name in names:
        target = golden / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(paths[name], target)
    sums = "".join(f"{sha256(golden / name)}  {name}\n" for name in names)
    (golden / SUMS).write_text(HEADER + sums, encoding="utf-8", newline="\n")
    return names


def wrong(golden: Path = GOLDEN) -> list[str]:
    """What is wrong with the copies, one line each."""
    found = []
    for name, digest in recorded(golden).items():
        path = golden / name
        if not path.is_file():
            found.append(f"{name}: is missing")
        elif sha256(path) != digest:
            found.append(f"{name}: is not the recorded file; was it checked out with other bytes?")
    return found


def main() -> int:
    """Copy or check; the exit code is 1 for a copy that is not the recorded file."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("folder", nargs="?", type=Path, help="the recorded answers")
    what.add_argument("--check", action="store_true", help="compare with SHA256SUMS only")
    arguments = parser.parse_args()
    if arguments.folder:
        print(f"{len(record(arguments.folder))} files copied")
    problems = wrong()
    for problem in problems:
        print(problem, file=sys.stderr)
    return int(bool(problems))


if __name__ == "__main__":
    sys.exit(main())
