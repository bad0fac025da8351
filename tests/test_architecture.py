"""The rules of docs/design.md that a reader relies on, checked on the source text."""

from __future__ import annotations

import ast
import configparser
import importlib
import re
import runpy
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from tests.project import EXAMPLES, GOLDEN, MODELS, PAGES, ROOT, golden

PACKAGE = ROOT / "caffe_lite"

SETUP = configparser.ConfigParser()
SETUP.read(ROOT / "setup.cfg", encoding="utf-8")


def contract(name: str, key: str) -> list[str]:
    """The lines of one setting of a contract of import-linter's."""
    return SETUP[f"importlinter:contract:{name}"][key].split("\n")[1:]


def levels() -> dict[str, int]:
    """The level of each part: a part imports parts on lower levels, and itself."""
    rows = [row.split(" | ") for row in reversed(contract("levels", "layers"))]
    rows.insert(rows.index(["cli"]), [""])  # caffe_lite/__init__.py: the public names
    return {part: level for level, row in enumerate(rows) for part in row}


def shared_layer_files() -> set[str]:
    """The files of layers/ that all its families may import."""
    allowed = (line.split(" -> ") for line in contract("layer-families", "ignore_imports"))
    return {target.rpartition(".")[2] for _, target in allowed}


LEVELS = levels()
# Where a level says too much: what else of the package these may import.
ONLY = {
    "kernels": set(),
    "proto": {"errors"},
    "data": {"errors", "rng", "proto", "kernels.image"},
}
SHARED = {  # files of a folder that its other files may import; the rest stand alone
    "kernels": {"_jit", "gemm"},
    "layers": shared_layer_files(),
}
NET_LEVELS = {"errors": 0, "link": 0, "passes": 1, "log": 2, "weights": 2, "running": 3, "net": 4}
ALSO = {  # one file in several parts, the others for the first alone
    "kernels.batch_norm": {"kernels._rows"},
    "kernels._rows": {"kernels._writer"},
    "kernels.classify": {"kernels._math"},
    "kernels.convolution": {
        "kernels._depthwise",
        "kernels._gradients",
        "kernels._patches",
        "kernels._strides",
        "kernels._weight_gradient",
        "kernels._winograd",
        "kernels._winograd_gradient",
    },
    "kernels._row_tiles": {"kernels._writer"},
    "kernels._vector": {"kernels._writer"},
    "kernels._weight_gradient": {"kernels._row_tiles"},
    "kernels._winograd": {"kernels._winograd_transforms"},
    "kernels._winograd_gradient": {"kernels._winograd_gradient_transforms"},
    "kernels._winograd_gradient_transforms": {"kernels._winograd_transforms", "kernels._writer"},
    "kernels._winograd_transforms": {"kernels._writer"},
    "kernels._lanes": {"kernels._writer"},
    "kernels._depthwise": {"kernels._planes", "kernels._slides"},
    "kernels._slides": {"kernels._planes", "kernels._writer"},
    "kernels._planes": {"kernels._writer"},
    "kernels.pooling": {"kernels._maxima", "kernels._planes", "kernels._windows"},
    "kernels._maxima": {
        "kernels._planes",
        "kernels._small_windows",
        "kernels._windows",
    },
    "kernels._small_windows": {"kernels._planes", "kernels._writer"},
    "kernels._windows": {"kernels._planes", "kernels._writer"},
    "kernels._gradients": {"kernels._patches"},
    "kernels.gemm": {"kernels._threads", "kernels._vector"},
    "kernels.loss": {"kernels._math"},
    "kernels.neuron": {"kernels._math"},
    "kernels.recurrent": {"kernels._math"},
}
WITHOUT_LAYERS = {"image", "update"}  # kernels of the readers and of the solvers
WITHOUT_KERNELS = {"data", "python"}
WITHOUT_CASES = {"python"}  # what a user's layer does is the user's: tests/layers/test_python.py
EVERYWHERE = {"caffe_lite", "numpy", "google"}  # google.protobuf, which every program here needs
ON_TOP = {
    "kernels": {"numba", "llvmlite"},
    "data.db_leveldb": {"plyvel"},
    "data.db_lmdb": {"lmdb"},
}
IMPORTED_WHEN_USED = {"caffe_lite.data.db_leveldb", "caffe_lite.data.db_lmdb"}

