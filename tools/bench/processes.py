"""Sides in processes of their own, which answer in turns."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, TypeVar

from tools.bench import isolated, machine
from tools.bench.sides import SIDES
from tools.bench.task import Task

PAUSE = 0.05
"""The pause in seconds after each side's passes, in which its threads go to sleep."""
Answer = dict[str, Any]
T = TypeVar("T")


class Failed(RuntimeError):
    """A library that does not run a net."""


class Worker:
    """A process that runs `tools.bench.worker`.  Raises Failed if the side cannot be prepared."""

    def __init__(self, side: str, task: Task) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tools.bench.worker", side, task.to_json()],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=isolated.ROOT,
            env=machine.environment(task.threads),
        )
        self.name = side
        self.started = self._read()

    def ask(self, order: str) -> Answer:
        """Send a command; returns the answer."""
        assert self._process.stdin is not None
        self._process.stdin.write(order + "\n")
        self._process.stdin.flush()
        return self._read()

    def _read(self) -> Answer:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            self.close()
            raise Failed(f"{self.name} ended with {self._process.returncode}")
        answer: Answer = json.loads(line)
        return answer

    def close(self) -> None:
        """End the process."""
        self._process.communicate()


@contextmanager
def started(names: Sequence[str], task: Task) -> Iterator[tuple[list[Worker], list[str]]]:
    """A worker for each side that runs the task, and the titles of the sides that do not.

    Ours must: it raises Failed.
    """
    with ExitStack() as stack:
        workers, failed = [], []
        for name in names:
            try:
                worker = Worker(name, task)
            except Failed as error:
                if name == "ours":
                    raise
                print(f"{task.key}: {error}", file=sys.stderr)
                failed.append(SIDES[name].title)
                continue
            stack.callback(worker.close)
            workers.append(worker)
        yield workers, failed


def turns(count: int, rounds: int) -> Iterator[int]:
    """The order in which `count` sides take their turns: all in each round, another one first."""
    for first in range(rounds):
        yield from ((first + index) % count for index in range(count))


def in_turns(
    workers: Sequence[T], rounds: int, ask: Callable[[T], Answer], pause: float = PAUSE
) -> list[list[Answer]]:
    """The answers of each worker, one for each round."""
    answers: list[list[Answer]] = [[] for _ in workers]
    for index in turns(len(workers), rounds):
        answers[index].append(ask(workers[index]))
        time.sleep(pause)
    return answers
