"""Cases of Axpy, Eltwise, Mul and Reduction."""

from __future__ import annotations

from caffe_lite.testing import Case, Refusal, away_from, distinct
from tests.oracles import arithmetic as oracle


def pick(low, high):
    """Distinct values in [-1, 1], with a different part of them for each bottom."""
    return lambda rng, shape: distinct(rng, shape) * (high - low) / 2 + (high + low) / 2


def reduction_case(operation, shape, axis=0, coeff=1.0, draw=None):
    return Case(
        "Reduction",
        [shape],
        f"reduction_param {{ operation: {operation} axis: {axis} coeff: {coeff} }}",
        expect=lambda x: oracle.reduction(x, operation, axis % x.ndim, coeff),
        draw=draw or {},
    )


CASES = [
    Case("Axpy", [(2, 3, 1, 1), (2, 3, 4, 5), (2, 3, 4, 5)], expect=oracle.axpy),
    Case("Axpy", [(4, 3), (4, 3, 5), (4, 3, 5)], expect=oracle.axpy),
    Case("Eltwise", [(2, 3, 4)] * 2, expect=oracle.eltwise_sum),
    Case(
        "Eltwise",
        [(2, 3, 4, 5)] * 3,
        "eltwise_param { operation: SUM }",
        expect=oracle.eltwise_sum,
    ),
    Case(
        "Eltwise",
        [(3, 4)] * 3,
        "eltwise_param { coeff: 1 coeff: -0.5 coeff: 2 }",
        expect=lambda *x: oracle.eltwise_sum(*x, coeff=[1, -0.5, 2]),
    ),
    Case(
        "Eltwise", [(3, 4)] * 2, "eltwise_param { operation: PROD }", expect=oracle.eltwise_product
    ),
    Case(
        "Eltwise", [(3, 5)] * 4, "eltwise_param { operation: PROD }", expect=oracle.eltwise_product
    ),
    Case(
        "Eltwise",
        [(3, 4)] * 3,
        "eltwise_param { operation: PROD stable_prod_grad: false }",
        expect=oracle.eltwise_product,
        draw=dict.fromkeys(range(3), away_from(0, margin=0.3)),
    ),
    Case(
        "Eltwise",
        [(2, 3, 4)] * 3,
        "eltwise_param { operation: MAX }",
        expect=oracle.eltwise_max,
        draw={0: pick(-1, 1), 1: pick(-0.91, 0.93), 2: pick(-0.85, 0.84)},
    ),
    Case("Mul", [(2, 3, 4), (2, 3, 4)], expect=oracle.broadcast_product),
    Case("Mul", [(2, 3, 1, 5), (3, 4, 1)], expect=oracle.broadcast_product),
    Case("Mul", [(4, 1), (2, 3, 1, 5)], expect=oracle.broadcast_product),
    Case("Mul", [(2, 3), ()], expect=oracle.broadcast_product),
    Case("Mul", [(2, 3, 5)], "mul_param { mul_shape: 3 mul_shape: 1 }", oracle.broadcast_product),
    Case("Mul", [(2, 3)], expect=oracle.broadcast_product),
    reduction_case("SUM", (2, 3, 4)),
    reduction_case("SUM", (5, 3, 4), axis=1, coeff=-2.5),
    reduction_case("MEAN", (5, 3, 4), axis=-1, coeff=3),
    reduction_case("ASUM", (5, 3, 4), axis=1, coeff=2.5, draw={0: away_from(0)}),
    reduction_case("SUMSQ", (5, 3, 4), axis=2, coeff=0.5),
]

REFUSALS = [
    Refusal(
        "Axpy",
        [(2, 4, 1, 1), (2, 3, 4, 5), (2, 3, 4, 5)],
        "",
        at=".bottom[0]",
        says="one for each item and channel",
    ),
    Refusal("Axpy", [(2, 3), (2, 3, 4), (2, 3, 5)], "", at=".bottom[2]", says="the shape of bot"),
    Refusal("Eltwise", [(2, 3), (2, 3), (3, 2)], "", at=".bottom[2]", says=r"\(3, 2\) must have"),
    Refusal(
        "Eltwise",
        [(2, 3)] * 2,
        "eltwise_param { coeff: 1 coeff: 2 coeff: 3 }",
        at="coeff",
        says="3 coefficients for 2 bottoms",
    ),
    Refusal(
        "Eltwise",
        [(2, 3)] * 2,
        "eltwise_param { operation: PROD coeff: 1 coeff: 2 }",
        at="coeff",
        says="a product takes no coefficients",
    ),
    Refusal("Mul", [(2, 3), (2, 4)], "", at=".bottom[1]", says=r"\(2, 4\) and .* or 1"),
    Refusal("Mul", [(2, 3)], "mul_param { mul_shape: 2 }", at="mul_shape", says=r"\(2,\) and"),
    Refusal("Reduction", [(2, 3)], "reduction_param { axis: 2 }", at="axis", says="out of range"),
]
