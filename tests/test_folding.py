"""merge_bn: other weights and fewer layers, the same results; what cannot be folded stays."""

from __future__ import annotations

import numpy as np
import pytest

import caffe_lite as caffe
from caffe_lite import cli
from caffe_lite.errors import WeightsError
from caffe_lite.folding import merge_bn
from caffe_lite.proto import caffe_pb2, files, text
from tests.net import source
from tests.net.fork_nets.layers import Layers
from tests.net.fork_nets.mobilenet import _Bottlenecks

SPREAD = 'filler { type: "uniform" min: -1 max: 1 }'
WEIGHTS = f"weight_{SPREAD} bias_{SPREAD}"
HEAD = """layer { name: "in" type: "Input" top: "x"
  input_param { shape { dim: 2 dim: 6 dim: 7 dim: 5 } } }
"""
CONV = f'type: "Convolution" convolution_param {{ num_output: 4 kernel_size: 3 {WEIGHTS} }}'
PADDED = CONV.replace("kernel_size: 3", "kernel_size: 3 pad: 1")
GROUPS = CONV.replace("num_output: 4", "num_output: 4 group: 2")
NO_BIAS = CONV.replace("num_output: 4", "num_output: 4 bias_term: false")
DEPTHWISE = CONV.replace("Convolution", "DepthwiseConvolution").replace("4", "6 group: 6")
DEPTHWISE_2 = CONV.replace("Convolution", "ConvolutionDepthwise").replace("4", "6")
DECONV = f"""type: "Deconvolution"
  convolution_param {{ num_output: 4 kernel_size: 3 stride: 2 pad: 1 group: 2 {WEIGHTS} }}"""
DENSE = f'type: "InnerProduct" inner_product_param {{ num_output: 4 {WEIGHTS} }}'
TRANSPOSED = DENSE.replace("num_output", "transpose: true num_output")
BATCH_NORM = 'type: "BatchNorm"'
NVIDIA = f'type: "BatchNorm" batch_norm_param {{ scale_{SPREAD} bias_{SPREAD} }}'
SCALE = f'type: "Scale" scale_param {{ {SPREAD} bias_term: true bias_{SPREAD} }}'
NO_SHIFT = f'type: "Scale" scale_param {{ {SPREAD} }}'
BIAS = f'type: "Bias" bias_param {{ {SPREAD} }}'
BN = f'type: "BN" bn_param {{ slope_{SPREAD} bias_{SPREAD} }}'
INFERENCE = f'type: "BN" bn_param {{ bn_mode: INFERENCE scale_{SPREAD} shift_{SPREAD} }}'
LEARN = INFERENCE.replace("INFERENCE", "LEARN")
POWER = 'type: "Power" power_param { scale: -0.7 shift: 0.4 }'
SQUARE = 'type: "Power" power_param { power: 2 scale: 0.7 }'
NO_POWER = 'type: "Power"'
RELU = 'type: "ReLU" relu_param { negative_slope: 0.25 }'
DROPOUT = 'type: "Dropout"'
SCALING = 'type: "Dropout" dropout_param { dropout_ratio: 0.3 scale_train: false }'
DROPPING = 'type: "Dropout" dropout_param { sample_weights_test: true }'


def chain(layers, in_place=True):
    """The layers one after the other; those that keep the shape in place, or none."""
    lines, blob = [HEAD], "x"
    for index, layer in enumerate(layers, 1):
        shaping = any(kind in layer.split()[1] for kind in ("Conv", "conv", "Inner"))
        top = f"b{index}" if shaping or not in_place or blob == "x" else blob
        lines.append(f'layer {{ name: "l{index}" bottom: "{blob}" top: "{top}" {layer} }}\n')
        blob = top
    return "".join(lines)


def trained(content):
    """A net in TEST with statistics such as training leaves, and its weights."""
    caffe.set_random_seed(3)
    net = caffe.Net(source(content), caffe.TEST)
    caffe.set_random_seed(-1)
    draws = np.random.default_rng(4)
    for layer in net.layers:
        if hasattr(layer, "variance"):
            factor = 1.0
            if type(layer).__name__ == "BatchNorm":
                factor = layer.factor.data[0] = 2.5
            layer.variance.data[...] = factor * draws.uniform(0.5, 2, layer.variance.shape)
            layer.mean.data[...] = factor * draws.uniform(-1, 1, layer.mean.shape)
    return net, net.to_proto()


