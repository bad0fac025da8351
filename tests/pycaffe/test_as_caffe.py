"""Programs written for pycaffe, each in a process of its own, where ``caffe`` is this package."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

NET = """
name: "pythonnet" force_backward: true
layer { name: "in" type: "Input" top: "x" input_param { shape { dim: 3 dim: 2 } } }
layer { name: "one" type: "Python" bottom: "x" top: "one"
  python_param { module: "MODULE" layer: "TimesTen" } }
layer { name: "two" type: "Python" bottom: "one" top: "two"
  python_param { module: "MODULE" layer: "TimesTen" } }
"""

LAYER = """
import caffe

class TimesTen(caffe.Layer):
    def setup(self, bottom, top):
        self.params = {"factor": 10}
        self.name = "mine"

    def reshape(self, bottom, top):
        top[0].reshape(*bottom[0].data.shape)

    def forward(self, bottom, top):
        top[0].data[...] = self.params["factor"] * bottom[0].data

    def backward(self, top, propagate_down, bottom):
        bottom[0].diff[...] = 10 * top[0].diff
"""

USE = """
import sys
import caffe

net = caffe.Net("net.prototxt", caffe.TEST)
net.blobs["x"].data[...] = 3
assert (net.forward()["two"] == 300).all()
net.blobs["two"].diff[...] = 7
net.backward()
assert (net.blobs["x"].diff == 700).all()
assert isinstance(net.layers[1], caffe.Layer)
assert net.layers[1].params == {"factor": 10}
print("arguments", sys.argv[1:])
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "net.prototxt").write_text(NET.replace("MODULE", "program"))
    return tmp_path


def run(folder: Path, *arguments: str, fails: bool = False) -> str:
    """What a Python process says; its errors with `fails`."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "NUMBA_DISABLE_JIT": "1"}
    done = subprocess.run(
        [sys.executable, "-W", "error", *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert bool(done.returncode) == fails, done.stderr
    return done.stderr if fails else done.stdout


def program(folder: Path, text: str, name: str = "program.py") -> str:
    (folder / name).write_text(textwrap.dedent(text))
    return name


NAMES = """
    import caffe_lite
    caffe_lite.install_as_caffe()
    caffe_lite.install_as_caffe()

    import caffe
    import caffe.io
    import caffe.draw
    import caffe._caffe
    import caffe.proto.caffe_pb2
    import caffe.net_spec as ns
    from caffe import layers as L, params as P, to_proto, pycaffe
    from caffe.coord_map import crop
    from caffe.net_spec import Top
    from caffe.proto import caffe_pb2
    from caffe.proto.caffe_pb2 import NetParameter
    from caffe.pycaffe import *
    from caffe.classifier import Classifier
    from caffe.detector import Detector

    assert caffe is caffe_lite
    assert caffe.io.Transformer is caffe_lite.io.Transformer
    assert caffe_pb2 is caffe.proto.caffe_pb2 is caffe_lite.proto.caffe_pb2
    assert Net is caffe.Net is caffe._caffe.Net
    assert Classifier is caffe.Classifier and issubclass(Classifier, caffe.Net)
    assert isinstance(L.Input(shape=dict(dim=1)), Top) and ns.Top is Top
    assert isinstance(to_proto(L.Input()), NetParameter)
    assert P.Pooling.MAX == 0 and L.Convolution
    for module in (caffe, caffe.io, caffe.proto, caffe.proto.caffe_pb2, pycaffe):
        assert module.__name__.startswith("caffe_lite"), module
        assert module.__spec__.name == module.__name__, module.__spec__
    import caffe_lite.io, importlib
    assert caffe_lite.io is caffe.io
    assert importlib.util.find_spec("caffe.nothing") is None
    try:
        import caffe.nothing
    except ModuleNotFoundError as error:
        print(error)
"""


def test_every_module_is_the_same_under_both_names(folder: Path) -> None:
    assert run(folder, program(folder, NAMES)) == "No module named 'caffe.nothing'\n"


@pytest.mark.parametrize("first", ["import caffe", "import caffe_lite as caffe"])
def test_message_classes_need_no_import_of_their_own(folder: Path, first: str) -> None:
    text = f"""
        {first}
        print(caffe.proto.caffe_pb2.Datum(label=3).label, caffe._caffe.BlobVec.__name__)
    """
    assert run(folder, "-m", "caffe_lite.as_caffe", program(folder, text)) == "3 BlobVec\n"


THEIRS = """
    import sys
    sys.path.insert(0, "ssd/python")
    import caffe
    from caffe import model_libs
    from caffe.model_libs import *
    from caffe.more.deep import DEEP
    from caffe.proto import fork_pb2
    import caffe.more.deep

    assert caffe.model_libs is model_libs is sys.modules["caffe.model_libs"]
    assert model_libs.__name__ == model_libs.__spec__.name == "caffe.model_libs"
    assert model_libs.net is caffe.Net and HERE == 5
    assert caffe.more.deep.DEEP == DEEP == 6 and fork_pb2.FORK == 7
    assert caffe.io.__name__ == "caffe_lite.io"
    from caffe.bare.x import BARE
    assert BARE == 8
    try:
        from caffe import nothing
    except ImportError as error:
        print(error)
