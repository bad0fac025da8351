"""Function calls in a new process, with a given number of threads.

    call("tools.bench.start:peak", threads=2, key="alexnet:64", folder="out")

Arguments and result must be representable in JSON.  ``python -m tools.bench.isolated`` is the
child process; it prints the result on its last line, after any output of libraries.
"""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tools.bench import machine

ROOT = Path(__file__).resolve().parents[2]


def call(
    function: str, *, threads: int, variables: Mapping[str, str] | None = None, **arguments: Any
) -> Any:
    """The result of ``module:function`` in a new process.  Raises RuntimeError if it fails."""
    process = subprocess.run(
        [sys.executable, "-m", "tools.bench.isolated", function, json.dumps(arguments)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env={**machine.environment(threads), **(variables or {})},
        check=False,
    )
    if process.returncode:
        raise RuntimeError(f"{function} ended with {process.returncode}")
    return json.loads(process.stdout.splitlines()[-1])


def main(words: list[str]) -> None:
    """Call the function named by the parent process and print its result."""
    module, _, name = words[0].partition(":")
    result = getattr(importlib.import_module(module), name)(**json.loads(words[1]))
    print()
    print(json.dumps(result))


if __name__ == "__main__":
    main(sys.argv[1:])
