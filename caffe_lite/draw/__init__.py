"""Pictures of nets, under the names of pycaffe's ``caffe.draw``.

SVG, PNG and HTML, a page with search, are drawn by this package, with its own layout algorithm.  A
pydot graph needs pydot; the other file formats of graphviz need pydot and graphviz.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from caffe_lite import arguments
from caffe_lite.draw.graph import RANKDIRS, Net, build_graph, choose_rankdir
from caffe_lite.draw.graphviz import get_pydot_graph, render
from caffe_lite.draw.labels import (
    BLOB_STYLE,
    LAYER_STYLE_DEFAULT,
    NEURON_LAYER_STYLE,
    choose_color_by_layertype,
    get_edge_label,
    get_layer_label,
    get_layer_lr_mult,
    get_pooling_types_dict,
)
from caffe_lite.draw.page import to_html
from caffe_lite.draw.picture import draw_picture
from caffe_lite.draw.png import to_png
from caffe_lite.draw.shapes import blob_shapes, shape_text
from caffe_lite.draw.svg import to_svg
from caffe_lite.errors import CaffeError
from caffe_lite.proto import caffe_pb2
from caffe_lite.proto.atomic import write_atomically
from caffe_lite.proto.nodes import NetSource

__all__ = [
    "BLOB_STYLE",
    "LAYER_STYLE_DEFAULT",
    "NEURON_LAYER_STYLE",
    "RANKDIRS",
    "blob_shapes",
    "choose_color_by_layertype",
    "choose_rankdir",
    "draw_net",
    "draw_net_to_file",
    "get_edge_label",
    "get_layer_label",
    "get_layer_lr_mult",
    "get_pooling_types_dict",
    "get_pydot_graph",
    "shape_text",
]

_OWN = {"svg": to_svg, "png": to_png, "html": to_html}


def draw_net(
    caffe_net: Net,
    rankdir: str,
    ext: str = "png",
    phase: int | None = None,
    display_lrm: bool = False,
    *,
    shapes: Mapping[str, str] | None = None,
) -> bytes:
    """The picture of a net, as the content of a file in the format `ext`.

    caffe_net: a NetParameter of any schema, or the result of `proto.files.read_net`.  rankdir: one
    of RANKDIRS.  phase: TRAIN or TEST, or None for the layers of both.  display_lrm: whether to
    show the learning rate multipliers.  shapes: texts to show below the names of blobs, those of
    `blob_shapes`; graphviz does not show them.  Formats: svg, png and html; raw, graphviz's source
    text; and the output formats of graphviz, such as pdf.  Raises CaffeError for a net that cannot
    be drawn, and if pydot or graphviz is needed but missing.
    """
    if not isinstance(caffe_net, NetSource):
        arguments.instance(caffe_net, caffe_pb2.NetParameter, "caffe_net")
    if ext in _OWN:
        graph = build_graph(caffe_net, rankdir, phase, display_lrm, shapes)
        return _OWN[ext](draw_picture(graph, rankdir))
    return render(get_pydot_graph(caffe_net, rankdir, True, phase, display_lrm), ext)


def draw_net_to_file(
    caffe_net: Net,
    filename: str | os.PathLike[str],
    rankdir: str = "LR",
    phase: int | None = None,
    display_lrm: bool = False,
    *,
    shapes: Mapping[str, str] | None = None,
) -> None:
    """Write the picture of a net, atomically, in the format of the file name's suffix.

    The other arguments and the exceptions are those of `draw_net`.
    """
    filename = arguments.path(filename, "the picture")
    ext = Path(filename).suffix[1:].lower()
    if not ext:
        raise CaffeError(
            f"{os.fspath(filename)}: the name has no suffix; use one such as .svg or .png"
        )
    content = draw_net(caffe_net, rankdir, ext, phase, display_lrm, shapes=shapes)

    def write(temporary: Path) -> None:
        temporary.write_bytes(content)

    write_atomically(filename, write)
