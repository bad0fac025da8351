from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from caffe_lite import __version__, cli
from caffe_lite.cli import test as test_command
from caffe_lite.cli.examples import EXAMPLES
from caffe_lite.cli.parser import Parser
from caffe_lite.errors import DataError, Location
from tests.project import GOLDEN

ROOT = Path(cli.__file__).parents[2]


@pytest.mark.parametrize("words", [["--help"], ["-h"], ["-help"], ["help"]])
def test_help_lists_every_command_in_its_group(capsys, words):
    assert cli.main(words) == 0
    out = capsys.readouterr().out
    for title, commands in cli.GROUPS.items():
        assert f"\n{title}:\n" in out
        for name, what in commands.items():
            assert re.search(rf"^  {name} +{re.escape(what)}$", out, re.MULTILINE)
    assert max(map(len, out.splitlines())) <= 80


@pytest.mark.parametrize("command", cli.COMMANDS)
def test_every_command_has_help(capsys, command, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    assert cli.main([command, "--help"]) == 0
    out, err = capsys.readouterr()
    assert out.startswith(f"usage: caffe-lite {command}")
    assert err == ""
    before, _, examples = out.partition("\nexamples:\n")
    assert before.splitlines()[-1].split() == ["-help", "print", "this", "and", "exit"]
    assert max(map(len, out.splitlines())) <= 80
    assert f"  caffe-lite {command}" in examples
    assert cli.main([command, "-h"]) == cli.main(["help", command]) == 0
    assert capsys.readouterr().out == 2 * out


@pytest.mark.parametrize("command", cli.COMMANDS)
def test_the_examples_in_the_help_are_valid(command):
    lines = re.sub(r"     \(.*\)$|\\\n", "", "\n".join(EXAMPLES[command]), flags=re.MULTILINE)
    shown = [line for line in lines.split("\n") if line.startswith(f"caffe-lite {command} ")]
    assert shown or command == "device_query"
    parser, _ = cli.parser_of(command)
    for line in shown:
        words = shlex.split(re.sub(r" 2?> \S+$", "", line))
        assert parser.parse(words[2:]).command == command


def test_prose_is_filled_and_tables_are_kept(monkeypatch):
    description = "One two\nthree four.  Five six seven.\n\n  0  a   1  b\n  2  c   3  d\n"
    monkeypatch.setenv("COLUMNS", "40")
    text = Parser("p", description).format_help()
    assert "\nOne two three four. Five six seven.\n\n  0  a   1  b\n  2  c   3  d\n" in text


@pytest.mark.parametrize("program", cli.REPLACED)
def test_old_programs_name_their_successor(capsys, program):
    assert cli.main([program, "a", "b"]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"{program} is replaced by: caffe-lite ")
    assert err.count("\n") == 1
    assert err.split(": caffe-lite ")[1].split()[0] in cli.COMMANDS


def test_dashes_in_a_command_are_underscores(capsys):
    assert cli.main(["device-query"]) == 0
    assert capsys.readouterr().out.startswith("Device:")


def test_a_switch_does_not_take_the_next_word(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["convert_imageset", "--gray", "--shuffle", "images/", "list", "db"]) == 1
    assert capsys.readouterr().err.startswith('cannot read the image list "list"')


def test_a_flag_file_that_includes_itself(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a").write_text("-flagfile=b\n")
    (tmp_path / "b").write_text("-flagfile=a\n")
    assert cli.main(["train", "-flagfile=a"]) == 2
    assert "the flag file a includes itself" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["--version"], ["-version"], ["train", "--version"]])
