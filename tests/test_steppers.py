"""The steppers that follow from structure, nystrom4 to nystrom6 and splitting2 and splitting4, and auto.

Nystrom methods are for damped models, h' = m, m' = -c(t) m + F(t, h), splittings for separable ones.
References: equations typed from the literature, tests/test_derivations.py says which, solved by torchdiffeq.
"""

from __future__ import annotations

import copy
import functools
import math
import re

import numpy as np
import pytest
import torch
from test_modules import (
    adam,
    adam_guarded,
    generalized_heavy_ball,
    hardtanh_heavy_ball,
    heavy_ball,
    nesterov,
    softplus,
)
from test_solver import Force
from torch import nn
from torch.func import jvp, vmap
from torchdiffeq import odeint

from generated.adam import AdamNODE
from generated.adam_guarded import GuardedAdamNODE
from generated.adam_l2 import L2AdamNODE
from generated.adamw import AdamWNODE
from generated.generalized_heavy_ball import GHBNODE
from generated.generalized_heavy_ball_hardtanh import HardGHBNODE
from generated.gradient_descent import NODE
from generated.hamiltonian_descent import RelativisticNODE
from generated.heavy_ball import HBNODE
from generated.heavy_ball_strongly_convex import StronglyConvexHBNODE
from generated.heavy_ball_undamped import UndampedHBNODE
from generated.nesterov import NesterovNODE
from generated.nesterov_generalized import GeneralizedNesterovNODE
from generated.nesterov_strongly_convex import StronglyConvexNesterovNODE
from generated.second_order import SONODE

SPAN = (1.0, 2.0)


@pytest.fixture(autouse=True)
def _float64():
    torch.manual_seed(0)
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


# The equations, beside those typed in tests/test_modules.py.
def undamped_heavy_ball(p, f, t, h, m):
    return m, f(t, h)


def strongly_convex(p, f, t, h, m):
    """Polyak's as Nesterov's, with 2 sqrt(mu) (Shi, Du, Jordan and Su 2018, low resolution)."""
    return m, f(t, h) - 2 * softplus(p["raw_mu"]).sqrt() * m


def generalized_nesterov(p, f, t, h, m):
    """Su, Boyd and Candes 2014, section 4: r/t in the place of 3/t."""
    return m, f(t, h) - softplus(p["raw_r"]) / t * m


def adam_l2(p, f, t, h, m, v):
    """The penalty is part of the gradient that Adam sees (Loshchilov and Hutter 2019)."""
    return adam(p, lambda t, h: f(t, h) - softplus(p["raw_decay"]) * h, t, h, m, v)


def adamw(p, f, t, h, m, v):
    """The decay is beside Adam."""
    rates = adam(p, f, t, h, m, v)
    return rates[0] - softplus(p["raw_decay"]) * h, *rates[1:]


def hamiltonian_descent(p, f, t, h, m):
    """Maddison et al. 2018, the relativistic kinetic energy sqrt(1 + |m|^2) of each sample."""
    return m / (1 + (m * m).sum(-1, True)).sqrt(), f(t, h) - softplus(p["raw_gamma"]) * m


DAMPED = {
    HBNODE: heavy_ball,
    UndampedHBNODE: undamped_heavy_ball,
    StronglyConvexHBNODE: strongly_convex,
    NesterovNODE: nesterov,
    GeneralizedNesterovNODE: generalized_nesterov,
    StronglyConvexNesterovNODE: strongly_convex,
}
SEPARABLE = {
    GHBNODE: generalized_heavy_ball,
    HardGHBNODE: hardtanh_heavy_ball,
    AdamNODE: adam,
    GuardedAdamNODE: adam_guarded,
    L2AdamNODE: adam_l2,
    AdamWNODE: adamw,
    RelativisticNODE: hamiltonian_descent,
}
NYSTROM = {"nystrom4": 4, "nystrom5": 5, "nystrom6": 6}
SPLITTING = {"splitting2": 2, "splitting4": 4}
ORDERS = NYSTROM | SPLITTING
PAIRS = [(model, method) for model in DAMPED for method in NYSTROM]
PAIRS += [(model, method) for model in SEPARABLE for method in SPLITTING]
# evaluations of n steps of one interval: nystrom4 and nystrom6 end where the next step begins
COSTS = {
    "nystrom4": lambda n: 3 * n + 1,
    "nystrom5": lambda n: 4 * n,
    "nystrom6": lambda n: 5 * n + 1,
    "splitting2": lambda n: n,
    "splitting4": lambda n: 6 * n,
}


