"""The passes that make a net, in their order.

rules.py      select the layers of this phase, level and stage
splits.py     insert Split layers where several layers read one blob
wiring.py     blob names to blob indices
ignored.py    warn of fields that have no effect
learnable.py  the parameters that a solver updates; sharing by name
plan.py       which gradients are computed; whether working in place is safe
fuse.py       which layers run as one
slices.py     which blobs are slices of others
memory.py     which blobs and buffers use the same memory
"""

from __future__ import annotations
