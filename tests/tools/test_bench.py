from __future__ import annotations

import json

import pytest

import caffe_lite as caffe
from caffe_lite.kernels import jit as _jit
from tools.bench import command, cost, isolated, measure, merged, nets, report, rows, variants

PARAMETERS = {  # of the published Caffe models, BatchNorm's statistics included
    "alexnet": 60_965_224,
    "cifar10_quick": 145_578,
    "googlenet": 6_998_552,
    "lenet": 431_080,
    "mobilenet": 4_253_891,
    "mobilenet_ssd": 5_821_468,
    "resnet50": 25_610_269,
    "segnet": 29_449_355,
    "squeezenet": 1_235_496,
    "ssd300": 26_285_486,
    "vgg16": 138_357_544,
}
LAST_PLANES = {
    "alexnet": ("pool5", (256, 6, 6)),
    "cifar10_quick": ("pool3", (64, 4, 4)),
    "googlenet": ("5b/out", (1024, 7, 7)),
    "lenet": ("pool2", (50, 4, 4)),
    "mobilenet": ("conv14/sep", (1024, 7, 7)),
    "mobilenet_ssd": ("conv14/sep", (1024, 10, 10)),
    "resnet50": ("res5c", (2048, 7, 7)),
    "segnet": ("pool5", (512, 12, 15)),
    "squeezenet": ("conv10", (1000, 14, 14)),
    "ssd300": ("conv4_3", (512, 38, 38)),
    "vgg16": ("pool5", (512, 7, 7)),
}
OUTPUTS = {  # the numbers of boxes, and of classes
    "mobilenet_ssd": {
        "mbox_loc": (1, 4 * 1917),
        "mbox_conf_flatten": (1, 21 * 1917),
        "mbox_priorbox": (1, 2, 4 * 1917),
    },
    "segnet": {"prob": (1, 11, 360, 480)},
    "ssd300": {
        "mbox_loc": (1, 4 * 8732),
        "mbox_conf_flatten": (1, 21 * 8732),
        "mbox_priorbox": (1, 2, 4 * 8732),
    },
}


def build(tmp_path, text, phase=caffe.TEST):
    path = tmp_path / "net.prototxt"
    path.write_text(text)
    return caffe.Net(str(path), phase)


@pytest.mark.parametrize("name", sorted(nets.NETS))
def test_nets_are_the_published_ones(tmp_path, monkeypatch, name):
    monkeypatch.setattr("caffe_lite.fillers.fill", lambda *_: None)
    net = build(tmp_path, nets.prototxt(name, 1, False))
    assert sum(blob.count for layer in net.layers for blob in layer.blobs) == PARAMETERS[name]
    blob, shape = LAST_PLANES[name]
    assert net.blobs[blob].shape == (1, *shape)
    outputs = OUTPUTS.get(name, {"prob": (1, nets.NETS[name].classes)})
    found = {each: net.blobs[each].shape for each in net.outputs}
    assert {each: shape[: len(outputs[each])] for each, shape in found.items()} == outputs


def test_training_nets_have_a_loss(tmp_path):
    net = build(tmp_path, nets.prototxt("lenet", 3, True), caffe.TRAIN)
    assert net.outputs == ["loss"]
    assert net.blobs["data"].shape == (3, 1, 28, 28)


def test_images_of_another_size(tmp_path):
    net = build(tmp_path, nets.prototxt("squeezenet", 2, False, (3, 64, 96)))
    assert net.blobs["data"].shape == (2, 3, 64, 96)


def test_costs_of_a_convolution(tmp_path):
    net = build(tmp_path, nets.prototxt("lenet", 2, True), caffe.TRAIN)
    conv1 = [layer.name for layer in net.layers].index("conv1")
    flops = 2 * 2 * 20 * 24 * 24 * 25
    ahead = cost.forward(net, conv1)
    assert ahead == (flops, 4 * (2 * 28 * 28 + 2 * 20 * 24 * 24 + 20 * 25 + 20))
    assert cost.backward(net, conv1).flops == flops  # the image needs no gradient
    assert cost.backward(net, conv1 + 2).flops == 2 * cost.forward(net, conv1 + 2).flops
    assert ahead.floor(gflops=1, bandwidth=1e9) == pytest.approx(1e-9 * flops)


def test_rows_have_names_that_find_them():
    assert [rows.parse(row.key) for row in rows.ROWS] == list(rows.ROWS)
    assert rows.parse("lenet:5") == rows.Row("lenet", 5)
    for key in ("lenet", "lenet:", "lenet:0", "lenet:x", "lenet:1:test"):
        with pytest.raises(ValueError, match=key):
            rows.parse(key)


def test_passes_are_as_many_as_wanted():
    assert len(measure.passes(lambda: None, 0)) == 1
    assert len(measure.passes(lambda: None, 0, 3)) == 3
    assert measure.median([3.0, 1.0, 2.0]) == 2.0
    assert measure.peak_memory() > 10


def test_tables_line_up():
    lines = report.table(("a", "ms"), [["long name", "1"], ["b", "100"]]).splitlines()
    assert len(set(map(len, lines))) == 1
    assert lines[1] == "|-----------|----:|"
    assert report.number(None) == "-"
    assert [report.number(x) for x in (1234.5, 12.345, 0.1234)] == ["1234", "12.3", "0.123"]


def test_a_net_before_and_after_it_is_merged(tmp_path, monkeypatch):
    def body():
        net = nets.Text()
        top = net.relu(net.conv_norm("conv", "data", 5, 3))
        net.add("BN", "bn", net.conv("last", top, 4, 2), "bn", "bn_param { bn_mode: INFERENCE }")
        return net

    monkeypatch.setitem(nets.NETS, "tiny", nets.Architecture(body, "", (3, 7, 6)))
    monkeypatch.setitem(merged.NETS, "small", "tiny")
    row = merged.row("small", str(tmp_path), 1, 0)
    assert row["layers"] == {"before": 7, "after": 4}
    assert all(0 < error < 1e-5 for error in row["error"].values())
    assert min(row["median_ms"].values()) > 0


def test_functions_run_in_a_process_of_their_own():
    found = isolated.call("os:getenv", threads=3, key="NUMBA_NUM_THREADS")
    assert found == "3"
    with pytest.raises(RuntimeError, match="os:abort"):
        isolated.call("os:abort", threads=1)


@pytest.mark.parametrize("name", variants.CONTESTS)
def test_variants_compute_the_same(name):
    contest = variants.contest(name)
    for kernel in (contest.kernel, *contest.rivals.values()):
        assert contest.error(kernel) <= contest.tolerance


def test_a_wrong_variant_is_found():
    contest = variants.contest("lrn")

    def wrong(x, size, alpha, beta, k, y):
        contest.kernel(x, size - 2, alpha, beta, k, y)

    assert contest.error(wrong) > contest.tolerance


@pytest.mark.skipif(bool(_jit.config.DISABLE_JIT), reason="without a compiler it takes minutes")
def test_the_smallest_row(tmp_path, capsys):
    words = ["--rows", "lenet:1", "--rounds", "1", "--peers", "none", "--threads", "2"]
    words += ["--attempts", "1"]
    assert command.main([*words, "--output", str(tmp_path)]) == 0
    assert "lenet 1" in capsys.readouterr().out
    found = json.loads((tmp_path / "nets.json").read_text())
    ours = found["nets"][0]["sides"]["ours"]
    assert 0 < ours["least_ms"] <= ours["median_ms"] < 1e3
    assert found["environment"]["threads"] == 2
    assert (tmp_path / "nets.md").read_text().startswith("# Whole nets\n")