SOURCES = sorted(PACKAGE.rglob("*.py"))
EVERY_PYTHON_FILE = [
    *SOURCES,
    *sorted((ROOT / "tests").rglob("*.py")),
    *sorted((ROOT / "tools").rglob("*.py")),
]


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def each(paths: list[Path]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("path", paths, ids=relative)


def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def module_name(path: Path) -> str:
    """For caffe_lite/kernels/pooling.py "kernels.pooling", for its __init__.py "kernels"."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path) for path in SOURCES}


def imports(path: Path) -> Iterator[str]:
    """The modules of the package that a file imports, without the leading "caffe_lite."."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{relative(path)}:{node.lineno}: relative import"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        for name in names:
            if name == "caffe_lite" or name.startswith("caffe_lite."):
                inner = name.removeprefix("caffe_lite").removeprefix(".")
                yield inner if inner in MODULES else inner.rpartition(".")[0]


def families(folder: str) -> set[str]:
    """The names of a folder's files, less those that the others share or that are not public."""
    return {path.stem for path in (PACKAGE / folder).glob("[!_]*.py")} - SHARED[folder]


@each(SOURCES)
def test_imports_go_one_way(path: Path) -> None:
    part = module_name(path).partition(".")[0]
    assert part in LEVELS, f"{part}: setup.cfg must say on which level it is"
    for target in imports(path):
        other = target.partition(".")[0]
        if other == part:
            continue
        assert LEVELS[other] < LEVELS[part], f"{part} imports {target}"
        if part in ONLY:
            assert {other, target} & ONLY[part], f"{part} imports {target}"
        if part == "net" and other == "layers":
            allowed = {"layers", *(f"layers.{name}" for name in SHARED["layers"])}
            assert target in allowed, f"net imports {target}"


@each(sorted((PACKAGE / "net").rglob("[!_]*.py")))
def test_imports_inside_of_net_go_one_way(path: Path) -> None:
    part = module_name(path).split(".")[1]
    for target in imports(path):
        if target.startswith("net.") and (other := target.split(".")[1]) != part:
            assert NET_LEVELS[other] < NET_LEVELS[part], f"{part} imports {target}"


def test_no_circle_of_imports_inside_of_net() -> None:
    files = sorted((PACKAGE / "net").rglob("*.py"))
    TopologicalSorter({module_name(path): set(imports(path)) for path in files}).prepare()


@each([path for folder in SHARED for path in sorted((PACKAGE / folder).glob("[!_]*.py"))])
def test_a_family_stands_alone(path: Path) -> None:
    folder = path.parent.name
    allowed = {f"{folder}.{name}" for name in SHARED[folder]} | ALSO.get(module_name(path), set())
    for target in imports(path):
        assert target in allowed or not target.startswith(f"{folder}."), f"imports {target}"


@each(SOURCES)
def test_the_program_starts_without_libraries_it_may_not_need(path: Path) -> None:
    module = module_name(path)
    allowed = EVERYWHERE | ON_TOP.get(module, ON_TOP.get(module.partition(".")[0], set()))
    for node in tree(path).body:
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        for name in names:
            library = name.partition(".")[0]
            assert library in allowed or library in sys.stdlib_module_names, (
                f"import {library} inside the function that needs it"
            )
            assert name not in IMPORTED_WHEN_USED, f"import {name} inside a function"


def test_reader_threads_use_serial_kernels() -> None:
    image = tree(PACKAGE / "kernels" / "image.py")
    names = {node.id for node in ast.walk(image) if isinstance(node, ast.Name)}
    assert "pjit" not in names


def test_kernels_and_layers_have_the_same_families() -> None:
    assert families("kernels") - WITHOUT_LAYERS == families("layers") - WITHOUT_KERNELS


@pytest.mark.parametrize("family", sorted(families("layers") - WITHOUT_CASES))
def test_every_family_has_cases(family: str) -> None:
    assert (ROOT / "tests" / "cases" / f"{family}.py").is_file()


@pytest.mark.parametrize("family", sorted(families("kernels") - WITHOUT_LAYERS))
def test_every_family_has_an_oracle(family: str) -> None:
    assert (ROOT / "tests" / "oracles" / f"{family}.py").is_file()


@pytest.mark.parametrize("family", sorted(families("kernels") | {"gemm"}))
def test_every_kernel_file_has_its_tests(family: str) -> None:
    assert (ROOT / "tests" / "kernels" / f"test_{family}.py").is_file()


@each(sorted((ROOT / "tests" / "oracles").glob("*.py")))
def test_oracles_know_nothing_of_the_package(path: Path) -> None:
    assert not list(imports(path))


@pytest.mark.parametrize("family", sorted(families("layers") - WITHOUT_CASES))
def test_every_type_has_a_case(family: str) -> None:
    importlib.import_module("caffe_lite.layers")
    registry = importlib.import_module("caffe_lite.layers.registry")
    module = f"caffe_lite.layers.{family}"
    registered = {
        name for name in registry.layer_types() if registry.layer_class(name).__module__ == module
    }
    cases = importlib.import_module(f"tests.cases.{family}").CASES
    assert {case.type for case in cases} == registered


def test_every_layer_class_has_a_docstring() -> None:
    importlib.import_module("caffe_lite.layers")
    registry = importlib.import_module("caffe_lite.layers.registry")
    classes = {name: registry.layer_class(name) for name in registry.layer_types()}
    assert [name for name, cls in classes.items() if not vars(cls).get("__doc__")] == []


@each(sorted((PACKAGE / "kernels").glob("[!_]*.py")))
def test_every_public_kernel_has_a_docstring(path: Path) -> None:
    functions = [node for node in tree(path).body if isinstance(node, ast.FunctionDef)]
    public = [function for function in functions if not function.name.startswith("_")]
    assert [function.name for function in public if not ast.get_docstring(function)] == []


@each(EVERY_PYTHON_FILE)
def test_annotations_are_not_evaluated(path: Path) -> None:
    code = [
        node
        for node in tree(path).body
        if not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))
    ]
    if code:
        first = code[0]
        assert isinstance(first, ast.ImportFrom)
        assert first.module == "__future__"
        assert [alias.name for alias in first.names] == ["annotations"]


def test_the_table_of_layer_types_is_the_registry() -> None:
    table = runpy.run_path(str(ROOT / "tools" / "layer_table.py"))
    assert [relative(path) for path in table["stale"]()] == []


def test_no_file_knows_the_machine_it_was_written_on() -> None:
    machine_path = re.compile(r"(?<![\w.$}])/(?:work|root|home|Users)/\w")
    folders = ["caffe_lite", "docs", "proto", "tests", "tools"]
    suffixes = {".py", ".pyi", ".md", ".proto", ".prototxt", ".sh", ".txt", ""}
    found = []
    listed = [*(ROOT / name for name in [*PAGES, *EXAMPLES, *MODELS]), *golden("")]
    sources = [path for folder in folders for path in (ROOT / folder).rglob("*")]
    for path in [*listed, *(path for path in sources if GOLDEN not in path.parents)]:
        if path.is_file() and path.suffix in suffixes and "__pycache__" not in path.parts:
            text = path.read_text(encoding="utf-8", errors="ignore")
            if machine_path.search(text):
                found.append(relative(path))
    assert found == []