def named(value):
    return getattr(value, "__name__", None) or str(value)


def every(argument, values):
    return pytest.mark.parametrize(argument, values, ids=named)


def build(model, field=None, span=SPAN, **settings):
    """The model, its learned parameters away from where they start, and a state for each name.

    hardtanh(m, -5, 5) has kinks: the first sample's m stay beyond them, the second's between.
    """
    torch.manual_seed(len(model.__name__))
    node = model(field or Force(), span, **settings)
    with torch.no_grad():
        for p in node.parameters(recurse=False):
            p.uniform_(-1, 1)
    states = [torch.randn(2, 3) for _ in node.state_names]
    if "v" in node.state_names:  # a second moment is positive
        states[2] = torch.rand(2, 3) + 0.5
    if model is HardGHBNODE:
        states[1][0] = torch.tensor([40.0, -40.0, 45.0])
    return node, tuple(z.requires_grad_() for z in states)


def loss_of(states):
    """Of all states, in no direction alike."""
    sizes = [torch.linspace(0.5, 1.5, z.numel()).reshape(z.shape) for z in states]
    return sum((w * torch.sin(z)).sum() for w, z in zip(sizes, states, strict=True))


def gradients(loss, node, states, **settings):
    """By every state and parameter."""
    sources = (*states, *node.parameters())
    return torch.autograd.grad(loss, sources, materialize_grads=True, **settings)


def errors_of(ours, theirs):
    return [(x - y).norm() / y.norm() if y.any() else x.norm() for x, y in zip(ours, theirs, strict=True)]


def assert_same(ours, theirs, tolerance):
    errors = [float(error) for error in errors_of(ours, theirs)]
    assert max(errors) <= tolerance, errors


def flat(tensors):
    return torch.cat([x.detach().flatten() for x in tensors])


# Orders


@functools.cache
def reference(model):
    """The states at the end and the gradients, by the typed equations; no step is interpolated."""
    node, states = build(model)
    known, times = dict(node.named_parameters()), torch.tensor(SPAN)
    path = odeint(
        lambda t, z: (DAMPED | SEPARABLE)[model](known, node.field, t, *z), states, times,
        method="dopri8", rtol=1e-13, atol=1e-13, options={"step_t": times[1:]},
    )  # fmt: skip
    ends = [z[-1] for z in path]
    return [z.detach() for z in ends], gradients(loss_of(ends), node, states)


# In the asymptotic range and above rounding.
STEPS = {
    "nystrom4": (48, 64, 96),
    "nystrom5": (32, 40, 48),
    "nystrom6": (20, 26, 32),
    "splitting2": (32, 48, 64),
    "splitting4": (16, 24, 32),
}


@pytest.mark.parametrize(
    ("model", "method"), PAIRS, ids=[f"{model.__name__}-{method}" for model, method in PAIRS]
)
def test_observed_order(model, method):
    """Of h, of the other states and of the gradients, in the Euclidean norm."""
    node, states = build(model, method=method)
    exact, slopes = reference(model)
    errors = []
    for n in STEPS[method]:
        node.options = {"steps": n}
        ends = [z[-1] for z in node.integrate(states).states]
        found = gradients(loss_of(ends), node, states)
        pairs = (ends[:1], exact[:1]), (ends[1:], exact[1:]), (found, slopes)
        errors.append([(flat(x) - flat(y)).norm().item() for x, y in pairs])
    orders = -np.polyfit(np.log(STEPS[method]), np.log(errors), 1)[0]
    assert orders == pytest.approx(ORDERS[method], abs=0.1), (orders, errors)


def test_states_stay_off_the_kinks():
    """In the test above: m of the first sample beyond 5 or -5, of the second between, at all times."""
    node, states = build(HardGHBNODE, method="splitting4", options={"steps": 8})
    m = node.integrate(states, torch.linspace(*SPAN, 9)).states.m
    assert m[:, 0].abs().min() > 6
    assert m[:, 1].abs().max() < 4


# Gradients


LOSSES = {
    "all states at all times": loss_of,
    "h at the end": lambda states: states[0][-1].square().mean(),
    "m inside": lambda states: torch.cos(states[1][:-1]).sum(),
}
TIMES = torch.tensor([1.2, 1.45, 2.0], dtype=torch.float64)  # the start is not observed
# bytes of graphs that may be kept: of no step, of some, of all (by default)
KEEPS = [{"keep": 0}, {"keep": 1500}, {"keep": 4500}, {}]
GRIDS = [(model, method, True) for model, method in PAIRS]
GRIDS += [(model, method, False) for model in DAMPED for method in NYSTROM]


