"""The benchmark: this package against its peers, and each part of it against the hardware.

    python -m tools.bench                        every row, ours and the peers in turn
    python -m tools.bench --rows alexnet:64      only some; --list names them
    python -m tools.bench --layers alexnet:64    one net, layer by layer, against the floor
    python -m tools.bench --kernels --products --start --growth --datapath --variants

It runs from the project's folder and needs ``pip install -e '.[bench]'``; without the peers,
``--peers none``.  What is measured, how, and what came out is in docs/performance.md.
"""
