"""From a list of layers to a net that runs: the passes of `Net`, one file each."""

from __future__ import annotations
