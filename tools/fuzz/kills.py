"""Each command that writes, killed at random moments (SIGKILL).

After each kill every output must be whole under its name, or absent, or as it was before.  Then
the command runs again to its end: it must give the whole output, and leave nothing else behind.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path
from random import Random

from tools.fuzz import commands
from tools.fuzz.commands import COMMANDS, Command


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``kills``."""
    parser.add_argument("names", nargs="*", help="beginnings of commands' names (default: all)")
    parser.add_argument("-count", type=int, default=50, help="kills of each (default: 50)")
    parser.add_argument("-seed", type=int, default=1, help="another seed, other moments")


def run(args: argparse.Namespace) -> int:
    """Kill, print a table; returns 1 if something was half written or left behind."""
    print(f"{'command':<36} {'killed':>6} {'half':>5} {'unfinished':>10} {'left behind':>11}")
    bad = killed = 0
    with commands.prepared() as (inputs, work):
        for command in commands.chosen(args.names, COMMANDS):
            trial = Trial(command, inputs, work, args.seed)
            trial.kill(args.count)
            print(
                f"{command.name:<36} {trial.killed:>6} {len(trial.half):>5} "
                f"{len(trial.unfinished):>10} {len(trial.left):>11}",
                flush=True,
            )
            for what in sorted({*trial.half, *trial.unfinished, *trial.left})[:5]:
                print(f"    {what}")
            killed += trial.killed
            bad += len(trial.half) + len(trial.unfinished) + len(trial.left)
    print(f"{killed} kills, {bad} misbehaved")
    return int(bad > 0)


class Trial:
    """The kills of one command."""

    def __init__(self, command: Command, inputs: Path, work: Path, seed: int) -> None:
        self._command, self._inputs = command, inputs
        self._folder = work / "run"
        self._whole, first = commands.reference(command, inputs, work / "whole")
        self._seconds = min(
            first.seconds, commands.reference(command, inputs, work / "whole")[1].seconds
        )
        self._rng = Random(f"{command.name}/{seed}")
        self.killed = 0
        self.half: list[str] = []
        self.unfinished: list[str] = []
        self.left: list[str] = []

    def kill(self, count: int) -> None:
        """Start the command until it has been killed so often before its end."""
        for _ in range(4 * count):
            if self.killed == count:
                break
            self._folder.mkdir()
            self._kill_once()
            shutil.rmtree(self._folder)

    def _kill_once(self) -> None:
        command, folder = self._command, self._folder
        commands.put_old(command, folder)
        moment = self._rng.uniform(0, 1.1 * self._seconds)
        if commands.run(command, self._inputs, folder, moment).code != -9:
            return  # it had ended
        self.killed += 1
        half = commands.half_written(command, folder, self._whole)
        if half:
            self.half.append(half)
            return
        if not command.replaces:
            for name in command.outputs:  # it refuses to replace a whole one
                if (folder / name).is_dir():
                    shutil.rmtree(folder / name)
                else:
                    (folder / name).unlink(missing_ok=True)
        again = commands.run(command, self._inputs, folder)
        lost = commands.missing(command, folder, self._whole)
        if again.code != 0 or lost:
            self.unfinished.append(
                f"the next run: exit {again.code}, {lost}: {again.printed[-300:]}"
            )
        elif left := commands.leftovers(command, folder):
            self.left.append(f"left behind: {_pattern(left[0])}")


def _pattern(name: str) -> str:
    """A temporary name without its random part."""
    parts = name.split(".")
    return ".".join("*" if len(part) == 8 and part.isalnum() else part for part in parts)