"""


def test_a_module_of_another_caffe_is_looked_for_on_the_path(folder: Path) -> None:
    """Its own __init__, which needs a compiled part, does not run, nor what this package has."""
    (folder / "ssd/python/caffe/more").mkdir(parents=True)
    (folder / "ssd/python/caffe/proto").mkdir()
    (folder / "ssd/python/caffe/bare").mkdir()
    for name, text in {
        "__init__": "raise ImportError('no _caffe.so')",
        "io": "raise ImportError('no skimage')",
        "model_libs": "from caffe import Net as net\nHERE = 5",
        "more/__init__": "",
        "more/deep": "from caffe.model_libs import HERE\nDEEP = HERE + 1",
        "proto/fork_pb2": "FORK = 7",
        "bare/x": "BARE = 8",
    }.items():
        program(folder, text, f"ssd/python/caffe/{name}.py")
    told = run(folder, "-m", "caffe_lite.as_caffe", program(folder, THEIRS))
    assert told.startswith("cannot import name 'nothing' from 'caffe_lite'")


def test_a_program_that_defines_its_layers(folder: Path) -> None:
    """pycaffe would import the program once more; here its own class is found."""
    name = program(folder, LAYER + USE)
    assert run(folder, "-m", "caffe_lite.as_caffe", name, "a", "-b") == "arguments ['a', '-b']\n"


def test_a_program_that_imports_its_layers(folder: Path) -> None:
    program(folder, LAYER)
    name = program(folder, "import program\n" + USE, "main.py")
    assert run(folder, "-m", "caffe_lite.as_caffe", name) == "arguments []\n"


def test_a_module_run_as_a_program(folder: Path) -> None:
    program(folder, LAYER + USE)
    told = run(folder, "-m", "caffe_lite.as_caffe", "-m", "program", "x")
    assert told == "arguments ['x']\n"


def test_layers_that_a_net_would_import_need_leave(folder: Path) -> None:
    program(folder, LAYER)
    name = program(folder, USE, "main.py")
    refused = run(folder, "-m", "caffe_lite.as_caffe", name, fails=True)
    assert 'would import and run "program.TimesTen"' in refused
    allowed = run(folder, "-m", "caffe_lite.as_caffe", "--allow-python-layers", name)
    assert allowed == "arguments []\n"


def test_a_layer_that_a_net_imports_has_caffe(folder: Path) -> None:
    """Its program knows this package by its own name only."""
    program(folder, LAYER)
    program(folder, "raise ImportError('of another Caffe')", "caffe.py")
    text = """
        import caffe_lite
        net = caffe_lite.Net("net.prototxt", caffe_lite.TEST, python_layers=True)
        net.blobs["x"].data[...] = 2
        print(net.forward()["two"].sum())
    """
    assert run(folder, program(folder, text, "main.py")) == "1200.0\n"


def test_it_has_so_on_the_command_line(folder: Path) -> None:
    program(folder, LAYER.replace("top[0].data[...] =", "print(self.phase); top[0].data[...] ="))
    words = ["-m", "caffe_lite", "time", "-model", "net.prototxt", "-iterations", "1"]
    refused = run(folder, *words, fails=True)
    assert refused.splitlines()[-1].startswith("net.prototxt:5:")
    allowed = run(folder, *words, "-allow-python-layers", "-phase", "TEST")
    assert set(allowed.splitlines()) == {"TEST"}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("import no_such_module", "ModuleNotFoundError: No module named 'no_such_module'"),
        ("print 'Python 2'", r"program.py:1: Missing parentheses .*; caffe_lite runs Python 3"),
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("TimesTen = 3", r'"program.TimesTen" is not a class derived from caffe_lite.Layer'),
    ],
)
def test_a_module_that_cannot_be_imported_is_one_line(folder: Path, text: str, says: str) -> None:
    program(folder, text)
    words = ["-m", "caffe_lite", "summarize", "net.prototxt", "-allow-python-layers"]
    (line,) = run(folder, *words, fails=True).splitlines()
    assert re.match(r'net.prototxt:5:\d+: layer "one" \(Python\): ', line)
    assert re.search(says, line)
    assert "Traceback" not in line


@pytest.mark.parametrize("where", ["setup", "forward", "library"])
def test_what_a_layer_raises_is_one_line_on_the_command_line(folder: Path, where: str) -> None:
    failing = "raise IndexError('too far')" if where != "library" else "np.zeros(3).reshape(2)"
    head = (
        "def setup(self, bottom, top):" if where == "setup" else "def forward(self, bottom, top):"
    )
    text = LAYER.replace(head, f"{head}\n        {failing}")
    program(folder, f"import numpy as np\n{text}")
    line = text.splitlines().index(f"        {failing}") + 2
    words = ["-m", "caffe_lite", "time", "-model", "net.prototxt", "-allow-python-layers"]
    told = run(folder, *words, fails=True).splitlines()[-1]
    what = "IndexError: too far" if where != "library" else "ValueError: cannot reshape array"
    name = "setup" if where == "setup" else "forward"
    assert told.startswith(f"program.py:{line}: in {name}: {what}")


def test_another_caffe_is_not_replaced_behind_its_users_back(folder: Path) -> None:
    program(folder, "", "caffe.py")
    name = program(folder, "import caffe, caffe_lite\ncaffe_lite.install_as_caffe()\n")
    told = run(folder, name, fails=True)
    assert "another caffe has been imported already, from " in told


def test_a_file_of_that_name_may_stand_for_it(folder: Path) -> None:
    program(folder, "import caffe_lite\ncaffe_lite.install_as_caffe()\n", "caffe.py")
    name = program(folder, "import caffe.io\nfrom caffe import Net\nprint(caffe.__name__)\n")
    assert run(folder, name) == "caffe_lite\n"


ERRORS = """
    import caffe

    class Fails(caffe.Layer):
        def setup(self, bottom, top):
            if self.param_str == "setup":
                raise RuntimeError("of setup")
        def reshape(self, bottom, top):
            top[0].reshape()
        def forward(self, bottom, top):
            if self.param_str == "forward":
                raise KeyError("of forward")
            if self.param_str == "stop":
                raise KeyboardInterrupt
            top[0].data[()] = self.phase
        def backward(self, top, propagate_down, bottom):
            pass

    TEXT = '''layer { name: "layer" type: "Python" top: "phase"
        python_param { module: "program" layer: "Fails" param_str: "%s" } }'''

    def net(what, phase=caffe.TEST):
        with open("fails.prototxt", "w") as file:
            file.write(TEXT % what)
        return caffe.Net("fails.prototxt", phase)

    for phase in caffe.TRAIN, caffe.TEST:
        assert net("", phase).forward()["phase"] == phase
    for what, error in ("setup", RuntimeError), ("forward", KeyError), ("stop", KeyboardInterrupt):
        try:
            net(what).forward()
        except error as caught:
            assert type(caught) is error and not isinstance(caught, caffe.CaffeError)
        else:
            raise AssertionError(what)
    assert net("").forward()["phase"] == caffe.TEST  # nothing is left locked