def test_version(capsys, words):
    assert cli.main(words) == 0
    assert capsys.readouterr().out == f"caffe-lite {__version__}\n"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ([], "usage: caffe-lite COMMAND"),
        (["trian"], "there is no command trian; did you mean train?"),
        (["xyzzy"], "there is no command xyzzy; caffe-lite --help lists"),
        (["train"], "required: -solver/--solver"),
        (["train", "-solver", "s", "-snapshot", "a", "-weights", "b"], "not both"),
        (["train", "-solver", "s", "-sigint_effect", "explode"], "invalid choice: 'explode'"),
        (["train", "-solver", "s", "-level", "high"], "invalid int value: 'high'"),
        (
            ["train", "-solver", "s", "-sovler", "t"],
            "there is no flag -sovler; did you mean -solv",
        ),
        (["train", "-solvr", "s"], "there is no flag -solvr; did you mean -solver?"),
        (["train", "--solvr=s"], "there is no flag --solvr; did you mean --solver?"),
        (["train", "-level", "-5", "-xyzzy"], "no flag -xyzzy; caffe-lite train -help lists its"),
        (["train", "s.prototxt"], "s.prototxt has no flag before it; did you mean -solver s.pr"),
        (["test", "-model", "m", "w"], "w has no flag before it; did you mean -weights w?"),
        (["test", "-iter", "5"], "there is no flag -iter; did you mean -iterations?"),
        (["convert_imageset", "-grey", "a/", "b", "c"], "no flag -grey; did you mean -gray?"),
        (["-solver", "s", "trian"], "there is no command trian; did you mean train?"),
        (["train", "-solver", "s", "-continue-on-nan=maybe"], "'maybe' is neither true nor false"),
        (["test", "-model", "m"], "required: -weights/--weights"),
        (["test", "-weights", "w"], "required: -model/--model"),
        (["test", "-model", "m", "-weights", "w", "-iterations", "0"], "'0' is not an integer"),
        (["time", "-model", "m", "-iterations", "few"], "'few' is not an integer"),
        (["time", "-model", "m", "-phase", "VAL"], "invalid choice: 'VAL'"),
        (["convert_mnist_data", "a", "b"], "required: DB"),
        (["convert_imagset", "train", "l", "db"], "convert_imagset; did you mean convert_images"),
        (["-solver", "s"], "no command given; caffe-lite --help lists all"),
        (["train", "-flagfile", "nowhere"], "cannot read the flag file nowhere: No such file"),
        (["train", "-flagfile"], "cannot read the flag file that -flagfile needs"),
    ],
)
def test_wrong_usage_exits_2(capsys, words, says):
    assert cli.main(words) == 2
    assert says in capsys.readouterr().err


@pytest.fixture
def seen(monkeypatch):
    """The arguments that `caffe-lite test` was run with."""
    got = []
    monkeypatch.setattr(test_command, "run", lambda args: got.append(args) or 0)
    return got


