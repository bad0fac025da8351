"""Each command that writes, on a disk that is full at each of its writes in turn.

The disk is a small file system in memory, with one more page free each time; to mount it takes
root.  Without, or with ``-limit``, the largest size of a file is limited instead.

A run must end with exit code 0 and a whole output, or with exit code 1, one line, the old file as
it was, and nothing else left.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tools.fuzz import commands
from tools.fuzz.commands import COMMANDS, Command, Run

PAGE = 4096
MOST = 400
"""Sizes that are tried for one command; larger outputs are cut at fewer places."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``full_disk``."""
    parser.add_argument("names", nargs="*", help="beginnings of commands' names (default: all)")
    parser.add_argument("-limit", action="store_true", help="limit the size of files instead")
    parser.add_argument("-most", type=int, default=MOST, help="sizes to try of each")


def run(args: argparse.Namespace) -> int:
    """Fill disks, print a table; returns 1 if a run misbehaved."""
    print(f"{'command':<36} {'tried':>6} {'failed':>6} {'misbehaved':>10}")
    bad = tried = 0
    with commands.prepared() as (inputs, work):
        disk = Limit() if args.limit or not Tmpfs.possible(work) else Tmpfs()
        for command in commands.chosen(args.names, COMMANDS):
            trial = Trial(command, inputs, work, disk)
            trial.fill(args.most)
            print(
                f"{command.name:<36} {trial.tried:>6} {trial.failed:>6} {len(trial.wrong):>10}",
                flush=True,
            )
            for what, size in sorted({what: size for size, what in trial.wrong}.items())[:8]:
                print(f"    {what}   ({size} bytes free)")
            tried += trial.tried
            bad += len(trial.wrong)
    print(f"{tried} runs, {bad} misbehaved ({disk.name})")
    return int(bad > 0)


class Tmpfs:
    """A file system in memory with so many bytes."""

    name = "file systems that fill up"

    @staticmethod
    def possible(work: Path) -> bool:
        """Whether one can be mounted here."""
        try:
            with Tmpfs().of(work / "test", PAGE):
                return True
        except (OSError, subprocess.CalledProcessError):
            return False

    @contextmanager
    def of(self, folder: Path, size: int) -> Iterator[Callable[[], None] | None]:
        """Mount it as this folder."""
        folder.mkdir()
        mount = ["mount", "-t", "tmpfs", "-o", f"size={max(size, PAGE)}", "tmpfs", str(folder)]
        try:
            subprocess.run(mount, check=True, capture_output=True)
            if size < PAGE:
                (folder / "filler").write_bytes(bytes(PAGE))
            try:
                yield None
            finally:
                # lazily: a helper of the command may be about to end
                subprocess.run(["umount", "-l", str(folder)], check=True)
        finally:
            shutil.rmtree(folder)


class Limit:
    """Files of at most so many bytes: the same error as a full disk's, but for its number."""

    name = "files of limited size"

    @contextmanager
    def of(self, folder: Path, size: int) -> Iterator[Callable[[], None] | None]:
        """An ordinary folder, and the function that limits the process that calls it."""
        folder.mkdir()
        try:
            yield lambda: _limit(size)
        finally:
            shutil.rmtree(folder)


def _limit(size: int) -> None:
    import resource

    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


class Trial:
    """The runs of one command."""

    def __init__(self, command: Command, inputs: Path, work: Path, disk: Tmpfs | Limit) -> None:
        self._command, self._inputs, self._disk = command, inputs, disk
        self._folder = work / "disk"
        self._whole, _ = commands.reference(command, inputs, work / "whole")
        self.tried = self.failed = 0
        self.wrong: list[tuple[int, str]] = []

    def fill(self, most: int) -> None:
        """Run with more and more room, until it is enough.

        A large output is tried at every page of its beginning and of its end, which a bisection
        finds, and at pages between.
        """
        enough = PAGE
        while self._try(enough, count=False).code != 0 and enough < 1 << 30:
            enough *= 2
        low = enough // 2 if enough > PAGE else 0
        while enough - low > PAGE:
            middle = (low + enough) // 2 // PAGE * PAGE
            if self._try(middle, count=False).code == 0:
                enough = middle
            else:
                low = middle
        pages = enough // PAGE + 1
        step = max(pages // most, 1)
        for page in sorted({*range(0, pages, step), *range(min(40, pages)),
                            *range(max(pages - 20, 0), pages + 1)}):  # fmt: skip
            self._try(page * PAGE)

    def _try(self, size: int, count: bool = True) -> Run:
        command, folder = self._command, self._folder
        old = len(command.outputs) * PAGE * command.replaces
        extra = 0 if isinstance(self._disk, Limit) else old
        with self._disk.of(folder, size + extra) as prepare:
            commands.put_old(command, folder)
            ended = commands.run(command, self._inputs, folder, prepare=prepare)
            if count:
                self.tried += 1
                self.failed += ended.code != 0
                if wrong := self._misbehaved(ended):
                    self.wrong.append((size, wrong))
            return ended

    def _misbehaved(self, ended: Run) -> str | None:
        command, folder = self._command, self._folder
        if ended.code == 0:
            return commands.missing(command, folder, self._whole)
        if ended.code < 0:
            return f"died of {signal.Signals(-ended.code).name}"
        if ended.code != 1:
            return f"exit code {ended.code}: {ended.printed[-200:]!r}"
        left = [each for each in commands.leftovers(command, folder) if each != "filler"]
        if left:
            return f"left behind: {os.path.splitext(left[0])[1]}"
        return commands.half_written(command, folder, self._whole) or commands.bad_message(
            command, ended.printed
        )
