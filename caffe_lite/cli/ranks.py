"""The ranks that run a command together, if mpirun has started several."""

from __future__ import annotations

import logging
import os
import secrets
from typing import TYPE_CHECKING

from caffe_lite import __version__, glog

if TYPE_CHECKING:
    from caffe_lite.distributed import Group


def gather(*files: str | None) -> Group:
    """The ranks of this command, or this process alone without a launcher.

    Refuses ranks whose version, or one of these files, differs from rank 0's.  Only rank 0 logs.
    All ranks get one random seed.
    """
    from caffe_lite import distributed, rng
    from caffe_lite.distributed.agreement import VERSION

    group = distributed.world()
    if group.is_alone:
        return group
    if not group.is_root:
        glog.logger("caffe_lite").setLevel(logging.CRITICAL + 1)
    facts = {VERSION: __version__}
    with group.together():
        for file in files:
            if file and os.path.isfile(file):  # else whoever reads it says what is wrong
                facts[file] = distributed.digest(file)
    distributed.agree(group, facts)
    # what is drawn, such as the order of a shuffled list, must be the same on all ranks
    rng.set_random_seed(group.broadcast(secrets.randbits(31)))
    return group
