"""The ranks that a launcher has started, and what they say to each other."""

from __future__ import annotations

import json
import sys
import time

import numpy as np
import pytest

from caffe_lite import distributed, mpirun
from caffe_lite.distributed import group as group_module
from caffe_lite.distributed.threads import divided
from caffe_lite.errors import CaffeError
from tests.distributed import talking
from tests.distributed.launching import needs_mpi, run

LAUNCHERS = {
    "Open MPI": {"OMPI_COMM_WORLD_SIZE": "3", "OMPI_COMM_WORLD_RANK": "2"},
    "MPICH": {"PMI_SIZE": "3", "PMI_RANK": "2"},
    "srun": {"SLURM_STEP_NUM_TASKS": "3", "SLURM_PROCID": "2", "SLURM_NTASKS": "9"},
}


@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_a_launcher_is_known_by_its_variables(launcher, monkeypatch):
    assert (mpirun.launched(), mpirun.rank()) == (1, 0)
    for name, value in LAUNCHERS[launcher].items():
        monkeypatch.setenv(name, value)
    assert (mpirun.launched(), mpirun.rank()) == (3, 2)


def test_a_script_of_sbatch_is_no_launcher(monkeypatch):
    monkeypatch.setenv("SLURM_NTASKS", "4")
    monkeypatch.setenv("SLURM_PROCID", "0")
    assert mpirun.launched() == 1


def test_without_a_launcher_mpi4py_is_not_imported(monkeypatch):
    monkeypatch.setitem(sys.modules, "mpi4py", None)
    monkeypatch.setattr(group_module, "_world", None)
    group = distributed.world()
    assert (group.rank, group.size, group.is_root, group.is_alone) == (0, 1, True, True)


def test_without_mpi4py_a_launched_process_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "mpi4py", None)
    monkeypatch.setattr(group_module, "_world", None)
    monkeypatch.setenv("PMI_SIZE", "4")
    with pytest.raises(CaffeError, match=r"4 processes .* pip install 'caffe-lite\[mpi\]'"):
        distributed.world()


def test_a_group_of_one_does_nothing():
    group = distributed.Group()
    array = np.arange(3.0)
    group.add(array)
    group.broadcast_array(array)
    group.barrier()
    assert array.tolist() == [0, 1, 2]
    assert group.broadcast("a") == "a"
    assert group.all_gather(5) == group.all_gather_local(5) == [5]
    assert group.interleaved(list(group.own("abc"))) == ["a", "b", "c"]
    assert (group.mean(2.5), group.highest(3)) == (2.5, 3)
    with pytest.raises(ValueError, match="as it is"), group.together():
        raise ValueError("as it is")
    distributed.agree(group, {"version": "1.0"})


@pytest.mark.parametrize(
    ("reaches", "counts"),
    [
        ([range(8)] * 2, [4, 4]),
        ([range(8)] * 3, [2, 3, 3]),
        ([range(2)] * 4, [1, 1, 1, 1]),
        ([range(4), range(4), range(4, 10), range(4, 10)], [2, 2, 3, 3]),  # bound to two sockets
        ([range(2, 5), range(5, 8)], [3, 3]),  # bound one by one
    ],
)
def test_cores_are_divided_among_the_ranks_of_a_machine(reaches, counts):
    parts = divided([frozenset(each) for each in reaches])
    assert [len(part) for part in parts] == counts
    assert all(part <= set(reach) for part, reach in zip(parts, reaches, strict=True))
    if sum(counts) == len(set().union(*reaches)):
        assert len(set().union(*parts)) == sum(counts)


@needs_mpi
def test_ranks_speak_to_each_other(tmp_path):
    found = json.loads(run(3, talking.__file__, "spoken", folder=tmp_path).stdout)
    for rank, each in enumerate(found):
        assert each["rank"] == rank
        assert each["local"] == [rank, 3]
        assert (each["size"], each["hosts"], each["same world"]) == (3, 1, True)
        assert each["sum"] == [3, 6, 9, 12, 15]
        assert each["array"] == [[1, 1, 1], [1, 1, 1]]
        assert each["broadcast"] == {"from": 2}
        assert (each["mean"], each["highest"]) == (1.5, 5)
        assert each["interleaved"] == ([0, 1, 4, 9, 16, 25, 36] if rank == 0 else None)


@needs_mpi
def test_what_one_rank_raises_all_raise(tmp_path):
    found = json.loads(run(3, talking.__file__, "failed", folder=tmp_path).stdout)
    assert len({each["caught"] for each in found}) == 1
    assert found[0]["caught"].startswith(
        'LayerError: net.prototxt:3:5: layer "data" (Data): record 1 is bad (rank 1 of 3, on '
    )
    assert [each["sum"] for each in found] == [3, 3, 3]


@needs_mpi
@pytest.mark.parametrize(
    ("what", "says"),
    [
        ("refused", "net.prototxt: differs between rank 2"),
        ("broken", "ZeroDivisionError: a bug"),
        ("killed", ""),
    ],
)
def test_one_rank_ends_all(what, says, tmp_path):
    began = time.monotonic()
    done = run(3, talking.__file__, what, folder=tmp_path, code=None)
    assert done.returncode in ((137, 9) if what == "killed" else (1,))
    assert time.monotonic() - began < 60  # seconds, were the machine not busy
    if says:
        assert done.stderr.count(says) == 1
    assert done.stderr.count("Traceback") == bool(says)
