from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from caffe_lite.errors import SolverError
from caffe_lite.proto import caffe_pb2, files
from caffe_lite.solver import resume, snapshot


def refuse(field, message):
    error = SolverError(message)
    error.at(None, field)
    return error


RUN = resume.Run(iteration=7, digests={}, losses=[], was_not_finite=False, nets=[])
HISTORY = [
    np.arange(6, dtype=np.float32).reshape(2, 3),
    np.array([0.25], np.float32),
    np.linspace(-1, 1, 24, dtype=np.float32).reshape(4, 1, 2, 3),
]


@pytest.mark.parametrize("hdf5", [False, True])
def test_names_are_caffe_s(hdf5):
    end = ".h5" if hdf5 else ""
    assert snapshot.weights_file("a/b", 20, hdf5) == "a/b_iter_20.caffemodel" + end
    assert snapshot.state_file("a/b", 20, hdf5) == "a/b_iter_20.solverstate" + end


@pytest.mark.parametrize("hdf5", [False, True])
def test_state_is_read_back(tmp_path, hdf5):
    path = snapshot.state_file(str(tmp_path / "s"), 7, hdf5)
    parts = snapshot.state_parts(7, "s_iter_7.caffemodel", 2, HISTORY)
    weights = tmp_path / "s_iter_7.caffemodel"
    weights.write_bytes(b"weights")
    snapshot.write_state(path, parts, hdf5, str(weights), RUN)
    back = files.read_state(path)
    assert (back.iter, back.learned_net, back.current_step) == (7, "s_iter_7.caffemodel", 2)
    for got, expected in zip(snapshot.read_history(path, back, HISTORY), HISTORY, strict=True):
        np.testing.assert_array_equal(got, expected)


def test_a_state_written_in_parts_is_the_whole_one(tmp_path):
    """Byte for byte what protobuf writes of one message."""
    parts = snapshot.state_parts(7, "w", 2, HISTORY)
    (tmp_path / "w").write_bytes(b"weights")
    snapshot.write_state(str(tmp_path / "s"), parts, False, str(tmp_path / "w"), RUN)
    whole = caffe_pb2.SolverState(iter=7, learned_net="w", current_step=2)
    whole.history.extend(files.array_to_blob(array) for array in HISTORY)
    assert (tmp_path / "s").read_bytes() == whole.SerializeToString(deterministic=True)


@pytest.mark.parametrize("hdf5", [False, True])
def test_a_state_is_found_in_the_other_format(tmp_path, caplog, hdf5):
    weights = tmp_path / "s_iter_7.caffemodel"
    weights.write_bytes(b"weights")
    written = snapshot.state_file(str(tmp_path / "s"), 7, hdf5)
    asked = snapshot.state_file(str(tmp_path / "s"), 7, not hdf5)
    parts = snapshot.state_parts(7, str(weights), 2, HISTORY)
    snapshot.write_state(written, parts, hdf5, str(weights), RUN)
    saved = snapshot.read(asked, 1 << 20)
    assert (saved.path, saved.state.iter) == (written, 7)
    assert f"{asked} does not exist: {written} is used" in caplog.text
    with pytest.raises(
        SolverError, match=r"s_7.solverstate: no such file; did you mean .*/s_iter_7"
    ):
        snapshot.read(str(tmp_path / "s_7.solverstate"), 1 << 20)
    with pytest.raises(SolverError, match=r"unlike.solverstate: no such file$"):
        snapshot.read(str(tmp_path / "unlike.solverstate"), 1 << 20)
    with pytest.raises(SolverError, match=r"a.solverstate: no such file$"):
        snapshot.read(str(tmp_path / "nowhere" / "a.solverstate"), 1 << 20)


def test_history_of_another_solver_is_refused():
    state = caffe_pb2.SolverState(iter=1)
    state.history.extend(files.array_to_blob(array) for array in HISTORY)
    with pytest.raises(SolverError, match="s: has 3 history arrays, but this solver has 6; "):
        snapshot.read_history("s", state, HISTORY * 2)
    other = [HISTORY[0].T, *HISTORY[1:]]
    with pytest.raises(SolverError, match=r"array 0 has shape \(2, 3\), .* needs \(3, 2\)"):
        snapshot.read_history("s", state, other)


