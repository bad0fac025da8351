from __future__ import annotations

import subprocess
import sys

import pytest

from caffe_lite import __version__, cli
from caffe_lite.cli import test as test_command
from caffe_lite.errors import DataError, Location


@pytest.mark.parametrize("words", [["--help"], ["-h"], ["-help"]])
def test_help_lists_every_command(capsys, words):
    assert cli.main(words) == 0
    out = capsys.readouterr().out
    for name, what in cli.COMMANDS.items():
        assert f"  {name} " in out
        assert what in out


@pytest.mark.parametrize("command", cli.COMMANDS)
def test_every_command_has_help(capsys, command):
    assert cli.main([command, "--help"]) == 0
    assert capsys.readouterr().out.startswith(f"usage: caffe-lite {command}")


def test_version(capsys):
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out == f"caffe-lite {__version__}\n"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ([], "usage: caffe-lite COMMAND"),
        (["trian"], "there is no command trian; did you mean train?"),
        (["xyzzy"], "there is no command xyzzy; one of train, test, time"),
        (["train"], "required: -solver/--solver"),
        (["train", "-solver", "s", "-snapshot", "a", "-weights", "b"], "not both"),
        (["train", "-solver", "s", "-sigint_effect", "explode"], "invalid choice: 'explode'"),
        (["train", "-solver", "s", "-level", "high"], "invalid int value: 'high'"),
        (["train", "-solver", "s", "-sovler", "t"], "unrecognized arguments: -sovler t"),
        (["train", "-solver", "s", "-continue-on-nan=maybe"], "'maybe' is neither true nor false"),
        (["test", "-model", "m"], "required: -weights/--weights"),
        (["test", "-weights", "w"], "required: -model/--model"),
        (["test", "-model", "m", "-weights", "w", "-iterations", "0"], "'0' is not a whole"),
        (["time", "-model", "m", "-iterations", "few"], "'few' is not a whole number"),
        (["time", "-model", "m", "-phase", "VAL"], "invalid choice: 'VAL'"),
        (["convert_mnist_data", "a", "b"], "required: DB"),
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
    ],
)
def test_all_of_gflags_spellings(seen, words):
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
        (MemoryError(), 1, "out of memory: a smaller batch needs less"),
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
