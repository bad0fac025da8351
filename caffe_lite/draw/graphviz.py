"""The graph of a net for graphviz, made with pydot."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from caffe_lite.draw import labels
from caffe_lite.draw.graph import Net, check_rankdir, select_layers, works_in_place
from caffe_lite.errors import CaffeError
from caffe_lite.proto import caffe_pb2, nodes


def get_pydot_graph(
    caffe_net: Net,
    rankdir: str,
    label_edges: bool = True,
    phase: int | None = None,
    display_lrm: bool = False,
) -> Any:
    """The net as a ``pydot.Dot``, with pycaffe's labels, colours and edges.

    An in-place layer has an edge from its blob and one back to it.  The arguments are those of
    `draw_net`.  Raises CaffeError if pydot is not installed.
    """
    try:
        import pydot
    except ImportError:
        raise CaffeError(
            "a graph for graphviz needs pydot, which is not installed; run: pip install pydot, "
            "or draw a .svg or .png"
        ) from None
    check_rankdir(rankdir)
    param = caffe_net.param if isinstance(caffe_net, nodes.NetSource) else caffe_net
    dot = pydot.Dot(_quoted(param.name or "Net"), graph_type="digraph", rankdir=rankdir)
    blobs: dict[str, Any] = {}
    for number, node in enumerate(select_layers(caffe_net, phase)):
        layer = node.param
        for name in (*layer.bottom, *layer.top):
            if name not in blobs:
                style: dict[str, Any] = {**labels.BLOB_STYLE, "label": _quoted(name)}
                blobs[name] = pydot.Node(f"blob{len(blobs)}", **style)
                dot.add_node(blobs[name])
        label = labels.get_layer_label(layer, rankdir, display_lrm)
        vertex = pydot.Node(f"layer{number}", label=label, **_style(layer))
        dot.add_node(vertex)
        for name in layer.bottom:
            dot.add_edge(pydot.Edge(blobs[name], vertex, label='""'))
        edge_label = labels.get_edge_label(layer) if label_edges else '""'
        for name in layer.top:
            dot.add_edge(pydot.Edge(vertex, blobs[name], label=edge_label))
    return dot


def render(dot: Any, ext: str) -> bytes:
    """Graphviz's output for a graph, in the format `ext`; "raw" is its source text.

    Raises CaffeError if graphviz is missing or does not support the format.
    """
    if ext in ("raw", "dot", "gv"):
        return str(dot.to_string()).encode()
    program = shutil.which("dot")
    if program is None:
        raise CaffeError(
            f"a .{ext} needs graphviz, whose program dot is not found; install graphviz, or "
            "draw a .svg or .png"
        )
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder, "net.gv"), Path(folder, "net.out")
        source.write_text(dot.to_string(), encoding="utf-8")
        command = [program, f"-T{ext}", "-o", os.fspath(target), os.fspath(source)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode or not target.is_file():
            reason = (done.stderr.strip().splitlines() or ["no reason given"])[0]
            raise CaffeError(f"graphviz cannot make a .{ext}: {reason}")
        return target.read_bytes()


def _style(layer: caffe_pb2.LayerParameter) -> dict[str, Any]:
    if works_in_place(layer):
        return dict(labels.NEURON_LAYER_STYLE)
    color = labels.choose_color_by_layertype(layer.type)
    return {**labels.LAYER_STYLE_DEFAULT, "fillcolor": color}


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
