"""The exception classes, and positions in files.

    CaffeError                  base class of all errors for invalid input
    +-- PrototxtError           a text or binary message that cannot be read
    +-- NetError                layers that do not fit together
    +-- LayerError              a layer with an invalid configuration or invalid bottoms
    |   +-- NotDifferentiable   a gradient that the layer does not have
    +-- WeightsError            weights that do not fit the net
    +-- DataError               a database, image or HDF5 file that cannot be used
    +-- SolverError             a solver that cannot start, continue or be restored
    +-- OutOfMemory             more memory than there is, or than is allowed

The code that raises an error describes *what* is wrong; the code that knows the file adds *where*.
A layer raises ``LayerError(message, field)`` without a position; ``Net`` adds the position with
`CaffeError.at`.

Names come from files of others.  `one_line` makes them safe to show, and every error passes it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

LONGEST_NAME = 256
"""Characters of a name, a path or a number that a message shows whole."""
LONGEST_MESSAGE = 2000
"""Characters of a message that are shown."""

_LONG = re.compile(
    rf'(?<=")[^"]{{{LONGEST_NAME + 1},}}(?=")|[^\s"]{{{LONGEST_NAME + 1},}}', re.DOTALL
)
_HEAD, _TAIL = 160, 60  # what is shown of a long name: its end may be what tells two apart


def one_line(text: str) -> str:
    """`text` as one line that a terminal only displays, of at most `LONGEST_MESSAGE` characters.

    Characters that are not printable (control characters, line ends, those that change the
    direction of writing, halves of surrogate pairs) become the escapes of Python's literals.
    Names are cut in the middle if longer than `LONGEST_NAME`.
    """
    text = _shortened(text)
    if not text.isprintable():
        escapes = (
            each if each.isprintable() else each.encode("unicode_escape").decode() for each in text
        )
        text = _shortened("".join(escapes))  # an escape is up to ten characters for one
    return text


def _shortened(text: str) -> str:
    if len(text) > LONGEST_NAME:
        text = _LONG.sub(lambda name: f"{name[0][:_HEAD]}...{name[0][-_TAIL:]}", text)
    return text if len(text) <= LONGEST_MESSAGE else text[: LONGEST_MESSAGE - 3] + "..."


@dataclass(frozen=True, slots=True)
class Location:
    """A position in a text file.  Lines and columns count from 1, as in editors."""

    file: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


class CaffeError(RuntimeError):
    """An error in the input of this package: in a file, a flag, or a call.

    It is a RuntimeError because programs written for pycaffe catch that.

    `message` has no position.  `str(error)` prefixes it with the position and the subject
    (``layer "pool1" (Pooling)``), if they are known, and is `one_line` of that.  `field`, if a
    layer sets it, is the invalid field of its configuration.
    """

    def __init__(self, message: str, location: Location | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.location = location
        self.subject: str | None = None
        self.field: str | None = None

    def at(self, location: Location | None, subject: str | None = None) -> CaffeError:
        """Add the position and the subject, unless they are known; returns self, to raise it."""
        self.location = self.location or location
        self.subject = self.subject or subject
        return self

    def __str__(self) -> str:
        parts = [str(part) for part in (self.location, self.subject) if part is not None]
        return one_line(": ".join([*parts, str(self.message)]))


class PrototxtError(CaffeError):
    """A prototxt, binaryproto or caffemodel that cannot be read."""


class NetError(CaffeError):
    """Layers that do not fit together: unknown bottoms, two producers, clashing shared weights."""


class LayerError(CaffeError):
    """A layer whose configuration, or the shape of a bottom, is invalid.

    `field` is the invalid field, as a path below the layer's own parameter message
    (``"kernel_size"``) or, with a leading dot, below the `LayerParameter` (``".bottom"``).
    """

    def __init__(self, message: str, field: str | None = None) -> None:
        super().__init__(message)
        self.field = field


class NotDifferentiable(LayerError):
    """A gradient is required of a layer, or for one of its bottoms, that has none."""


class WeightsError(CaffeError):
    """Weights that cannot be read, or whose shapes are not those of the net."""


class DataError(CaffeError):
    """A database, image, list or HDF5 file that is missing, damaged or of the wrong shape."""


class SolverError(CaffeError):
    """A solver whose settings contradict each other, or whose run cannot continue."""


class OutOfMemory(CaffeError):
    """A net, an image or a file that would take more memory than there is, or than is allowed."""
