"""The exception tree, and the places in files that errors point at.

    CaffeError                  everything this package raises on bad input
    +-- PrototxtError           a text or binary message that cannot be read
    +-- NetError                layers that do not fit together
    +-- LayerError              a layer that refuses its configuration or its bottoms
    |   +-- NotDifferentiable   a gradient was asked of a layer that has none
    +-- WeightsError            weights that do not fit the net
    +-- DataError               a database, image or HDF5 file that cannot be used
    +-- SolverError             a solver that cannot start, continue or be restored

Whoever raises says *what* is wrong; whoever knows the file says *where*.  A layer raises
``LayerError(message, field)`` and never sees a position; ``Net`` adds it with `CaffeError.at`.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Location:
    """A place in a text file.  Lines and columns count from 1, as editors show them."""

    file: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


class CaffeError(RuntimeError):
    """An error made outside this package: in a file, a flag, or a call.

    It is a RuntimeError, which programs written for pycaffe catch.

    `message` is one line without a position; `str(error)` puts the position, if there is one,
    and the subject (``layer "pool1" (Pooling)``), if there is one, before it.  `field`, where a
    layer sets it, names the field of its configuration that is at fault.
    """

    def __init__(self, message: str, location: Location | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.location = location
        self.subject: str | None = None
        self.field: str | None = None

    def at(self, location: Location | None, subject: str | None = None) -> CaffeError:
        """Add where it went wrong, unless that is known already; returns self, to be raised."""
        self.location = self.location or location
        self.subject = self.subject or subject
        return self

    def __str__(self) -> str:
        parts = [str(part) for part in (self.location, self.subject) if part is not None]
        return ": ".join([*parts, self.message])


class PrototxtError(CaffeError):
    """A prototxt, binaryproto or caffemodel that cannot be read as what it should be."""


class NetError(CaffeError):
    """Layers that do not fit together: unknown bottoms, two producers, clashing shared weights."""


class LayerError(CaffeError):
    """A layer that refuses its configuration or the shapes of its bottoms.

    `field` names the field at fault, as a path below the layer's own parameter message
    (``"kernel_size"``) or, with a leading dot, below the `LayerParameter` (``".bottom"``).
    """

    def __init__(self, message: str, field: str | None = None) -> None:
        super().__init__(message)
        self.field = field


class NotDifferentiable(LayerError):
    """A gradient was asked of a layer, or of a bottom of it, that has none."""


class WeightsError(CaffeError):
    """Weights that cannot be read, or do not have the shapes of the net they are for."""


class DataError(CaffeError):
    """A database, image, list or HDF5 file that is missing, damaged or of the wrong shape."""


class SolverError(CaffeError):
    """A solver whose settings contradict each other, or whose run cannot go on."""