@pytest.mark.parametrize(
    "words",
    [
        ["test", "-model", "m", "-weights", "w", "-iterations", "7"],
        ["test", "--model", "m", "--weights", "w", "--iterations", "7"],
        ["test", "-model=m", "-weights=w", "-iterations=7"],
        ["test", "--model=m", "--weights=w", "--iterations=7"],
        ["-iterations", "7", "--model=m", "test", "-weights", "w"],
        ["-flagfile=a.flags", "test", "-weights", "w"],
        ["test", "--flagfile", "b.flags"],
        ["test", "-flagfile=c.flags,a.flags"],
    ],
)
def test_all_of_gflags_spellings(seen, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.flags").write_text("# what to score\n\n-model=m\n  --iterations 7\n")
    (tmp_path / "b.flags").write_text("-flagfile=a.flags\n-weights=w\n")
    (tmp_path / "c.flags").write_text("-weights w\n-allow-python-layers\n")
    assert cli.main(words) == 0
    (args,) = seen
    assert (args.model, args.weights, args.iterations) == ("m", "w", 7)


@pytest.mark.parametrize(
    ("words", "value"),
    [
        ([], False),
        (["--allow-python-layers"], True),
        (["-allow_python_layers"], True),
        (["--allow_python_layers=false"], False),
        (["--allow_python_layers", "--noallow_python_layers"], False),
        (["-logtostderr", "-allow_python_layers=true", "-alsologtostderr=1"], True),
    ],
)
def test_switches(seen, words, value):
    assert cli.main(["test", "-model", "m", "-weights", "w", *words]) == 0
    assert seen[0].allow_python_layers is value


def test_defaults_are_caffe_s(seen):
    cli.main(["test", "-model", "m", "-weights", "w"])
    args = seen[0]
    assert (args.iterations, args.level, args.stage, args.gpu) == (50, None, "", None)


@pytest.mark.parametrize(
    ("error", "code", "says"),
    [
        (DataError("no such thing", Location("a.prototxt", 3, 7)), 1, "a.prototxt:3:7: no such"),
        (OSError(28, "No space left on device"), 1, "No space left on device"),
        (PermissionError(13, "Permission denied", "x.txt"), 1, "x.txt: Permission denied"),
        (MemoryError(), 1, "out of memory: use a smaller batch"),
        (MemoryError("4 GB"), 1, "out of memory: 4 GB"),
        (KeyboardInterrupt(), 130, "interrupted"),
    ],
)
def test_errors_are_one_line_and_a_code(capsys, monkeypatch, error, code, says):
    def run(_):
        raise error

    monkeypatch.setattr(test_command, "run", run)
    assert cli.main(["test", "-model", "m", "-weights", "w"]) == code
    err = capsys.readouterr().err
    assert err.startswith(says)
    assert err.count("\n") == 1


def test_a_reader_that_goes_away_is_no_error():
    program = (
        "import sys\n"
        "from caffe_lite import cli\n"
        "from caffe_lite.cli import test\n"
        "def run(args):\n"
        "    for _ in range(100000):\n"
        "        print('line')\n"
        "    return 0\n"
        "test.run = run\n"
        "sys.exit(cli.main(['test', '-model', 'm', '-weights', 'w']))\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    process.stdout.readline()
    process.stdout.close()
    _, err = process.communicate(timeout=60)
    assert err == b""
    assert process.returncode == 1


def test_help_imports_nothing_slow():
    program = (
        "import sys\n"
        "from caffe_lite import cli\n"
        "cli.main(['--help']); cli.main(['train', '--help'])\n"
        "slow = {'numpy', 'numba', 'google'} & set(sys.modules)\n"
        "sys.exit(', '.join(slow) or 0)\n"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr


def test_module_is_the_command():
    run = subprocess.run(
        [sys.executable, "-m", "caffe_lite", "--version"], capture_output=True, text=True
    )
    assert (run.returncode, run.stdout) == (0, f"caffe-lite {__version__}\n")


def test_any_file_name_can_be_printed(tmp_path):
    run = subprocess.run(
        [sys.executable, "-m", "caffe_lite", "compute_image_mean", b"\xff\xc3\xa4"],
        capture_output=True,
        env={**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONPATH": str(ROOT)},
        cwd=tmp_path,
    )
    assert run.returncode == 1
    assert run.stderr.startswith(b'there is no database "\\udcff\\xe4"')


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["train", "-solver", "net.prototxt"], "this is a net, as it has"),
        (["train", "-solver", "init.caffemodel"], "this is a caffemodel, where a prototxt is"),
        (["train", "-solver", "state.solverstate"], "this is a solverstate, where a prototxt"),
        (["train", "-solver", "train.h5"], "this is an HDF5 file"),
        (["test", "-model", "solver.prototxt", "-weights", "w"], "this is a solver, as it has"),
        (["test", "-model", "init.caffemodel", "-weights", "net.prototxt"], "this is a caffemod"),
        (["test", "-model", "net.prototxt", "-weights", "net.prototxt"], "but this is text"),
        (["test", "-model", "net.prototxt", "-weights", "state.solverstate"], "is a solverstate"),
        (["test", "-model", "net.prototxt", "-weights", "train.h5"], "has no weights"),
        (["test", "-model", "net.prototxt", "-weights", "state.solverstate.h5"], "a solverstate"),
        (["train", "-solver", "solver.prototxt", "-snapshot", "init.caffemodel"], "a caffemodel"),
        (["train", "-solver", "solver.prototxt", "-snapshot", "net.caffemodel.h5"], "a caffemod"),
        (["train", "-solver", "solver.prototxt", "-snapshot", "net.prototxt"], "this is text"),
        (
            ["train", "-solver", "solver.prototxt", "-snapshot", "stat.solverstate"],
            "you mean state",
        ),
    ],
)
def test_a_file_of_another_kind_is_named(folder, capsys, words, says):
    for kind in "solverstate", "solverstate.h5", "caffemodel.h5":
        shutil.copy(
            GOLDEN
            / "solvers"
            / f"{'sgd_hdf5_snapshot' if 'h5' in kind else 'adam'}_iter_15.{kind}",
            folder / f"{'state' if 'state' in kind else 'net'}.{kind}",
        )
    assert cli.main([*words, "-minloglevel", "2"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert says in line
