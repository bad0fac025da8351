"""How kernels are compiled: the only place with numba options.

* ``error_model="numpy"``: a division by zero gives infinity, as in Caffe, and costs no branch.
* ``nogil``: a reader thread may prepare the next batch meanwhile.
* No fastmath.  The process that compiles a kernel and those that load it from the cache run code
  that was optimised once and twice; where the compiler may reorder a sum or choose which product
  to fuse, their results differ in the last bits.  Strict arithmetic is the same in both, and costs
  a few hundredths of a training step: the matrix core asks for its fused multiply-adds itself.
* ``cache``: a kernel is compiled once per machine.  Numba does not notice that a jitted function
  in *another* file has changed, so the folder's name carries a hash of all kernel sources, of
  numba's version and of the processor's features: an edit anywhere starts a clean cache, and a
  package on a read-only disk still has one.

``NUMBA_DISABLE_JIT=1`` runs every kernel as plain Python.  ``NUMBA_CACHE_DIR`` moves the cache.
"""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import llvmlite.binding as llvm
import numba
from numba import config

__all__ = ["cache_folder", "in_cache_folder", "inlined", "jit"]


def _user_cache() -> Path:
    """The folder where this system keeps files that can be made again."""
    if os.environ.get("NUMBA_CACHE_DIR"):
        return Path(os.environ["NUMBA_CACHE_DIR"])
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or "~/AppData/Local"
    elif sys.platform == "darwin":
        base = "~/Library/Caches"
    else:
        base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser() / "caffe_lite"


def cache_folder() -> Path:
    """Where the compiled kernels of this version on this processor are kept."""
    digest = hashlib.sha256()
    for source in sorted(Path(__file__).parent.rglob("*.py")):
        digest.update(source.read_bytes())
    digest.update(numba.__version__.encode())
    digest.update(llvm.get_host_cpu_name().encode())
    digest.update(llvm.get_host_cpu_features().flatten().encode())
    return _user_cache() / f"kernels-{digest.hexdigest()[:16]}"


_CACHE_FOLDER = str(cache_folder())


@contextmanager
def in_cache_folder() -> Iterator[None]:
    """What Numba is told to cache here goes to our folder."""
    outside, config.CACHE_DIR = config.CACHE_DIR, _CACHE_FOLDER
    try:
        yield
    finally:
        config.CACHE_DIR = outside


def jit(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile a kernel that runs on the calling thread; any thread may call it."""
    with in_cache_folder():
        return numba.njit(function, cache=True, nogil=True, error_model="numpy")


def inlined(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile a step of kernels that becomes part of the code of each.

    A call costs nothing then, whatever is passed: for steps that take plans and buffers, and that
    are short or called in one place.
    """
    with in_cache_folder():
        return numba.njit(function, cache=True, nogil=True, error_model="numpy", forceinline=True)
