"""Mutants of a module: its source with one small slip in it.

A mutant changes what the program does, not what it says: docstrings, annotations, error messages,
log lines and decorators are left alone, and so are assertions, `strict` of `zip` among them.
"""

from __future__ import annotations

import ast
import copy
from collections.abc import Iterator
from typing import NamedTuple


class Mutant(NamedTuple):
    """One slip: a node of the source, and what stands in its place; None for nothing."""

    node: ast.expr | ast.stmt
    changed: ast.AST | None

    @property
    def line(self) -> int:
        """Where the slip is."""
        return self.node.lineno

    @property
    def old(self) -> str:
        """What was there, in one line."""
        return ast.unparse(self.node)

    @property
    def new(self) -> str:
        """What is there now, in one line."""
        text = "pass" if self.changed is None else ast.unparse(self.changed)
        return f"({text})" if isinstance(self.node, ast.expr) else text

    def applied_to(self, source: str) -> str:
        """The whole source with the slip."""
        node = self.node
        assert node.end_lineno is not None
        lines = source.encode().split(b"\n")  # ast counts bytes
        before = [*lines[: node.lineno - 1], lines[node.lineno - 1][: node.col_offset]]
        after = [lines[node.end_lineno - 1][node.end_col_offset :], *lines[node.end_lineno :]]
        return (b"\n".join(before) + self.new.encode() + b"\n".join(after)).decode()


_COMPARISONS: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq, ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In,
}  # fmt: skip
_OPERATORS: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult, ast.Mod: ast.FloorDiv, ast.Pow: ast.Mult, ast.BitOr: ast.BitAnd,
    ast.BitAnd: ast.BitOr,
}  # fmt: skip
_NAMES = {"min": "max", "max": "min", "any": "all", "all": "any", "minimum": "maximum",
          "maximum": "minimum", "zeros": "ones", "floor": "ceil", "ceil": "floor"}  # fmt: skip
_SAYS = {"require", "refuse", "info", "warning", "debug", "error"}
"""Calls whose words are for a reader; of `require` the first argument is not."""


def mutants(source: str) -> list[Mutant]:
    """All of them, in the order of their places."""
    nodes = _reached(ast.parse(source))
    return [Mutant(node, changed) for node in nodes for changed in _changes(node)]


def _reached(node: ast.AST) -> Iterator[ast.expr | ast.stmt]:
    """The nodes that a mutant may change."""
    for child in _children(node):
        if isinstance(child, (ast.expr, ast.stmt)):
            yield child
        yield from _reached(child)


def _children(node: ast.AST) -> Iterator[ast.AST]:
    if isinstance(node, (ast.Raise, ast.JoinedStr, ast.Import, ast.ImportFrom, ast.Assert)):
        return
    if isinstance(node, ast.Call) and _name(node.func) in _SAYS:
        yield from node.args[: _name(node.func) == "require"]
        return
    if isinstance(node, ast.Call):
        yield from (node.func, *node.args)
        yield from (each for each in node.keywords if each.arg != "strict")
        return
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
        yield from node.args.defaults
        yield from node.body
    elif isinstance(node, ast.ClassDef):
        yield from node.body
    elif isinstance(node, ast.AnnAssign):
        if node.value is not None:
            yield node.value
    elif isinstance(node, ast.Assign):
        if _name(node.targets[0]) != "__all__":
            yield node.value
            yield from node.targets
    elif isinstance(node, ast.If) and _name(node.test) == "TYPE_CHECKING":
        return
    else:
        yield from ast.iter_child_nodes(node)


def _name(node: ast.AST) -> str:
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


def _changes(node: ast.AST) -> Iterator[ast.AST | None]:
    """The node with a slip, in each way; None for a statement that is forgotten."""
    if isinstance(node, ast.Compare) and len(node.ops) == 1:
        yield _with(node, ops=[_COMPARISONS[type(node.ops[0])]()])
    elif isinstance(node, ast.BinOp) and type(node.op) in _OPERATORS:
        if not isinstance(node.left, ast.Constant) or not isinstance(node.left.value, str):
            yield _with(node, op=_OPERATORS[type(node.op)]())
    elif isinstance(node, ast.AugAssign) and type(node.op) in _OPERATORS:
        yield _with(node, op=_OPERATORS[type(node.op)]())
        yield None
    elif isinstance(node, ast.BoolOp):
        yield _with(node, op=ast.And() if isinstance(node.op, ast.Or) else ast.Or())
        yield node.values[0]
        yield node.values[-1]
    elif isinstance(node, ast.UnaryOp):
        if isinstance(node.op, (ast.Not, ast.USub)):
            yield node.operand
    elif isinstance(node, ast.Constant):
        yield from _other_values(node.value)
    elif isinstance(node, ast.IfExp):
        yield _with(node, test=ast.UnaryOp(ast.Not(), node.test))
    elif isinstance(node, (ast.If, ast.While)):
        return  # their tests are expressions
    elif isinstance(node, ast.Expr):
        if isinstance(node.value, ast.Call) and _name(node.value.func) not in _SAYS:
            yield None
        if isinstance(node.value, ast.Call) and _name(node.value.func) == "require":
            yield None
    elif isinstance(node, ast.Call):
        yield from _other_calls(node)
    elif isinstance(node, ast.Slice):
        return
    elif isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Slice):
        if isinstance(node.ctx, ast.Load) and (node.slice.lower or node.slice.upper):
            yield node.value
    elif isinstance(node, ast.Break):
        yield ast.Continue()
    elif isinstance(node, ast.Continue):
        yield ast.Break()


def _with(node: ast.AST, **fields: object) -> ast.AST:
    changed = copy.copy(node)
    for name, value in fields.items():
        setattr(changed, name, value)
    return ast.fix_missing_locations(changed)


def _other_values(value: object) -> Iterator[ast.AST]:
    if isinstance(value, bool):
        yield ast.Constant(not value)
    elif isinstance(value, int):
        yield ast.Constant(value + 1)
        if value > 1:
            yield ast.Constant(value - 1)
    elif isinstance(value, float):
        yield ast.Constant(value * 2 if value else 1.0)


def _other_calls(node: ast.Call) -> Iterator[ast.AST]:
    name = _name(node.func)
    if name in _NAMES:
        func = copy.copy(node.func)
        setattr(func, "attr" if isinstance(func, ast.Attribute) else "id", _NAMES[name])
        yield _with(node, func=func)
    for index, keyword in enumerate(node.keywords):
        if keyword.arg != "strict":  # of zip: an assertion
            rest = node.keywords[:index] + node.keywords[index + 1 :]
            yield _with(node, keywords=rest)
    symmetric = name in _NAMES or name == "zip"
    if (
        len(node.args) == 2
        and not symmetric
        and not any(isinstance(arg, ast.Starred) for arg in node.args)
    ):
        yield _with(node, args=node.args[::-1])
