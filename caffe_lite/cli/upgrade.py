"""Rewrite a file of any of Caffe's schemas in the current schema.

OUT may be the same file as IN.  Comments are lost.
"""

from __future__ import annotations

import argparse

from caffe_lite.cli import flags
from caffe_lite.cli.streams import say

KINDS = {
    "upgrade_net_proto_text": "net prototxt",
    "upgrade_net_proto_binary": "caffemodel",
    "upgrade_solver_proto_text": "solver prototxt",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add Caffe's arguments for the three upgrade programs."""
    kind = KINDS[parser.get_default("command")]
    parser.add_argument("input", metavar="IN", help=f"the {kind} to read")
    parser.add_argument("output", metavar="OUT", help=f"the {kind} to write; it is replaced")
    if parser.get_default("command") != "upgrade_net_proto_binary":
        flags.add_unknown_fields(parser)
    flags.add_log(parser)


def run(args: argparse.Namespace) -> int:
    """Write the upgraded file and describe it."""
    from caffe_lite.cli import log

    log.start(args.minloglevel)
    upgrade = {
        "upgrade_net_proto_text": _net_text,
        "upgrade_net_proto_binary": _net_binary,
        "upgrade_solver_proto_text": _solver_text,
    }[args.command]
    say(f"{args.output}: {upgrade(args.input, args.output)}")
    return 0


def _net_text(source: str, target: str) -> str:
    from caffe_lite.proto import caffe_pb2, files, nodes, text

    written = caffe_pb2.NetParameter()
    where = files.read_text(source, written)
    upgraded = nodes.from_message(written, where, source).to_message()
    files.write_text(target, text.format(upgraded))
    return f"{len(upgraded.layer)} layers{_unchanged(upgraded == written)}"


def _net_binary(source: str, target: str) -> str:
    from caffe_lite.proto import files

    upgraded = files.read_weights(source)
    files.write_message(target, upgraded)
    return f"{len(upgraded.layer)} layers"


def _solver_text(source: str, target: str) -> str:
    from caffe_lite.proto import caffe_pb2, files, text, upgrade

    written = caffe_pb2.SolverParameter()
    where = files.read_text(source, written)
    upgraded, _ = upgrade.upgrade_solver(written, where)
    files.write_text(target, text.format(upgraded))
    return f"a solver{_unchanged(upgraded == written)}"


def _unchanged(same: bool) -> str:
    return "; the file was up to date" if same else ""