def merged(content):
    """The layers that stay, after the results were compared."""
    net, weights = trained(content)
    result = merge_bn(source(content), weights)
    written = source(text.format(result.net))
    after = caffe.Net(written, caffe.TEST)
    report = after.copy_from(result.weights)
    assert not report.missing
    assert not report.skipped
    draws = np.random.default_rng(5)
    for name in net.inputs:
        values = draws.standard_normal(net.blobs[name].shape)
        net.blobs[name].data[...] = after.blobs[name].data[...] = values
    before, got = net.forward(), after.forward()
    assert list(before) == list(got)
    for name, values in before.items():
        assert np.ptp(values) > 0.1, "something is compared"
        np.testing.assert_allclose(got[name], values, rtol=2e-5, atol=1e-5, err_msg=name)
    names = [layer.name for layer in result.net.layer]
    assert result.layers_before == len(names) + len(result.removed)
    assert names == [name for name in net._layer_names if name in names], "names and order stay"
    return names[1:]


@pytest.mark.parametrize("in_place", [True, False])
@pytest.mark.parametrize(
    ("layers", "left"),
    [
        ([CONV, BATCH_NORM, SCALE], "l1"),
        ([NO_BIAS, BATCH_NORM, SCALE, RELU], "l1 l4"),
        ([GROUPS, NVIDIA], "l1"),
        ([PADDED, BN, RELU, PADDED, BN], "l1 l3 l4"),
        ([DEPTHWISE, BATCH_NORM, SCALE], "l1"),
        ([DEPTHWISE_2, BATCH_NORM, SCALE], "l1"),
        ([DECONV, INFERENCE, BIAS], "l1"),
        ([DENSE, BATCH_NORM, SCALE, RELU, DENSE, NO_SHIFT], "l1 l4 l5"),
        ([TRANSPOSED, BATCH_NORM, BIAS], "l1"),
        # forward, where there is nothing before
        ([BATCH_NORM, CONV], "l2"),
        ([SCALE, GROUPS], "l2"),
        ([BN, DENSE], "l2"),
        ([NVIDIA, TRANSPOSED], "l2"),
        ([SCALE, DEPTHWISE], "l2"),
        ([SCALE, DEPTHWISE_2], "l2"),
        ([NO_SHIFT, PADDED], "l2"),
        ([NO_SHIFT, DECONV], "l2"),
        ([RELU, BATCH_NORM, SCALE, RELU, CONV], "l1 l3 l4 l5"),
        ([RELU, BATCH_NORM, NO_SHIFT, CONV], "l1 l4"),
        # what is left out
        ([CONV, DROPOUT, RELU], "l1 l3"),
        ([CONV, RELU, DROPOUT], "l1 l2"),
        ([CONV, RELU, SCALING, DENSE], "l1 l2 l4"),
        ([CONV, SCALING], "l1"),
        ([CONV, RELU, NO_POWER, DENSE], "l1 l2 l4"),
        # a line is a power of 1
        ([GROUPS, POWER], "l1"),
        ([POWER, DENSE], "l2"),
        ([BATCH_NORM, POWER, NO_BIAS], "l3"),
        ([RELU, POWER, SCALE, RELU], "l1 l3 l4"),
        # what stays
        ([SCALE, PADDED], "l1 l2"),
        ([BATCH_NORM, DECONV], "l1 l2"),
        ([CONV, LEARN], "l1 l2"),
        ([CONV, RELU, BATCH_NORM], "l1 l2 l3"),
        ([CONV, RELU, SCALING, RELU], "l1 l2 l3 l4"),
        ([POWER, PADDED], "l1 l2"),
        ([CONV, SQUARE], "l1 l2"),
    ],
)
def test_a_chain(layers, left, in_place):
    assert merged(chain(layers, in_place)) == left.split()


def test_a_wrong_fold_is_noticed(monkeypatch):
    """The comparison in `merged` can fail."""
    from caffe_lite import folding

    right = folding._scaled_outputs

    def wrong(step, affine):
        weight, *rest = right(step, affine)
        return [weight, *(each * 1.001 for each in rest)]

    monkeypatch.setattr(folding, "_scaled_outputs", wrong)
    with pytest.raises(AssertionError):
        merged(chain([CONV, BATCH_NORM, SCALE]))


@pytest.mark.parametrize("layers", [[SCALE, PADDED], [BATCH_NORM, DECONV]])
def test_at_the_borders_a_shift_could_not_be_folded(layers, monkeypatch):
    """Without the rule about padding the results differ: the rule is needed, not caution."""
    from caffe_lite import folding

    class Flat(np.ndarray):
        def any(self, *args, **settings):
            return np.False_

    right = folding._scaled_inputs

    def hidden(step, affine):
        return right(step, affine._replace(shift=affine.shift.view(Flat)))

    monkeypatch.setattr(folding, "_scaled_inputs", hidden)
    with pytest.raises(AssertionError):
        merged(chain(layers))


