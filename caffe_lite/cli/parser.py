"""The argument parser of a command: gflags' rules for switches, and readable help."""

from __future__ import annotations

import argparse
import difflib
import shutil
import textwrap
from collections.abc import Sequence
from typing import Any, NoReturn

from caffe_lite import mpirun
from caffe_lite.errors import one_line

NARROW, WIDE = 40, 100  # limits of the help's width, in columns
FLAG_COLUMN = 28  # after a longer flag, its description starts on the next line

HELP = {"-h", "-help", "--help"}


class Switch(argparse.Action):
    """A flag that is on or off.  It takes a value only after an equals sign, as in gflags."""

    def __init__(self, option_strings: Sequence[str], dest: str, **settings: Any) -> None:
        super().__init__(
            option_strings, dest, nargs="?", const=True, default=False, type=truth, **settings
        )

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: str | Sequence[Any] | None,
        option_string: str | None = None,
    ) -> None:
        """Store the value."""
        setattr(namespace, self.dest, values)


def truth(text: str) -> bool:
    """Parse a gflags bool."""
    word = text.lower()
    if word in ("1", "t", "true", "y", "yes"):
        return True
    if word in ("0", "f", "false", "n", "no"):
        return False
    raise argparse.ArgumentTypeError(f"{text!r} is neither true nor false")


