"""Put absurd values into every numeric field of every layer type, and see that each is refused.

    python tools/sweep_fields.py [TYPE ...] [--cases N] [--timeout SECONDS]

Each case of tests/cases becomes a net, again and again, with one field of the layer changed.  It
is built, run forward and backward, and may give numbers, or a located CaffeError of one line.
It misbehaves if it raises anything else, kills its process, takes longer than the timeout, or
takes more memory than the limit.  The nets of a type run in a process of its own, which may take
`SPACE` bytes, and each of its nets `LIMIT`.  All types take some minutes once their kernels are
compiled; tests/layers/test_absurd_fields.py runs a part.  Needs Linux, whose /proc says what a
process has taken.
"""

from __future__ import annotations

import argparse
import importlib
import itertools
import json
import os
import pkgutil
import select
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from google.protobuf.descriptor import FieldDescriptor

if __package__ in (None, ""):
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from caffe_lite.proto.fields import is_repeated

ROOT = Path(__file__).resolve().parent.parent
LIMIT = 256 << 20
"""Bytes that a net may take."""
SLACK = 96 << 20
"""Bytes that a process may take beside: kernels that are loaded, the allocator's reserves."""
SPACE = 4 << 30
"""Bytes of addresses that a process may take beyond what it has at its start."""

WHOLE = (0, 1, 2, 3, 7, 1000, 65_537, 10**6, 50_000_000, 2**31 - 1, 2**31, 2**32 - 1)
SIGNED = (-1, -2, -1000, -(2**31))
REAL = (0.0, -1.0, 1e-30, 0.5, 1.0, 1e6, 5e7, 3e38, -3e38, float("inf"), float("nan"))
WIDE = (2**62, 2**63 - 1)


def changes(message: Any, depth: int = 0) -> Iterator[tuple[tuple[Any, ...], Any]]:
    """Each way to change one numeric field below `message`: its path and its new value."""
    for field in message.DESCRIPTOR.fields:
        if field.message_type is not None:
            given = getattr(message, field.name)
            if is_repeated(field):
                for index, each in enumerate(given):
                    if index < 2:
                        for path, value in changes(each, depth + 1):
                            yield ((field.name, index), *path), value
            elif message.HasField(field.name) or field.name.endswith("_filler"):
                for path, value in changes(given, depth + 1):
                    yield (field.name, *path), value
            continue
        for value in _values(field):
            if not is_repeated(field):
                yield (field.name,), value
                continue
            count = len(getattr(message, field.name))
            for index in {0, count}:
                yield ((field.name, index),), value
            if value in (1, 1.0):
                yield ((field.name, range(3000)),), value


def _values(field: Any) -> Sequence[Any]:
    kind, kinds = field.cpp_type, FieldDescriptor
    if field.enum_type is not None or kind in (kinds.CPPTYPE_BOOL, kinds.CPPTYPE_STRING):
        return ()
    if kind in (kinds.CPPTYPE_FLOAT, kinds.CPPTYPE_DOUBLE):
        return REAL
    signed = kind in (kinds.CPPTYPE_INT32, kinds.CPPTYPE_INT64)
    wide = kind in (kinds.CPPTYPE_INT64, kinds.CPPTYPE_UINT64)
    bound = 1 << (64 if wide else 32) - signed
    values = (*WHOLE, *(SIGNED if signed else ()), *(WIDE if wide else ()))
    return [value for value in values if value < bound]


def change(message: Any, path: tuple[Any, ...], value: Any) -> None:
    """Set the field at `path` below `message`."""
    for step in path[:-1]:
        name, index = step if isinstance(step, tuple) else (step, None)
        message = getattr(message, name)
        message = message if index is None else message[index]
    last = path[-1]
    if not isinstance(last, tuple):
        setattr(message, last, value)
        return
    name, index = last
    values = getattr(message, name)
    if isinstance(index, range):
        values.extend(value for _ in index)
    elif index < len(values):
        values[index] = value
    else:
        values.append(value)


