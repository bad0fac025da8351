"""Rules of fields: which fields each filler and each layer reads, in all combinations."""

from __future__ import annotations

from pathlib import Path

import pytest

from caffe_lite.checking import Report, Severity, check
from tests.checking.files import SOLVER, changed, found, of

FIELDS = {"value": 0.3, "min": -0.2, "max": 0.4, "mean": 0.2, "std": 0.5, "sparse": 2,
          "variance_norm": "AVERAGE"}  # fmt: skip
READ = {  # of Caffe's filler.hpp
    "constant": {"value"},
    "uniform": {"min", "max"},
    "gaussian": {"mean", "std", "sparse"},
    "positive_unitball": set(),
    "xavier": {"variance_norm"},
    "msra": {"variance_norm"},
}


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def checked(config: str, type_: str = "InnerProduct", name: str = "inner_product_param",
            more: str = "") -> Report:  # fmt: skip
    Path("net.prototxt").write_text(f"""name: "n"
layer {{ name: "data" type: "Input" top: "x" input_param {{ shape {{ dim: 2 dim: 3 }} }} }}
layer {{ name: "it" type: "{type_}" bottom: "x" top: "y"
  {name} {{ {config} }} {more} }}
""")
    return check("net.prototxt")


@pytest.mark.parametrize("type_", READ)
def test_what_each_filler_reads(type_: str) -> None:
    for field, value in FIELDS.items():
        report = checked(f'num_output: 4 weight_filler {{ type: "{type_}" {field}: {value} }}')
        rules = [] if field in READ[type_] else ["ineffective-field"]
        refused = [] if field != "sparse" or type_ == "gaussian" else ["invalid-filler"]
        assert sorted(found(report)) == rules + refused, (type_, field)
        if rules:
            finding = of(report, "ineffective-field")
            assert f'filler "{type_}" does not read {field}' in finding.message
            line = Path("net.prototxt").read_text().splitlines()[3]
            assert finding.location is not None
            assert finding.location.line == 4
            assert line[finding.location.column - 1 :].startswith(str(value))


def test_a_filler_of_a_bias_that_is_not_there() -> None:
    filler = 'bias_filler { type: "constant" value: 1 }'
    assert found(checked(f"num_output: 4 {filler}")) == []
    assert found(checked(f"num_output: 4 bias_term: true {filler}")) == []
    report = checked(f"num_output: 4 bias_term: false {filler}")
    assert [(each.rule, each.severity) for each in report.findings] == [
        ("ineffective-field", Severity.NOTE)
    ]
    assert "bias_filler has no effect without a bias" in str(report)
    report = checked(f"{filler}", "Scale", "scale_param")  # whose bias_term is false by default
    assert found(report) == ["ineffective-field"]
    assert found(checked(f"bias_term: true {filler}", "Scale", "scale_param")) == []


def test_a_loss_param_belongs_to_losses() -> None:
    report = checked("num_output: 4", more="loss_param { normalize: true }")
    assert found(report) == ["ineffective-field"]
    assert "InnerProduct is no loss and does not read loss_param" in str(report)
    assert found(checked("num_output: 4", more="loss_weight: 0")) == []


def test_a_message_of_another_type() -> None:
    report = checked("num_output: 4", more="convolution_param { num_output: 3 }")
    assert found(report) == ["ineffective-field"]
    assert "does not read convolution_param; remove it, or correct the type" in str(report)
    report = checked("num_output: 4", "Unknown")
    assert found(report) == ["unknown-type"]  # nobody knows what that reads


def test_a_field_of_a_fork_that_has_no_effect() -> None:
    """It is no message, so the type may be right."""
    report = checked("num_output: 4", more='engine: "MKL2017"')
    assert found(report) == ["ineffective-field"]
    assert report.findings[0].message == "engine has no effect here; remove it"


def test_fillers_that_cannot_fill() -> None:
    for config, says in (
        ('type: "gausian"', 'did you mean "gaussian"'),
        ('type: "uniform" min: 2 max: 1', ""),
    ):
        report = checked(f"num_output: 4 weight_filler {{ {config} }}")
        assert "invalid-filler" in found(report) or says == ""
        if says:
            assert says in of(report, "invalid-filler").message
    sparse = 'type: "gaussian" std: 1 sparse: 3'  # of 4 outputs; the rule tries a smaller array
    assert found(checked(f"num_output: 4 weight_filler {{ {sparse} }}")) == []


def test_unknown_fields_are_counted() -> None:
    report = checked("num_output: 4 gain: 1 gain: 2 gain: 3 other: 1")
    assert found(report) == ["unknown-field"] * 2
    first, second = report.findings
    assert 'no field "gain"' in first.message
    assert ", 3 times; remove it, or have it ignored" in first.message
    assert "times" not in second.message
    assert first.location is not None
    assert (first.location.line, first.location.column) == (4, 39)


def test_fields_of_a_solver_that_nothing_reads() -> None:
    checked("num_output: 4")
    solver = changed(SOLVER, "test_iter: 3\ntest_interval: 20\n", "")
    Path("solver.prototxt").write_text(solver)
    plain = check("solver.prototxt")
    assert "ineffective-field" not in found(plain)
    Path("solver.prototxt").write_text(solver + "reduce_memory: 1\n")
    assert "unknown-field" in found(check("solver.prototxt"))
