"""Programs written for pycaffe, unchanged: ``import caffe`` is made to mean caffe_lite.

In a program or a notebook, before it imports caffe::

    import caffe_lite
    caffe_lite.install_as_caffe()

The same two lines in a file ``caffe.py``, where Python finds it, do for every program that
imports caffe from there.  Or without a change, from the command line::

    python -m caffe_lite.as_caffe program.py its arguments
    python -m caffe_lite.as_caffe -m module its arguments
"""

from __future__ import annotations

import argparse
import importlib
import importlib.machinery
import importlib.util
import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from types import ModuleType

from caffe_lite import programs
from caffe_lite.errors import CaffeError

OURS = "caffe_lite"
THEIRS = "caffe"

_RENAMED = {"caffe._caffe": "caffe_lite.pycaffe"}


class _Finder(MetaPathFinder, Loader):
    """Finds ``caffe.x`` as the very module ``caffe_lite.x``, so that classes are the same."""

    def find_spec(
        self, name: str, path: object = None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if name != THEIRS and not name.startswith(f"{THEIRS}."):
            return None
        real = _RENAMED.get(name, f"{OURS}{name.removeprefix(THEIRS)}")
        if importlib.util.find_spec(real) is None:
            return None
        return importlib.machinery.ModuleSpec(name, self, origin=real)

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType:
        module = importlib.import_module(str(spec.origin))
        spec.loader_state = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        # importing under another name has given the module a spec of that name: take it back
        alias = module.__spec__
        if alias is not None and alias.loader is self:
            module.__spec__ = alias.loader_state


def install_as_caffe(python_layers: bool = False, any_output: bool = False) -> None:
    """Make ``import caffe``, and all its submodules, mean caffe_lite in this process.

    `python_layers` permits all nets to import and run the modules that their layers of type
    Python name, as pycaffe does; without it, the modules must be imported, or each net be
    allowed to.  `any_output` permits all nets to write and replace any file, as pycaffe does;
    without it, they write in the current folder only.  Raises CaffeError if another ``caffe`` has
    been imported already.
    """
    present = sys.modules.get(THEIRS)
    # a file caffe.py that calls this is still being imported: it is what is to be replaced
    unfinished = getattr(getattr(present, "__spec__", None), "_initializing", False)
    if present is not None and present is not sys.modules[OURS] and not unfinished:
        place = getattr(present, "__file__", None) or "somewhere"
        raise CaffeError(
            f"another caffe has been imported already, from {place}; call install_as_caffe first"
        )
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())
    sys.modules[THEIRS] = sys.modules[OURS]
    if python_layers:
        from caffe_lite.layers.python import allow_python_layers

        allow_python_layers()
    if any_output:
        from caffe_lite.data.outputs import allow_any_output

        allow_any_output()


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a program, or a module, in which ``import caffe`` means caffe_lite."""
    parser = argparse.ArgumentParser(
        prog="python -m caffe_lite.as_caffe",
        description="Run a Python program in which `import caffe` means caffe_lite.",
    )
    parser.add_argument(
        "--allow-python-layers",
        action="store_true",
        help="let nets import and run the modules that their Python layers name",
    )
    parser.add_argument(
        "--allow-any-output",
        action="store_true",
        help="let layers write files outside of the current folder, and replace any file",
    )
    programs.add_program(parser)
    given = parser.parse_args(arguments)
    install_as_caffe(given.allow_python_layers, given.allow_any_output)
    programs.run(given.program, given.arguments, given.module)


if __name__ == "__main__":
    main()
