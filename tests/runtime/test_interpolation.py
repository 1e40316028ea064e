"""Methods that interpolate f: against closed forms, other methods, autograd and their own theory."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from numpy.polynomial import Polynomial, legendre
from torch import Tensor, nn

from generated.adam import AdamNODE
from generated.adamw import AdamWNODE
from generated.generalized_heavy_ball import GHBNODE
from generated.gradient_descent import NODE
from generated.heavy_ball import HBNODE
from generated.nesterov import NesterovNODE
from generated.rmsprop import RMSPropNODE
from generated.sgdw import SGDWNODE
from optode.runtime import Node
from optode.runtime.methods.catalogue import METHODS
from optode.runtime.methods.coefficients import NODES
from optode.runtime.methods.collocation import collocation, lagrange, radau
from optode.runtime.methods.driven import resolvents
from optode.runtime.methods.interpolation import Interpolation, forgets, order
from optode.runtime.methods.legs import tables

MODELS = (HBNODE, GHBNODE, AdamNODE, NesterovNODE, AdamWNODE)
SPANS = {NesterovNODE: (1.0, 2.0)}
NAMES = [f"interpolation{len(nodes)}" for nodes in NODES]


class Force(nn.Module):
    """A small network with twice the usual weights; with the time in it where asked."""

    def __init__(self, size: int = 3, timed: bool = False) -> None:
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(size, 12), nn.Linear(12, size)])
        self.timed = timed
        with torch.no_grad():
            for p in self.parameters():
                p.mul_(2)

    def forward(self, t: Tensor, h: Tensor) -> Tensor:
        inner, outer = self.layers
        drift = torch.sin(t) if self.timed else 0.0
        return outer(torch.tanh(inner(h) + drift))


def made(model: type[Node], field: nn.Module, **settings: object) -> Node:
    return model(field, span=SPANS.get(model, (0.0, 1.0)), **settings).double()


def solved(node: Node, h: Tensor) -> tuple[Tensor, tuple[Tensor, ...], int]:
    """Return all states at the end, gradients of a sum of squares, and the evaluations."""
    h = h.clone().requires_grad_()
    solution = node.integrate(h)
    ends = torch.stack([x[-1] for x in solution.states])
    sources = (h, *node.parameters())
    return (
        ends.detach(),
        torch.autograd.grad(ends.square().sum(), sources),
        solution.stats.forward_nfe,
    )


def far(found: tuple[Tensor, ...], wanted: tuple[Tensor, ...]) -> float:
    return max(
        float((x - y).abs().max() / y.abs().max()) for x, y in zip(found, wanted, strict=True)
    )


# Collocation


@pytest.mark.parametrize("count", [1, 2, 3, 5, 8, 11])
def test_radau_nodes_are_zeros_of_legendre_polynomials_and_integrate_exactly(count: int) -> None:
    nodes = np.array(radau(count))
    series = np.zeros(count + 1)
    series[count], series[count - 1] = 1.0, -1.0
    assert np.abs(legendre.legval(2 * nodes - 1, series)).max() < 1e-13
    assert nodes[-1] == 1.0 and (np.diff(nodes) > 0).all()
    weights = np.array(collocation(count))
    for power in range(count):
        wanted = nodes ** (power + 1) / (power + 1)
        np.testing.assert_allclose(weights @ nodes**power, wanted, atol=1e-14)
    for power in range(2 * count - 1):
        assert abs(weights[-1] @ nodes**power - 1 / (power + 1)) < 1e-14


def test_lagrange_weights_read_off_a_polynomial() -> None:
    nodes, cubic = (0.0, 0.2, 0.55, 0.9), Polynomial([0.3, -1.0, 2.0, 0.7])
    for x in (0.0, 0.1, 0.9, 1.0):
        assert np.dot(lagrange(nodes, x), cubic(np.array(nodes))) == pytest.approx(
            cubic(x), abs=1e-13
        )


# One step, by closed forms


def moment(rate: float, t: float, power: int) -> float:
    """int_0^t exp(-rate (t - s)) s^power ds, by its series."""
    return sum(
        (-rate) ** j * t ** (power + j + 1) * math.factorial(power) / math.factorial(power + j + 1)
        for j in range(40)
    )


@pytest.mark.parametrize("nodes", NODES, ids=len)
def test_a_step_of_heavy_ball_is_that_of_closed_forms(nodes: tuple[float, ...]) -> None:
    """h' = m, m' = -gamma m + P with a polynomial P has a solution in moments of exponentials."""
    field, h0 = Force(), torch.randn(4, 3, dtype=torch.float64)
    node = made(HBNODE, field, method=f"interpolation{len(nodes)}", options={"steps": 1}, gamma=0.3)
    m0, gamma = torch.randn_like(h0), node.gamma.item()  # as float32 holds it
    with torch.no_grad():
        values: list[Tensor] = []
        h = h0
        for k, end in enumerate((*nodes[1:], 1.0), 1):
            values.append(field(torch.tensor(nodes[k - 1]), h))
            used = [j for j in range(k) if not (forgets(nodes) and j == 1 and k >= 5)]
            basis = np.linalg.inv(np.vander([nodes[j] for j in used], increasing=True))
            coefficients = [
                sum(x * values[j] for x, j in zip(row, used, strict=True)) for row in basis
            ]
            m = math.exp(-gamma * end) * m0
            h = h0 + (1 - math.exp(-gamma * end)) / gamma * m0
            for power, x in enumerate(coefficients):
                m = m + moment(gamma, end, power) * x
                # int_0^end of m: by the moment of the integral, (t^(p+1)/(p+1) - moment)/gamma
                whole = end ** (power + 1) / (power + 1)
                h = h + (whole - moment(gamma, end, power)) / gamma * x
        found = node.integrate((h0, m0)).states
    torch.testing.assert_close(found.h[-1], h, rtol=0, atol=1e-9)
    torch.testing.assert_close(found.m[-1], m, rtol=0, atol=1e-9)


# Solutions and gradients


@pytest.mark.parametrize("timed", [False, True])
@pytest.mark.parametrize("model", [*MODELS, NODE, RMSPropNODE])
def test_states_and_gradients_are_those_of_other_methods(model: type[Node], timed: bool) -> None:
    field, h = Force(timed=timed), torch.randn(4, 3, dtype=torch.float64)
    ends, gradients, _ = solved(made(model, field, method="dopri8", options={"steps": 40}), h)
    settings = {"method": "interpolation7", "options": {"steps": 24}}
    found, discrete, evaluations = solved(made(model, field, **settings), h)
    assert evaluations == 7 * 24
    bound = 3e-5 if model.relative_degree == 1 else 2e-8
    assert far((found,), (ends,)) < bound
    assert far(discrete, gradients) < 30 * bound


@pytest.mark.parametrize("model", [*MODELS, RMSPropNODE])
def test_discrete_gradients_are_those_of_autograd_with_one_product_an_evaluation(
    model: type[Node],
) -> None:
    field, h = Force(timed=True), torch.randn(4, 3, dtype=torch.float64)
    settings = {"method": "interpolation5", "options": {"steps": 3}}
    _, wanted, _ = solved(made(model, field, gradient="autograd", **settings), h)
    for keep in (0, 2**28):
        node = made(model, field, **settings)
        node.options["keep"] = keep
        states = h.clone().requires_grad_()
        solution = node.integrate(states)
        loss = torch.stack([x[-1] for x in solution.states]).square().sum()
        found = torch.autograd.grad(loss, (states, *node.parameters()))
        assert far(found, wanted) < 1e-12
        assert solution.stats.forward_nfe == solution.stats.backward_nfe == 15


def test_second_derivatives_pass_gradgradcheck() -> None:
    node = made(
        AdamNODE, Force(2), method="interpolation4", options={"steps": 1}, gradient="autograd"
    )
    h = torch.randn(2, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda h, *p: node(h), (h, *node.parameters()))
    assert torch.autograd.gradgradcheck(lambda h: node(h).sum(), (h,))


# Orders


@pytest.mark.parametrize("timed", [False, True])
@pytest.mark.parametrize("name", [NAMES[0], NAMES[3], NAMES[-1]])
@pytest.mark.parametrize("model", [HBNODE, GHBNODE, AdamNODE, RMSPropNODE])
def test_the_observed_order_is_the_proven_one(model: type[Node], name: str, timed: bool) -> None:
    method, field = METHODS[name], Force(timed=timed)
    assert isinstance(method, Interpolation)
    h = torch.randn(4, 3, dtype=torch.float64)
    with torch.no_grad():
        settings = {"span": (0.0, 4.0), "method": "dopri8", "options": {"steps": 200}}
        exact, _, _ = solved_without_gradient(model(field, **settings).double(), h)
        errors = []
        for steps in (64, 128):
            settings |= {"method": name, "options": {"steps": steps}}
            found, _, _ = solved_without_gradient(model(field, **settings).double(), h)
            errors.append(float((found - exact).norm()))
    proven = order(method.nodes, model.relative_degree)
    observed = math.log2(errors[0] / errors[1])
    assert proven - 0.1 < observed < proven + 0.5


def solved_without_gradient(node: Node, h: Tensor) -> tuple[Tensor, None, int]:
    solution = node.integrate(h)
    return torch.stack([x[-1] for x in solution.states]), None, solution.stats.forward_nfe


# Stiff rates, own times, fitted steps


@pytest.mark.parametrize("rate", [1e2, 1e4, 1e6])
def test_relaxation_is_stable_at_any_rate(rate: float) -> None:
    """m' = -rate m + rate f(h), h' = m tends to h' = f(h)."""

    class Fast(Node):
        States = HBNODE.States
        linear_only = ("h",)
        relative_degree = 2

        def equations(self, t, states, field):  # type: ignore[no-untyped-def]
            h, m = states
            return self.States(m, -rate * m + rate * field(h)), None

        def linear_part(self, t):  # type: ignore[no-untyped-def]
            return (0.0, 1.0), (0.0, -rate)

    field, h = Force(), torch.randn(4, 3, dtype=torch.float64)
    with torch.no_grad():
        limit = NODE(field, method="dopri8", options={"steps": 50}).double()(h)
        start = field(torch.tensor(0.0), h)
        node = Fast(field, method="interpolation5", options={"steps": 8}).double()
        found = node.integrate((h, start)).states[0][-1]
    assert float((found - limit).abs().max()) < 1e-3 + 30 / rate


