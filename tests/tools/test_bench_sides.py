"""How the benchmark compares libraries: where it could mislead without anybody's notice."""

from __future__ import annotations

import ast
from collections import Counter
from graphlib import TopologicalSorter
from pathlib import Path

import numpy as np
import pytest

from caffe_lite.kernels import jit as _jit
from caffe_lite.kernels.simd import processor
from tests.project import ROOT
from tools.bench import command, files, isolated, machine, processes, rows, sides, whole, worker
from tools.bench.compare import TOLERANCE, Result, Side, compare, difference
from tools.bench.disturbance import BOUND, Loop, Monitor, Watched, watched
from tools.bench.report import Options
from tools.bench.task import Prepared, Task

ONNX_PEERS = [name for name, side in sides.SIDES.items() if side.reads_onnx]


def options(folder: Path, peers: tuple[str, ...] = ()) -> Options:
    monitor = Monitor(1, 1, slices=lambda threads: [[1.0]] * threads)
    return Options(1, 2, peers, folder, machine.Speed(400.0, 20.0), monitor)


# -- the order of turns --------------------------------------------------------------------------


@pytest.mark.parametrize(("count", "rounds"), [(1, 3), (4, 4), (6, 12)])
def test_each_side_has_each_place_in_a_round_equally_often(count: int, rounds: int) -> None:
    order = list(processes.turns(count, rounds))
    by_round = [order[start : start + count] for start in range(0, len(order), count)]
    assert len(by_round) == rounds
    assert all(sorted(each) == list(range(count)) for each in by_round)
    for place in range(count):
        taken = Counter(each[place] for each in by_round)
        assert set(taken.values()) == {rounds // count}


def test_answers_belong_to_the_side_that_gave_them() -> None:
    asked: list[str] = []

    def ask(name: str) -> processes.Answer:
        asked.append(name)
        return {"said": f"{name}{len(asked)}"}

    found = processes.in_turns(["a", "b", "c"], 2, ask, pause=0)
    assert asked == ["a", "b", "c", "b", "c", "a"]
    said = [[answer["said"] for answer in each] for each in found]
    assert said == [["a1", "a6"], ["b2", "b4"], ["c3", "c5"]]


# -- was the machine undisturbed? ----------------------------------------------------------------

QUIET, BUSY = BOUND, BOUND - 0.01


@pytest.mark.parametrize(
    ("shares", "measured", "kept", "counts"),
    [
        ([QUIET, QUIET], 1, 1, True),
        ([QUIET, BUSY, QUIET, QUIET], 2, 2, True),  # disturbed while it was measured
        ([BUSY, QUIET, QUIET], 1, 1, True),  # waits before it measures
        ([BUSY, BUSY, BUSY, 0.2], 1, 1, False),  # measures in the end, to have a result
        ([QUIET, 0.5, QUIET, 0.9, QUIET, 0.7], 3, 2, False),  # keeps the least disturbed one
        ([QUIET, 0.5, BUSY, BUSY], 1, 1, False),
    ],
)
def test_a_disturbed_measurement_is_made_again(
    shares: list[float], measured: int, kept: int, counts: bool
) -> None:
    checks, taken = iter(shares), []

    def measure() -> int:
        taken.append(len(taken) + 1)
        return taken[-1]

    found = watched(measure, lambda: next(checks), lambda: None, attempts=3)
    assert (len(taken), found.value, found.is_undisturbed) == (measured, kept, counts)
    assert next(checks, None) is None


def test_the_share_is_that_of_the_fastest_slice_ever() -> None:
    """The rates are sums over the threads; one that is interrupted lowers the share."""
    checks = iter(
        [
            [[2.0, 2.0], [2.0, 2.0]],
            [[2.0, 2.0], [2.0, 6.0]],  # 1 / 2 + 1 / 4 of 1
            [[1.0, 1.0], [1.0, 1.0]],  # twice as fast: the first rate was not the machine's
            [[2.0, 2.0], [2.0, 2.0]],
        ]
    )
    monitor = Monitor(2, slices=lambda threads: next(checks))
    assert monitor.known == 1.0
    assert [monitor.check() for _ in range(3)] == [0.75, 1.0, 0.5]
    assert monitor.known == 2.0


@pytest.mark.skipif(bool(_jit.config.DISABLE_JIT), reason="without a compiler it takes minutes")
def test_the_loop_runs_in_each_thread_at_once() -> None:
    found = Loop().slices(2)
    assert [len(each) > 100 and min(each) > 0 for each in found] == [True, True]


# -- are the outputs the same? -------------------------------------------------------------------


def test_a_difference_is_relative_to_the_largest_magnitude_of_an_output() -> None:
    ours = {"a": np.array([[1.0, -4.0]]), "b": np.array([100.0, 50.0])}
    theirs = {"b": np.array([100.0, 51.0]), "a": np.array([1.5, -4.0])}  # another order and shape
    assert difference(ours, ours) == 0
    assert difference(theirs, ours) == 0.125
    assert difference({**theirs, "more": np.zeros(3)}, ours) == 0.125


@pytest.mark.parametrize(
    "theirs",
    [
        {"a": np.ones(2)},
        {"a": np.ones(2), "b": np.ones(4)},
        {"a": np.ones(2), "b": np.array([1.0, np.nan, 1.0])},
        {"a": np.array([1.0, np.inf]), "b": np.ones(3)},
    ],
    ids=["missing", "another size", "nan", "inf"],
)
def test_an_output_that_is_no_answer_differs_without_bound(theirs: dict[str, np.ndarray]) -> None:
    assert difference(theirs, {"a": np.ones(2), "b": np.ones(3)}) == float("inf")


def test_a_single_output_may_have_another_name() -> None:
    assert difference({"out": np.array([2.0])}, {"prob": np.array([4.0])}) == 0.5


@pytest.mark.skipif(bool(_jit.config.DISABLE_JIT), reason="without a compiler it takes minutes")
def test_the_onnx_engines_answer_as_we_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that are installed; repeated runs included, after which some lose their input."""
    monkeypatch.setattr("tools.bench.compare.SECONDS", 0.01)
    peers = tuple(name for name in ONNX_PEERS if sides.SIDES[name].is_installed)
    if not peers:
        pytest.skip("none is installed")
    found = compare(rows.parse("lenet:3"), options(tmp_path, peers))
    assert [side.name for side in found.sides] == ["ours", *peers]
    assert found.failed == []
    assert found.sides[0].difference is None
    assert all(0 <= (side.difference or 0) < 1e-3 for side in found.sides[1:])
    assert all(len(side.times) >= 2 and side.memory > 10 for side in found.sides)
    assert not [path.name for path in tmp_path.iterdir() if path.suffix in (".onnx", ".mnn")]


def test_a_side_that_cannot_be_prepared_is_named(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    task = Task("lenet:1", str(tmp_path / "missing.prototxt"), 1, onnx=str(tmp_path / "no.onnx"))
    with pytest.raises(processes.Failed, match="ours"), processes.started(["ours"], task):
        pass
    with processes.started(["onnxruntime"], task) as (workers, failed):
        assert (workers, failed) == ([], ["ONNX Runtime"])
    assert "lenet:1: onnxruntime ended with 1" in capfd.readouterr().err


# -- the table -----------------------------------------------------------------------------------


def test_what_a_reader_must_know_is_in_the_table(tmp_path: Path) -> None:
    def row(key: str, share: float, *others: Side) -> Result:
        mine = Side("ours", times=[0.003, 0.002, 0.009])
        return Result(rows.parse(key), [mine, *others], [], Watched([], 1.0, share))

    wrong = Side("mnn", times=[0.001], difference=2 * TOLERANCE)
    right = Side("openvino", times=[0.004], difference=TOLERANCE / 2)
    results = [row("lenet:1", QUIET, right), row("lenet:8", BUSY, right, wrong)]
    results[0].failed.append("MNN")
    text = whole.section(results, options(tmp_path, ("openvino", "mnn"))).text
    cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines()]
    assert ["lenet 1", "3 (2)", "4 (4)", "-", "0.75"] in cells
    assert ["lenet 8 *", "3 (2)", "4 (4)", "1 (1) !", "3.00"] in cells
    assert "Never undisturbed: lenet:8 (100% of the known rate before and 94% after)" in text
    assert "OpenVINO 5.0e-03" in text
    assert "MNN 2.0e-02 (lenet:8)" in text
    assert "Could not be prepared: MNN (lenet:1)" in text
    assert f"Instruction set of ours: {machine.vectors()}" in text


def test_columns_say_what_is_not_limited(tmp_path: Path) -> None:
    mine = Result(rows.parse("lenet:1"), [Side("ours", times=[1.0])])
    given = options(tmp_path, ("openvino", "mnn"))
    assert "not limited" not in whole.section([mine], given).text
    limited = Options(*[*vars(given).values()][:-1], limited=True)
    head = whole.section([mine], limited).text
    assert "| OpenVINO | MNN (not limited) |" in head


# -- the instruction set -------------------------------------------------------------------------


def test_limits_leave_avx2() -> None:
    found = isolated.call("tools.bench.machine:vectors", threads=1, variables=machine.limits())
    assert found == ("AVX2" if processor.VECTOR_BYTES >= 32 else machine.vectors())


# -- workers -------------------------------------------------------------------------------------


def test_a_worker_counts_what_it_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[int] = []

    def prepare(name: str, task: Task) -> Prepared:
        number = len(set(ran))
        return Prepared(lambda: ran.append(number), lambda: {"prob": np.ones(3)}, "a note")

    monkeypatch.setattr(worker, "prepare", prepare)
    server = worker.Server("any", Task("lenet:1", "", 1))
    assert server.started()["note"] == "a note"
    ran.clear()
    assert len(server.answer("calls 7\n")["times"]) == len(ran) == 7  # type: ignore[arg-type]
    before = len(ran)
    found = server.answer("together 0.02")
    assert found["passes"] == len(ran) - before - 3  # the second net's first, one in each thread
    assert set(ran) == {0, 1}
    server.answer(f"outputs {tmp_path / 'out.npz'}")
    with np.load(tmp_path / "out.npz") as arrays:
        assert {name: arrays[name].tolist() for name in arrays.files} == {"prob": [1, 1, 1]}


def test_tasks_survive_the_command_line(tmp_path: Path) -> None:
    image = tmp_path / "x.npy"
    np.save(image, np.arange(6, dtype=np.float32).reshape(2, 3))
    task = Task("lenet:2:train", "net.prototxt", 2, "w", 'a "b".onnx', str(image))
    again = Task.from_json(task.to_json())
    assert again == task
    assert again.row == rows.Row("lenet", 2, True)
    assert again.batch().tolist() == [[0, 1, 2], [3, 4, 5]]


def test_training_needs_one_file(tmp_path: Path) -> None:
    task = files.write(rows.parse("lenet:2:train"), tmp_path, 1, ["torch"])
    assert [path.name for path in tmp_path.iterdir()] == ["lenet-2-train.prototxt"]
    assert (task.weights, task.onnx, task.image) == ("", "", "")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--rows", "lenot:1"], 'there is no net "lenot"'),
        (["--rows", "ssd300:1:train"], "ssd300 has no loss"),
        (["--rounds", "0"], '"0" is not a positive number'),
    ],
)
def test_what_cannot_be_measured_is_refused(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        command.main(words)
    assert caught.value.code == 2
    assert message in capsys.readouterr().err


# -- imports -------------------------------------------------------------------------------------


def test_modules_of_the_benchmark_do_not_import_in_circles() -> None:
    """Also not inside of functions."""
    paths = (ROOT / "tools" / "bench").rglob("*.py")
    names = {".".join(path.relative_to(ROOT).with_suffix("").parts): path for path in paths}
    graph: dict[str, set[str]] = {}
    for name, path in names.items():
        found = graph.setdefault(name.removesuffix(".__init__"), set())
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("tools."):
                inner = {f"{node.module}.{alias.name}" for alias in node.names}
                found |= {each if each in names else str(node.module) for each in inner}
    assert "tools.bench.machine" in graph["tools.bench.whole"]
    assert len(list(TopologicalSorter(graph).static_order())) >= len(graph)
