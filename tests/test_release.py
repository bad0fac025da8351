"""What a release says of itself, in its metadata, its changelog and its README."""

from __future__ import annotations

import configparser
import re
from datetime import date

import caffe_lite
from tests.project import ROOT

SECTION = re.compile(r"^## (.*)$", re.MULTILINE)


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def required() -> list[str]:
    """The names of the dependencies in setup.cfg."""
    settings = configparser.ConfigParser()
    settings.read_string(read("setup.cfg"))
    return re.findall(r"^([\w-]+)", settings["options"]["install_requires"], re.MULTILINE)


def test_the_changelog_has_dated_sections_of_which_the_newest_is_this_version() -> None:
    first, *released = SECTION.findall(read("CHANGELOG.md"))
    assert first == "Unreleased"
    pairs = [re.fullmatch(r"(\d+)\.(\d+)\.(\d+) - (\d{4}-\d{2}-\d{2})", each) for each in released]
    assert all(pairs), released
    versions = [tuple(map(int, match.groups()[:3])) for match in pairs if match]
    dates = [date.fromisoformat(match[4]) for match in pairs if match]
    assert versions == sorted(set(versions), reverse=True)
    assert dates == sorted(dates, reverse=True)
    assert ".".join(map(str, versions[0])) == caffe_lite.__version__


def test_the_readme_names_every_dependency() -> None:
    names = required()
    assert len(names) == 8
    sentence = re.search(r"caffe_lite needs eight packages[^.]*\.", read("README.md"))
    assert sentence
    words = re.findall(r"\w+", sentence[0].partition(":")[2].lower())
    assert [name for name in names if name not in words] == []
    assert len(words) == len(names) + 1  # and