def tries(case: Any, folder: str) -> Iterator[tuple[str, Any]]:
    """The changed LayerParameters of a case, each with a text that says what was changed."""
    from caffe_lite import testing
    from caffe_lite.layers import registry

    cls = registry.layer_class(case.type)
    param = testing._parameter(case, folder)
    del param.blobs[:]
    known = param.DESCRIPTOR.fields_by_name
    names = {cls.config_field or "", *cls.heeds, *(each.name for each, _ in param.ListFields())}
    names = {name for name in names if name in known and name.endswith("_param")}
    yield "as it is", param
    for name in sorted(names):
        for path, value in changes(getattr(param, name)):
            changed = type(param)()
            changed.CopyFrom(param)
            change(getattr(changed, name), path, value)
            yield f"{name}.{_spelled(path)} = {value}", changed
    for path, value in changes(type(param)().param.add()):
        changed = type(param)()
        changed.CopyFrom(param)
        change(changed.param.add() if not changed.param else changed.param[0], path, value)
        yield f"param.{_spelled(path)} = {value}", changed


def _spelled(path: tuple[Any, ...]) -> str:
    return ".".join(step if isinstance(step, str) else f"{step[0]}[{step[1]}]" for step in path)


def net_of(case: Any, param: Any) -> Any:
    """The source of a net: Inputs of the case's shapes and the layer."""
    from caffe_lite.layers import registry
    from caffe_lite.proto import caffe_pb2, nodes, text

    message = caffe_pb2.NetParameter(name="absurd", force_backward=True)
    for index, shape in enumerate(case.bottoms):
        layer = message.layer.add(name=f"input{index}", type="Input", top=[f"bottom{index}"])
        layer.input_param.shape.add(dim=shape)
    layer = message.layer.add()
    layer.CopyFrom(param)
    cls = registry.layer_class(case.type)
    least = cls.tops[0] if isinstance(cls.tops, tuple) else cls.tops
    layer.bottom.extend(f"bottom{index}" for index in range(len(case.bottoms)))
    layer.top.extend(f"top{index}" for index in range(case.tops or least))
    written = caffe_pb2.NetParameter()
    where = text.parse(text.format(message), written, "absurd.prototxt")
    return nodes.from_message(written, where, "absurd.prototxt")


def run(case: Any, param: Any) -> str:
    """Build and run the net; "" if it gave numbers or a good error, else what is wrong."""
    import numpy as np

    from caffe_lite import testing
    from caffe_lite.errors import CaffeError
    from caffe_lite.net.net import Net

    draws = np.random.default_rng(3)
    try:
        with Net(net_of(case, param), param.phase, python_layers=True) as net:
            for index, shape in enumerate(case.bottoms):
                draw = case.draw.get(index, testing.normal)
                net.blobs[f"bottom{index}"].data[...] = draw(draws, shape)
            if getattr(case, "feed", None):
                try:
                    case.feed(net.layers[-1])
                except CaffeError:  # of a program's arrays, which have no place in a file
                    return ""
            net.forward()
            if net.layers[-1].differentiable:
                net.backward()
    except CaffeError as error:
        text = str(error)
        if "\n" in text:
            return f"an error of several lines: {text!r}"
        if not text.startswith("absurd.prototxt:"):
            return f"an error without a position: {text}"
        return ""
    except BaseException as error:
        return f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
    return ""


