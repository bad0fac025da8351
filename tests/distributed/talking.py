"""A program for several ranks: what the ranks of a group say to each other."""

from __future__ import annotations

import json
import os
import sys
import warnings

import numpy as np

from caffe_lite import distributed
from caffe_lite.errors import CaffeError, LayerError, Location


def spoken() -> dict[str, object]:
    """The result of each method of a group."""
    group = distributed.world()
    array = np.arange(5, dtype=np.float32) + group.rank
    request = group.start_adding(array)
    request.Wait()
    own = np.full((2, 3), float(group.rank))
    group.broadcast_array(own, 1)
    warnings.simplefilter("error")
    return {
        "rank": group.rank,
        "size": group.size,
        "local": [group.local_rank, group.local_size],
        "hosts": len(set(group.all_gather(group.host))),
        "sum": array.tolist(),
        "array": own.tolist(),
        "broadcast": group.broadcast({"from": group.rank}, group.size - 1),
        "interleaved": group.interleaved([n * n for n in group.own(range(7))]),
        "mean": group.mean(group.rank + 0.5),
        "highest": group.highest(group.rank % 2 * 5),
        "same world": distributed.world() is group,
    }


def failed() -> dict[str, object]:
    """What each rank catches when two have failed, and that the group goes on."""
    group = distributed.world()
    caught = ""
    try:
        with group.together():
            if group.rank >= 1:
                error = LayerError(f"record {group.rank} is bad", "source")
                raise error.at(Location("net.prototxt", 3, 5), 'layer "data" (Data)')
    except CaffeError as error:
        caught = f"{type(error).__name__}: {error}"
    return {"caught": caught, "sum": sum(group.all_gather(group.rank))}


def refused() -> None:
    """The last rank has another file."""
    group = distributed.world()
    other = b"2" if group.rank == group.size - 1 else b"1"
    distributed.agree(group, {"version": "1.0", "net.prototxt": distributed.digest(other)})


def broken() -> None:
    """One rank has a bug, while the others wait for it."""
    group = distributed.world()
    if group.rank == 1:
        raise ZeroDivisionError("a bug")
    group.barrier()


def killed() -> None:
    """One rank is killed, while the others wait for it."""
    group = distributed.world()
    if group.rank == 1:
        os.kill(os.getpid(), 9)
    group.barrier()


if __name__ == "__main__":
    result = {"spoken": spoken, "failed": failed, "refused": refused}.get(sys.argv[1])
    found = (result or {"broken": broken, "killed": killed}[sys.argv[1]])()
    if found is not None:
        gathered = distributed.world().all_gather(found)
        if distributed.world().is_root:
            sys.stdout.write(json.dumps(gathered))
