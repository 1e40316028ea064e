"""Methods on the models of the catalogue, the interpolations of f first of all, and auto.

Reference: torchdiffeq on the equations of tests/vector_fields.py.
"""

from __future__ import annotations

import functools
import math
import re

import pytest
import torch
from fields import CountingField, TanhField
from torch import nn
from torch.func import jvp, vmap
from torchdiffeq import odeint
from vector_fields import (
    adam,
    adam_guarded,
    adam_l2,
    adamw,
    generalized_heavy_ball,
    generalized_nesterov,
    hamiltonian_descent,
    hardtanh_heavy_ball,
    heavy_ball,
    nesterov,
    strongly_convex,
    undamped_heavy_ball,
)

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
pytestmark = pytest.mark.usefixtures("float64")

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
MODELS = DAMPED | SEPARABLE
METHODS = {"interpolation3": 3, "interpolation5": 5, "interpolation8": 8}
"""Methods, and how often a step of theirs evaluates f."""

PAIRS = [(model, method) for model in MODELS for method in METHODS]


def named(value):
    return getattr(value, "__name__", None) or str(value)


def every(argument, values):
    return pytest.mark.parametrize(argument, values, ids=named)


def build(model, field=None, span=SPAN, **settings):
    """The model, its learned parameters away from where they start, and a state for each name."""
    torch.manual_seed(len(model.__name__))  # not one draw for all
    node = model(field or TanhField(3, 5), span, **settings)
    with torch.no_grad():
        for p in node.parameters(recurse=False):
            p.uniform_(-1, 1)
    states = [torch.randn(2, 3) for _ in node.state_names]
    if len(states) == 3:  # a second moment is positive
        states[2] = torch.rand(2, 3) + 0.5
    return node, tuple(z.requires_grad_() for z in states)


def loss_of(states):
    """Of all states, in no direction alike."""
    sizes = [torch.linspace(0.5, 1.5, z.numel()).reshape(z.shape) for z in states]
    return sum((w * torch.sin(z)).sum() for w, z in zip(sizes, states, strict=True))


def ends_of(node, states):
    return [z[-1] for z in node.integrate(states).states]


def gradients(loss, node, states, **settings):
    """By every state and parameter."""
    sources = (*states, *node.parameters())
    return torch.autograd.grad(loss, sources, materialize_grads=True, **settings)


def flat(tensors):
    return torch.cat([x.detach().flatten() for x in tensors])


def error_of(ours, theirs):
    """The norm of the difference, relative to that of theirs unless it is 0; of a nan infinite."""
    ours, theirs = flat(ours), flat(theirs)
    distance = (ours - theirs).norm() / (theirs.norm() or 1.0)
    return distance.nan_to_num(math.inf, math.inf).item()


def assert_same(ours, theirs, tolerance):
    """Each of the tensors."""
    errors = [error_of([x], [y]) for x, y in zip(ours, theirs, strict=True)]
    assert max(errors) <= tolerance, errors


@functools.cache
def reference(model):
    """The states at the end and the gradients, by the typed equations; no step is interpolated."""
    node, states = build(model)
    known, times = dict(node.named_parameters()), torch.tensor(SPAN)
    path = odeint(
        lambda t, z: MODELS[model](known, node.field, t, *z), states, times,
        method="dopri8", rtol=1e-13, atol=1e-13, options={"step_t": times[1:]},
    )  # fmt: skip
    ends = [z[-1] for z in path]
    return [z.detach() for z in ends], gradients(loss_of(ends), node, states)


# Gradients


LOSSES = {
    "all states at all times": loss_of,
    "h at the end": lambda states: states[0][-1].square().mean(),
    "m inside": lambda states: torch.cos(states[1][:-1]).sum(),
}
TIMES = torch.tensor([1.2, 1.45, 2.0], dtype=torch.float64)  # the start is not observed
# bytes of graphs that may be kept: of no step, of some, of all (by default)
KEEPS = [{"keep": 0}, {"keep": 900}, {}]
GRIDS = [(model, "interpolation5", fixed) for model in MODELS for fixed in (True, False)]
GRIDS += [(model, method, True) for model, method in PAIRS[::3]]


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
    options = {"steps": 2} if fixed else {}
    settings = {"method": method, "rtol": 1e-3, "atol": 1e-3}

    def losses(node, states):
        solution = node.integrate(states, TIMES)
        assert solution.stats.accepted > 2
        return [loss(solution.states) for loss in LOSSES.values()]

    keep_graph = {"retain_graph": True}
    node, states = build(model, gradient="autograd", options=options, **settings)
    wanted = [gradients(loss, node, states, **keep_graph) for loss in losses(node, states)]
    assert all(slope.any() for slopes in wanted for slope in slopes[: len(states)])
    for keep in KEEPS:
        node, states = build(model, options=options | keep, **settings)
        assert_same(gradients(losses(node, states)[0], node, states), wanted[0], 1e-11)
        again = losses(node, states)
        first = gradients(again[0], node, states, **keep_graph)
        assert_same(first, wanted[0], 1e-11)
        for loss, slopes in zip(again, wanted, strict=True):
            assert_same(gradients(loss, node, states, **keep_graph), slopes, 1e-11)
        assert_same(gradients(again[0], node, states), first, 1e-14)


