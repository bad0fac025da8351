"""The name ``caffe``: ``import caffe``, and all its submodules, made to mean this package.

A module ``caffe.x`` that this package does not have, such as SSD's ``caffe.model_libs``, is looked
for in the folders ``caffe`` on Python's path.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType

from caffe_lite.errors import CaffeError

OURS = "caffe_lite"
THEIRS = "caffe"

_RENAMED = {f"{THEIRS}._caffe": f"{OURS}.pycaffe"}


class _Alias(Loader):
    """Gives a module that is imported under another name: the very object, so classes are one."""

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        module = importlib.import_module(str(spec.origin))
        spec.loader_state = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        # importing under another name has given the module a spec of that name: take it back
        alias = module.__spec__
        if alias is not None and alias.loader is self:
            module.__spec__ = alias.loader_state


class _CaffeFinder(MetaPathFinder):
    """Finds ``caffe.x`` as ``caffe_lite.x``; comes first."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name == THEIRS:
            return ModuleSpec(name, _Alias(), origin=OURS)
        parent = sys.modules.get(name.rpartition(".")[0])
        if not name.startswith(f"{THEIRS}.") or not _is_ours(parent):
            return None
        real = _RENAMED.get(name, f"{OURS}{name.removeprefix(THEIRS)}")
        if PathFinder.find_spec(real, path) is not None:
            return ModuleSpec(name, _Alias(), origin=real)
        return _spec_of_theirs(name)


class _RestFinder(MetaPathFinder):
    """Finds ``caffe_lite.x``, where there is none, as another's ``caffe.x``; comes last.

    Python asks for it on ``from caffe import x``, as the module ``caffe`` is named ``caffe_lite``.
    """

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if not name.startswith(f"{OURS}."):
            return None
        other = f"{THEIRS}{name.removeprefix(OURS)}"
        return ModuleSpec(name, _Alias(), origin=other) if _spec_of_theirs(other) else None


def _is_ours(module: ModuleType | None) -> bool:
    return module is not None and f"{module.__name__}.".startswith(f"{OURS}.")


def _spec_of_theirs(name: str) -> ModuleSpec | None:
    """A module of a folder ``caffe`` on Python's path, of another Caffe."""
    *folders, _ = name.split(".")
    return PathFinder.find_spec(name, [os.path.join(place, *folders) for place in sys.path])


_FINDERS = (_CaffeFinder(), _RestFinder())


def take() -> bool:
    """Let ``import caffe`` mean this package; False, and nothing done, if it means another."""
    present = sys.modules.get(THEIRS)
    # a file caffe.py that calls this is still being imported: it is what is to be replaced
    unfinished = getattr(getattr(present, "__spec__", None), "_initializing", False)
    if present is not None and present is not sys.modules[OURS] and not unfinished:
        return False
    if _FINDERS[0] not in sys.meta_path:
        sys.meta_path.insert(0, _FINDERS[0])
        sys.meta_path.append(_FINDERS[1])
    sys.modules[THEIRS] = sys.modules[OURS]
    return True


def install() -> None:
    """The same; raises CaffeError if another ``caffe`` has been imported already."""
    if not take():
        place = getattr(sys.modules[THEIRS], "__file__", None) or "somewhere"
        raise CaffeError(
            f"another caffe has been imported already, from {place}; call install_as_caffe first"
        )
