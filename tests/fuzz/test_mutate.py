"""The mutations: seeded, different from each other, and structured where they say so."""

from __future__ import annotations

from random import Random

import pytest
from google.protobuf.message import DecodeError

from caffe_lite.proto import caffe_pb2
from tools.fuzz.mutate import LONGEST, Mutation, bytes_mutation, text_mutation
from tools.fuzz.targets.text import BRANCHED
from tools.fuzz.wire import decode, encode, wire_mutation


def message() -> bytes:
    net = caffe_pb2.NetParameter(name="net")
    for name in ("one", "two"):
        layer = net.layer.add(name=name, type="InnerProduct", bottom=["a", "b"])
        layer.inner_product_param.num_output = 300
        layer.blobs.add(data=[1, 2, 3.5]).shape.dim.extend([3, 1])
    content: bytes = net.SerializeToString()
    return content


@pytest.mark.parametrize(
    ("mutation", "content"),
    [(bytes_mutation, message()), (text_mutation, BRANCHED), (wire_mutation, message())],
)
def test_mutations_depend_only_on_the_generator(mutation: Mutation, content: bytes) -> None:
    def mutated() -> list[bytes]:
        return [mutation(Random(seed), content, [content[:50]]) for seed in range(300)]

    first = mutated()
    assert first == mutated()
    assert len(set(first)) > 250
    assert sum(each == content for each in first) < 30
    assert max(map(len, first)) <= 2 * LONGEST


@pytest.mark.parametrize("mutation", [bytes_mutation, text_mutation, wire_mutation])
def test_nothing_can_be_mutated(mutation: Mutation) -> None:
    assert {mutation(Random(seed), b"", []) for seed in range(100)} > {b""}


def test_the_wire_format_is_read_and_written() -> None:
    fields = decode(message())
    assert fields is not None
    assert encode(fields) == message()
    assert [field.number for field in fields] == [1, 100, 100]
    assert decode(message()[:-1]) is None
    assert decode(b"\x08\xff") is None


def test_most_mutated_messages_can_be_parsed() -> None:
    parsed = 0
    for seed in range(300):
        try:
            caffe_pb2.NetParameter().ParseFromString(wire_mutation(Random(seed), message(), []))
        except DecodeError:
            continue
        parsed += 1
    assert parsed > 150