# -- more than one reader, more than one user of a weight ----------------------------------


def test_a_blob_that_another_layer_reads_keeps_its_values():
    content = (
        chain([CONV])
        + f"""
        layer {{ name: "bn" bottom: "b1" top: "bn" {BATCH_NORM} }}
        layer {{ name: "act" bottom: "b1" top: "act" {RELU} }}"""
    )
    assert merged(content) == ["l1", "bn", "act"]


def test_a_normalization_goes_forward_past_another_reader():
    content = (
        chain([CONV, RELU])
        + f"""
        layer {{ name: "scale" bottom: "b1" top: "s" {SCALE} }}
        layer {{ name: "l3" bottom: "s" top: "y" {CONV} }}
        layer {{ name: "abs" type: "AbsVal" bottom: "b1" top: "abs" }}"""
    )
    assert merged(content) == ["l1", "l2", "l3", "abs"]


def test_a_dropout_with_several_readers():
    content = (
        chain([CONV])
        + f"""
        layer {{ name: "drop" bottom: "b1" top: "d" {DROPOUT} }}
        layer {{ name: "abs" type: "AbsVal" bottom: "d" top: "y" }}
        layer {{ name: "act" bottom: "d" top: "z" {RELU} }}"""
    )
    assert merged(content) == ["l1", "abs", "act"]


COPIES = f"""
    layer {{ name: "copy" type: "Split" bottom: "b1" top: "p" top: "q" }}
    layer {{ name: "abs" type: "AbsVal" bottom: "p" top: "y" }}
    layer {{ name: "act" bottom: "q" top: "z" {RELU} }}"""


def test_copies_with_a_reader_each():
    assert merged(chain([CONV]) + COPIES) == ["l1", "abs", "act"]


def test_a_copy_that_is_an_output_stays():
    content = chain([CONV]) + COPIES.replace('bottom: "q"', 'bottom: "p"')
    assert merged(content) == ["l1", "copy", "abs", "act"]


def test_a_copy_that_is_overwritten_stays():
    """As in Caffe it shares its bottom's memory, so the other readers see the change."""
    first = f'layer {{ name: "first" bottom: "p" top: "p" {RELU} }}'
    content = chain([CONV]) + COPIES.replace(
        'layer { name: "abs"', f'{first} layer {{ name: "abs"'
    )
    assert merged(content) == ["l1", "copy", "first", "abs", "act"]


def test_a_copy_that_its_only_reader_overwrites_is_left_out():
    content = (
        chain([CONV])
        + f"""
        layer {{ name: "copy" type: "Split" bottom: "b1" top: "p" }}
        layer {{ name: "act" bottom: "p" top: "p" {RELU} }}"""
    )
    assert merged(content) == ["l1", "act"]


@pytest.mark.parametrize("kind", ["Concat", "Slice"])
def test_a_join_or_a_cut_of_one_blob_is_left_out(kind):
    content = (
        chain([CONV])
        + f"""
        layer {{ name: "copy" type: "{kind}" bottom: "b1" top: "c" }}
        layer {{ name: "abs" type: "AbsVal" bottom: "c" top: "y" }}"""
    )
    assert merged(content) == ["l1", "abs"]


def test_a_join_and_a_cut_stay():
    content = (
        chain([CONV])
        + """
        layer { name: "cut" type: "Slice" bottom: "b1" top: "c" top: "d" }
        layer { name: "join" type: "Concat" bottom: "d" bottom: "c" top: "y" }"""
    )
    assert merged(content) == ["l1", "cut", "join"]


def test_an_output_keeps_its_name():
    content = chain([CONV]) + f'layer {{ name: "drop" bottom: "b1" top: "prob" {DROPOUT} }}'
    assert merged(content) == ["l1"]


@pytest.mark.parametrize("first", ["w", "w2"])
def test_weights_that_another_layer_uses_stay(first):
    conv = CONV.replace("num_output: 4", "num_output: 6").replace("size: 3", "size: 1")
    content = (
        HEAD
        + f"""
        layer {{ name: "a" bottom: "x" top: "a" param {{ name: "{first}" }} {conv} }}
        layer {{ name: "bn" bottom: "a" top: "a" {BATCH_NORM} }}
        layer {{ name: "b" bottom: "a" top: "b" param {{ name: "w" }} {conv} }}"""
    )
    assert merged(content) == (["a", "bn", "b"] if first == "w" else ["a", "b"])


