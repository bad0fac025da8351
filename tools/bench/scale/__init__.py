"""A model of training on many machines: the time of a step, from what was measured on one.

    python -m tools.bench.scale alexnet:32 resnet50:8        measure these nets here, and predict
    python -m tools.bench.scale alexnet:32 --rate 78 620     for ranks of these images per second
    mpirun -n 2 python -m tools.bench.scale lenet:64         compare with what ranks here measure

`profile` measures a net, `reductions` has the cost of adding the ranks' gradients, `step` puts
both together, `tables` prints, and `checked` measures what was predicted.  docs/scale.md shows
the results.
"""
