from __future__ import annotations

import importlib
import logging
import re
from collections.abc import Iterator

import pytest

import caffe_lite as caffe
from caffe_lite import pycaffe
from caffe_lite.errors import CaffeError
from caffe_lite.pycaffe import nccl

TOP_LEVEL = """
    Net SGDSolver NesterovSolver AdaGradSolver RMSPropSolver AdaDeltaSolver AdamSolver NCCL Timer
    init_log log set_mode_cpu set_mode_gpu set_device Layer get_solver layer_type_list
    set_random_seed solver_count set_solver_count solver_rank set_solver_rank set_multiprocess
    has_nccl __version__ TRAIN TEST Classifier Detector io layers params NetSpec to_proto
    pycaffe net_spec coord_map classifier detector draw proto
"""

MEMBERS = {
    "Net": """blobs blob_loss_weights layer_dict params inputs outputs top_names bottom_names
        layers forward backward forward_all forward_backward_all set_input_arrays reshape
        clear_param_diffs copy_from share_with save save_hdf5 load_hdf5 before_forward
        after_forward before_backward after_backward _forward _backward _batch _blobs _blob_names
        _layer_names _inputs _outputs _top_ids _bottom_ids _blob_loss_weights
        _set_input_arrays""",
    "SGDSolver": """net test_nets iter add_callback solve step restore snapshot share_weights
        apply_update param lr""",
    "Layer": "blobs setup reshape type phase",
    "Timer": "start stop ms",
    "Classifier": "predict",
    "Detector": "detect_windows detect_selective_search crop configure_crop",
}


@pytest.mark.parametrize("name", TOP_LEVEL.split())
def test_pycaffe_has_this_name(name: str) -> None:
    assert getattr(caffe, name) is not None
    assert name == "__version__" or name in caffe.__all__
    assert name in dir(caffe)


@pytest.mark.parametrize("name", ["Net", "Classifier", "Detector", "Timer", "SGDSolver"])
def test_and_its_classes_these_members(name: str) -> None:
    given = {
        "Net": lambda: caffe.Net(caffe.proto.caffe_pb2.NetParameter(), caffe.TEST),
        "SGDSolver": lambda: caffe.SGDSolver(_solver()),
    }
    found = given.get(name, lambda: getattr(caffe, name))()
    assert [member for member in MEMBERS[name].split() if not hasattr(found, member)] == []


def _solver() -> object:
    param = caffe.proto.caffe_pb2.SolverParameter(base_lr=0.1, lr_policy="fixed", max_iter=1)
    param.net_param.layer.add(name="x", type="Input", top=["x"])
    return param


@pytest.mark.parametrize("name", pycaffe.__all__)
def test_the_compiled_part_has_the_same_objects(name: str) -> None:
    found = getattr(pycaffe, name)
    if name in caffe.__all__:
        assert found is getattr(caffe, name)


def test_every_public_name_is_typed_and_there() -> None:
    source = importlib.util.find_spec("caffe_lite")
    assert source is not None
    assert source.origin is not None
    with open(source.origin, encoding="utf-8") as file:
        declared = re.findall(r"^    from [\w.]+ import (\w+) as \1$", file.read(), re.MULTILINE)
    assert sorted(declared) == sorted(set(caffe.__all__) - {"TEST", "TRAIN", "__version__"})
    assert caffe._caffe is pycaffe
    assert caffe.TRAIN == caffe.proto.caffe_pb2.TRAIN
    assert caffe.TEST == caffe.proto.caffe_pb2.TEST
    with pytest.raises(AttributeError, match="no attribute 'Nets'"):
        _ = caffe.Nets  # type: ignore[attr-defined]
    with pytest.raises(AttributeError, match="no attribute 'caffe_pb3'"):
        _ = caffe.proto.caffe_pb3  # type: ignore[attr-defined]


def test_parameters_are_lists_of_the_compiled_parts_type() -> None:
    made = caffe.layers.InnerProduct(caffe.layers.Input(shape={"dim": [2, 3]}), num_output=4)
    net = caffe.Net(made.to_proto(), caffe.TEST)
    blobs = net.params["InnerProduct1"]
    assert type(blobs) is type(net.layers[1].blobs) is caffe._caffe.BlobVec
    assert [blob.shape for blob in blobs] == [(4, 3), (4,)]
    assert caffe._caffe.BlobVec().add_blob(2, 5).shape == (2, 5)


def test_vectors_are_lists() -> None:
    assert pycaffe.LayerVec is list
    net = caffe.Net(caffe.proto.caffe_pb2.NetParameter(), caffe.TEST)
    assert isinstance(net.layers, pycaffe.LayerVec)


def test_one_process_trains(monkeypatch: pytest.MonkeyPatch) -> None:
    """The others are started by mpirun, and the message has the command."""
    words = ["--solver=my solver.prototxt", "--gpus", "0", "1", "3", "--timing"]
    monkeypatch.setattr("sys.argv", ["train.py", *words, "--snapshot", "a.solverstate"])
    assert not caffe.has_nccl()
    assert (caffe.solver_count(), caffe.solver_rank()) == (1, 0)
    caffe.set_solver_count(1)
    caffe.set_solver_rank(0)
    caffe.set_multiprocess(True)
    for refused in (
        lambda: caffe.set_solver_count(2),
        lambda: caffe.set_solver_rank(1),
        lambda: caffe.NCCL(None, "x"),
        lambda: caffe.NCCL.new_uid(),
    ):
        with pytest.raises(CaffeError) as caught:
            refused()
        assert str(caught.value).endswith(
            "run: mpirun -n 3 caffe-lite train -solver 'my solver.prototxt' "
            "-snapshot a.solverstate"
        )


@pytest.mark.parametrize("words", [[], ["positional", "--gpus", "0"], ["--solver"]])
def test_a_command_without_what_the_program_was_not_told(words: list[str]) -> None:
    assert nccl.command(words) == "mpirun -n RANKS caffe-lite train -solver SOLVER"


def test_any_device_is_accepted() -> None:
    caffe.set_device(3)
    caffe.set_mode_cpu()
    caffe.set_mode_gpu()


@pytest.fixture
def logger() -> Iterator[logging.Logger]:
    logger = logging.getLogger("caffe_lite")
    handlers, level, propagate = list(logger.handlers), logger.level, logger.propagate
    yield logger
    logger.handlers[:] = handlers
    logger.setLevel(level)
    logger.propagate = propagate


@pytest.mark.usefixtures("logger")
def test_the_log_is_glogs(capsys: pytest.CaptureFixture[str]) -> None:
    caffe.init_log()
    caffe.log("as of old")
    line = capsys.readouterr().err
    assert re.fullmatch(
        r"I\d{4} \d\d:\d\d:\d\d\.\d{6} +\d+ test_names\.py:\d+\] as of old\n", line
    )
    caffe.init_log(1, True)
    caffe.log("unimportant")
    logging.getLogger("caffe_lite").warning("important")
    err = capsys.readouterr().err
    assert err.startswith("W")
    assert err.count("\n") == 1
    caffe.init_log(0, False)
    caffe.log("nobody reads it")
    assert capsys.readouterr().err == ""