"""


def test_what_a_layer_raises_arrives_as_it_is(folder: Path) -> None:
    run(folder, "-m", "caffe_lite.as_caffe", program(folder, ERRORS))


OWN_BLOBS = """
    import caffe

    class Param(caffe.Layer):
        def setup(self, bottom, top):
            self.blobs.add_blob(1)
            self.blobs[0].data[0] = 0
        def reshape(self, bottom, top):
            top[0].reshape(10)
        def forward(self, bottom, top):
            pass
        def backward(self, top, propagate_down, bottom):
            self.blobs[0].diff[0] = 1

    with open("own.prototxt", "w") as file:
        file.write('''force_backward: true
            layer { type: "Python" name: "layer" top: "top"
              python_param { module: "program" layer: "Param" } }''')
    net = caffe.Net("own.prototxt", caffe.TRAIN)
    net.forward()
    net.backward()
    layer = net.layers[list(net._layer_names).index("layer")]
    assert layer.blobs[0].data[0] == 0 and layer.blobs[0].diff[0] == 1
    layer.blobs[0].data[0] += layer.blobs[0].diff[0]
    net.save("own.caffemodel")
    layer.blobs[0].data[0] = -1
    net.copy_from("own.caffemodel")
    assert layer.blobs[0].data[0] == 1
    other = caffe.Net("own.prototxt", caffe.TRAIN)
    other.share_with(net)
    layer.blobs[0].data[0] = 5
    assert other.layers[0].blobs[0].data[0] == 5
    assert list(net.params) == ["layer"]
"""


def test_a_layer_with_weights_of_its_own(folder: Path) -> None:
    run(folder, "-m", "caffe_lite.as_caffe", program(folder, OWN_BLOBS))


def test_the_import_is_quick_and_pulls_in_nothing(folder: Path) -> None:
    name = program(
        folder,
        """
        import sys, time
        began = time.perf_counter()
        import caffe_lite
        assert time.perf_counter() - began < 0.3
        assert not {"numpy", "numba", "google.protobuf"} & set(sys.modules)
        """,
    )
    run(folder, name)
