"""Names for the values and nodes of a graph: the blobs' and the layers', each once."""

from __future__ import annotations

from caffe_lite.errors import one_line
from caffe_lite.export.graph import Graph, Node, Value


class Names:
    """The names of a graph.

    Inputs and outputs come first, so that they have the blobs' names.  A name that another value
    has already gets a number; what a terminal cannot show is escaped.
    """

    def __init__(self, graph: Graph) -> None:
        self._of: dict[Value, str] = {}
        self._taken: set[str] = set()
        self._next: dict[str, int] = {}
        for value in (*graph.inputs, *graph.outputs, *graph.values()):
            if value not in self._of:
                self._of[value] = self._unique(value.hint)
        self._nodes: set[str] = set()
        self._next = {}
        self._taken = self._nodes

    def of(self, value: Value | None) -> str:
        """The name of a value; empty for one that is left out."""
        return "" if value is None else self._of[value]

    def of_node(self, node: Node) -> str:
        """A new name for a node; ask once."""
        return self._unique(f"{node.layer}/{node.op}")

    def _unique(self, wanted: str) -> str:
        wanted = wanted if wanted.isprintable() and wanted else one_line(wanted) or "blob"
        name = wanted
        while name in self._taken:
            self._next[wanted] = self._next.get(wanted, 1) + 1
            name = f"{wanted}_{self._next[wanted]}"
        self._taken.add(name)
        return name
