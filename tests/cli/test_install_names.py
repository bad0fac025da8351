"""Caffe's programs under their old names, run by the shell."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from caffe_lite import __version__, cli, launchers
from caffe_lite.errors import CaffeError

ROOT = Path(cli.__file__).resolve().parents[2]

pytestmark = pytest.mark.skipif(os.name != "posix", reason="a POSIX shell runs them")


def run(folder, *words):
    environment = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT)}
    return subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True)


@pytest.fixture(scope="module")
def programs(tmp_path_factory):
    """A folder, with a space in its name, in which the programs were made."""
    folder = tmp_path_factory.mktemp("names") / "caffe root"
    assert cli.main(["install_names", str(folder)]) == 0
    return folder


@pytest.mark.parametrize(
    "name",
    [
        "caffe",
        "convert_imageset",
        "build/tools/caffe",
        "build/tools/caffe.bin",
        ".build_release/tools/caffe.bin",
        "build/tools/compute_image_mean",
        "build/tools/extract_features.bin",
        "build/tools/upgrade_net_proto_text.bin",
        "build/examples/mnist/convert_mnist_data.bin",
        "build/examples/cifar10/convert_cifar_data.bin",
        "build/examples/siamese/convert_mnist_siamese_data.bin",
        "build/examples/cpp_classification/classification.bin",
    ],
)
def test_the_names_that_scripts_call(programs, name):
    script = programs / name
    assert os.access(script, os.X_OK)
    words = script.read_text().splitlines()[-1]
    assert words.startswith("exec ")


def test_each_name_runs_its_command(programs):
    for made in ("caffe", "build/tools/caffe.bin"):
        assert run(programs, f"./{made}", "--version").stdout == f"caffe-lite {__version__}\n"
    for name, command in {**launchers.TOOLS, **launchers.EXAMPLES}.items():
        part = "tools" if name in launchers.TOOLS else "examples"
        last = (programs / "build" / part / f"{name}.bin").read_text().splitlines()[-1]
        assert last.endswith(f'main()\' {command} "$@"' if command else 'main()\' "$@"')
        assert not command or command in cli.COMMANDS
    assert {*launchers.REPLACED} == {*cli.REPLACED}


def test_words_arrive_as_they_were_typed(programs):
    said = run(programs, "build/tools/compute_image_mean", "no such 'db'", "a b").stderr
    assert said.startswith("there is no database \"no such 'db'\"")


def test_an_old_program_says_what_replaces_it(programs):
    done = run(programs, "./build/tools/train_net.bin", "solver.prototxt")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("train_net is replaced by: caffe-lite train -solver")


def test_files_in_the_current_folder_are_not_imported(programs, tmp_path):
    (tmp_path / "argparse.py").write_text("raise SystemExit('the wrong one')\n")
    assert run(tmp_path, programs / "caffe", "device_query").returncode == 0


def test_a_path_to_python_with_a_space_and_a_quote(tmp_path):
    python = tmp_path / "it's here" / "python"
    python.parent.mkdir()
    python.write_text('#!/bin/sh\nshift 2; echo "$@"\n')
    python.chmod(0o755)
    (tmp_path / "program").write_text(launchers.launcher(str(python), "train"))
    assert run(tmp_path, "/bin/sh", "program", "-solver", "s").stdout == "train -solver s\n"


def test_it_can_be_made_again(programs):
    before = {path: path.read_bytes() for path in programs.rglob("*") if path.is_file()}
    assert cli.main(["install_names", str(programs)]) == 0
    assert before == {path: path.read_bytes() for path in programs.rglob("*") if path.is_file()}


def test_a_file_of_the_user_s_is_not_replaced(tmp_path, capsys):
    mine = tmp_path / "build" / "tools" / "caffe.bin"
    mine.parent.mkdir(parents=True)
    mine.write_text("mine")
    assert cli.main(["install_names", str(tmp_path)]) == 1
    assert capsys.readouterr().err == (
        f"{mine} is there and was not made by this command; -force replaces it and all others\n"
    )
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [mine]
    assert cli.main(["install_names", "-force", str(tmp_path)]) == 0
    assert "caffe_lite" in mine.read_text()


def test_a_link_is_replaced_and_not_what_it_names(tmp_path):
    mine = tmp_path / "mine"
    mine.write_text("mine")
    (tmp_path / "names").mkdir()
    (tmp_path / "names" / "caffe").symlink_to(mine)
    with pytest.raises(CaffeError, match="was not made by this command"):
        launchers.install(tmp_path / "names")
    launchers.install(tmp_path / "names", force=True)
    assert mine.read_text() == "mine"


@pytest.mark.parametrize("layout", ["link", "folders"])
def test_caffe_s_own_build_folders(tmp_path, layout):
    (tmp_path / ".build_release").mkdir()
    if layout == "link":  # as make leaves it
        (tmp_path / "build").symlink_to(".build_release")
    launchers.install(tmp_path)
    assert (tmp_path / "build").is_symlink() == (layout == "link")
    for build in "build", ".build_release":
        assert os.access(tmp_path / build / "tools" / "caffe.bin", os.X_OK)


def test_a_folder_in_the_place_of_a_program(tmp_path, capsys):
    (tmp_path / "caffe").mkdir()
    assert cli.main(["install_names", "-force", str(tmp_path)]) == 1
    assert capsys.readouterr().err.startswith(f"{tmp_path / 'caffe'} is a folder")
    assert os.listdir(tmp_path) == ["caffe"]


def test_what_cannot_be_written_is_one_line(tmp_path, capsys):
    (tmp_path / "build").write_text("a file")
    assert cli.main(["install_names", str(tmp_path)]) == 1
    assert capsys.readouterr().err.count("\n") == 1