def test_statistics_that_are_shared_are_only_read():
    names = " ".join(f'param {{ name: "{name}" lr_mult: 0 }}' for name in "mvf")
    content = (
        HEAD
        + f"""
        layer {{ name: "a" bottom: "x" top: "a" {CONV} }}
        layer {{ name: "bn_a" bottom: "a" top: "a" {names} {BATCH_NORM} }}
        layer {{ name: "b" bottom: "x" top: "b" {CONV} }}
        layer {{ name: "bn_b" bottom: "b" top: "b" {names} {BATCH_NORM} }}"""
    )
    assert merged(content) == ["a", "b"]


def test_layers_of_several_bottoms_stay():
    content = (
        HEAD
        + f"""
        layer {{ name: "copy" type: "AbsVal" bottom: "x" top: "y" }}
        layer {{ name: "c" bottom: "x" bottom: "y" top: "a" top: "b" {CONV} }}
        layer {{ name: "bn" bottom: "a" top: "a" {BATCH_NORM} }}
        layer {{ name: "by" type: "Scale" bottom: "a" bottom: "b" top: "s"
                 scale_param {{ axis: 0 }} }}"""
    )
    assert merged(content) == ["copy", "c", "bn", "by"]


def test_a_scale_along_another_axis_stays():
    scale = SCALE.replace("scale_param {", "scale_param { axis: 2")
    assert merged(chain([CONV, scale])) == ["l1", "l2"]


def test_a_class_of_a_program_stays():
    class Twice(caffe.layers.linear.Scale):
        def forward(self, bottom, top):
            super().forward(bottom, top)
            top[0].data[...] *= 2

    caffe.register("Twice")(Twice)
    try:
        assert merged(chain([CONV, SCALE.replace('"Scale"', '"Twice"')])) == ["l1", "l2"]
    finally:
        caffe.unregister("Twice")


# -- whole nets ----------------------------------------------------------------------------


def mobilenet_ssd():
    """Separable convolutions with a head, as in MobileNet-SSD before it was merged."""
    net = Layers(32, "in")
    top, channels = net.conv_norm("conv0", "data", 8, 3, "stride: 2 pad: 1"), 8
    net.relu(top)
    for index, (outputs, stride) in enumerate([(16, 1), (24, 2), (24, 1), (32, 2)], 1):
        settings = f"bias_term: false stride: {stride}"
        top = net.deep("DepthwiseConvolution", f"conv{index}/dw", top, channels, settings)
        net.norm(top, f"{top}/bn", f"{top}/scale")
        top = net.relu(net.conv_norm(f"conv{index}", net.relu(top), outputs, 1))
        channels = outputs
    for part, outputs in (("loc", 12), ("conf", 63)):
        net.conv(f"mbox_{part}", top, outputs, 1)
    return net


def segnet():
    """An encoder and a decoder, with BN in INFERENCE and Dropout."""
    net = Layers(32, "in")
    top, masks = "data", []
    for index, outputs in enumerate((8, 12), 1):
        top = net.conv(f"conv{index}", top, outputs, 3, "pad: 1")
        net.add(
            "BN", f"{top}_bn", top, top, INFERENCE.partition(" bn_param")[2].join(["bn_param", ""])
        )
        net.act(f"relu{index}", top)
        masks.append(f"pool{index}_mask")
        pool = f'top: "{masks[-1]}" pooling_param {{ pool: MAX kernel_size: 2 stride: 2 }}'
        top = net.same("Pooling", f"pool{index}", top, pool)
        net.dropout(top, 0.5)
    for index, outputs in ((2, 8), (1, 5)):
        up = net.same(
            "Upsample", f"up{index}", f"{top} {masks[index - 1]}", "upsample_param { scale: 2 }"
        )
        top = net.conv(f"decode{index}", up, outputs, 3, "pad: 1")
        net.add(
            "BN", f"{top}_bn", top, top, INFERENCE.partition(" bn_param")[2].join(["bn_param", ""])
        )
    return net