@pytest.mark.parametrize(
    ("model", "method", "fixed"),
    GRIDS,
    ids=[f"{model.__name__}-{method}-{'fixed' if n else 'fitted'}" for model, method, n in GRIDS],
)
def test_discrete_gradient_is_backpropagation_through_the_same_steps(model, method, fixed):
    """By states, learned parameters and the field's; of several losses, whatever graphs are kept.

    The first solve weighs the graph of f, the second keeps it, and goes back with and
    without.
    """
    options = {"steps": 1 if method == "splitting4" else 2} if fixed else {}
    node, states = build(model, method=method, rtol=1e-3, atol=1e-3, options=options)

    def solved(gradient):
        node.gradient = gradient
        found = node.integrate(states, TIMES)
        assert found.stats.accepted > 2
        return [loss(found.states) for loss in LOSSES.values()]

    keep_graph = {"retain_graph": True}
    wanted = [gradients(loss, node, states, **keep_graph) for loss in solved("autograd")]
    assert all(g.any() for every in wanted for g in every[: len(states)])
    for keep in KEEPS:
        node = copy.deepcopy(node)
        node.options = options | keep
        node._weights.clear()
        assert_same(gradients(solved("discrete")[0], node, states), wanted[0], 1e-11)
        losses = solved("discrete")
        first = gradients(losses[0], node, states, **keep_graph)
        assert_same(first, wanted[0], 1e-11)
        for loss, theirs in zip(losses, wanted, strict=True):
            assert_same(gradients(loss, node, states, **keep_graph), theirs, 1e-11)
        assert_same(gradients(losses[0], node, states), first, 1e-14)


# Evaluations


class Counting(Force):
    """Counts its calls."""

    calls = 0

    def forward(self, t, h):
        self.calls += 1
        return super().forward(t, h)

    def taken(self):
        calls, self.calls = self.calls, 0
        return calls


@every("gradient", ["discrete", "autograd"])
@every("model", [HBNODE, NesterovNODE, GHBNODE, AdamWNODE])
def test_evaluations_of_fixed_steps(model, gradient):
    """Counted by the field, too; kept graphs save the calls of the backward pass, not its VJPs."""
    for method in NYSTROM if model in DAMPED else SPLITTING:
        field = Counting()
        node, states = build(model, field, method=method, gradient=gradient)
        for n, keep in [(1, {"keep": 0}), (5, {"keep": 0}), (5, {}), (5, {"keep": 5000})]:
            node.options = {"steps": n} | keep
            solution = node.integrate(states)
            stats, expected = solution.stats, COSTS[method](n)
            assert (stats.method, stats.accepted, stats.rejected) == (method, n, 0)
            assert stats.forward_nfe == field.taken() == expected
            gradients(loss_of(solution.states), node, states)
            calls = field.taken()
            if gradient == "autograd" or not keep:
                assert calls == 0
            elif keep["keep"] == 0:
                assert calls == expected
            elif method != "splitting2":  # at most one evaluation for each step
                assert 0 < calls < expected
            assert stats.backward_nfe == expected, method


@every("model", [HBNODE, NesterovNODE])
@every("method", ["nystrom4", "nystrom6"])
def test_a_stage_is_shared_across_a_time(model, method):
    """The last of an interval is the first of the next, with the gradient right (above)."""
    field = Counting()
    node, states = build(model, field, method=method, options={"steps": 3})
    stats = node.integrate(states, [1.0, 1.3, 2.0]).stats
    assert stats.forward_nfe == field.taken() == COSTS[method](6)


@every("method", NYSTROM)
def test_evaluations_of_fitted_steps(method):
    """A rejected step's first stage begins the next attempt; rejected steps have no way back."""
    field = Counting()
    settings = {"rtol": 1e-6, "atol": 1e-6, "options": {"keep": 0, "first_step": 1.0}}
    node, states = build(HBNODE, field, method=method, **settings)
    solution = node.integrate(states)
    stats = solution.stats
    assert stats.rejected > 0
    assert stats.accepted > 2
    steps = stats.accepted + stats.rejected
    expected = COSTS[method](steps) - (stats.rejected if method == "nystrom5" else 0)
    assert stats.forward_nfe == field.taken() == expected
    gradients(loss_of(solution.states), node, states)
    assert stats.backward_nfe == field.taken() == COSTS[method](stats.accepted)
