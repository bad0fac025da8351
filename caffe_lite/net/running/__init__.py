"""Running a net.

runner.py   `Runner`: forward and backward over a net's steps, with hooks
steps.py    the steps of a net: single layers and fused chains
chains.py   layers that run as one
batches.py  any number of examples, in batches of the net's size
lock.py     one thread at a time in parallel kernels
"""

from __future__ import annotations
