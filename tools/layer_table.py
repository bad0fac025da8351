"""The table of layer types and the files they live in, made from the registry.

usage: layer_table.py            print it
       layer_table.py --write    write it into README.md and caffe_lite/layers/__init__.py
       layer_table.py --check    exit with 1 if either holds another table
"""

from __future__ import annotations

import re
import sys
import textwrap
from pathlib import Path

import caffe_lite.layers  # noqa: F401  registers every type
from caffe_lite.layers.registry import layer_class, layer_types

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = "caffe_lite.layers."


def families() -> dict[str, list[str]]:
    """Layer types by the name of their file, both sorted."""
    table: dict[str, list[str]] = {}
    for name in layer_types():
        module = layer_class(name).__module__
        if module.startswith(PACKAGE):
            table.setdefault(module.removeprefix(PACKAGE), []).append(name)
    return dict(sorted(table.items()))


def plain() -> str:
    """The table as lines, for a docstring."""
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


def docstring_with_table(source: str) -> str:
    """The text of layers/__init__.py with the table in its docstring replaced."""
    _, docstring, code = source.split('"""', 2)
    parts = re.split(r"\n{2,}", docstring)
    prose = [part.strip() for part in parts if not re.match(r"\s*\w+\.py\s", part)]
    return '"""' + "\n\n".join([*prose, plain()]) + '\n"""' + code


def readme_with_table(source: str) -> str:
    """The text of README.md with what is between its two layer-table marks replaced."""
    return re.sub(
        r"(?s)(<!-- layer table -->\n).*?(<!-- end of layer table -->)",
        lambda marks: f"{marks[1]}{markdown()}\n{marks[2]}",
        source,
    )


PLACES = {
    ROOT / "caffe_lite" / "layers" / "__init__.py": docstring_with_table,
    ROOT / "README.md": readme_with_table,
}


def stale() -> dict[Path, str]:
    """The files whose table is not the registry's, with the text they should have."""
    wanted = {}
    for path, renew in PLACES.items():
        text = path.read_text(encoding="utf-8")
        if renew(text) != text:
            wanted[path] = renew(text)
    return wanted


def main(arguments: list[str]) -> int:
    """Print, write or check, as the arguments say; returns the exit code."""
    if arguments == ["--write"]:
        for path, text in stale().items():
            path.write_text(text, encoding="utf-8")
            print(f"wrote {path.relative_to(ROOT)}")
        return 0
    if arguments == ["--check"]:
        for path in stale():
            print(f"{path.relative_to(ROOT)}: stale; run tools/layer_table.py --write")
        return 1 if stale() else 0
    if arguments:
        print(__doc__, file=sys.stderr)
        return 2
    print(plain())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