# Evaluations


def weight_of(node, states):
    """The bytes that the graph of one evaluation saves, beside states and parameters."""
    y = torch.stack(states).detach().requires_grad_()
    known = {x.untyped_storage().data_ptr() for x in (y, *node.parameters())}
    saved = {}

    def weigh(x):
        saved[x.untyped_storage().data_ptr()] = x.numel() * x.element_size()
        return x

    with torch.autograd.graph.saved_tensors_hooks(weigh, lambda x: x):
        node.vector_field(torch.tensor(0.0, dtype=y.dtype), y.unbind())
    return sum(size for place, size in saved.items() if place not in known)


@every("options", [{}, {"steps": 4}])
@every("method", ["rk4", "dopri5", "tsit5"])
@every("model", [GHBNODE, AdamNODE])
def test_runge_kutta_steps_are_checkpoints_where_graphs_do_not_fit(model, method, options):
    """The graphs of two steps and a half are kept, of more that there are."""
    settings = {"method": method, "rtol": 1e-6, "atol": 1e-6}
    options = {"steps": 4} if method == "rk4" else options
    field = CountingField(3, 5)
    node, states = build(model, field, gradient="autograd", options=options, **settings)
    wanted = gradients(loss_of(node.integrate(states).states), node, states)
    node, states = build(model, field, options=options, **settings)
    gradients(loss_of(node.integrate(states).states), node, states)
    weight, stages = weight_of(node, states), {"rk4": 4}.get(method, 7)
    field.taken()
    for keep in (2.5 * stages * weight, stages * weight, 1e9):
        node.options = options | {"keep": int(keep)}
        solution = node.integrate(states)
        assert solution.stats.accepted >= 4
        assert field.taken() == solution.stats.forward_nfe
        assert_same(gradients(loss_of(solution.states), node, states), wanted, 1e-11)
        assert (field.taken() == 0) == (keep == 1e9)


@every("gradient", ["discrete", "autograd"])
@every("model", [HBNODE, NesterovNODE, GHBNODE, AdamWNODE])
def test_evaluations_of_fixed_steps(model, gradient):
    """Counted by the field, too; kept graphs save the calls of the backward pass, not its VJPs."""
    for method, count in METHODS.items():
        field = CountingField(3, 5)
        node, states = build(model, field, method=method, gradient=gradient)
        some = int(2.5 * count * weight_of(node, states))
        field.taken()
        for n, keep in [(1, {"keep": 0}), (5, {"keep": 0}), (5, {}), (5, {"keep": some})]:
            node.options = {"steps": n} | keep
            solution = node.integrate(states)
            stats, expected = solution.stats, count * n
            assert (stats.method, stats.accepted, stats.rejected) == (method, n, 0)
            assert stats.forward_nfe == field.taken() == expected
            gradients(loss_of(solution.states), node, states)
            calls = field.taken()
            if gradient == "autograd" or not keep:
                assert calls == 0
            elif keep["keep"] == 0:
                assert calls == expected
            else:  # some steps are kept
                assert 0 < calls < expected
            assert stats.backward_nfe == expected, method


@every("method", METHODS)
def test_evaluations_of_fitted_steps(method):
    """A rejected step's first stage begins the next attempt; rejected steps have no way back."""
    field = CountingField(3, 5)
    settings = {"rtol": 1e-6, "atol": 1e-6, "options": {"keep": 0, "first_step": 1.0}}
    node, states = build(HBNODE, field, method=method, **settings)
    solution = node.integrate(states)
    stats = solution.stats
    assert stats.rejected > 0
    assert stats.accepted > 2
    expected = METHODS[method] * (stats.accepted + stats.rejected) - stats.rejected
    assert stats.forward_nfe == field.taken() == expected
    gradients(loss_of(solution.states), node, states)
    assert stats.backward_nfe == field.taken() == METHODS[method] * stats.accepted


