from __future__ import annotations

import logging
import re
from pathlib import Path

import pytest

from caffe_lite import glog
from caffe_lite.errors import LONGEST_MESSAGE, CaffeError, LayerError, Location, one_line

PACKAGE = Path(glog.__file__).parent
EVIL = "a\x1b[31m\x07\n\r\x7f\x9b\u202e\u2028\ud800b"
SHOWN = r"a\x1b[31m\x07\n\r\x7f\x9b\u202e\u2028\ud800b"


def test_every_control_character_is_an_escape():
    assert one_line(EVIL) == SHOWN
    every = "".join(map(chr, range(0x3000)))
    assert one_line(every[:200]).isprintable()
    assert "".join(one_line(each) for each in every).isprintable()


@pytest.mark.parametrize("text", ["", "plain", 'layer "a"', "größer ≥ 层", "x" * 256])
def test_what_is_printable_stays(text):
    assert one_line(text) == text


def test_a_long_name_is_cut_in_the_middle():
    name = "start" + "x" * 9000 + "end"
    shown = one_line(f'net.prototxt:3:7: layer "{name}" (ReLU): has no bottom')
    assert shown.startswith('net.prototxt:3:7: layer "start')
    assert shown.endswith('xend" (ReLU): has no bottom')
    assert "..." in shown
    assert len(shown) < 300
    assert len(one_line(f'"{"two words " * 900}" is unknown')) < 300
    assert len(one_line("word " * 9000)) == LONGEST_MESSAGE


def test_an_error_shows_names_safely():
    error = LayerError(f"{EVIL}: no").at(Location(EVIL, 3, 4), f'layer "{EVIL}"')
    assert str(error) == f'{SHOWN}:3:4: layer "{SHOWN}": {SHOWN}: no'
    assert error.message == f"{EVIL}: no"  # for programs
    assert str(CaffeError(EVIL)) == SHOWN


def test_a_logger_shows_arguments_safely(caplog):
    found = glog.logger("caffe_lite.tested")
    assert glog.logger("caffe_lite.tested") is found
    with caplog.at_level(logging.INFO, "caffe_lite"):
        found.info("%s has %d of %s:\n%g", EVIL, 3, ValueError(EVIL), 2.5)
    assert caplog.messages == [f"{SHOWN} has 3 of {SHOWN}:\n2.5"]
    assert len(found.filters) == 1


def test_every_logger_of_the_package_is_safe():
    """But those of kernels, which know nothing of the package: the formatter escapes theirs."""
    sources = [path for path in PACKAGE.rglob("*.py") if "kernels" not in path.parts]
    makers = {path.name for path in sources if "logging.getLogger(" in path.read_text()}
    assert makers == {"glog.py", "log.py"}  # log.py only adds its handler


def test_the_formatter_escapes_what_other_loggers_log():
    record = logging.LogRecord("x", logging.INFO, "a.py", 3, "%s\n%s", (EVIL, EVIL), None)
    lines = glog.GlogFormatter().format(record).split("\n")
    assert all(line.isprintable() for line in lines)
    assert lines[0].endswith(r"a.py:3] a\x1b[31m\x07")


def test_every_command_prints_safely():
    printing = [
        path.name
        for path in (PACKAGE / "cli").glob("*.py")
        if re.search(r"(?<![\w.])print\(", path.read_text())
    ]
    # help, version and completion code hold no names; the others make what they print safe
    assert sorted(printing) == [
        "__init__.py",
        "check.py",
        "completion.py",
        "pictures.py",
        "streams.py",
        "summarize.py",
    ]
