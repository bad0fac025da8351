from __future__ import annotations

import re

from caffe_lite import cli


def run(*words):
    return cli.main(["test", "-model", "net.prototxt", "-weights", "init.caffemodel", *words])


def messages(capsys):
    return [line.split("] ", 1)[1] for line in capsys.readouterr().err.splitlines()]


def test_batches_then_means(folder, capsys):
    assert run("-iterations", "3") == 0
    lines = messages(capsys)
    start = lines.index("Running for 3 iterations.")
    number = r"([-+.\de]+)"
    values = {"accuracy": [], "loss": []}
    for index, line in enumerate(lines[start + 1 : start + 7]):
        match = re.fullmatch(rf"Batch {index // 2}, (accuracy|loss) = {number}", line)
        values[match[1]].append(float(match[2]))
    loss, accuracy, last = lines[start + 7 :]
    mean = sum(values["loss"]) / 3
    assert abs(float(re.fullmatch(rf"Loss: {number}", loss)[1]) - mean) < 1e-4
    assert float(re.fullmatch(rf"accuracy = {number}", accuracy)[1]) == round(
        sum(values["accuracy"]) / 3, 6
    )
    match = re.fullmatch(rf"loss = {number} \(\* 1 = {number} loss\)", last)
    assert abs(float(match[1]) - mean) < 1e-4


def test_the_net_is_built_for_test(folder, capsys):
    assert run("-iterations", "1") == 0
    assert "Creating Layer accuracy" in messages(capsys)


def test_missing_weights(folder, capsys):
    assert cli.main(["test", "-model", "net.prototxt", "-weights", "gone.caffemodel"]) == 1
    assert "gone.caffemodel" in capsys.readouterr().err.splitlines()[-1]


def test_untrained_layers_are_told_or_refused(folder, capsys):
    text = (folder / "net.prototxt").read_text().replace('"bn2"', '"mean"')
    (folder / "net.prototxt").write_text(text)
    assert run("-iterations", "1") == 0
    told = [line for line in messages(capsys) if "init.caffemodel has" in line]
    assert told == [
        "init.caffemodel has no weights for these layers of the net (1 of 5), which stay "
        "untrained: mean",
        "init.caffemodel has weights for layers that are not in the net (1), which are ignored: "
        "bn2",
    ]
    assert run("--strict") == 1
    line = capsys.readouterr().err.splitlines()[-1]
    assert line.startswith('net.prototxt:11:1: layer "mean" (BatchNorm): init.caffemodel has no')


def test_weights_that_match_are_accepted(folder, capsys):
    assert run("-iterations", "1", "-strict") == 0
    assert not any(line.startswith("W") for line in capsys.readouterr().err.splitlines())