@every("tolerance", [1e-4, 1e-7])
@every("method", METHODS)
@every("model", MODELS)
def test_fitted_steps_hold_the_tolerance(model, method, tolerance):
    """Of states of size one, at the end, where errors of steps add up; nor are these far shorter."""
    node, states = build(model, method=method, rtol=tolerance, atol=tolerance)
    exact, _ = reference(model)
    assert tolerance / 10_000 < error_of(ends_of(node, states), exact) < 2 * tolerance


class Driven(nn.Module):
    """The network of the speed benchmark's small problem, its weights doubled, driven slowly."""

    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(m, n) for m, n in [(2, 20), (20, 20), (20, 2)])
        with torch.no_grad():
            for p in self.parameters():
                p.mul_(2.0)

    def forward(self, t, h):
        first, second, last = self.layers
        return last(torch.tanh(second(torch.tanh(first(h) + torch.sin(t)))))


@functools.cache
def cheapest(model, seed):
    """The fewest evaluations for a gradient within 1e-6 and 1e-8, of any tolerance, by method."""
    torch.manual_seed(seed)
    start = float(model is NesterovNODE)
    node, h = model(Driven(), (start, start + 2.0)), torch.randn(4, 2, requires_grad=True)

    def slopes(h1):
        return gradients(torch.sin(h1).sum(), node, [h])

    known, times = dict(node.named_parameters()), torch.tensor(node.span)
    path, _ = odeint(
        lambda t, z: DAMPED[model](known, node.field, t, *z), (h, torch.zeros_like(h)), times,
        method="dopri8", rtol=1e-13, atol=1e-13, options={"step_t": times[1:]},
    )  # fmt: skip
    exact, found = slopes(path[-1]), {}
    for node.method in ("auto", "dopri5"):
        for thirds in range(14, 28):
            node.rtol = node.atol = 10 ** (-thirds / 3)
            solution = node.integrate(h)
            error = error_of(slopes(solution.states.h[-1]), exact)
            for target in (1e-6, 1e-8):
                if error <= target:
                    nfe, key = solution.stats.forward_nfe, (node.method, target)
                    found[key] = min(nfe, found.get(key, nfe))
    return found


@pytest.mark.parametrize(
    ("model", "target", "ratio"),
    [
        (HBNODE, 1e-6, 1.25),  # of ten networks together 1.4
        (HBNODE, 1e-8, 1.5),
        (NesterovNODE, 1e-6, 1.5),
        (NesterovNODE, 1e-8, 1.5),
    ],
    ids=named,
)
def test_auto_needs_fewer_evaluations_than_dopri5(model, target, ratio):
    """At equal error of the gradient, of three networks together.

    It depends on the field: of one driven faster, by sin(3 t), the ratio is about 1.2.
    """
    ours, theirs = (
        sum(cheapest(model, seed)[method, target] for seed in range(3))
        for method in ("auto", "dopri5")
    )
    assert theirs >= ratio * ours, (ours, theirs)


VANISHING = [(HBNODE, "gamma"), (GHBNODE, "gamma"), (RelativisticNODE, "gamma")]
VANISHING += [(AdamWNODE, "decay")]


@every("value", [-30.0, -200.0, -800.0])
@pytest.mark.parametrize(("model", "name"), VANISHING, ids=named)
def test_damping_may_vanish(model, name, value):
    """At a raw parameter of -30 it is 1e-13, at -800 it is 0: all as if it were not there."""
    node, states = build(model, method="interpolation5", options={"steps": 3})
    raw = getattr(node, f"raw_{name}")

    def solved(value):
        with torch.no_grad():
            raw.fill_(value)
        ends = ends_of(node, states)
        return ends, gradients(loss_of(ends), node, states)

    (expected, wanted), (found, slopes) = solved(-26.0), solved(value)
    assert_same(found, expected, 1e-10)
    assert all(slope.isfinite().all() for slope in slopes)
    # the gradient of raw vanishes with it
    others = [i for i, p in enumerate((*states, *node.parameters())) if p is not raw]
    assert_same([slopes[i] for i in others], [wanted[i] for i in others], 1e-9)


# Use


@every("method", METHODS)
def test_callbacks_of_fixed_steps(method):
    """Once for each step, with its start, the states there and its length; none on the way back."""
    node, states = build(AdamNODE, method=method, options={"steps": 2})
    seen = []
    node.callback_step = lambda t, z, dt: seen.append((t.item(), dt.item(), z))
    solution = node.integrate(states, [1.0, 1.4, 2.0])
    gradients(loss_of(solution.states), node, states)
    assert [(t, dt) for t, dt, _ in seen] == [
        pytest.approx(pair) for pair in [(1.0, 0.2), (1.2, 0.2), (1.4, 0.3), (1.7, 0.3)]
    ]
    for step, time in [(0, 0), (2, 1)]:
        for z, path in zip(seen[step][2], solution.states, strict=True):
            assert torch.equal(z, path[time])


