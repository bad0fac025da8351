"""The command ``python -m tools.fuzz``."""

from __future__ import annotations

import argparse
import importlib
import os
import sys

from tools import fuzz

COMMANDS = ("inputs", "corpus", "kills", "full_disk")


def main() -> int:
    """Run a command; 1 if anything misbehaved."""
    name = sys.argv[1] if sys.argv[1:2] and sys.argv[1] in COMMANDS else ""
    if name in ("inputs", "corpus"):
        # before the package is imported: plain Python checks indices, and compiles nothing
        os.environ.setdefault("NUMBA_DISABLE_JIT", "1")
    parser = argparse.ArgumentParser(
        f"python -m tools.fuzz {name or '|'.join(COMMANDS)}",
        description=fuzz.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    if not name:
        parser.print_help()
        return 2
    module = importlib.import_module(f"tools.fuzz.{name}")
    parser.description = module.__doc__
    module.add_arguments(parser)
    return int(module.run(parser.parse_args(sys.argv[2:])))


if __name__ == "__main__":
    sys.exit(main())
