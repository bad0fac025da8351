"""The commands that write: their inputs, their outputs, and when an output is whole."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from caffe_lite import cli
from caffe_lite.data.db import open_db, write_all
from caffe_lite.data.mnist import records
from caffe_lite.proto import caffe_pb2, files
from tools.fuzz.targets import GOLDEN, ROOT
from tools.fuzz.targets.messages import weights_message
from tools.fuzz.targets.text import LOG

NET = """
layer { name: "in" type: "HDF5Data" top: "x" top: "label"
  hdf5_data_param { source: "train.txt" batch_size: 4 } }
layer { name: "conv" type: "Convolution" bottom: "x" top: "y"
  convolution_param { num_output: 2 kernel_size: 3 } }
layer { name: "ip" type: "InnerProduct" bottom: "y" top: "z"
  inner_product_param { num_output: 2 } }
"""
LOSS = 'layer { name: "loss" type: "SoftmaxWithLoss" bottom: "z" bottom: "label" top: "loss" }\n'
OUTPUT = """layer { name: "out" type: "HDF5Output" bottom: "z" bottom: "label"
  hdf5_output_param { file_name: "out.h5" } }
"""
DEPLOY = """
layer { name: "in" type: "Input" top: "x" input_param { shape { dim: [1, 3, 5, 4] } } }
layer { name: "conv" type: "Convolution" bottom: "x" top: "y"
  convolution_param { num_output: 2 kernel_size: 3 } }
layer { name: "ip" type: "InnerProduct" bottom: "y" top: "z"
  inner_product_param { num_output: 2 } }