@every("method", METHODS)
def test_callbacks_of_fitted_steps(method):
    settings = {"rtol": 1e-6, "atol": 1e-6, "options": {"first_step": 1.0}}
    node, states = build(NesterovNODE, method=method, **settings)
    seen = []
    for event in ("callback_step", "callback_accept_step", "callback_reject_step"):
        setattr(node, event, lambda t, z, dt, event=event: seen.append((event, t.item())))
    stats = node.integrate(states).stats
    assert stats.rejected > 0
    counts = stats.accepted + stats.rejected, stats.accepted, stats.rejected
    for name, count in zip(("step", "accept_step", "reject_step"), counts, strict=True):
        assert [event for event, _ in seen].count(f"callback_{name}") == count
    starts = [t for event, t in seen if event == "callback_accept_step"]
    assert starts == sorted({*starts})


@pytest.mark.parametrize(("model", "method"), PAIRS[2::3], ids=named)
def test_states_may_be_given(model, method):
    """All of them, in a tuple or as States; h alone begins where the model says."""
    node, states = build(model, method=method, options={"steps": 2})
    h = states[0]
    begun = node.initial_states(h)
    assert torch.equal(node(h), node((h, *begun[1:])))
    assert torch.equal(node(h), node(begun))
    given = node.integrate(states).states
    assert all(torch.equal(path[0], z) for path, z in zip(given, states, strict=True))
    assert not torch.equal(node(h), node(states))


OWN_TIMES = torch.tensor([[1.0, 1.5], [1.2, 2.0]], dtype=torch.float64)


def times_of(kind):
    """Each sample's own, or such that a gradient of theirs is asked for."""
    return OWN_TIMES if kind == "own" else torch.tensor([1.0, 2.0], requires_grad=True)


@every("kind", ["own", "gradient"])
@every("options", [{}, {"steps": 2}])
@every("model", [HBNODE, NesterovNODE, GHBNODE, AdamNODE])
def test_auto_takes_any_times(model, options, kind):
    node, states = build(model, method="auto", options=options)

    def solved():
        times = times_of(kind)
        solution = node.integrate(states, times)
        sources = (*states, *node.parameters(), *[times] * times.requires_grad)
        slopes = torch.autograd.grad(loss_of(solution.states), sources, materialize_grads=True)
        return solution, slopes

    solution, slopes = solved()
    node.method = solution.stats.method
    wanted, expected = solved()
    assert all(torch.equal(x, y) for x, y in zip(solution.states, wanted.states, strict=True))
    for x, y in zip(slopes, expected, strict=True):  # the first way back goes stage by stage
        torch.testing.assert_close(x, y, rtol=1e-12, atol=1e-14)
    assert kind == "own" or slopes[-1].all()


AUTO = [(model, {}, 1e-5, "interpolation5") for model in MODELS]
AUTO += [(model, {}, 1e-6, "interpolation6") for model in (HBNODE, AdamNODE)]
AUTO += [(model, {}, 1e-7, "interpolation8") for model in (HBNODE, AdamNODE)]
AUTO += [(model, {"steps": 3}, 1e-5, "interpolation5") for model in DAMPED]
AUTO += [(model, {"step_size": 0.4}, 1e-5, "interpolation5") for model in SEPARABLE]
AUTO += [(NODE, {}, 1e-5, "tsit5"), (NODE, {"steps": 3}, 1e-2, "rk4")]
AUTO += [(SONODE, {}, 1e-5, "tsit5")]


@pytest.mark.parametrize(("model", "options", "tolerance", "method"), AUTO, ids=named)
def test_auto(model, options, tolerance, method):
    """What it takes is said, and is what the method gives."""
    more = {"features": 3, "field": TanhField(3, 5, inputs=3)} if model is SONODE else {}
    settings = {"rtol": tolerance, "atol": tolerance, "options": options}
    node, (h, *_) = build(model, method="auto", **settings, **more)
    solution = node.integrate(h)
    assert solution.stats.method == method
    node.method = method
    assert torch.equal(solution.states[0], node.integrate(h).states[0])


# Transforms and precisions

USED = [(HBNODE, "interpolation5"), (NesterovNODE, "interpolation3")]
USED += [(GHBNODE, "interpolation8"), (AdamNODE, "interpolation5")]
used = pytest.mark.parametrize(("model", "method"), USED, ids=named)


