"""pycaffe's choice of device: there is one, the CPU."""

from __future__ import annotations

import logging

_log = logging.getLogger("caffe_lite")
_told = False


def set_mode_cpu() -> None:
    """Compute on the CPU, as always."""


def set_mode_gpu() -> None:
    """Say once that this runs on the CPU, and go on."""
    global _told
    if not _told:
        _log.warning("caffe_lite has no GPU mode: computing on the CPU")
        _told = True


def set_device(device: int) -> None:
    """Accepted for programs that choose a GPU; without effect."""
