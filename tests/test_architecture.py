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


def levels(name: str) -> dict[str, int]:
    """The level of each part: a part imports parts on lower levels, and itself."""
    rows = [row.split(" | ") for row in reversed(contract(name, "layers"))]
    if ["cli"] in rows:
        rows.insert(rows.index(["cli"]), [""])  # caffe_lite/__init__.py: the public names
    return {part: level for level, row in enumerate(rows) for part in row}


def shared_layer_files() -> set[str]:
    """The files of layers/ that all its families may import."""
    allowed = (line.split(" -> ") for line in contract("layer-families", "ignore_imports"))
    return {target.rpartition(".")[2] for source, target in allowed if source.endswith("*")}


LEVELS = levels("levels")
ROOMS = {"kernels": levels("kernel-rooms"), "net": levels("net-rooms")}
# Where a level says too much: what else of the package these may import.
ONLY = {
    "kernels": set(),
    "proto": {"arguments", "errors", "glog", "limits", "reading", "unfinished"},
    "data": {
        "arguments",
        "distributed",
        "errors",
        "glog",
        "kernels.image",
        "limits",
        "proto",
        "reading",
        "rng",
    }
    | {"states", "unfinished"},
}
FAMILY = 99  # the level of a family of kernels, above all that setup.cfg names
KERNELS_OF = {  # the rooms of families whose kernels are more than a file, or another family's
    "batch_norm": "norm",
    "convolution": "conv",
    "dense_block": "conv",
    "lstm": "recurrent",
    "normalization": "norm",
    "pooling": "pool",
    "roi_pooling": "pool",
}
WITHOUT_LAYERS = {"image", "update"}  # kernels of the readers and of the solvers
WITHOUT_KERNELS = {"annotated_data", "data", "image_gt_data", "image_pairs", "python", "video"}
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


def imports(path: Path, only_when_run: bool = False) -> Iterator[str]:
    """The modules of the package that a file imports, without the leading "caffe_lite.".

    only_when_run: without those that only a type checker imports.
    """
    body = [node for node in tree(path).body if not (only_when_run and for_types(node))]
    for node in ast.walk(ast.Module(body, [])):
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


def for_types(node: ast.stmt) -> bool:
    """Whether a statement is ``if TYPE_CHECKING: ...``."""
    return isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"


def layer_families() -> set[str]:
    """The files of layers/, less those that the others share."""
    return {path.stem for path in (PACKAGE / "layers").glob("[!_]*.py")} - shared_layer_files()


def kernel_families() -> set[str]:
    """The parts of kernels/ that are on no level below: what layers, readers and solvers call."""
    parts = {path.stem for path in (PACKAGE / "kernels").iterdir()}
    return {part for part in parts if not part.startswith("_")} - set(ROOMS["kernels"])


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
            allowed = {"layers", *(f"layers.{name}" for name in shared_layer_files())}
            assert target in allowed, f"net imports {target}"


@each([path for folder in ROOMS for path in sorted((PACKAGE / folder).rglob("*.py"))])
def test_imports_inside_of_a_folder_go_one_way(path: Path) -> None:
    folder, _, inner = module_name(path).partition(".")
    part = inner.partition(".")[0]
    if not part:
        return  # the folder's own __init__.py
    rooms = ROOMS[folder]
    assert folder == "kernels" or part in rooms, f"{part}: on which level is it? (setup.cfg)"
    for target in imports(path):
        if target.startswith(f"{folder}.") and (other := target.split(".")[1]) != part:
            assert rooms.get(other, FAMILY) < rooms.get(part, FAMILY), f"{part} imports {target}"


@each(SOURCES)
def test_rooms_of_kernels_are_entered_by_their_doors(path: Path) -> None:
    inside = module_name(path).split(".")[:2]
    for target in imports(path):
        names = target.split(".")
        if names[0] == "kernels" and names[:2] != inside:
            assert len(names) <= 2, f"import from caffe_lite.kernels.{names[1]}, not from {target}"


@pytest.mark.parametrize("folder", ["kernels", "net"])
def test_no_circle_of_imports(folder: str) -> None:
    files = [path for path in (PACKAGE / folder).rglob("*.py") if path.name != "__init__.py"]
    graph = {module_name(path): set(imports(path, only_when_run=True)) for path in files}
    TopologicalSorter(graph).prepare()


@each(sorted((PACKAGE / "layers").glob("[!_]*.py")))
def test_a_family_of_layers_stands_alone(path: Path) -> None:
    allowed = {f"layers.{name}" for name in shared_layer_files()}
    own = f"caffe_lite.{module_name(path)} -> caffe_lite."
    lines = contract("layer-families", "ignore_imports")
    allowed |= {line.removeprefix(own) for line in lines if line.startswith(own)}
    for target in imports(path):
        assert target in allowed or not target.startswith("layers."), f"imports {target}"


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
    assert "kernels.parallel" not in set(imports(PACKAGE / "kernels" / "image.py"))


def test_every_family_of_layers_has_kernels() -> None:
    wanted = {KERNELS_OF.get(name, name) for name in layer_families() - WITHOUT_KERNELS}
    assert kernel_families() - WITHOUT_LAYERS == wanted


@pytest.mark.parametrize("family", sorted(layer_families() - WITHOUT_CASES))
def test_every_family_has_cases(family: str) -> None:
    assert (ROOT / "tests" / "cases" / f"{family}.py").is_file()


@pytest.mark.parametrize("family", sorted(layer_families() - WITHOUT_CASES - WITHOUT_KERNELS))
def test_every_family_has_an_oracle(family: str) -> None:
    assert (ROOT / "tests" / "oracles" / f"{family}.py").is_file()


@pytest.mark.parametrize("part", sorted({*ROOMS["kernels"], *kernel_families()}))
def test_every_part_of_kernels_has_its_tests(part: str) -> None:
    inside = {path.stem for path in (PACKAGE / "kernels" / part).glob("[!_]*.py")}
    tested = {path.stem.removeprefix("test_") for path in (ROOT / "tests/kernels").iterdir()}
    assert {part, *inside} & tested


@each(sorted((ROOT / "tests" / "oracles").glob("*.py")))
def test_oracles_know_nothing_of_the_package(path: Path) -> None:
    assert not list(imports(path))


@pytest.mark.parametrize("family", sorted(layer_families() - WITHOUT_CASES))
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


@each(sorted((PACKAGE / "kernels").rglob("*.py")))
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
