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
