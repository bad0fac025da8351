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
from collections.abc import Sequence

from caffe_lite import caffe_name, programs


def install_as_caffe(
    python_layers: bool = False, any_output: bool = False, allow_unknown_fields: bool = False
) -> None:
    """Make ``import caffe``, and all its submodules, mean caffe_lite in this process.

    A submodule that caffe_lite does not have, such as SSD's ``caffe.model_libs``, comes from a
    folder ``caffe`` on Python's path.

    `python_layers` permits all nets to import and run the modules that their layers of type
    Python name, as pycaffe does; without it, the modules must be imported, or each net be
    allowed to.  `any_output` permits all nets to write and replace any file, as pycaffe does;
    without it, they write in the current folder only.  `allow_unknown_fields` permits all files to
    have fields that the schema does not know.  Raises CaffeError if another ``caffe`` has
    been imported already.
    """
    caffe_name.install()
    if python_layers:
        from caffe_lite.layers.python import allow_python_layers

        allow_python_layers()
    if any_output:
        from caffe_lite.data.outputs import allow_any_output

        allow_any_output()
    if allow_unknown_fields:
        from caffe_lite.proto import private_fields

        private_fields.allow_unknown_fields()


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
    parser.add_argument(
        "--allow-unknown-fields",
        action="store_true",
        help="report fields that no known fork of Caffe has, and read the rest of the file",
    )
    programs.add_program(parser)
    given = parser.parse_args(arguments)
    install_as_caffe(given.allow_python_layers, given.allow_any_output, given.allow_unknown_fields)
    programs.run(given.program, given.arguments, given.module)


if __name__ == "__main__":
    main()
