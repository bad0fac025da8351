"""Compiled kernels on the disk: compiled once per machine, and checked before they are loaded.

What is loaded runs as it is, so a file must be whole and must be ours.

* **Whole.**  A file begins with the SHA-256 of what it holds and of what it is for: the function,
  the types of its arguments, all kernel sources, the processor, Python and the compiler.  A file
  that is damaged, cut, or in the place of another fails that check before anything reads it.
  Numba's own cache has no such check, and an index that two processes overwrite for each other.
* **Ours.**  A hash is no signature: whoever can write a file can write its hash.  That nobody else
  made the file follows from the system's permissions: the folder and each file must belong to this
  user or to root, and nobody else may write to them.  Windows keeps the folder in the user's
  profile, and is not asked.

A file that fails is removed, compiled again and replaced.  A folder that fails is not used:
kernels are then compiled for the run.  Files are written under another name and renamed, so that
nobody meets half a file, whoever starts meanwhile or is killed.  None of this is an error; the
first trouble of a process is logged in one line.
"""

from __future__ import annotations

from caffe_lite.kernels.cache.files import read, write
from caffe_lite.kernels.cache.folder import cache_folder, stamp
from caffe_lite.kernels.cache.overloads import KernelCache

__all__ = ["KernelCache", "cache_folder", "read", "stamp", "write"]
