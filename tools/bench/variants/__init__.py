"""Rival kernels that were tried and measured, and why the winner won.

A file here is a contest: one kernel of the package and its rivals, functions of the same
signature.  Each is first checked against the kernel's oracle on a small problem, then timed on
large ones: layers of real nets.  To enter a rival: write the function into the contest's file, add
it to `rivals`, run ``python -m tools.bench --variants``, and write into `verdict` what came out
and why.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from importlib import import_module
from typing import Any

import numpy as np

from caffe_lite.blob import Array
from tools.bench import isolated, measure
from tools.bench.report import Options, Section, number, table

CONTESTS = ("batch_norm", "convolution", "depthwise", "lrn", "pooling")
"""The files of this folder."""

Kernel = Callable[..., object]


@dataclass(frozen=True)
class Problem:
    """Arguments of a kernel; the last is the array that it writes."""

    arguments: tuple[Any, ...]

    def solve(self, kernel: Kernel) -> Array:
        """What the kernel writes, into an array that holds no zeros before."""
        *given, output = self.arguments
        result: Array = np.full_like(output, np.nan)
        kernel(*given, result)
        return result


@dataclass(frozen=True)
class Contest:
    """A kernel, what must come out, its rivals, and what was learnt.

    `problem` makes arguments, small (for the oracle's loops) or large (for the clock).
    `layers` makes more large ones, each with a name.
    `oracle` takes a problem's arguments and returns the exact answer.
    """

    kernel: Kernel
    rivals: dict[str, Kernel]
    problem: Callable[[bool], Problem]
    oracle: Callable[..., Array]
    verdict: str
    tolerance: float = 1e-5
    layers: Mapping[str, Callable[[], Problem]] = field(default_factory=dict)

    def large(self) -> dict[str, Problem]:
        """The problems for the clock."""
        if not self.layers:
            return {"ms": self.problem(True)}
        return {name: make() for name, make in self.layers.items()}

    def error(self, kernel: Kernel) -> float:
        """The largest error on the small problem, relative to the largest number."""
        problem = self.problem(False)
        exact = self.oracle(*problem.arguments)
        return float(np.abs(problem.solve(kernel) - exact).max() / np.abs(exact).max())


def contest(name: str) -> Contest:
    """The contest of a file."""
    found: Contest = import_module(f"tools.bench.variants.{name}").CONTEST
    return found


def run(name: str) -> list[dict[str, Any]]:
    """Check and time a contest; the kernel of the package comes first.

    Raises ValueError for a variant that does not compute what the kernel computes.
    """
    what = contest(name)
    problems = what.large()
    found = []
    for title, kernel in {"in use": what.kernel, **what.rivals}.items():
        error = what.error(kernel)
        if not error <= what.tolerance:
            raise ValueError(f"{name}: {title} is off by {error:.1e}, more than {what.tolerance}")
        ms = {
            layer: 1e3 * measure.best(partial(kernel, *problem.arguments), 0.5 / len(problems))
            for layer, problem in problems.items()
        }
        found.append({"name": title, "error": error, "ms": ms})
    return found


def section(options: Options) -> Section:
    """All contests."""
    texts, data = [], {}
    for name in CONTESTS:
        found = isolated.call("tools.bench.variants:run", threads=options.threads, name=name)
        layers = list(found[0]["ms"])
        lines = [
            [
                each["name"],
                *(number(each["ms"][layer]) for layer in layers),
                f"{each['error']:.1e}",
            ]
            for each in found
        ]
        rows = table(("variant", *layers, "error"), lines)
        texts.append(f"### {name}\n\n{rows}\n\n{contest(name).verdict}")
        data[name] = found
    return Section("variants", "Rival kernels", "\n\n".join(texts), data)