@pytest.mark.parametrize("model", [HBNODE, GHBNODE, AdamNODE, NesterovNODE, SGDWNODE])
def test_samples_with_times_of_their_own_are_those_solved_alone(model: type[Node]) -> None:
    field, h = Force(timed=True), torch.randn(3, 3, dtype=torch.float64)
    start, end = SPANS.get(model, (0.0, 1.0))
    t = start + torch.tensor(
        [[0.0, 0.3, 0.9], [0.1, 0.5, 0.7], [0.2, 0.9, 1.0]], dtype=torch.float64
    )
    t.requires_grad_()
    settings = {"method": "interpolation5", "options": {"steps": 2}}
    together = made(model, field, **settings).integrate(h, t).states[0]
    (by_times,) = torch.autograd.grad(together.square().sum(), t)
    for i, times in enumerate(t.detach()):
        own = times.clone().requires_grad_()
        node = model(field, span=(float(times[0]), end), **settings).double()
        alone = node.integrate(h[i : i + 1], own).states[0]
        torch.testing.assert_close(together[:, i : i + 1], alone, rtol=0, atol=1e-13)
        (wanted,) = torch.autograd.grad(alone.square().sum(), own)
        torch.testing.assert_close(by_times[i, 1:], wanted[1:], rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_partial_fractions_are_the_inverse(name: str) -> None:
    """Of ``1 - x A``, for each sample's rate; where x is small, as exact as numbers can be."""
    method = METHODS[name]
    assert isinstance(method, Interpolation)
    legs, rates = method.legs, torch.tensor([-1e6, -30.0, -0.9, -1e-3, 0.0, 0.5, 3.0]).double()
    numbers = tables(legs, torch.float64, torch.device("cpu"))
    found = resolvents(legs, numbers, rates.expand(len(legs), -1))
    for k, leg in enumerate(legs):
        integrals = torch.tensor(leg.integrals, dtype=torch.float64)
        n = len(integrals)
        for j, rate in enumerate(rates.tolist()):
            exact = torch.linalg.inv(torch.eye(n, dtype=torch.float64) - rate * integrals)
            bound = 3e-14 if abs(rate) < 1 else 3e-12  # 1.2e-14 and 6e-13 are seen
            torch.testing.assert_close(found[k, :n, :n, j], exact, rtol=0, atol=bound)


@pytest.mark.parametrize("tolerance", [1e-3, 1e-5, 1e-7])
@pytest.mark.parametrize("name", ["interpolation4", "interpolation5", "interpolation7"])
@pytest.mark.parametrize("model", MODELS)
def test_fitted_steps_hold_the_tolerance(model: type[Node], name: str, tolerance: float) -> None:
    field, h = Force(timed=True), torch.randn(4, 3, dtype=torch.float64)
    with torch.no_grad():
        exact, _, _ = solved_without_gradient(
            made(model, field, method="dopri8", options={"steps": 60}), h
        )
        node = made(model, field, method=name, rtol=tolerance, atol=tolerance)
        found, _, _ = solved_without_gradient(node, h)
    assert float(((found - exact).abs() / (1 + exact.abs())).max()) < 5 * tolerance


@pytest.mark.parametrize("model", [GHBNODE, AdamNODE])
def test_errors_of_collocation_are_seen(model: type[Node]) -> None:
    """Where f is constant its polynomial is exact, and the rest of the equations still bends."""

    def field(t: Tensor, h: Tensor) -> Tensor:
        return torch.full_like(h, 40.0)

    h = torch.randn(4, 3, dtype=torch.float64)
    with torch.no_grad():
        exact, _, _ = solved_without_gradient(
            model(field, (0.0, 3.0), "dopri8", 1e-11, 1e-11).double(), h
        )
        node = model(field, (0.0, 3.0), "interpolation5", 1e-6, 1e-6).double()
        found, _, _ = solved_without_gradient(node, h)
    assert float(((found - exact).abs() / (1 + exact.abs())).max()) < 1e-6


def test_one_sample_autocast_and_vmap() -> None:
    field, h = Force(), torch.randn(4, 3, dtype=torch.float64)
    node = made(AdamNODE, field, method="interpolation5", options={"steps": 2})
    with torch.no_grad():
        whole = node(h)
        torch.testing.assert_close(node(h[0]), whole[0])
        torch.testing.assert_close(torch.func.vmap(lambda x: node(x[None])[0])(h), whole)
        single = AdamNODE(Force().float(), method="interpolation5", options={"steps": 2})
        with torch.autocast("cpu", torch.bfloat16):
            cast = single(h.float())
        torch.testing.assert_close(cast, single(h.float()), rtol=0.05, atol=0.05)


@pytest.mark.parametrize("model", MODELS)
def test_solutions_are_read_within_long_steps(model: type[Node]) -> None:
    """To the tolerance, where no step ends, with the gradient of what is read; none evaluates f."""
    field, h = Force(), torch.randn(4, 3, dtype=torch.float64)
    times = torch.linspace(*SPANS.get(model, (0.0, 1.0)), 50, dtype=torch.float64)
    exact = made(model, field, method="dopri8", rtol=1e-11, atol=1e-11, observe="steps")
    precise = {"method": "auto", "rtol": 1e-6, "atol": 1e-6}
    weights = torch.randn(50, 1, 1, dtype=torch.float64)

    def read(node: Node) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...], int]:
        start = h.clone().requires_grad_()
        solution = node.integrate(start, times)
        loss = sum((weights * x).sum() for x in solution.states)
        grads = torch.autograd.grad(loss, (start, *node.parameters()))
        return tuple(solution.states), grads, solution.stats

    expected, right, _ = read(exact)
    ways = ({}, {"options": {"keep": 0}}, {"gradient": "autograd"}, {"gradient": "adjoint"})
    every = []
    for more in ways:
        found, grads, stats = read(made(model, field, **precise, **more))
        if more == {"gradient": "adjoint"}:  # a step back ends at every mark
            assert stats.method == "tsit5"
            continue
        assert (stats.method, stats.observed) == ("interpolation6", "interpolate")
        assert stats.forward_nfe <= 6 * (stats.accepted + stats.rejected) + 2
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)
        torch.testing.assert_close(grads, right, rtol=1e-4, atol=1e-4)
        every.append(grads)
    for grads in every[1:]:
        torch.testing.assert_close(grads, every[0], rtol=1e-11, atol=1e-11)


def test_what_lies_within_compiled_steps() -> None:
    """Of equal steps that are traced as one, or each by itself."""
    field, h = Force(), torch.randn(4, 3, dtype=torch.float64)
    for steps in (2, 4):
        settings = {"method": "interpolation4", "options": {"steps": steps}}
        node = made(HBNODE, field, observe="interpolate", **settings)
        expected = node.integrate(h, [0.1, 0.45, 1.0])
        torch.compiler.reset()
        traced = torch.compile(
            lambda h, node=node: node.integrate(h, [0.1, 0.45, 1.0]).states.h,
            fullgraph=True,
            backend="aot_eager",
        )
        torch.testing.assert_close(traced(h), expected.states.h)
