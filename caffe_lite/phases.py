"""The two phases of a net, TRAIN and TEST."""

from __future__ import annotations

_NAMES = ("TRAIN", "TEST")


class Phase(int):
    """TRAIN (0) or TEST (1): the number that it is in Caffe's files, which prints as its name.

    It equals both, as programs compare it with either: ``phase == 1``, ``phase == "TEST"``,
    ``settings[str(phase)]``.  As a key of a dict it is the number.
    """

    __slots__ = ()

    def __str__(self) -> str:
        return _NAMES[self]

    __repr__ = __str__

    def __eq__(self, other: object) -> bool:
        return str(self) == other if isinstance(other, str) else int(self) == other

    def __ne__(self, other: object) -> bool:
        return not self == other

    __hash__ = int.__hash__


TRAIN = Phase(0)
TEST = Phase(1)
