"""``python -m caffe_lite`` is the command ``caffe-lite``."""

from __future__ import annotations

import os
import sys
from typing import NoReturn


def main() -> NoReturn:
    """Run the command of the process's arguments, and end the process."""
    try:
        from caffe_lite.cli import main as command

        code = command()
    except KeyboardInterrupt:  # before there was a command to interrupt
        sys.stderr.write("interrupted\n")
        code = 130
    if code > 128:  # by a signal: do not wait for threads, which may be deep in compiled code
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


if __name__ == "__main__":
    main()
