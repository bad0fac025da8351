"""Ranks that train together follow one process with the batch of all of them."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest

from caffe_lite.solver import resume
from tests.distributed import training
from tests.distributed.launching import needs_mpi, run
from tests.solver.resuming import write_data

pytestmark = needs_mpi

FOLLOWED = [
    *("lmdb", "shuffled", "rows", "rows shuffled", "windows", "selu", "settings", "plateau"),
    *("margins", "norms", "segments", "memory"),
]
"""All six solvers, clipping, iter_size, Dropout, crops, both kinds of batch normalisation."""
OPTIONS = {"global_batch": True, "sync_batch_norm": True}
END = 8
LARGEST = 1 << 24
"""Bytes of a resume file."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("training")
    write_data(path)
    return path


def results(folder, ranks, runs, **settings):
    """What `training` gives on so many ranks."""
    settings = {"iterations": END, "options": OPTIONS, "runs": runs, **settings}
    run(ranks, training.__file__, "result.json", json.dumps(settings), folder=folder)
    return json.loads((folder / "result.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def found(folder):
    """The results of one process and of two ranks, with snapshots of both."""
    by_ranks = {}
    for ranks in (1, 2):
        by_ranks[ranks] = results(folder, ranks, FOLLOWED, solver={"snapshot": 4})
        kept = folder / f"snapshots{ranks}"
        kept.mkdir()
        for path in folder.glob("*_iter_*"):
            shutil.move(path, kept / path.name)
    return by_ranks


@pytest.mark.parametrize("name", FOLLOWED)
def test_two_ranks_follow_one_process(name, found):
    one, two = found[1][name], found[2][name]
    assert len(one["losses"]) == END
    assert len(one["tests"]) == len(two["tests"]) > 3
    np.testing.assert_allclose(two["losses"], one["losses"], rtol=1e-6, atol=1e-6)
    for found_by_two, found_by_one in zip(two["tests"], one["tests"], strict=True):
        np.testing.assert_allclose(found_by_two, found_by_one, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(two["weights"][0], one["weights"][0], rtol=1e-4, atol=1e-5)
    assert two["weights"][0] == two["weights"][1], "the ranks have come apart"


def test_test_batches_are_divided(found):
    (whole,) = found[1]["lmdb"]["batches"]
    assert sorted(found[2]["lmdb"]["batches"]) == [whole // 2, whole - whole // 2]
    assert found[2]["selu"]["batches"] == [whole, whole], "its noise is drawn batch after batch"


@pytest.mark.parametrize("name", ["lmdb", "rows shuffled", "windows", "selu", "memory", "norms"])
def test_a_snapshot_of_ranks_says_what_one_process_says(name, folder, found):
    kind = f"{name.replace(' ', '_')}_iter_4.resume"
    one, two = (resume.read(str(folder / f"snapshots{n}" / kind), LARGEST) for n in (1, 2))
    assert two.nets == one.nets
    np.testing.assert_allclose(two.losses, one.losses, rtol=1e-6)


def test_a_run_goes_on_with_another_number_of_ranks(folder, found):
    for before, after in ((2, 1), (1, 4)):
        state = folder / f"snapshots{before}" / "lmdb_iter_4.solverstate"
        gone_on = results(folder, after, ["lmdb"], resume=str(state))["lmdb"]
        whole = found[1]["lmdb"]
        np.testing.assert_allclose(gone_on["losses"], whole["losses"][4:], rtol=1e-6, atol=1e-6)
        np.testing.assert_allclose(
            gone_on["weights"][0], whole["weights"][0], rtol=1e-4, atol=1e-5
        )


def test_a_run_equals_the_next_to_the_bit_and_the_batch_is_per_rank_unless_told(folder, found):
    again = results(folder, 2, ["settings", "norms"])
    for name, one in again.items():
        assert one["losses"] == found[2][name]["losses"]
        assert one["weights"] == found[2][name]["weights"]
    apart = results(folder, 2, ["settings", "norms"], options={})
    for name, one in apart.items():
        assert not np.allclose(one["losses"], found[1][name]["losses"], rtol=1e-4)
    # each with statistics of its own
    assert apart["norms"]["weights"][0] != apart["norms"]["weights"][1]