def resnet():
    """Residual blocks, BatchNorm and Scale in place."""
    net = Layers(32, "in")
    top = net.act("conv1_relu", net.conv_norm("conv1", "data", 16, 7, "stride: 2 pad: 3"))
    for stage, width in enumerate((8, 12), 2):
        for index in range(2):
            name, stride = f"res{stage}{'ab'[index]}", "" if index else "stride: 2"
            short = top if index else net.conv_norm(f"{name}_1", top, 4 * width, 1, stride)
            inner = net.relu(net.conv_norm(f"{name}_2a", top, width, 1, stride))
            inner = net.relu(net.conv_norm(f"{name}_2b", inner, width, 3, "pad: 1"))
            inner = net.conv_norm(f"{name}_2c", inner, 4 * width, 1)
            top = net.relu(net.same("Eltwise", name, f"{short} {inner}"))
    net.dense("fc", net.pool("pool", top, "pool: AVE global_pooling: true"), 10)
    return net


@pytest.mark.parametrize("build", [mobilenet_ssd, segnet, resnet])
def test_a_net_has_no_normalization_left(build):
    filled = "\n".join(build().layers)
    for kind in ("convolution", "inner_product"):
        filled = filled.replace(
            f"{kind}_param {{", f'{kind}_param {{ weight_filler {{ type: "msra" }}'
        )
    kinds = {layer.split('type: "')[1].split('"')[0] for layer in filled.splitlines()}
    assert kinds & {"BatchNorm", "BN"}
    left = merged(filled)
    assert not [name for name in left if "bn" in name or "scale" in name or "drop" in name]
    assert len(left) <= len(filled.splitlines()) * 2 // 3


def test_bottlenecks():
    net = Layers(16, "in")
    body = _Bottlenecks(net)
    body.block(body.conv("data", 8), (8, 16, 8), 1)
    content = "\n".join(net.layers).replace(
        "convolution_param {", 'convolution_param { weight_filler { type: "msra" }'
    )
    assert not [name for name in merged(content) if "norm" in name or "scale" in name]


# -- files ---------------------------------------------------------------------------------


def test_only_the_layers_of_test_are_left():
    content = (
        HEAD
        + f"""
        layer {{ name: "c" bottom: "x" top: "c" {CONV} }}
        layer {{ name: "d" bottom: "c" top: "c" {DROPOUT} include {{ phase: TRAIN }} }}
        layer {{ name: "bn" bottom: "c" top: "c" {BATCH_NORM} include {{ phase: TEST }} }}
        layer {{ name: "abs" type: "AbsVal" bottom: "c" top: "y" include {{ phase: TEST }} }}"""
    )
    _, weights = trained(content)
    result = merge_bn(source(content), weights)
    assert [layer.name for layer in result.net.layer] == ["in", "c", "abs"]
    assert not any(layer.include for layer in result.net.layer)
    assert result.removed == (("bn", "BatchNorm"),)


def test_the_command(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    content = chain([CONV, BATCH_NORM, SCALE, DROPOUT])
    net, _ = trained(content)
    (tmp_path / "net.prototxt").write_text(content)
    net.save("net.caffemodel")
    command = ["merge_bn", "net.prototxt", "net.caffemodel", "m.prototxt", "m.caffemodel"]
    assert cli.main(command) == 0
    assert capsys.readouterr().out == (
        "m.prototxt: 2 layers of 5; merged or left out: 1 BatchNorm, 1 Scale, 1 Dropout\n"
        "m.caffemodel: the weights\n"
    )
    after = caffe.Net("m.prototxt", caffe.TEST, weights="m.caffemodel")
    net.blobs["x"].data[...] = after.blobs["x"].data[...] = 0.5
    np.testing.assert_allclose(after.forward()["b1"], net.forward()["b1"], rtol=1e-5, atol=1e-6)


def test_weights_that_are_not_there_are_refused_and_nothing_is_written(
    tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    content = chain([CONV, BATCH_NORM, SCALE])
    _, weights = trained(content)
    del weights.layer[2:]
    files.write_message("net.caffemodel", weights)
    (tmp_path / "net.prototxt").write_text(content)
    with pytest.raises(WeightsError, match="none for 2 layers: l2, l3"):
        merge_bn("net.prototxt", "net.caffemodel")
    command = ["merge_bn", "net.prototxt", "net.caffemodel", "m.prototxt", "m.caffemodel"]
    assert cli.main(command) == 1
    assert "none for 2 layers" in capsys.readouterr().err
    assert not list(tmp_path.glob("m.*"))
    assert cli.main([*command[:4], "m.prototxt"]) == 2


def test_the_net_can_be_a_message():
    content = chain([CONV, BATCH_NORM])
    _, weights = trained(content)
    message = caffe_pb2.NetParameter()
    message.CopyFrom(source(content).to_message())
    assert [layer.name for layer in merge_bn(message, weights).net.layer] == ["in", "l1"]
