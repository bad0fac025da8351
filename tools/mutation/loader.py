"""Imports one module from changed source: ``python -m pytest -p tools.mutation.loader``.

The environment variable CAFFE_LITE_MUTANT names a JSON file with the module and its source.  All
other modules, and the compiled kernels in the cache, are those of the project.
"""

from __future__ import annotations

import importlib.abc
import json
import os
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType

VARIABLE = "CAFFE_LITE_MUTANT"


class _Loader(SourceFileLoader):
    """Compiles the source that it was given, not the file's."""

    def __init__(self, spec: ModuleSpec, source: str) -> None:
        super().__init__(spec.name, str(spec.origin))
        self._source = source

    def get_code(self, fullname: str) -> CodeType:
        """The changed module; no .pyc is read or written."""
        return compile(self._source, self.path, "exec", dont_inherit=True)


class _Finder(importlib.abc.MetaPathFinder):
    """Finds one module."""

    def __init__(self, module: str, source: str) -> None:
        self._module = module
        self._source = source

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None,
        target: ModuleType | None = None,
    ) -> ModuleSpec | None:
        """The module's spec with our loader; None for other modules."""
        spec = PathFinder.find_spec(fullname, path) if fullname == self._module else None
        if spec is not None:
            spec.loader = _Loader(spec, self._source)
        return spec


def install(module: str, source: str) -> None:
    """Let `module` be imported from `source`."""
    if module in sys.modules:
        raise RuntimeError(f"{module} was imported before its mutant")
    sys.meta_path.insert(0, _Finder(module, source))


def install_named() -> None:
    """Do so for the module that the environment names, if it names one."""
    if os.environ.get(VARIABLE):
        mutant = json.loads(Path(os.environ[VARIABLE]).read_text(encoding="utf-8"))
        install(mutant["module"], mutant["source"])


install_named()
