"""How kernels are compiled: the only place with numba options.

* ``error_model="numpy"``: a division by zero gives infinity, as in Caffe, and costs no branch.
* ``nogil``: a reader thread may prepare the next batch meanwhile.
* No fastmath.  The process that compiles a kernel and those that load it from the cache run code
  that was optimised once and twice; where the compiler may reorder a sum or choose which product
  to fuse, their results differ in the last bits.  Strict arithmetic is the same in both, and costs
  a few hundredths of a training step: the matrix core asks for its fused multiply-adds itself.
* A kernel is compiled once per machine (`caffe_lite.kernels.cache`).  Numba does not notice that a
  jitted function in *another* file has changed, so the cache's folder is named by a hash of all
  kernel sources: an edit anywhere starts a clean one.

``NUMBA_DISABLE_JIT=1`` runs every kernel as plain Python.  ``NUMBA_CACHE_DIR`` moves the cache.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba
from numba import config
from numba.core import event, sigutils
from numba.core.ccallback import CFunc

from caffe_lite.kernels import compiling
from caffe_lite.kernels.cache import KernelCache

__all__ = ["callback", "inlined", "jit"]


def jit(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile a kernel that runs on the calling thread; any thread may call it."""
    return _compiled(function)


def inlined(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile a step of kernels that becomes part of the code of each.

    A call costs nothing then, whatever is passed: for steps that take plans and buffers, and that
    are short or called in one place.
    """
    return _compiled(function, forceinline=True)


def _compiled(function: Callable[..., Any], **options: Any) -> Callable[..., Any]:
    if config.DISABLE_JIT:
        return function
    kernel = numba.njit(function, nogil=True, error_model="numpy", **options)
    kernel._cache = KernelCache(function)  # where `cache=True` would have put Numba's own
    return kernel


class _Listener(event.Listener):
    """Numba's word that a kernel is compiled, not loaded."""

    def on_start(self, event: Any) -> None:
        compiling.begin()

    def on_end(self, event: Any) -> None:
        compiling.end()


event.register("numba:compile", _Listener())


def callback(signature: str, function: Callable[..., Any]) -> CFunc:
    """Compile a function of C's calling convention; its `address` is for compiled code."""
    types = sigutils.normalize_signature(signature)
    compiled = CFunc(function, types, locals={}, options={})
    compiled._cache = KernelCache(function)
    compiled.compile()
    return compiled
