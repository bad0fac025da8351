"""The tables of layer types, generated from the registry: those that are here, and are not.

usage: layer_table.py            print the types and their files
       layer_table.py --write    write that to README.md and caffe_lite/layers/__init__.py, the
                                 types of forks that are not here to docs/not_supported.md, and
                                 what ONNX makes of each type to docs/onnx.md
       layer_table.py --check    exit with 1 if a file is out of date
"""

from __future__ import annotations

import re
import sys
import textwrap
from pathlib import Path

import caffe_lite.export
import caffe_lite.layers  # noqa: F401  registers every type
from caffe_lite.export.refused import REFUSED
from caffe_lite.export.registry import exported_types
from caffe_lite.layers._forks import FORK_OF
from caffe_lite.layers.registry import layer_class, layer_types

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = "caffe_lite.layers."


def families() -> dict[str, list[str]]:
    """The layer types of each file, both sorted by name."""
    table: dict[str, list[str]] = {}
    for name in layer_types():
        module = layer_class(name).__module__
        if module.startswith(PACKAGE):
            table.setdefault(module.removeprefix(PACKAGE), []).append(name)
    return dict(sorted(table.items()))


def plain() -> str:
    """The table as plain text, for a docstring."""
    lines = []
    for family, types in families().items():
        lines += textwrap.wrap(
            " ".join(types),
            width=96,
            initial_indent=f"{family + '.py':<20}",
            subsequent_indent=" " * 20,
        )
    return "\n".join(lines)


def markdown() -> str:
    """The table for README.md."""
    rows = ["| file in `caffe_lite/layers` | layer types |", "|---|---|"]
    for family, types in families().items():
        rows.append(f"| [{family}.py](caffe_lite/layers/{family}.py) | {', '.join(types)} |")
    return "\n".join(rows)


def missing() -> str:
    """The table of the forks' types that are not here, for docs/not_supported.md."""
    here = {*layer_types()}
    table: dict[str, list[str]] = {}
    for name, fork in FORK_OF.items():
        if name not in here:
            table.setdefault(fork, []).append(name)
    rows = ["| fork | layer types that are not supported |", "|---|---|"]
    for fork in sorted(table, key=str.lower):
        rows.append(f"| {fork} | {', '.join(sorted(table[fork], key=str.lower))} |")
    return "\n".join(rows)


def exported() -> str:
    """The table of what a type becomes in ONNX, for docs/onnx.md."""
    rows = ["| layer type | in ONNX |", "|---|---|"]
    for name, what in exported_types().items():
        rows.append(f"| {name} | {what} |")
    return "\n".join(rows)


def refused() -> str:
    """The table of the types that are not exported to ONNX, by the reason, for docs/onnx.md."""
    table: dict[str, list[str]] = {}
    for name, reason in REFUSED.items():
        table.setdefault(reason, []).append(name)
    rows = ["| layer types | why |", "|---|---|"]
    for reason, names in sorted(table.items(), key=lambda row: row[1]):
        rows.append(f"| {', '.join(names)} | {reason} |")
    return "\n".join(rows)


def docstring_with_table(source: str) -> str:
    """The source of layers/__init__.py with the table in its docstring replaced."""
    _, docstring, code = source.split('"""', 2)
    parts = re.split(r"\n{2,}", docstring)
    prose = [part.strip() for part in parts if not re.match(r"\s*\w+\.py\s", part)]
    return '"""' + "\n\n".join([*prose, plain()]) + '\n"""' + code


def readme_with_table(source: str) -> str:
    """The text of README.md with the table between its two marks replaced."""
    return between_marks(source, "layer table", markdown())


def page_with_missing(source: str) -> str:
    """The text of docs/not_supported.md with the table between its two marks replaced."""
    return between_marks(source, "missing types", missing())


def page_with_onnx(source: str) -> str:
    """The text of docs/onnx.md with its two tables replaced."""
    source = between_marks(source, "exported types", exported())
    return between_marks(source, "refused types", refused())


def between_marks(source: str, name: str, table: str) -> str:
    """A page with the table between ``<!-- name -->`` and ``<!-- end of name -->`` replaced."""
    return re.sub(
        rf"(?s)(<!-- {name} -->\n).*?(<!-- end of {name} -->)",
        lambda marks: f"{marks[1]}{table}\n{marks[2]}",
        source,
    )


UPDATES = {
    ROOT / "caffe_lite" / "layers" / "__init__.py": docstring_with_table,
    ROOT / "README.md": readme_with_table,
    ROOT / "docs" / "not_supported.md": page_with_missing,
    ROOT / "docs" / "onnx.md": page_with_onnx,
}


def stale() -> dict[Path, str]:
    """The files whose table is out of date, with their updated text."""
    updated = {}
    for path, update in UPDATES.items():
        text = path.read_text(encoding="utf-8")
        if update(text) != text:
            updated[path] = update(text)
    return updated


def main(arguments: list[str]) -> int:
    """Print, write or check the table, depending on the arguments; returns the exit code."""
    if arguments == ["--write"]:
        for path, text in stale().items():
            path.write_text(text, encoding="utf-8")
            print(f"wrote {path.relative_to(ROOT)}")
        return 0
    if arguments == ["--check"]:
        for path in stale():
            print(f"{path.relative_to(ROOT)}: out of date; run tools/layer_table.py --write")
        return 1 if stale() else 0
    if arguments:
        print(__doc__, file=sys.stderr)
        return 2
    print(plain())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