@used
def test_vmap_and_jvp(model, method):
    """Against a loop over the samples, and over the rows of the Jacobian."""
    settings = {"method": method, "gradient": "autograd", "options": {"steps": 2}}
    node, (h, *_) = build(model, **settings)
    assert_same([vmap(node)(h)], [torch.stack([node(sample) for sample in h])], 1e-13)
    tangent = torch.randn(2, 3)
    h1, moved = jvp(node, (h,), (tangent,))
    assert_same([h1], [node(h)], 1e-14)
    rows = [torch.autograd.grad(y, h, retain_graph=True)[0] for y in node(h).flatten()]
    rates = torch.stack([(row * tangent).sum() for row in rows]).reshape(2, 3)
    assert_same([moved], [rates], 1e-12)


@pytest.mark.parametrize(
    ("model", "method", "backend", "gradient"),
    [
        (HBNODE, "interpolation5", "eager", "discrete"),
        (HBNODE, "interpolation5", "aot_eager", "autograd"),
        (GHBNODE, "interpolation8", "eager", "discrete"),
    ],
    ids=named,
)
def test_compiled(model, method, backend, gradient):
    """In one graph, with its gradients."""
    node, states = build(model, method=method, gradient=gradient, options={"steps": 2})
    torch.compiler.reset()
    solve = torch.compile(lambda *z: node.integrate(z).states, fullgraph=True, backend=backend)
    found, wanted = solve(*states), node.integrate(states).states
    assert_same(found, wanted, 1e-12)
    assert_same(*(gradients(loss_of(z), node, states) for z in (found, wanted)), 1e-12)


@every("dtype", [torch.float32, torch.bfloat16])
@every("gradient", ["discrete", "autograd"])
@pytest.mark.parametrize(("model", "method"), PAIRS[1::3], ids=named)
def test_low_precision(model, method, gradient, dtype):
    """Every state and gradient in its own type, near those of float64."""
    node, states = build(model, method=method, gradient=gradient, options={"steps": 2})
    ends = ends_of(node, states)
    wanted = [*ends, *gradients(loss_of(ends), node, states)]
    node, states = node.to(dtype), tuple(z.detach().to(dtype).requires_grad_() for z in states)
    ends = ends_of(node, states)
    found = [*ends, *gradients(loss_of([z.double() for z in ends]), node, states)]
    assert all(x.dtype == dtype for x in found)
    assert error_of([x.double() for x in found], wanted) < (1e-5 if dtype == torch.float32 else 0.1)


@used
@every("gradient", ["discrete", "autograd"])
def test_autocast_reaches_the_field_alone(model, method, gradient):
    node, (h, *_) = build(model, method=method, gradient=gradient, options={"steps": 2})
    node, h, dtypes = node.float(), h.detach().float().requires_grad_(), set()
    node.field.outer.register_forward_hook(lambda module, x, y: dtypes.add(y.dtype))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        path = node.integrate(h).states
    assert all(z.dtype == torch.float32 for z in path)
    low = gradients(path[0][-1].sum(), node, [h])
    assert dtypes == {torch.bfloat16}  # also in the backward pass
    high = gradients(node(h).sum(), node, [h])
    assert 1e-6 < error_of(low, high) < 0.05


# What diverges

DIVERGED = [(model, method) for model, method in PAIRS[1::3] if model.learned_names]


@every("gradient", ["discrete", "autograd"])
@pytest.mark.parametrize(("model", "method"), DIVERGED, ids=named)
def test_diverged_parameters_are_refused_or_give_numbers(model, method, gradient):
    """Every learned parameter large, or not finite: in words, where no number comes of it."""
    node, states = build(model, method=method, gradient=gradient)
    found = {}
    for value in (1e3, 2e5, 1e6, math.inf, math.nan):
        for options in [{"steps": 2}, {"max_steps": 30}]:
            with torch.no_grad():
                for p in node.parameters(recurse=False):
                    p.fill_(value)
            node.options, said = options, "finite"
            try:
                ends = ends_of(node, states)
                slopes = gradients(loss_of(ends), node, states)
                if not flat([*ends, *slopes]).isfinite().all():
                    said = "not finite"
            except FloatingPointError as error:
                said = "refused" if re.search("not finite|short enough", str(error)) else str(error)
            except (ArithmeticError, RuntimeError, TypeError, ValueError) as error:
                named = re.search("max_steps|makes .* must be finite|no finite", str(error))
                said = "refused" if named else repr(error)
            found[value, next(iter(options))] = said
    assert {*found.values()} == {"finite", "refused"}, found
    assert found[math.nan, "steps"] == "refused"
