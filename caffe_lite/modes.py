"""pycaffe's choice of a device, of which there is one: the CPU."""

from __future__ import annotations

from caffe_lite import glog

_log = glog.logger("caffe_lite")
_told = False


def set_mode_cpu() -> None:
    """Does nothing: the CPU always computes."""


def set_mode_gpu() -> None:
    """Warns, once in a process, that the CPU computes."""
    global _told
    if not _told:
        _log.warning("caffe_lite has no GPU mode: computing on the CPU")
        _told = True


def set_device(device: int) -> None:
    """Does nothing, for programs that choose a GPU."""
