"""From a list of layers to a net that runs.

net.py      `Net`: builds a net with the passes, and gives it pycaffe's names
passes/     functions from a list of layers to a list of layers or a table
running/    forward and backward, layer by layer or fused
weights.py  weights between nets and files
log.py      what a net writes to the log, in Caffe's words
link.py     a layer with its blobs: what passes and running work on
errors.py   errors with the layer's position in the file
"""

from __future__ import annotations
