"""Singular starts: regular branches against the literature, modules against a later start."""

from __future__ import annotations

import pytest
import sympy as sp
import torch
from fields import StillField

from generated.adam_bias_corrected import BiasCorrectedAdamNODE
from generated.nesterov import NesterovNODE
from optode.calculus.singular_start import regular_branch
from optode.compiler import derive
from optode.language.symbols import TIME as t
from optode.language.symbols import Gradient, symbol

x = symbol("x")
g = Gradient(x)
alpha, beta, eps, r = map(symbol, ("alpha", "beta", "eps", "r"))

BRANCHES = {
    # Su, Boyd, Candes 2014: x''(0) = -g/4
    "nesterov": [x - t**2 * g / 8, -t * g / 4],
    # Attouch et al. 2018: x''(0) = -g/(r + 1)
    "nesterov_generalized": [x - t**2 * g / (2 * (r + 1)), -t * g / (r + 1)],
    # the corrected averages start at what they average (da Silva, Gazeau 2020)
    "adam_bias_corrected": [x - t * g / (sp.Abs(g) + eps), alpha * t * g, beta * t * g**2],
    # the mean of x0 - s g over [0, t]
    "polyak_average": [x - t * g, x - t * g / 2],
    # FISTA's theta is t/2, the rest as for 3/t
    "fista": [x - t**2 * g / 8, -t * g / 4, t / 2],
}


@pytest.mark.parametrize("name", BRANCHES)
def test_regular_branch(name):
    limit = derive(name).limit
    found = regular_branch(limit.states, limit.equations)
    for branch, expected in zip(found, BRANCHES[name], strict=True):
        assert sp.simplify(branch.expression - expected) == 0


def test_square_root_start():
    """AdaGrad from v = 0 without epsilon: x = x0 - 2 sign(g) sqrt(t)."""
    v = symbol("v")
    position, accumulator = regular_branch((x, v), (-g / sp.sqrt(v), g**2))
    assert sp.simplify(position.expression - (x - 2 * sp.sqrt(t) * g / sp.Abs(g))) == 0
    assert accumulator.expression == t * g**2


def test_no_regular_branch():
    assert regular_branch((x,), (1 / t**2,)) is None


@pytest.mark.parametrize(
    ("model", "late_start", "tolerance"),
    [
        (NesterovNODE, lambda node, f, t0: (t0 * f / 4,), 1e-8),
        (
            BiasCorrectedAdamNODE,
            lambda node, f, t0: (-node.alpha * t0 * f, node.beta * t0 * f**2),
            1e-4,
        ),
    ],
    ids=["nesterov", "adam_bias_corrected"],
)
def test_module_starts_at_the_singular_time(model, late_start, tolerance):
    """Against the same model started by hand at t = 1e-6 on the branch of the literature."""
    torch.manual_seed(0)
    force = StillField().double()
    h = torch.randn(3, 4, dtype=torch.float64)
    node = model(force, span=(0.0, 1.0), rtol=1e-9, atol=1e-9).double()
    solution = node.integrate(h, [0.0, 0.5, 1.0])
    t0 = 1e-6
    later = model(force, span=(t0, 1.0), rtol=1e-10, atol=1e-10).double()
    with torch.no_grad():
        f = force(torch.zeros(()), h)
        reference = later((h, *late_start(node, f, t0)))
    assert torch.equal(solution.states.h[0], h)
    torch.testing.assert_close(solution.states.h[-1], reference, rtol=0, atol=tolerance)
    gradients = {}
    for node.gradient in ("discrete", "autograd"):
        node.zero_grad()
        node(h).square().sum().backward()
        gradients[node.gradient] = [p.grad.clone() for p in node.parameters()]
    for ours, theirs in zip(*gradients.values(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-8, atol=1e-8)


def test_a_time_too_close_to_the_start_is_refused():
    node = NesterovNODE(StillField(), span=(0.0, 1.0))
    with pytest.raises(ValueError, match="must be after"):
        node(torch.zeros(2, 4), [0.0, 1e-5, 1.0])


def test_a_singular_time_inside_the_span_is_refused():
    with pytest.raises(ValueError, match="singular"):
        NesterovNODE(StillField(), span=(-1.0, 1.0))
