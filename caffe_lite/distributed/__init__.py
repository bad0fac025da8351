"""Several processes that train or score one net: the ranks that mpirun or srun has started.

What a command or a program uses:

    from caffe_lite import distributed

    group = distributed.world()   # the launcher's ranks; without one, this process alone
    group.rank, group.size        # 0 <= rank < size; `group.is_root`: rank 0
    group.local_rank              # of local_size, on this machine, whose name is `group.host`

`world` imports mpi4py only where a launcher has started several processes, and gives each its part
of the machine's cores.  In a group of one everything below works, and does nothing.

Rank 0 logs and writes; the others compute.  Work is divided and collected with

    for item in group.own(items):       # every size-th item, from the rank-th on
    rows = group.interleaved(rows)      # of all ranks, in the order of the items; None but at root
    own = dealt(group, items, 8)        # in blocks; `in_order` brings results to rank 0 one by one
    group.broadcast(value)              # rank 0's value, for all
    group.all_gather(value)             # the values of all ranks, by rank, for all

All ranks must make these calls, in one order.  So an error must not make one rank leave them out:

    with group.together():              # what one rank raises in the block, all raise at its end
        ...

An error outside of such a block may come on one rank alone, while others wait for it.  It ends
all of them: the rank speaks if it `may_speak`, and calls `end`, which is MPI's Abort.  The command
line does so for every command (`cli.main`); in a program, an uncaught exception does.

`agree(group, facts)` refuses a rank whose version or files differ from rank 0's; `digest` makes a
fact of a file.  `Share` is the part of a source's records that one rank reads.
"""

from __future__ import annotations

from caffe_lite.distributed.agreement import agree, digest
from caffe_lite.distributed.ending import end, may_speak
from caffe_lite.distributed.group import Group, Request, world
from caffe_lite.distributed.order import dealt, in_order
from caffe_lite.distributed.share import ALONE, Share
from caffe_lite.mpirun import launched

__all__ = [
    "ALONE",
    "Group",
    "Request",
    "Share",
    "agree",
    "dealt",
    "digest",
    "end",
    "in_order",
    "launched",
    "may_speak",
    "world",
]