def test_history_in_legacy_shape_fits():
    state = caffe_pb2.SolverState(iter=3)
    blob = state.history.add(num=1, channels=1, height=2, width=3)
    blob.data.extend(range(6))
    (history,) = snapshot.read_history("s", state, HISTORY[:1])
    np.testing.assert_array_equal(history, HISTORY[0])


def test_weights_are_found_as_named_or_beside_the_state(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "moved").mkdir()
    state = caffe_pb2.SolverState(learned_net="runs/w_iter_1.caffemodel")
    path = "moved/w_iter_1.solverstate"
    with pytest.raises(SolverError, match=r'weights "runs/w_iter_1.caffemodel" are neither'):
        snapshot.find_weights(path, state)
    (tmp_path / "moved" / "w_iter_1.caffemodel").touch()
    (tmp_path / "moved" / "other_iter_1.caffemodel").touch()
    renamed = snapshot.find_weights("moved/other_iter_1.solverstate", state)
    assert renamed == "moved/w_iter_1.caffemodel", "the name it gives goes first"
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "other.caffemodel.h5").touch()
    renamed = snapshot.find_weights("elsewhere/other.solverstate.h5", state)
    assert renamed == "elsewhere/other.caffemodel.h5"
    assert snapshot.find_weights(path, state) == "moved/w_iter_1.caffemodel"
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "w_iter_1.caffemodel").touch()
    assert snapshot.find_weights(path, state) == "runs/w_iter_1.caffemodel"


def test_a_state_that_names_no_weights_goes_on_with_its_run(tmp_path, monkeypatch):
    path = tmp_path / "run_iter_3.solverstate"
    path.write_bytes(caffe_pb2.SolverState(iter=3).SerializeToString())
    path.with_suffix(".resume").touch()
    run = SimpleNamespace(iteration=3, digests={"state": resume.digest(str(path))})
    monkeypatch.setattr(resume, "read", lambda *_: run)
    found = snapshot.read(str(path), 1 << 20)
    assert (found.weights, found.run) == (None, run)
    run.digests["state"] = b"of another file"
    with pytest.raises(SolverError, match="is not the file that"):
        snapshot.read(str(path), 1 << 20)


def test_prefix_is_tried_and_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    snapshot.check_prefix("net", refuse)
    snapshot.check_prefix(str(tmp_path / "net"), refuse)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(SolverError, match=r"snapshot_prefix: .*does not exist: gone; create it"):
        snapshot.check_prefix("gone/net", refuse)
    (tmp_path / "file").touch()
    with pytest.raises(SolverError, match="does not exist: file"):
        snapshot.check_prefix("file/net", refuse)


def test_prefix_that_cannot_be_written(monkeypatch, tmp_path):
    def fail(**_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(snapshot.tempfile, "TemporaryFile", fail)
    with pytest.raises(SolverError, match=r"cannot write a file .*No space left on device"):
        snapshot.check_prefix(str(tmp_path / "net"), refuse)


def test_older_snapshots_are_removed_and_told(tmp_path, caplog):
    caplog.set_level("INFO", "caffe_lite.solver")
    for iteration in (10, 9, 20, 100, 30):
        for kind in ("caffemodel", "solverstate", "resume"):
            (tmp_path / f"run_iter_{iteration}.{kind}").touch()
    (tmp_path / "run_iter_5.caffemodel").touch()  # not complete
    for keep, removed, left in (
        (4, [], {9, 10, 20, 30}),
        (3, [9], {10, 20, 30}),
        (1, [10, 20], {30}),
        (1, [], {30}),
    ):
        caplog.clear()
        snapshot.prune(str(tmp_path / "run"), 30, keep)
        assert caplog.messages == [f"Removed the snapshot of iteration {n}" for n in removed]
        for kind in ("caffemodel", "solverstate", "resume"):
            found = {int(each.stem.split("_")[2]) for each in tmp_path.glob(f"run*.{kind}")}
            assert found - {5} == left | {100}
    assert (tmp_path / "run_iter_5.caffemodel").exists()


def test_leftovers_of_this_prefix_are_removed(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(
        snapshot.temporary,
        "remove_leftovers",
        lambda folder, is_ours: asked.append((folder, is_ours)),
    )
    snapshot.remove_leftovers(str(tmp_path / "run"))
    ((folder, is_ours),) = asked
    assert folder == str(tmp_path)
    names = ["run_iter_4.caffemodel", "run_iter_40.solverstate.h5", "run2_iter_4.resume", "run"]
    assert [is_ours(name) for name in names] == [True, True, False, False]