def _resident(which: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(which):
            return int(line.split()[1]) << 10
    return 0


def work(kind: str, most: int, after: int, every: int) -> None:
    """In a process of its own: run the tries of a type, beyond number `after`."""
    import resource
    import warnings

    import numpy as np

    from caffe_lite import limits

    warnings.simplefilter("ignore")
    np.seterr(all="ignore")
    folder = tempfile.mkdtemp()
    os.chdir(folder)
    cases = [case for case in _cases() if case.type == kind][:most]
    number = itertools.count()
    limits.set_memory_limit(LIMIT)
    taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (taken + SPACE, taken + SPACE))
    for case in cases:
        if getattr(case, "files", None):
            case.files(Path(folder))
        for index, (what, param) in enumerate(tries(case, folder)):
            own = next(number)
            if own <= after or (index and own % every):
                continue
            print(json.dumps([own, f"{case.config!r} {what}"]), flush=True)
            Path("/proc/self/clear_refs").write_text("5")
            before, start = _resident("VmRSS"), time.perf_counter()
            wrong = run(case, param)
            seconds = time.perf_counter() - start
            took = _resident("VmHWM") - before
            if not wrong and took > LIMIT + SLACK:
                wrong = f"took {took >> 20} MiB"
            print(json.dumps([own, wrong, round(seconds, 2)]), flush=True)
    print("[]", flush=True)


def _cases() -> list[Any]:
    import tests.cases

    modules = [
        importlib.import_module(f"tests.cases.{module.name}")
        for module in pkgutil.iter_modules(tests.cases.__path__)
    ]
    return [case for module in modules for case in module.CASES]


def sweep(kind: str, most: int, timeout: float, every: int = 1) -> tuple[int, list[str]]:
    """How many nets of a type were tried, and what those that misbehaved did."""
    after, tried, finished = -1, 0, False
    wrong: list[str] = []
    while not finished:
        words = [sys.executable, __file__, "--work", kind, str(most), str(after), str(every)]
        with subprocess.Popen(
            words,
            bufsize=0,  # `select` knows nothing of lines that are buffered here
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        ) as child:
            what, end = "starting", ""
            for message in _messages(child, timeout):
                if isinstance(message, str):
                    end = message
                elif not message:
                    finished = True
                elif len(message) == 2:
                    after, what = message
                    tried += 1
                elif message[1]:
                    wrong.append(f"{kind} {what}: {message[1]} ({message[2]} s)")
        if not finished:
            wrong.append(f"{kind} {what}: {end}")
            finished = what == "starting"
    return tried, wrong


def _messages(child: subprocess.Popen[bytes], timeout: float) -> Iterator[Any]:
    """What `work` prints; at last, unless it has finished, how it ended."""
    assert child.stdout is not None
    assert child.stderr is not None
    patience = 600.0  # to start
    while True:
        ready, _, _ = select.select([child.stdout], [], [], patience)
        line = child.stdout.readline() if ready else b""
        if not line:
            break
        message = json.loads(line)
        yield message
        if not message:
            return
        patience = timeout
    child.kill()
    said = child.stderr.read().decode(errors="replace").strip()[-200:]
    yield f"the process ended, {child.wait()}: {said}" if ready else f"over {patience:g} s"


def main() -> int:
    """Sweep the types; 1 if anything misbehaved."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("types", nargs="*", help="layer types (default: all)")
    parser.add_argument("--cases", type=int, default=6, help="the most cases of a type")
    parser.add_argument("--timeout", type=float, default=10, help="seconds for one net")
    parser.add_argument("--every", type=int, default=1, help="run every Nth net only")
    args = parser.parse_args()
    tried, misbehaved = 0, []
    for kind in args.types or sorted({case.type for case in _cases()}):
        count, wrong = sweep(kind, args.cases, args.timeout, args.every)
        tried += count
        misbehaved += wrong
        print(f"{kind}: {count} nets, {len(wrong)} misbehaved", *wrong, sep="\n  ", flush=True)
    kinds = Counter(line.partition(": ")[2].partition(":")[0] for line in misbehaved)
    print(f"{tried} nets, {len(misbehaved)} misbehaved", dict(kinds.most_common(12)))
    return bool(misbehaved)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--work"]:
        work(sys.argv[2], *map(int, sys.argv[3:6]))
    else:
        sys.exit(main())
