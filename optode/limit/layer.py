"""What the slow states gain in the first few steps, while the fast ones settle.

Deviations d of fast states from where they settle go with ``d+ = (1 + A) d``. A polynomial of them,
summed over the steps, has a closed form: with M = 1 + A, ``sum_k d_k (x) ... (x) d_k`` is the solution
S of ``(1 - M (x) ... (x) M) S = d_0 (x) ... (x) d_0``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product

import sympy as sp

from optode.language.derivative import partial
from optode.language.functions import bends
from optode.limit.increments import Increments
from optode.limit.settling import beyond_slopes
from optode.limit.slow_manifold import SlowManifold

MOST_PRODUCTS = 8
"""Of deviations of one degree."""


def initial_shift(
    increments: Increments, manifold: SlowManifold, start: Mapping[sp.Symbol, sp.Expr]
) -> tuple[sp.Expr, ...] | None:
    """Return what each slow state gains, per Delta, while the fast ones settle.

    Of rates that are linear in the fast states, which start at w0, it is ``(dF1/dw) (-A)^{-1} (w0 -
    h0)``.

    None where the fast increments are not affine in the fast states, or the rates of the slow ones
    are no polynomials of low degree in them: then the sum over the layer has no closed form.
    """
    first = increments.coefficients(increments.slow)
    fast = manifold.fast
    if manifold.linear is None or not manifold.is_affine or beyond_slopes(first, fast):
        return None
    if any(bends(rate, *fast) for rate in first):
        return None
    settled = zip(fast, manifold.leading, strict=True)
    offset = [start[w] - h0 for w, h0 in settled]
    gains = [sp.S.Zero for _ in first]
    derivatives: list[dict[tuple[int, ...], sp.Expr]] = [{(): rate} for rate in first]
    degree = 0
    while any(derivatives):
        degree += 1
        derivatives = [_one_more(found, fast) for found in derivatives]
        if not any(derivatives):
            break
        if len(fast) ** degree > MOST_PRODUCTS or degree > MOST_PRODUCTS:
            return None
        sums = _sums(manifold.linear, offset, degree)
        at_rest = [{i: d.xreplace(manifold.graph) for i, d in each.items()} for each in derivatives]
        parts = [sp.Add(*(d * sums[i] for i, d in each.items())) for each in at_rest]
        gains = [a + b / sp.factorial(degree) for a, b in zip(gains, parts, strict=True)]
    return tuple(gains)


def _one_more(
    found: Mapping[tuple[int, ...], sp.Expr], fast: Sequence[sp.Symbol]
) -> dict[tuple[int, ...], sp.Expr]:
    """Differentiate derivatives once more, in each fast state; without those that are 0."""
    rows = (((*i, n), partial(d, w)) for i, d in found.items() for n, w in enumerate(fast))
    return {i: d for i, d in rows if d != 0}


def _sums(
    linear: sp.Matrix, offset: Sequence[sp.Expr], degree: int
) -> dict[tuple[int, ...], sp.Expr]:
    """Return the sum over all steps of each product of so many deviations, by their indices."""
    indices = list(product(range(len(offset)), repeat=degree))
    step = sp.eye(len(offset)) + linear
    rows = [
        [sp.Mul(*(step[a, b] for a, b in zip(i, j, strict=True))) for j in indices] for i in indices
    ]
    first = [sp.Mul(*(offset[n] for n in i)) for i in indices]
    sums = (sp.eye(len(indices)) - sp.Matrix(rows)).LUsolve(sp.Matrix(first))
    return dict(zip(indices, sums, strict=True))
