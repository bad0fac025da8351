"""Print the shell code that completes the commands, flags and choices of caffe-lite.

Save it where the shell looks for completions, and open a new shell.
"""

from __future__ import annotations

import argparse

SHELLS = ("bash", "zsh", "fish")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the shell."""
    parser.add_argument("shell", metavar="SHELL", choices=SHELLS, help="bash, zsh or fish")


def run(args: argparse.Namespace) -> int:
    """Print the shell's code."""
    from argcomplete.shell_integration import shellcode

    print(shellcode(["caffe-lite"], shell=args.shell))
    return 0


def answer() -> None:
    """Print the completions for the command line in the environment, and end the process."""
    import argcomplete

    argcomplete.autocomplete(_all_commands(), always_complete_options=False)


def _all_commands() -> argparse.ArgumentParser:
    """One parser of all commands."""
    from caffe_lite import cli

    parser = argparse.ArgumentParser("caffe-lite", allow_abbrev=False)
    commands = parser.add_subparsers()
    for name, what in cli.COMMANDS.items():
        command, _ = cli.parser_of(name)
        commands.add_parser(name, help=what, parents=[command], add_help=False)
    return parser
