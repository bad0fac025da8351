"""Cases of Bias, Embed, InnerProduct and Scale."""

from __future__ import annotations

import math

from caffe_lite.testing import Case, Refusal, given, integers
from tests.oracles import linear as oracle

X = (2, 3, 4, 5)


def inner_product(shape, config, **settings):
    return Case(
        "InnerProduct",
        [shape],
        f"inner_product_param {{ {config} }}",
        lambda x, w, b=None: oracle.inner_product(x, w, b, **settings),
    )


def normalized(shape, config, learns, **settings):
    """An InnerProduct whose forward changes the weight; the weight's gradient ignores that."""
    k = math.prod(shape[1:])

    def expect(x, w, b=None):
        return oracle.inner_product(x, oracle.normalized(w, k), b, **settings)

    return Case(
        "InnerProduct",
        [shape],
        f"inner_product_param {{ normalize: true {config} }}",
        expect,
        param_gradient=learns,
        params_after=lambda x, w, *bias: [oracle.normalized(w, k), *bias],
    )


def embed(shape, config):
    return Case(
        "Embed", [shape], f"embed_param {{ {config} }}", oracle.embed, draw={0: integers(7)}
    )


def scale(shapes, config, axis=1):
    return Case(
        "Scale",
        shapes,
        f"scale_param {{ {config} }}",
        lambda x, factor, bias=None: oracle.scale(x, factor, bias, axis),
    )


def bias(shapes, config, axis=1):
    return Case(
        "Bias",
        shapes,
        f"bias_param {{ {config} }}",
        lambda x, summand: oracle.add_bias(x, summand, axis),
    )


CASES = [
    inner_product(X, "num_output: 7"),
    inner_product(X, "num_output: 7 bias_term: false"),
    inner_product(X, "num_output: 7 transpose: true", transpose=True),
    inner_product(X, "num_output: 3 axis: 2", axis=2),
    inner_product(X, "num_output: 6 axis: -1", axis=3),
    inner_product((1, 3, 5), "num_output: 7"),
    inner_product((1, 3, 5), "num_output: 7 transpose: true", transpose=True),
    inner_product((4, 1), "num_output: 3 axis: 0", axis=0),
    normalized(X, "num_output: 7", learns=(1,)),
    normalized((3, 5), "num_output: 4 bias_term: false", learns=()),
    normalized((3, 5), "num_output: 4 transpose: true", learns=(1,), transpose=True),
    embed((4, 3), "num_output: 5 input_dim: 7"),
    embed((6,), "num_output: 2 input_dim: 7 bias_term: false"),
    scale([X], ""),
    scale([X], "bias_term: true"),
    scale([X], "axis: 1 num_axes: 2 bias_term: true"),
    scale([X], "axis: -2 num_axes: -1", axis=2),
    scale([X], "num_axes: 0 bias_term: true"),
    scale([(4, 3)], "bias_term: true"),
    scale([X, (2, 3)], "axis: 0", axis=0),
    scale([X, (4, 5)], "axis: 2", axis=2),
    scale([X, ()], ""),
    Case(
        "Scale",
        [X, (3,)],
        "scale_param { bias_term: true }",
        lambda x, factor, summand: oracle.scale(x, factor, summand),
    ),
    bias([X], ""),
    bias([X], "axis: 2 num_axes: -1", axis=2),
    bias([X], "num_axes: 0"),
    bias([(4, 3)], ""),
    bias([X, (2,)], "axis: 0", axis=0),
    bias([X, (3, 4, 5)], ""),
]

REFUSALS = [
    Refusal("InnerProduct", [X], "", "num_output", "1 or more, not 0"),
    Refusal(
        "InnerProduct",
        [X],
        "inner_product_param { num_output: 2 axis: 4 }",
        "axis",
        "axis 4 is out of range",
    ),
    Refusal("Embed", [(4,)], "embed_param { input_dim: 3 }", "num_output", "1 or more, not 0"),
    Refusal("Embed", [(4,)], "embed_param { num_output: 3 }", "input_dim", "1 or more, not 0"),
    Refusal(
        "Embed",
        [(2,)],
        "embed_param { num_output: 3 input_dim: 4 }",
        ".bottom[0]",
        "index 4 is not among the 4 rows",
        draw={0: given(3, 4)},
    ),
    Refusal(
        "Embed",
        [(2,)],
        "embed_param { num_output: 3 input_dim: 4 }",
        ".bottom[0]",
        "index -1 is not among",
        draw={0: given(-1, 0)},
    ),
    Refusal("Scale", [X], "scale_param { axis: 5 }", "axis", "axis 5 is out of range"),
    Refusal("Scale", [X], "scale_param { num_axes: 4 }", "num_axes", "use 0 to 3, or -1"),
    Refusal("Scale", [X], "scale_param { num_axes: -2 }", "num_axes", "num_axes -2"),
    Refusal("Scale", [X, (4,)], "", ".bottom[1]", "its shape .4,. must be that"),
    Refusal("Bias", [X], "bias_param { num_axes: 4 }", "num_axes", "use 0 to 3, or -1"),
    Refusal("Bias", [X, (3, 5)], "", ".bottom[1]", "must be that"),
]
