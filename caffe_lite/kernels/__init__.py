"""Functions of arrays: no blob, no protobuf, no state, nothing returned.

Arguments are C-contiguous arrays, in this order: inputs, settings, outputs.  Outputs are written;
a bottom's gradient (`dx`) is assigned, a parameter's (`dw`, `db`) is added to.  What backward
needs from forward is an argument (`mask`, `scale`, `argmax`).  One file per family of layers.
"""
