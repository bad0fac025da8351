"""Programs written for OpenCV 4, unchanged, with OpenCV 5: its importer for Caffe nets is back.

In a program or a notebook::

    import caffe_lite
    caffe_lite.install_as_cv2_dnn()

Or without a change, from the command line::

    python -m caffe_lite.as_cv2_dnn program.py its arguments
    python -m caffe_lite.as_cv2_dnn -m module its arguments

``cv2.dnn.readNetFromCaffe`` is then caffe_lite's, and so is ``cv2.dnn.readNet`` for a prototxt or
a caffemodel.  All else, such as ``blobFromImage`` and models of other kinds, stays OpenCV's.
"""

from __future__ import annotations

import argparse
import functools
import sys
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any, TypeVar

from caffe_lite import dnn, programs
from caffe_lite.dnn.models import is_caffe_model
from caffe_lite.errors import CaffeError

_F = TypeVar("_F", bound=Callable[..., Any])

_CODE = -2  # cv2.Error.StsError


def install_as_cv2_dnn() -> None:
    """Let ``cv2.dnn`` read Caffe nets with caffe_lite in this process, in OpenCV 5 and 4.

    What is raised then is a CaffeError and a ``cv2.error``, so that programs which catch that go
    on.  Constants that OpenCV 5 has dropped come back.  A second call does nothing.  Raises
    CaffeError if there is no OpenCV.
    """
    cv2 = _opencv()
    target = cv2.dnn
    if getattr(target.readNet, "of_caffe_lite", False):
        return
    theirs = target.readNet
    net: Any = _catchable_class(dnn.Net, cv2.error)
    net.layer_class = _catchable_class(dnn.Layer, cv2.error)

    @_catchable(cv2.error)
    def read_caffe(*given: Any, **named: Any) -> dnn.Net:
        found = dnn.readNetFromCaffe(*given, **named)
        found.__class__ = net
        return found

    @_catchable(cv2.error)
    def read_any(*given: Any, **named: Any) -> Any:
        if not is_caffe_model(*_of_read_net(given, named)):
            return theirs(*given, **named)
        found = dnn.readNet(*given, **named)
        found.__class__ = net
        return found

    _give(target, read_caffe, dnn.readNetFromCaffe)
    _give(target, read_any, dnn.readNet)
    target.readNet.of_caffe_lite = True
    for name in dnn.__all__:
        if name.startswith("DNN_") and not hasattr(target, name):
            setattr(target, name, getattr(dnn, name))


def _opencv() -> Any:
    """The module cv2, which must have a module dnn."""
    try:
        import cv2
    except ImportError as error:
        raise CaffeError(
            f"cv2 cannot be imported ({error}): pip install opencv-python, or use caffe_lite.dnn, "
            "which needs no OpenCV"
        ) from None
    if not hasattr(getattr(cv2, "dnn", None), "readNet"):
        raise CaffeError(f"this cv2, {getattr(cv2, '__version__', 'unknown')}, has no cv2.dnn")
    return cv2


def _of_read_net(given: Sequence[Any], named: dict[str, Any]) -> tuple[Any, Any, Any]:
    """The three arguments that tell whose model ``readNet`` is given."""
    first = given[0] if given else named.get("model", named.get("framework"))
    second = given[1] if len(given) > 1 else named.get("config", named.get("bufferModel"))
    third = given[2] if len(given) > 2 else named.get("framework")
    return first, second, None if third is first else third


def _give(module: ModuleType, function: Callable[..., Any], like: Callable[..., Any]) -> None:
    """Put a function into a module, under the name and with the description of another."""
    setattr(module, like.__name__, functools.update_wrapper(function, like))


def _catchable(error: type[Exception]) -> Callable[[_F], _F]:
    """A decorator: a CaffeError that the function raises is an `error`, too."""

    def decorate(function: _F) -> _F:
        @functools.wraps(function)
        def call(*given: Any, **named: Any) -> Any:
            try:
                return function(*given, **named)
            except CaffeError as problem:
                raise _as_both(problem, error) from None

        return call  # type: ignore[return-value]

    return decorate


def _catchable_class(cls: type, error: type[Exception]) -> type:
    """A class whose public methods and properties raise what is an `error`, too."""
    changed: dict[str, Any] = {"__doc__": cls.__doc__, "__module__": cls.__module__}
    for name, member in vars(cls).items():
        if name.startswith("_"):
            continue
        if isinstance(member, property) and member.fset is not None:
            setter = _catchable(error)(member.fset)
            changed[name] = property(member.fget, setter, doc=member.__doc__)
        elif callable(member):
            changed[name] = _catchable(error)(member)
    return type(cls.__name__, (cls,), changed)


def _as_both(problem: CaffeError, error: type[Exception]) -> Exception:
    """A CaffeError as one that is an `error`, with the attributes of a ``cv2.error``, too."""
    if isinstance(problem, error):
        return problem
    raised: Any = _both(type(problem), error)(problem.message)
    raised.__dict__.update(problem.__dict__)
    raised.code, raised.err, raised.msg = _CODE, problem.message, str(problem)
    raised.func, raised.file, raised.line = "", "", 0
    found: Exception = raised
    return found


def _both(kind: type[CaffeError], error: type[Exception]) -> type[Exception]:
    described = {"__doc__": kind.__doc__, "__module__": kind.__module__}
    return type(kind.__name__, (kind, error), described)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a program, or a module, whose ``cv2.dnn`` reads Caffe nets with caffe_lite."""
    parser = argparse.ArgumentParser(
        prog="python -m caffe_lite.as_cv2_dnn",
        description="Run a Python program whose cv2.dnn reads Caffe nets with caffe_lite.",
    )
    programs.add_program(parser)
    given = parser.parse_args(arguments)
    try:
        install_as_cv2_dnn()
    except CaffeError as error:
        sys.exit(f"error: {error}")
    programs.run(given.program, given.arguments, given.module)


if __name__ == "__main__":
    main()