"""
COLORS = """
layer { name: "in" type: "Input" top: "x" input_param { shape { dim: [1, 3, 5, 5] } } }
layer { name: "out" type: "Power" bottom: "x" top: "y" }
"""
SOLVER = """net: "{inputs}/train.prototxt" base_lr: 0.01 lr_policy: "fixed" momentum: 0.9
max_iter: 4 snapshot: 2 snapshot_prefix: "run" snapshot_format: {format} random_seed: 1
"""

OLD = b"what was there before\n"


@dataclass(frozen=True)
class Command:
    """A command line, with ``{inputs}`` for the folder of its inputs, and what it writes."""

    name: str
    words: str
    outputs: tuple[str, ...]
    replaces: bool = False
    """Whether it replaces a file that is there; otherwise it refuses to."""
    logs: bool = False
    """Whether it writes a log to stderr."""


def _databases() -> Iterator[Command]:
    pair = "{inputs}/images-idx3 {inputs}/labels-idx1"
    for kind in ("lmdb", "leveldb"):
        yield Command(
            f"convert_imageset {kind}",
            f"convert_imageset -backend {kind} {{inputs}}/images/ {{inputs}}/list.txt db",
            ("db",),
        )
        for name in ("convert_mnist_data", "convert_mnist_siamese_data"):
            backend = f"-backend {kind}"
            yield Command(f"{name} {kind}", f"{name} {backend} {pair} db", ("db",))
        yield Command(
            f"convert_cifar_data {kind}",
            f"convert_cifar_data {{inputs}} . {kind}",
            (f"cifar10_train_{kind}", f"cifar10_test_{kind}"),
        )
    for kind in ("lmdb", "leveldb", "hdf5"):
        net = "{inputs}/w.caffemodel {inputs}/features.prototxt"
        yield Command(
            f"extract_features {kind}", f"extract_features {net} y,z a,b 60 {kind}", ("a", "b")
        )


def _others() -> Iterator[Command]:
    yield Command(
        "compute_image_mean",
        "compute_image_mean {inputs}/db mean.binaryproto",
        ("mean.binaryproto",),
        True,
    )
    golden = f"{GOLDEN}/upgrade"
    for kind, source in (
        ("net_proto_text", f"{golden}/v0_net.prototxt"),
        ("net_proto_binary", "{inputs}/w.caffemodel"),
        ("solver_proto_text", f"{golden}/old_solver.prototxt"),
    ):
        yield Command(f"upgrade_{kind}", f"upgrade_{kind} {source} new", ("new",), True, True)
    lenet = f"{ROOT}/models/lenet/train_test.prototxt"
    for suffix in ("svg", "png"):
        yield Command(
            f"draw_net {suffix}", f"draw_net {lenet} net.{suffix}", (f"net.{suffix}",), True
        )
    log = "{inputs}/train.log"
    yield Command("plot_training_log", f"plot_training_log 6 loss.png {log}", ("loss.png",), True)
    yield Command("parse_log", f"parse_log {log} .", ("train.log.train", "train.log.test"), True)
    yield Command("extract_seconds", f"extract_seconds {log} seconds", ("seconds",), True)
    model = "-model_def {inputs}/deploy.prototxt -pretrained_model {inputs}/w.caffemodel"
    yield Command(
        "classify",
        f"classify {model} -images_dim 6,5 -center_only {{inputs}}/images/0.png scores.npy",
        ("scores.npy",),
        True,
    )
    yield Command(
        "classify pictures",
        "classify -model {inputs}/deploy.prototxt -weights {inputs}/w.caffemodel "
        "-json scores.json -csv scores.csv {inputs}/images/0.png",
        ("scores.json", "scores.csv"),
        True,
    )
    yield Command(
        "segment",
        "segment -model {inputs}/colors.prototxt -weights {inputs}/colors.caffemodel "
        "-output . {inputs}/images/0.png",
        ("0.png", "0.labels.png"),
        True,
    )
    for suffix in ("csv", "h5"):
        yield Command(
            f"detect {suffix}",
            f"detect {model} -context_pad 0 {{inputs}}/windows.csv found.{suffix}",
            (f"found.{suffix}",),
            True,
        )


def _trainings() -> Iterator[Command]:
    for kind, suffix in (("BINARYPROTO", ""), ("HDF5", ".h5")):
        outputs = [
            f"run_iter_{n}.{f}{suffix}" for n in (2, 4) for f in ("caffemodel", "solverstate")
        ]
        outputs += [f"run_iter_{n}.resume" for n in (2, 4)]
        yield Command(
            f"train {kind}",
            f"train -solver {{inputs}}/{kind}.prototxt",
            tuple(outputs),
            True,
            True,
        )
    test = "test -model {inputs}/output.prototxt -weights {inputs}/w.caffemodel -iterations 1"
    yield Command("test HDF5Output", test, ("out.h5",), False, True)


COMMANDS = [*_databases(), *_others(), *_trainings()]


def make_inputs(folder: Path) -> int:
    """Write what the commands read; returns 0."""
    import h5py

    rng = np.random.default_rng(1)
    (folder / "images").mkdir(parents=True)
    for index in range(60):
        pixels = rng.integers(0, 255, (20, 24, 3), np.uint8)
        Image.fromarray(pixels).save(folder / f"images/{index}.png")
    (folder / "list.txt").write_text("".join(f"{i}.png {i % 7}\n" for i in range(60)))
    digits = rng.integers(0, 255, (1500, 12, 10), np.uint8)
    classes = rng.integers(0, 9, 1500, np.uint8)
    for name, sizes, values in (
        ("images-idx3", [2051, *digits.shape], digits),
        ("labels-idx1", [2049, len(classes)], classes),
    ):
        (folder / name).write_bytes(np.array(sizes, ">u4").tobytes() + values.tobytes())
    for name in (*(f"data_batch_{n}.bin" for n in range(1, 6)), "test_batch.bin"):
        (folder / name).write_bytes(rng.integers(0, 10, (60, 3073), np.uint8).tobytes())
    write_all(str(folder / "db"), "lmdb", records(digits[:50], classes[:50]))
    (folder / "w.caffemodel").write_bytes(weights_message().SerializeToString())
    with h5py.File(folder / "train.h5", "w") as file:
        file["x"] = rng.standard_normal((40, 3, 5, 4)).astype(np.float32)
        file["label"] = rng.integers(0, 2, 40).astype(np.float32)
    (folder / "train.txt").write_text(f"{folder}/train.h5\n")
    net = NET.replace('"train.txt"', f'"{folder}/train.txt"')
    (folder / "features.prototxt").write_text(net)
    (folder / "train.prototxt").write_text(net + LOSS)
    (folder / "output.prototxt").write_text(net + OUTPUT)
    (folder / "deploy.prototxt").write_text(DEPLOY)
    (folder / "colors.prototxt").write_text(COLORS)
    colors = caffe_pb2.NetParameter()
    colors.layer.add(name="out", type="Power")
    (folder / "colors.caffemodel").write_bytes(colors.SerializeToString())
    for kind in ("BINARYPROTO", "HDF5"):
        text = SOLVER.format(inputs=folder, format=kind)
        (folder / f"{kind}.prototxt").write_text(text)
    (folder / "train.log").write_bytes(LOG.replace(b"I1231", b"I0211").replace(b"I0101", b"I0211"))
    (folder / "windows.csv").write_text(
        f"filename,ymin,xmin,ymax,xmax\n{folder}/images/0.png,1,2,15,17\n"
    )
    return 0


# -- running one -------------------------------------------------------------------------------


@dataclass(frozen=True)
class Run:
    """How a run ended: its exit code, or minus a signal; what it printed to stderr; its time."""

    code: int
    printed: str
    seconds: float


def run(
    command: Command,
    inputs: Path,
    folder: Path,
    kill_after: float | None = None,
    prepare: Callable[[], None] | None = None,
) -> Run:
    """Run a command in the folder, in a process of its own that has imported everything already.

    `prepare` is called in it first.  It is killed after so many seconds.
    """
    words = [word.format(inputs=inputs) for word in command.words.split()]

    def work() -> int:
        os.chdir(folder)
        if prepare:
            prepare()
        return cli.main(words)

    return in_child(work, kill_after)


def in_child(work: Callable[[], int], kill_after: float | None = None) -> Run:
    """Call a function in a forked process; its result is the exit code."""
    with tempfile.TemporaryFile() as printed:
        started = time.perf_counter()
        child = os.fork()
        if child == 0:
            _become(work, printed.fileno())
        if kill_after is not None:
            time.sleep(kill_after)
            os.kill(child, 9)
        _, status = os.waitpid(child, 0)
        seconds = time.perf_counter() - started
        printed.seek(0)
        output = printed.read().decode(errors="replace")
    return Run(os.waitstatus_to_exitcode(status), output, seconds)


def _become(work: Callable[[], int], stderr: int) -> None:
    """The child: never returns."""
    code = 99
    try:
        null = os.open(os.devnull, os.O_RDWR)
        for stream, target in ((0, null), (1, null), (2, stderr)):
            os.dup2(target, stream)
        code = work()
        sys.stdout.flush()
        sys.stderr.flush()
    except BaseException:
        os.write(2, traceback.format_exc().encode())
    finally:
        os._exit(code)


# -- outputs -----------------------------------------------------------------------------------


def put_old(command: Command, folder: Path) -> None:
    """Let each output be there already, if the command replaces it."""
    if command.replaces:
        for name in command.outputs:
            (folder / name).write_bytes(OLD)


def reference(command: Command, inputs: Path, folder: Path) -> tuple[dict[str, str], Run]:
    """The digests of the outputs of a run that nothing disturbs, and that run."""
    folder.mkdir()
    made = run(command, inputs, folder)
    if made.code != 0:
        raise RuntimeError(f"{command.name} does not run: {made.printed[-2000:]}")
    digests = {name: digest(folder / name) for name in command.outputs}
    shutil.rmtree(folder)
    return digests, made


def half_written(command: Command, folder: Path, whole: dict[str, str]) -> str | None:
    """The output that is neither absent, nor as it was before, nor whole; None if none is."""
    for name in command.outputs:
        path = folder / name
        if not path.exists() or (path.is_file() and path.read_bytes() == OLD):
            continue
        found = digest(path)
        if found != whole[name]:
            return f"{name} is half written ({found})"
    return None


def missing(command: Command, folder: Path, whole: dict[str, str]) -> str | None:
    """The output that is not whole; None if all are."""
    for name in command.outputs:
        if not (folder / name).exists() or digest(folder / name) != whole[name]:
            return f"{name} is not whole"
    return None


def leftovers(command: Command, folder: Path) -> list[str]:
    """What is in the folder beside the outputs."""
    return sorted(path.name for path in folder.iterdir() if path.name not in command.outputs)


def digest(path: Path) -> str:
    """The same for equal contents; "unreadable" for a file that cannot be read whole."""
    read, write = os.pipe()

    def work() -> int:
        os.write(write, _digest(path).encode())
        return 0

    ended = in_child(work)  # a damaged database may end the process
    os.close(write)
    with os.fdopen(read) as pipe:
        found = pipe.read()
    return found if ended.code == 0 else f"unreadable: {ended.printed.strip()[-200:]}"


def _digest(path: Path) -> str:
    total = hashlib.sha256()
    if path.is_dir():
        backend = "lmdb" if (path / "data.mdb").exists() else "leveldb"
        with tempfile.TemporaryDirectory() as place:  # LevelDB writes on opening
            copy = shutil.copytree(path, Path(place) / "copy")
            with open_db(str(copy), backend) as cursor:
                for key, value in cursor:
                    total.update(b"%d %d" % (len(key), len(value)) + key + value)
    elif files.is_hdf5(path):
        import h5py

        with h5py.File(path, "r") as file:
            lines: list[bytes] = []

            def visit(name: str, item: object) -> None:
                if isinstance(item, h5py.Dataset):
                    values = np.asarray(item[()])
                    content = values.tobytes() if values.dtype != object else repr(values).encode()
                    lines.append(name.encode() + content)

            file.visititems(visit)
        total.update(b"".join(sorted(lines)))
    else:
        total.update(path.read_bytes())
    return total.hexdigest()


def bad_message(command: Command, printed: str) -> str | None:
    """What is wrong with what a failed command printed; None if it is one plain line."""
    lines = [line for line in printed.splitlines() if line.strip()]
    if any("Traceback" in line or "Exception ignored" in line for line in lines):
        return f"traceback: {lines[-1][:200]}"
    if command.logs:
        lines = [line for line in lines if not re.match(r"[IWE]\d{4} ", line)][-1:]
    if len(lines) != 1:
        return f"{len(lines)} lines: {printed[:300]!r}"
    if not lines[0].isprintable():
        return f"control characters: {lines[0]!r}"
    return None


@contextmanager
def prepared() -> Iterator[tuple[Path, Path]]:
    """A folder with the inputs, and an empty one for the runs."""
    with tempfile.TemporaryDirectory() as place:
        inputs, work = Path(place) / "inputs", Path(place) / "work"
        work.mkdir()
        ended = in_child(lambda: make_inputs(inputs))
        if ended.code != 0:
            raise RuntimeError(ended.printed)
        yield inputs, work


def chosen(names: list[str], commands: list[Command]) -> list[Command]:
    """The commands whose names begin with one of these; all, if there are none."""
    return [each for each in commands if not names or each.name.startswith(tuple(names))]
