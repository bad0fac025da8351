"""Benchmarks of caffe_lite against other libraries and against the limits of the hardware.

    python -m tools.bench                        all rows, for all libraries
    python -m tools.bench --rows alexnet:64      some rows; --list lists them
    python -m tools.bench --layers alexnet:64    one net, layer by layer, against the lower bound
    python -m tools.bench --single               one picture at a time, as a program meets it
    python -m tools.bench --vectors avx2         the same, limited to AVX2
    python -m tools.bench --kernels --products --start --growth --datapath --variants

Run it in the project's folder, after ``pip install -e '.[bench]'``, or with ``--peers none``
without the other libraries.  docs/performance.md describes the method and the results.
"""
