"""Functions in a process of their own, with a number of threads of their own.

    call("tools.bench.memory:peak", threads=2, key="alexnet:64")

The function takes and returns what JSON can say.  ``python -m tools.bench.isolated`` is the other
end; it answers on its last line, so that what a library prints does no harm.
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
    """The result of ``module:function`` in a fresh process; RuntimeError if it fails."""
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
    """Call the function that the parent named and print its result."""
    module, _, name = words[0].partition(":")
    result = getattr(importlib.import_module(module), name)(**json.loads(words[1]))
    print()
    print(json.dumps(result))


if __name__ == "__main__":
    main(sys.argv[1:])
