"""Every target reads its seeds: a mutation of what is refused anyway shows little."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools.fuzz.check import check
from tools.fuzz.corpus import damaged_file, entries
from tools.fuzz.targets import Target, all_targets

TARGETS = list(all_targets().values())


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_good_files_are_read(target: Target, tmp_path: Path) -> None:
    if target.name == "leveldb":
        pytest.importorskip("plyvel")
    good = target.seeds()[0]
    assert check(target, good, tmp_path / "case") == "result"


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_inputs_depend_only_on_their_number(target: Target) -> None:
    if target.name == "leveldb":
        pytest.importorskip("plyvel")
    numbers = [0, 1, 2, 3, 9]
    first = [target.case(1, number) for number in numbers]
    assert [target.case(1, number) for number in reversed(numbers)] == first[::-1]
    assert [target.case(2, number) for number in numbers] != first


def test_the_corpus_has_its_targets() -> None:
    for entry in entries():
        case = entry.case()
        seed = entry.target.seeds()[0]
        assert entry.path.is_dir() or damaged_file(entry.target, seed) in case, entry.name
