"""Rules of solvers at their bounds: what is still right, and what is just wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from caffe_lite.checking import Report, check
from tests.checking.files import NET, SOLVER, changed, found, of, write


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def checked(**fields: object) -> Report:
    """The report on the solver with other fields; None for one that is left out."""
    lines = [line for line in SOLVER.splitlines() if line.split(":")[0] not in fields]
    for name, value in fields.items():
        values = value if isinstance(value, list) else [] if value is None else [value]
        lines += [f'{name}: "{v}"' if isinstance(v, str) else f"{name}: {v}" for v in values]
    write(solver="\n".join(lines) + "\n")
    return check("solver.prototxt")


NONE: list[str] = []
STEP: dict[str, object] = {"gamma": None, "stepsize": None}


@pytest.mark.parametrize(
    ("fields", "rules"),
    [
        # what each policy reads
        ({"lr_policy": "fixed", **STEP}, NONE),
        ({"lr_policy": "fixed", **STEP, "gamma": 0.1}, ["policy-fields"]),
        ({"lr_policy": "fixed", **STEP, "stepsize": 3}, ["policy-fields"]),
        ({"lr_policy": "fixed", **STEP, "power": 3}, ["policy-fields"]),
        ({"lr_policy": "fixed", **STEP, "stepvalue": [3, 4]}, ["policy-fields"]),
        ({"lr_policy": "exp", **STEP, "gamma": 0.9}, NONE),
        ({"lr_policy": "exp", **STEP}, ["policy-fields"]),
        ({"lr_policy": "inv", **STEP, "gamma": 0.9, "power": 2}, NONE),
        ({"lr_policy": "inv", **STEP, "gamma": 0.9}, ["policy-fields"]),
        ({"lr_policy": "inv", **STEP}, ["policy-fields"] * 2),
        ({"lr_policy": "multistep", **STEP, "gamma": 0.9, "stepvalue": 3}, NONE),
        ({"lr_policy": "multistep", **STEP, "gamma": 0.9}, ["policy-fields"]),
        ({"lr_policy": "poly", **STEP, "power": 2}, NONE),
        ({"lr_policy": "poly", **STEP}, ["policy-fields"]),
        ({"lr_policy": "sigmoid"}, NONE),
        ({"lr_policy": "sigmoid", "stepsize": None}, ["policy-fields"]),
        # what each type reads
        ({"type": "SGD"}, NONE),
        ({"type": "Nesterov"}, NONE),
        ({"type": "AdaGrad", "momentum": None}, NONE),
        ({"type": "AdaGrad", "momentum": None, "delta": 0.1}, NONE),
        ({"type": "AdaGrad", "momentum": None, "rms_decay": 0.1}, ["solver-type-fields"]),
        ({"type": "RMSProp", "momentum": None, "delta": 0.1, "rms_decay": 0.1}, NONE),
        ({"type": "AdaDelta", "momentum": 0.95, "delta": 0.1}, NONE),
        ({"type": "AdaDelta", "momentum": 0.95, "momentum2": 0.1}, ["solver-type-fields"]),
        ({"type": "Adam", "momentum2": 0.99, "delta": 0.1}, NONE),
        ({"delta": 0.1, "rms_decay": 0.1}, ["solver-type-fields"] * 2),
        # when a step comes
        ({"stepsize": 89}, NONE),
        ({"stepsize": 90}, ["late-step"]),
        ({"stepsize": 90, "max_iter": 1}, ["idle-tests", "late-step"]),
        ({"lr_policy": "multistep", "stepsize": None, "stepvalue": [3, 7, 89]}, NONE),
        ({"lr_policy": "multistep", "stepsize": None, "stepvalue": [3, 3]}, ["late-step"]),
        ({"lr_policy": "multistep", "stepsize": None, "stepvalue": [7, 3]}, ["late-step"]),
        ({"lr_policy": "multistep", "stepsize": None, "stepvalue": [3, 7, 5]}, ["late-step"]),
        ({"lr_policy": "multistep", "stepsize": None, "stepvalue": 90}, ["late-step"]),
        ({"lr_policy": "multistep", "stepsize": None, "stepvalue": [91, 95]}, ["late-step"] * 2),
        # rates
        ({"base_lr": 0.0}, ["learning-rate"]),
        ({"base_lr": -0.1}, ["learning-rate"]),
        ({"base_lr": 1}, NONE),
        ({"base_lr": 9.9}, NONE),
        ({"base_lr": 10}, ["learning-rate"]),
        ({"base_lr": 10, "type": "AdaDelta", "delta": 0.1}, NONE),
        ({"momentum": 0}, NONE),
        ({"momentum": 0.999}, NONE),
        ({"momentum": 1}, ["learning-rate"]),
        ({"momentum": -0.1}, ["learning-rate"]),
        ({"momentum": 1, "type": "Nesterov"}, ["learning-rate"]),
        ({"momentum": 1, "type": "AdaDelta", "delta": 0.1}, ["learning-rate"]),
        # how long
        ({"max_iter": 1, "stepsize": None, "gamma": None, "lr_policy": "fixed"}, ["idle-tests"]),
        ({"max_iter": 0}, ["no-iterations"]),
        ({"max_iter": 0, "test_interval": 1000, "stepsize": 900}, ["no-iterations"]),
        ({"max_iter": 0, "lr_policy": "multistep", "stepsize": None, "stepvalue": [3, 9]},
         ["no-iterations"]),
        # tests
        ({"test_interval": 90}, NONE),
        ({"test_interval": 91}, ["idle-tests"]),
        ({"test_iter": 1}, NONE),
        ({"test_iter": 0}, ["idle-tests"]),
        ({"test_iter": None}, ["idle-tests", "untested-net"]),
        ({"test_iter": None, "test_interval": 1}, ["idle-tests", "untested-net"]),
        ({"test_iter": None, "test_interval": None}, ["untested-net"]),
        ({"weight_decay": 0.0}, ["no-weight-decay"]),
    ],
)  # fmt: skip
def test_what_is_found_at_the_bounds(fields, rules):
    assert sorted(found(checked(**fields))) == rules


def test_what_a_message_says_to_do():
    report = checked(lr_policy="multistep", stepsize=None, gamma=None)
    (first, second) = report.findings
    assert first.message.endswith("reads gamma, which is not set and so is 0; set it")
    assert second.message.endswith("reads stepvalue, which is not set; set it")
    finding = of(checked(lr_policy="multistep", stepsize=None, stepvalue=[3, 50, 20]), "late-step")
    assert "stepvalue 20 is not above the one before, 50; put them in order" in finding.message
    assert "use 0.9" in of(checked(momentum=1), "learning-rate").message
    assert "base_lr is 0;" in of(checked(base_lr=0.0), "learning-rate").message
    assert "base_lr is not set" in of(checked(base_lr=None), "learning-rate").message
    for first, says in (("true", "no test runs but the one before"), ("false", "no test runs")):
        report = checked(test_interval=100)
        Path("solver.prototxt").write_text(
            Path("solver.prototxt").read_text() + f"test_initialization: {first}\n"
        )
        message = of(check("solver.prototxt"), "idle-tests").message
        assert says in message
        assert ("before the first iteration" in message) == (first == "true")
        assert "is above max_iter 90" in message


def test_each_test_net_that_tests_nothing_is_told():
    report = checked(net=None, train_net="net.prototxt", test_net=["net.prototxt"] * 3,
                     test_iter=[0, 2, 0])  # fmt: skip
    lines = Path("solver.prototxt").read_text().splitlines()
    wanted = [index + 1 for index, line in enumerate(lines) if line == "test_iter: 0"]
    assert [each.location.line for each in report.findings] == wanted


@pytest.mark.parametrize(
    ("more", "rules"),
    [
        ("", ["untested-net"]),
        ('stage: "s"', ["untested-net"]),
        ("} include { phase: TRAIN", NONE),
        ("} include { min_level: 0", NONE),
    ],
)
def test_a_layer_for_test_only_asks_for_a_test(more, rules):
    """It has rules, all of which say TEST; only the first such layer is told."""
    solver = changed(SOLVER, "test_iter: 3\ntest_interval: 20\n", "")
    net = NET[: NET.index('layer { name: "data" type: "ImageData" top: "data" top: "label" '
                          "include { phase: TEST }")]  # fmt: skip
    rest = NET[NET.index('layer { name: "conv1"') :]
    write(net=net + changed(rest, "{ phase: TEST }", f"{{ phase: TEST {more} }}"), solver=solver)
    assert found(check("solver.prototxt")) == rules
    everywhere = changed(rest, "include { phase: TEST }", "")
    write(net=net + everywhere, solver=solver)
    assert found(check("solver.prototxt")) == NONE
    trained = changed(rest, "include { phase: TEST }", "include { phase: TRAIN }")
    write(net=net + trained, solver=solver)
    assert found(check("solver.prototxt")) == NONE


@pytest.mark.parametrize(
    ("fields", "rules"),
    [
        ({"snapshot_prefix": "small"}, NONE),
        ({"snapshot_prefix": "gone/small"}, ["snapshot-folder"]),
        ({"snapshot_prefix": "gone/small", "snapshot": 10}, ["snapshot-folder"]),
        ({"snapshot_prefix": "here/small", "snapshot": 10}, NONE),
    ],
)
def test_the_folder_of_snapshots(fields, rules):
    Path("here").mkdir()
    assert found(checked(**fields)) == rules


@pytest.mark.parametrize(("more", "rules"), [("", NONE), ("snapshot: 5\n", ["snapshot-folder"])])
def test_a_folder_that_nothing_is_written_to_need_not_be(more, rules):
    solver = changed(SOLVER, '"small"', '"gone/small"') + "snapshot_after_train: false\n" + more
    write(solver=solver)
    assert found(check("solver.prototxt")) == rules


def test_the_hint_for_a_folder_of_snapshots(monkeypatch):
    Path("home/models/one").mkdir(parents=True)
    Path("home/out").mkdir()
    write(solver=changed(SOLVER, '"small"', '"out/small"'))
    for name in ("net.prototxt", "solver.prototxt", "train.txt", "test.txt"):
        Path(name).rename(f"home/models/one/{name}")
    home = Path("home").resolve()
    solver = Path("home/models/one/solver.prototxt").read_text()
    message = of(check("home/models/one/solver.prototxt"), "snapshot-folder").message
    assert message.endswith(f"run this from {home}")
    Path("home/models/one/solver.prototxt").write_text(changed(solver, '"out/', '"other/'))
    message = of(check("home/models/one/solver.prototxt"), "snapshot-folder").message
    assert message.endswith("create it")


def test_rules_of_solvers_find_nothing_in_a_net_without_one():
    write()
    assert check("net.prototxt").findings == ()


def test_an_unknown_type_is_told_once():
    report = checked(type="SGDD")
    assert found(report) == ["invalid-solver"]
    lines = Path("solver.prototxt").read_text().splitlines()
    assert report.findings[0].location.line == lines.index('type: "SGDD"') + 1