class Parser(argparse.ArgumentParser):
    """The parser of ``caffe-lite command``; `usages` replaces the generated usage line.

    In the description, paragraphs are filled to the width of the terminal; lines that begin with
    a space are kept, and so are `examples`.
    """

    def __init__(
        self,
        prog: str,
        description: str | None,
        usages: Sequence[str] = (),
        examples: Sequence[str] = (),
    ) -> None:
        super().__init__(prog, description=description, allow_abbrev=False, add_help=False)
        self._usages = list(usages)
        self._examples = examples
        self.add_argument(*sorted(HELP), action="help", help="print this and exit")

    def parse(self, words: Sequence[str]) -> argparse.Namespace:
        """Parse the words; exits for invalid ones, and for -help."""
        self._usages = self._usages or [self._usage()]  # parsing hides some arguments later
        if HELP.isdisjoint(words):
            self._refuse_unknown(words)
            return self.parse_intermixed_args(words)
        self.print_help()
        return self.exit(0)

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parse as argparse does, except that a switch does not consume the next word."""
        switches = {
            spelling
            for action in self._actions
            if isinstance(action, Switch)
            for spelling in action.option_strings
        }
        words = [f"{word}=true" if word in switches else word for word in args or ()]
        return super().parse_known_args(words, namespace)

    def _refuse_unknown(self, words: Sequence[str]) -> None:
        """Exit for a flag that is unknown, and for a word that lacks its flag.

        argparse would first name what is missing: often that which was misspelt.
        """
        given, bare = set(), []
        rest = iter(words)
        for word in rest:
            name, equals, _ = word.partition("=")
            if (
                not word.startswith("-")
                or word == "-"
                or self._negative_number_matcher.match(word)
            ):
                bare.append(word)
            elif word == "--":
                break
            elif name not in self._option_string_actions:
                near = self._nearest(name)
                hint = f"did you mean {near}?" if near else f"{self.prog} -help lists its flags"
                self.error(f"there is no flag {name}; {hint}")
            else:
                action = self._option_string_actions[name]
                given.add(action)
                if not equals and action.nargs is None and not isinstance(action, Switch):
                    next(rest, None)
        missing = [a for a in self._flags() if a.required and a not in given]
        if bare and missing and not self._positionals_shown():
            flag = missing[0].option_strings[0]
            self.error(f"{bare[0]} has no flag before it; did you mean {flag} {bare[0]}?")

    def _nearest(self, name: str) -> str | None:
        """The flag that was probably meant, with as many dashes as it was given."""
        word = name.lstrip("-")
        shown = [spelling for each in self._flags() for spelling in each.option_strings]
        flags = list(dict.fromkeys(spelling.lstrip("-") for spelling in shown))
        begun = [flag for flag in flags if word and flag.startswith(word.replace("-", "_"))]
        near = begun or difflib.get_close_matches(word, flags, n=1)
        return f"{name[: len(name) - len(word)]}{near[0]}" if near else None

    def error(self, message: str) -> NoReturn:
        """Print the usage and the message, which may repeat what was typed; exits with 2."""
        self.leave_to_rank_0()
        super().error(one_line(message))

    def leave_to_rank_0(self) -> None:
        """Exit with 2 on every other rank: rank 0 has the same words, and says what is wrong."""
        if mpirun.rank():
            from caffe_lite.distributed import ending

            ending.note_speaker(speaks=False)
            self.exit(2)

    def format_usage(self) -> str:
        """One line for each form of the command, broken where the terminal ends."""
        usages = self._usages or [self._usage()]
        starts = ["usage: ", *[" " * len("usage: ")] * (len(usages) - 1)]
        further = " " * len(f"usage: {self.prog} ")
        return "".join(
            textwrap.fill(
                f"{start}{self.prog} {usage}",
                _columns(),
                subsequent_indent=further,
                break_long_words=False,
                break_on_hyphens=False,
            )
            + "\n"
            for start, usage in zip(starts, usages, strict=True)
        )

    def _usage(self) -> str:
        required = [_spelled(action) for action in self._flags() if action.required]
        optional = [a for a in self._flags() if not a.required and a.dest != "help"]
        words = [_positional(action) for action in self._positionals_shown()]
        return " ".join([*required, *(["[flags]"] if optional else []), *words])

    def format_help(self) -> str:
        """The usage, the description, the arguments, the flags and the examples."""
        parts = [self.format_usage()]
        if self.description:
            parts += [f"{_filled(each)}\n" for each in self.description.strip().split("\n\n")]
        for title, actions in (
            ("arguments", self._positionals_shown()),
            ("flags", self._flags()),
        ):
            if actions:
                parts.append(f"{title}:\n" + "".join(map(_explained, actions)))
        if self._examples:
            parts.append("examples:\n" + "".join(f"  {each}\n" for each in self._examples))
        return "\n".join(parts)

    def _positionals_shown(self) -> list[argparse.Action]:
        return [a for a in self._actions if not a.option_strings and a.help != argparse.SUPPRESS]

    def _flags(self) -> list[argparse.Action]:
        """The visible flags: required ones first, -help last."""
        shown = [a for a in self._actions if a.option_strings and a.help != argparse.SUPPRESS]
        return sorted(shown, key=lambda action: (not action.required, action.dest == "help"))


def _columns() -> int:
    return min(max(shutil.get_terminal_size().columns, NARROW), WIDE)


def _filled(paragraph: str) -> str:
    """A paragraph of prose as wide as the terminal; one with indented lines as it is."""
    if any(line.startswith(" ") for line in paragraph.split("\n")):
        return paragraph
    return textwrap.fill(" ".join(paragraph.split()), _columns(), break_on_hyphens=False)


def _positional(action: argparse.Action) -> str:
    name = str(action.metavar or action.dest)
    return {"?": f"[{name}]", "*": f"[{name} ...]", "+": f"{name} [{name} ...]"}.get(
        str(action.nargs), name
    )


def _spelled(action: argparse.Action) -> str:
    """A flag with its value, as the user types it."""
    name = action.option_strings[0]
    if action.dest == "help":
        return "-help"
    if isinstance(action, Switch) or action.nargs == 0:
        return name
    if action.metavar:
        return f"{name} {action.metavar}"
    if action.choices:
        return f"{name} {'|'.join(map(str, action.choices))}"
    return f"{name} {action.dest.upper()}"


def _explained(action: argparse.Action) -> str:
    """A flag or argument and its description, in two columns."""
    name = _spelled(action) if action.option_strings else _positional(action)
    lines = textwrap.wrap(action.help or "", _columns() - FLAG_COLUMN - 2) or [""]
    if len(name) > FLAG_COLUMN - 4:  # two spaces before and after it
        lines = ["", *lines]
    first = f"  {name}".ljust(FLAG_COLUMN)
    rest = "".join(f"{'':{FLAG_COLUMN}}{line}\n" for line in lines[1:])
    return f"{first}{lines[0]}".rstrip() + "\n" + rest
