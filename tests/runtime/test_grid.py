"""grid="auto": equal steps, as many as the tolerance asks; compile=True; tolerances that a dtype holds."""

from __future__ import annotations

import copy
import os
import re
import shutil
from functools import cache
from itertools import pairwise

import pytest
import torch
from fields import CountingField
from torch import nn
from torch._dynamo.exc import Unsupported
from torch.utils._python_dispatch import TorchDispatchMode

from generated.adam import AdamNODE
from generated.adam_guarded import GuardedAdamNODE
from generated.generalized_heavy_ball import GHBNODE
from generated.gradient_descent import NODE
from generated.heavy_ball import HBNODE
from generated.nesterov import NesterovNODE
from optode.runtime import compiling, plan
from optode.runtime.automatic_grid import EASY, RUN
from optode.runtime.equidistribution import density_of, parts_of
from optode.runtime.methods.catalogue import METHODS
from optode.runtime.plan import Plan
from optode.runtime.rungs import COUNTS, NODES
from optode.runtime.solve import run
from optode.runtime.stepping.controller import Tolerances
from optode.runtime.times import Span, grid_of
from optode.runtime.tracing import compiled_whole

PAIRS = ("interpolation3", "interpolation5", "interpolation8", "dopri5", "bosh3")
every_pair = pytest.mark.parametrize("method", PAIRS)
pytestmark = pytest.mark.usefixtures("float64")


def automatic(
    method="interpolation5", tolerance=1e-5, model=HBNODE, span=(0.0, 2.0), field=None, **more
):
    field = field or CountingField(3)
    return model(field, span, method, rtol=tolerance, atol=tolerance, grid="auto", **more)


def scale(node, factor):
    with torch.no_grad():
        for p in node.field.outer.parameters():
            p.mul_(factor)


@torch.no_grad()
def exact(node, h0, times=None):
    """h by dopri8 at 1e-10 in float64, with steps of its own."""
    fine = copy.deepcopy(node).double()
    fine.method, fine.grid, fine.compiled = "dopri8", None, False
    fine.rtol = fine.atol = 1e-10
    return fine(h0.double(), times)


def error(node, h, expected):
    """In tolerances: the measure that every step is held to."""
    return (
        Tolerances(node.rtol, node.atol).sizes((h.double() - expected)[None], expected[None]).item()
    )


def counts(node, h0, solves):
    """The steps of so many solves, none of which was repeated."""
    found = []
    with torch.no_grad():
        for _ in range(solves):
            stats = node.integrate(h0).stats
            assert stats.repeated == 0
            found.append(stats.accepted)
    return found


# Training: each of n steps may err by one tolerance, and what follows may make it grow. The estimate
# is of the method of lower order, so that less is seen at 1e-5: 0.16, 0.13 and 0.63 tolerances.

TRAINED = {
    "heavy ball": (HBNODE, "interpolation5", (0.0, 2.0), torch.float64, 0.5),
    "nesterov": (NesterovNODE, "interpolation5", (0.5, 2.5), torch.float32, 0.5),
    "adam": (GuardedAdamNODE, "dopri5", (0.0, 1.0), torch.float64, 2.0),
}


@pytest.mark.parametrize("name", TRAINED)
def test_training_stays_within_the_tolerance(name):
    model, method, span, dtype, multiple = TRAINED[name]
    node = automatic(method, 1e-5, model, span).to(dtype)
    h0 = torch.randn(16, 3, dtype=dtype)
    target = 2 * torch.sin(2 * h0.roll(1, 1))
    optimizer = torch.optim.Adam(node.parameters(), lr=0.05)
    steps, repeated, losses, errors = [], [], [], []
    for k in range(60):
        solution = node.integrate(h0)
        h = solution.states.h[-1]
        loss = (h - target).square().mean()
        if k % 6 == 5:
            errors.append(error(node, h.detach(), exact(node, h0)))
        steps.append(solution.stats.accepted)
        repeated.append(solution.stats.repeated)
        losses.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert max(errors) < multiple
    assert losses[-1] < 0.9 * losses[0]  # the field did change
    assert set(steps) <= set(COUNTS)
    assert sum(a != b for a, b in pairwise(steps)) <= 3
    assert len(set(steps)) > 1
    assert sum(repeated) <= 5
    assert sum(x > 0 for x in repeated) <= 3


# Finer and coarser grids


@every_pair
def test_a_grid_too_coarse_is_not_returned(method):
    """After the weights have grown."""
    node, h0 = automatic(method), torch.randn(8, 3)
    with torch.no_grad():
        before = node.integrate(h0).stats
        scale(node, 100.0)
        coarse = copy.deepcopy(node)
        coarse.grid, coarse.options = None, {"steps": before.accepted}
        node.field.calls = 0
        solution = node.integrate(h0)
    expected, stats = exact(node, h0), solution.stats
    missed = error(node, coarse(h0).detach(), expected)  # what was not returned
    assert missed > (1 if method.startswith("interpolation") else 10)
    assert error(node, solution.states.h[-1], expected) < min(1, missed / 5)  # 0.37 is seen
    assert 1 <= stats.repeated <= 3
    assert before.accepted < stats.accepted
    again = node.integrate(h0).stats
    assert (again.repeated, again.accepted) == (0, stats.accepted)
    assert stats.forward_nfe == node.field.calls - again.forward_nfe
    assert stats.forward_nfe >= again.forward_nfe + 3 * before.accepted


@pytest.mark.parametrize("gradient", ["discrete", "adjoint", "autograd"])
def test_tries_are_counted_forwards_and_not_backwards(gradient):
    node, h0 = automatic(gradient=gradient), torch.randn(4, 3)
    solution = node.integrate(h0)
    assert solution.stats.repeated > 0
    assert solution.stats.forward_nfe == node.field.calls
    fixed = HBNODE(node.field, node.span, node.method, options={"steps": solution.stats.accepted})
    alone = fixed.integrate(h0).stats.forward_nfe
    assert alone < solution.stats.forward_nfe
    solution.states.h[-1].sum().backward()
    if gradient != "adjoint":
        assert solution.stats.backward_nfe == alone


def test_ten_easy_solves_make_the_grid_coarser_down_to_one_step():
    node, h0 = automatic(), torch.randn(4, 3)
    node.integrate(h0)
    (steps,) = set(counts(node, h0, 3))
    scale(node, 0.0)
    known = [n for n in COUNTS if n <= steps][::-1]
    assert len(known) > 3
    assert RUN == 10
    expected = [n for n in known for _ in range(10)] + [1] * 15
    assert counts(node, h0, len(expected)) == expected


def test_a_run_of_easy_solves_is_broken_by_another():
    node, h0 = automatic(), torch.randn(4, 3)
    node.integrate(h0)
    (steps,) = set(counts(node, h0, 2))
    known = copy.deepcopy(node.field.state_dict())
    scale(node, 0.0)
    counts(node, h0, 9)
    node.field.load_state_dict(known)
    assert counts(node, h0, 1) == [steps]
    scale(node, 0.0)
    found = counts(node, h0, 11)
    assert found[:10] == [steps] * 10
    assert found[10] < steps


@pytest.mark.parametrize("method", ["interpolation5", "dopri5"])
def test_a_grid_that_would_not_be_easy_is_not_taken(method):
    """The coarser grid's errors together, as the order has it: 0.4 is easy, 0.6 is not."""
    node, h0 = automatic(method), torch.randn(4, 3)
    node.integrate(h0)
    steps, known = node.automatic_grid.steps, copy.deepcopy(node.field.state_dict())
    coarser = COUNTS[COUNTS.index(steps) - 1]
    grid, states = grid_of(h0, None, Span(*node.span, (), False)), node.initial_states(h0)
    factor = (steps / coarser) ** (METHODS[method].error_order - 0.5)

    @torch.no_grad()
    def foreseen(weight):
        node.field.load_state_dict(known)
        scale(node, weight)
        for _ in range(4):  # until the steps are spread for these weights
            node.integrate(h0)
        node.automatic_grid.easy_solves = 0
        parts = parts_of(node.automatic_grid.density, node.span, steps)
        errors = run(node, grid, states, None, Plan(steps, parts=parts)).errors
        return torch.stack([ratios for _, ratios in errors]).norm(dim=0).amax().item() * factor

    def weight_of(wanted):
        low, high = 0.0, 1.0
        for _ in range(14):
            middle = (low + high) / 2
            low, high = (middle, high) if foreseen(middle) < wanted else (low, middle)
        assert foreseen(low) == pytest.approx(wanted, rel=1e-2)

    assert EASY == 0.5
    weight_of(0.6)
    assert node.automatic_grid.steps == steps
    assert set(counts(node, h0, 25)) == {steps}
    weight_of(0.4)
    assert counts(node, h0, 11) == [steps] * 10 + [coarser]


def test_a_free_method_has_as_many_nodes_as_the_tolerance_asks():
    """One step with more nodes before there are more steps, and back again after easy solves."""
    h0, taken = torch.randn(4, 3), {}
    field = CountingField(3)
    for tolerance in (1e-2, 1e-4, 1e-6, 1e-8, 1e-10):
        node = automatic("auto", tolerance, field=field)
        for _ in range(3):
            solution = node.integrate(h0)
        stats = solution.stats
        assert error(node, solution.states.h[-1].detach(), exact(node, h0)) < 1
        taken[tolerance] = (stats.accepted, int(stats.method[-1]))
    assert [*taken.values()] == sorted(taken.values())
    assert len({*taken.values()}) >= 4
    assert {nodes for steps, nodes in taken.values() if steps > 1} == {NODES[-1]}
    node = automatic("auto", 1e-8, field=field)
    node.integrate(h0)
    scale(node, 0.0)
    assert counts(node, h0, 120)[-1] == 1
    assert node.automatic_grid.nodes == NODES[0]


def test_a_grid_of_a_version_before_is_loaded():
    node = automatic("auto", field=CountingField(3))
    node.automatic_grid.set_extra_state(torch.tensor([4, 7]))
    assert (node.automatic_grid.steps, node.automatic_grid.easy_solves) == (COUNTS[4], 7)
    assert node.integrate(torch.randn(2, 3)).stats.accepted == COUNTS[4]


# What goes wrong


class Spike(nn.Module):
    """A push at t = 0.72, too short for few steps."""

    def forward(self, t, h):
        return torch.exp(-(((t - 0.72) / 0.02) ** 2)) * torch.cos(h)


@pytest.mark.parametrize("method", ["interpolation5", "dopri5"])
def test_more_than_max_steps_names_the_state_and_the_worst_step(method):
    node = HBNODE(Spike(), (0.0, 1.0), method, 1e-9, 1e-9, options={"max_steps": 60}, grid="auto")
    h0, times = torch.randn(4, 3), (0.25, 0.5, 1.0)
    message = (
        r"max_steps = 60 steps: with \d+ the error is (\S+) times the tolerance, most of it the "
        r"error of m at t = (\S+):"
    )
    for _ in range(2):
        with pytest.raises(RuntimeError, match=message) as caught:
            node(h0, times)
        size, start = map(float, re.search(message, str(caught.value)).groups())
        assert 0.5 <= start < 0.78
        assert size > 1
    node.options = {}
    found, expected = node(h0, times).detach(), exact(node, h0, times)
    assert error(node, found[-1], expected[-1]) < 1  # 0.003 is seen


@pytest.mark.parametrize("gradient", ["discrete", "autograd"])
@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e200])
def test_weights_that_are_not_finite_are_said_and_forgotten(value, gradient):
    node, h0 = automatic(gradient=gradient, options={"max_steps": 200}), torch.randn(4, 3)
    expected = node(h0).detach()
    steps, known = node.automatic_grid.steps, copy.deepcopy(node.field.state_dict())
    with torch.no_grad():
        node.field.outer.weight[1, 2] = value
    at_once = FloatingPointError, r"m' is not finite at t = 0"
    kind, message = (RuntimeError, "max_steps = 200") if value == 1e200 else at_once
    with pytest.raises(kind, match=message):
        node(h0)
    node.field.load_state_dict(known)
    torch.testing.assert_close(node(h0), expected, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(node(h0).detach(), exact(node, h0), rtol=1e-5, atol=1e-5)
    for _ in range(2 * RUN):
        node.integrate(h0)
    assert node.automatic_grid.steps == steps


@pytest.mark.parametrize("gradient", ["discrete", "autograd"])
def test_a_field_that_is_not_finite_later_is_said(gradient):
    field = lambda t, h: torch.where(t > 0.5, torch.nan * h, -h)  # noqa: E731
    node = automatic(field=field, gradient=gradient, options={"max_steps": 100})
    with pytest.raises(RuntimeError, match=r"is inf times the .* of [hm] at t = 0\.(4|5)"):
        node(torch.randn(4, 3))


def test_a_field_that_no_grid_resolves_ends():
    rough = [1e3]
    field = lambda t, h: rough[0] * torch.sin(1e7 * t + h) - h  # noqa: E731
    node, h0 = automatic(field=field, options={"max_steps": 200}), torch.randn(4, 3)
    with pytest.raises(RuntimeError, match="more than max_steps = 200 steps"):
        node(h0)
    rough[0] = 0.0
    assert node.integrate(h0).stats.accepted < 32


@pytest.mark.parametrize("method", ["interpolation5", "dopri5"])
def test_a_coarse_grid_that_overflows_is_refined(method):
    """In float32, where 96 to 128 steps do. The errors of as many steps add up: 0.1 and 30 are seen."""
    node = automatic(method, 1e-3, span=(0.0, 1.0), field=lambda t, h: -20 * h**3).float()
    h0 = torch.full((1, 1), 15.0, dtype=torch.float32)
    solution = node.integrate(h0)
    found = error(node, solution.states.h[-1].detach(), exact(node, h0))
    assert found < solution.stats.accepted <= 256


def test_a_coarse_grid_that_leaves_the_domain_is_refined():
    """Adam without a guard: a long step makes v negative, whose root is not a number."""
    node, h0 = automatic("dopri5", model=AdamNODE, span=(1.0, 3.0)), torch.randn(8, 3)
    assert error(node, node(h0).detach(), exact(node, h0)) < 2  # 0.9 is seen with 6 steps


def test_a_count_of_one_interval_is_not_forced_on_many():
    node, h0 = automatic("interpolation5", 1e-8, options={"max_steps": 100}), torch.randn(4, 3)
    assert node.integrate(h0).stats.accepted > 20
    times = torch.linspace(0.1, 2.0, 20).tolist()
    fresh = automatic("interpolation5", 1e-5, options={"max_steps": 100}, field=node.field)
    assert fresh.integrate(h0, times).stats.accepted <= 60
    node.rtol = node.atol = 1e-5
    node.integrate(h0, times)


def test_a_count_of_few_pieces_is_not_forced_on_more():
    """Two pieces of 64 steps, of at most 150; then three, where 24 each do."""
    settings = {"options": {"max_steps": 150, "jump_t": [0.5]}, "grid": "auto"}
    fields = {"field": lambda t, h: 4 * torch.sin(9 * h + 20 * t), "method": "dopri5"}
    node, h0 = (
        HBNODE(span=(0.0, 2.0), rtol=1e-6, atol=1e-6, **fields, **settings),
        torch.randn(3, 3),
    )
    assert node.integrate(h0).stats.accepted > 2 * 150 / 3
    node.rtol = node.atol = 1e-3
    assert node.integrate(h0, (1.0, 2.0)).stats.accepted <= 150


@pytest.mark.parametrize("options", [{"jump_t": [0.3]}, {"step_t": [0.3, 0.5]}], ids=str)
def test_max_steps_where_steps_end_at_jumps(options):
    node = automatic(tolerance=1e-12, options={**options, "max_steps": 8})
    with pytest.raises(RuntimeError, match="max_steps = 8"):
        node(torch.randn(4, 3))


def test_steps_end_at_jumps():
    node = HBNODE(
        lambda t, h: torch.where(t < 0.3, -h, 2 * h), (0.0, 1.0), "dopri5", 1e-7, 1e-7,
        options={"jump_t": [0.3]}, grid="auto",
    )  # fmt: skip
    h0 = torch.randn(4, 3)
    solution = node.integrate(h0)
    assert solution.stats.accepted <= 16
    assert error(node, solution.states.h[-1], exact(node, h0)) < 2


# Settings


BAD = [
    ({"method": "rk4"}, "estimates its error, one of .*interpolation5.* got 'rk4'"),
    ({"method": "euler"}, "estimates its error"),
    ({"method": "torchdiffeq:dopri5"}, "estimates its error, .* got 'torchdiffeq:dopri5'"),
    ({"method": "torchode:dopri5"}, "estimates its error, .* got 'torchode:dopri5'"),
    ({"method": "heun2", "model": GHBNODE}, "estimates its error, .* got 'heun2'"),
    ({"method": "explicit_adams", "gradient": "autograd"}, "estimates its error"),
    ({"options": {"steps": 3}}, "'steps'.* no meaning with grid=\"auto\""),
    ({"options": {"step_size": 0.1}}, "'step_size'.* no meaning with grid=\"auto\""),
    ({"grid": "other"}, "grid must be None or \"auto\", got 'other'"),
    ({"grid": True}, 'grid must be None or "auto", got True'),
]


@pytest.mark.parametrize(("settings", "message"), BAD, ids=lambda x: str(x)[:40])
def test_bad_settings_are_refused(settings, message):
    given = {"method": "interpolation5", "grid": "auto", **settings}
    model = given.pop("model", HBNODE)
    with pytest.raises(ValueError, match=message):
        model(CountingField(3), **given)
    known = {"grid", "options"} & {*settings} or {"method", "gradient"} & {*settings}
    node = model(CountingField(3), grid="auto")
    for name in known:
        setattr(node, name, given[name])
    with pytest.raises(ValueError, match=message):
        node(torch.randn(4, 3))


@pytest.mark.parametrize("option", ["max_step", "first_step", "min_step", "norm"])
def test_options_of_fitted_steps_are_refused(option):
    """They would have no effect, as steps and step_size."""
    value = (lambda ratios: ratios[0].norm()) if option == "norm" else 0.01
    with pytest.raises(ValueError, match=option):
        automatic(tolerance=1e-2, options={option: value})(torch.randn(4, 3))


def test_inside_the_compiler_of_the_user_the_way_is_named():
    node, h0 = automatic(), torch.randn(4, 3)
    torch.compiler.reset()
    with pytest.raises(Unsupported, match=r'grid="auto" looks at errors .*compile=True'):
        torch.compile(node, fullgraph=True, backend="eager")(h0)
    node.integrate(h0)


# Gradients


def gradients(node, h0, times=None, rows=slice(None)):
    """Of a loss on both states at all times, by the start and all parameters; and the work."""
    h0 = h0.clone().requires_grad_()
    solution = node.integrate(h0, times)
    h, m = (x[rows] for x in solution.states)
    loss = torch.sin(h).sum() + (m.square() * torch.arange(1.0, 4.0)).sum()
    return torch.autograd.grad(loss, (h0, *node.parameters())), solution.stats


def steps_as_times(node, h0, times):
    """The same steps asked for as times with one step to each, and which of them were given."""
    starts = []
    node.callback_step = lambda t, states, dt: starts.append(t.item())
    stats = node.integrate(h0, times).stats
    starts = starts[-stats.accepted :]  # those before were of a grid too coarse
    del node.callback_step
    ends = [*node.span[1:]] if times is None else [*times]
    knots = sorted({*starts, *ends})
    given = [k for k, t in enumerate(knots) if t in (times or node.span)]
    return tuple(knots), given


@pytest.mark.parametrize("times", [None, (0.7, 1.0, 2.0)], ids=["ends", "times"])
@pytest.mark.parametrize("gradient", ["discrete", "autograd"])
@pytest.mark.parametrize("method", ["interpolation5", "dopri5"])
def test_gradients_are_those_of_as_many_fixed_steps(method, gradient, times):
    node, h0 = automatic(method, gradient=gradient), torch.randn(4, 3)
    found, stats = gradients(node, h0, times)
    assert stats.repeated > 0
    density = density_of((0.0, 0.2, 1.0), (0.4, 0.6))
    kept = torch.tensor([8, 5, 0, *density])
    node.automatic_grid.set_extra_state(kept)
    knots, given = steps_as_times(node, h0, times)
    node.automatic_grid.set_extra_state(kept)
    found, stats = gradients(node, h0, times)
    assert stats.accepted == len(knots) - 1
    assert len({round(b - a, 6) for a, b in pairwise(knots)}) > len(given)  # of unequal lengths
    node.grid, node.options = None, {"steps": 1}
    expected, fixed = gradients(node, h0, knots, given)
    assert fixed.accepted == stats.accepted
    assert fixed.backward_nfe == stats.backward_nfe
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("method", ["interpolation5", "dopri5"])
def test_adjoint_is_within_the_tolerance(method):
    node, h0 = automatic(method, 1e-6, gradient="adjoint"), torch.randn(4, 3)
    found, _ = gradients(node, h0)
    node.gradient = "discrete"
    expected, _ = gradients(node, h0)
    for x, y in zip(found, expected, strict=True):
        assert 0 < (x - y).norm() / y.norm() < 2e-5  # at most 3e-6 is seen


# Times


OWN_TIMES = torch.tensor([[0.0, 0.5, 2.0], [0.2, 0.25, 0.25], [0.5, 1.5, 1.6]], dtype=torch.float64)


def alone(node, h0, times):
    """Every sample by itself, at 1e-10."""
    found = []
    for start, row in zip(h0, times, strict=True):
        fine = copy.deepcopy(node)
        known = row.unique()
        fine.span = (known[0].item(), known[-1].item())
        at = {t.item(): h for t, h in zip(known, exact(fine, start[None], known), strict=True)}
        found.append(torch.stack([at[t.item()] for t in row]))
    return torch.cat(found, 1)


@pytest.mark.parametrize("method", ["auto", "dopri5"])
def test_times_and_times_of_each_sample(method):
    """The module keeps one number of steps for an interval, whatever the times are."""
    node, h0 = automatic(method), torch.randn(3, 3)
    shared = (0.0, 0.3, 0.5, 2.0)
    first = node.integrate(h0, shared)
    names = [method] if method != "auto" else [f"interpolation{n}" for n in NODES]
    assert first.stats.method in names
    assert first.stats.accepted == 3 * node.automatic_grid.steps
    torch.testing.assert_close(first.times, torch.tensor(shared))
    for h, expected in zip(first.states.h[1:], exact(node, h0, shared)[1:], strict=True):
        assert error(node, h.detach(), expected) < 2  # 1.2 is seen
    own = node.integrate(h0, OWN_TIMES)
    assert own.stats.method == (method if method != "auto" else "tsit5")
    assert own.stats.accepted == 2 * node.automatic_grid.steps
    for h, expected in zip(own.states.h[1:], alone(node, h0, OWN_TIMES)[1:], strict=True):
        assert error(node, h.detach(), expected) < 2  # 0.9 is seen
    torch.testing.assert_close(own.states.h[2, 1], own.states.h[1, 1])  # it stays
    again = node.integrate(h0, shared)
    assert error(node, again.states.h[-1].detach(), exact(node, h0)) < 2


@pytest.mark.parametrize("t", [[0.0], [[0.0], [0.5], [1.0]]], ids=["shared", "own"])
def test_a_single_time_takes_no_step(t):
    node, h0 = automatic("auto"), torch.randn(3, 3)
    solution = node.integrate(h0, torch.tensor(t))
    torch.testing.assert_close(solution.states.h, h0[None])
    assert (solution.stats.accepted, solution.stats.repeated) == (0, 0)


def test_samples_that_all_stay_take_no_step():
    """As without a grid."""
    node, h0 = automatic("dopri5"), torch.randn(3, 3)
    times = torch.tensor([[0.0, 0.0], [0.5, 0.5], [1.0, 1.0]])
    expected = NODE(node.field, method="dopri5")(h0, times)
    torch.testing.assert_close(node(h0, times), expected)


# Tolerances that the numbers cannot hold


def loose(rtol, atol, dtype, method="interpolation5", **more):
    node = HBNODE(CountingField(3), (0.0, 0.5), method, rtol=rtol, atol=atol, **more).to(dtype)
    return node, torch.ones(2, 3, dtype=dtype)


ESTIMATING = [
    ("interpolation5", {"grid": "auto"}),
    ("dopri5", {"grid": "auto"}),
    ("auto", {}),
    ("dopri5", {}),
    ("torchdiffeq:dopri5", {}),
]


@pytest.mark.parametrize(("method", "more"), ESTIMATING, ids=str)
def test_a_tolerance_below_the_dtype_is_refused(method, more):
    node, h0 = loose(1e-9, 0.0, torch.float32, method, **more)
    message = (
        r"rtol = 1e-09 and atol = 0 ask for more of h, of size 1, than torch\.float32 can hold"
    )
    with pytest.raises(ValueError, match=message):
        node(h0)
    assert node.field.calls == 0
    node, h0 = loose(0.0, 1e-9, torch.float32, method, **more)
    with pytest.raises(ValueError, match=r"torch\.float32 can hold"):
        node(h0)
    node(1e-3 * h0)  # of which 1e-9 can be held
    node, h0 = loose(1e-17, 0.0, torch.float64, method, **more)
    with pytest.raises(ValueError, match=r"torch\.float64 can hold"):
        node(h0)


@pytest.mark.parametrize(("method", "more"), ESTIMATING, ids=str)
def test_a_tolerance_that_the_dtype_holds_is_taken(method, more):
    for rtol, atol, dtype in ((1e-9, 1e-9, torch.float64), (1e-9, 1e-4, torch.float32)):
        node, h0 = loose(rtol, atol, dtype, method, **more)
        assert error(node, node(h0).detach(), exact(node, h0)) < 10


def test_the_state_that_asks_for_too_much_is_named():
    node, h0 = loose(0.0, 1e-6, torch.float32, grid="auto")
    with pytest.raises(ValueError, match=r"more of m, of size 100, than"):
        node((h0, 100 * h0))


@pytest.mark.parametrize("method", ["rk4", "dopri5", "interpolation5", "torchdiffeq:rk4"])
@pytest.mark.parametrize("options", [{"steps": 2}, {"step_size": 0.25}], ids=str)
def test_fixed_steps_have_no_tolerance(method, options):
    node, h0 = loose(1e-9, 0.0, torch.float32, method, options=options)
    assert node.integrate(h0).stats.accepted == 2


# compile=True


class Small(nn.Module):
    """As little to compile as there can be."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(2, 2)

    def forward(self, t, h):
        return torch.tanh(self.linear(h))


def small(model=HBNODE, **more):
    settings = {"method": "adaptive_heun", "rtol": 1e-2, "atol": 1.0, "grid": "auto", **more}
    torch.manual_seed(1)
    return model(Small(), **settings).float()


SMALL = torch.tensor([[0.3, -0.4], [0.5, 0.2], [-1.0, 0.7]], dtype=torch.float32)


def step(node, h0=SMALL, times=None):
    """A training step: h, the gradients by all parameters, and the work."""
    solution = node.integrate(h0, times)
    grads = torch.autograd.grad(torch.sin(solution.states.h[-1]).sum(), [*node.parameters()])
    return (solution.states.h.detach(), *grads), solution.stats


def step_as_eager(node, h0=SMALL, times=None):
    """The work of a training step that is the eager one, on the grid that the node has before."""
    eager = copy.deepcopy(node)
    eager.compiled = False
    found, compiled = step(node, h0, times)
    expected, stats = step(eager, h0, times)
    assert stats.compile_seconds == 0.0
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-6)
    return compiled


@pytest.fixture
def _by_dynamo(monkeypatch):
    """The solve is traced as a whole, and what is traced runs as it is, which is soon compiled."""

    @cache
    def compiled(mode, in_one):
        return compiled_whole(run, dynamic=False, backend="eager")

    torch.compiler.reset()
    monkeypatch.setattr(compiling, "compiled", compiled)
    monkeypatch.setattr(plan, "FEW", 1000)  # the backend "eager" has no way back through regions
    yield
    torch.compiler.reset()


@pytest.mark.skipif(
    shutil.which(os.environ.get("CXX", "g++")) is None, reason="inductor needs a C++ compiler"
)
def test_compiled_once_for_all_instances():
    torch.compiler.reset()
    plain = {"compile_threads": 1, "cpp.simdlen": 1}  # code without vectors compiles sooner
    with torch._inductor.config.patch(plain):
        node = small(compile=True)
        stats = step_as_eager(node)
        assert (stats.accepted, stats.repeated) == (1, 0)
        assert stats.compile_seconds > 0
        scale_all(node, 0.5)
        stats = step_as_eager(node)
        assert stats.compile_seconds == 0.0
        other = small(compile=True)
        scale_all(other, 1.5)
        stats = step_as_eager(other, 0.5 * SMALL)
        assert stats.compile_seconds == 0.0
    torch.compiler.reset()


def scale_all(node, factor):
    with torch.no_grad():
        for p in node.parameters():
            p.mul_(factor)


KINDS = {
    "grid": {"method": "interpolation3"},
    "fixed": {"method": "interpolation3", "grid": None, "options": {"steps": 2}},
    "autograd": {"method": "interpolation3", "gradient": "autograd"},
    "rk4": {"method": "rk4", "grid": None, "options": {"step_size": 0.5}},
}


@pytest.mark.usefixtures("_by_dynamo")
@pytest.mark.parametrize("kind", KINDS)
def test_a_traced_solve_is_the_eager_one(kind):
    node = small(compile=True, **KINDS[kind])
    stats = step_as_eager(node)
    assert stats.compile_seconds > 0
    other = small(compile=True, **KINDS[kind])
    scale_all(other, 0.5)
    stats = step_as_eager(other)
    assert stats.compile_seconds == 0.0
    scale_all(other, float("nan"))
    with pytest.raises(FloatingPointError, match=r"not finite at t = "):
        step(other)


@pytest.mark.usefixtures("_by_dynamo")
def test_a_traced_solve_is_refined_and_refused():
    node = small(compile=True)
    node.rtol = node.atol = 3e-3
    stats = step_as_eager(node)
    assert stats.repeated == 1
    assert stats.accepted > 1
    assert stats.compile_seconds > 0
    assert stats.forward_nfe > 2 * stats.accepted + 1
    with torch.no_grad():
        node.field.linear.weight[0, 0] = float("nan")
    with pytest.raises(FloatingPointError, match="not finite at t = "):
        step(node)


REGIONS = {
    "Runge and Kutta": (HBNODE, "adaptive_heun", False),
    "last stage as first": (HBNODE, "dopri5", True),
    "driven": (HBNODE, "interpolation3", True),
    "a cycle, and a follower": (GHBNODE, "interpolation3", False),
}


@pytest.mark.parametrize("kind", REGIONS)
def test_steps_that_are_compiled_once(monkeypatch, kind):
    """Each has its own time and interval all the same; the grid has their errors."""

    @cache
    def compiled(mode, in_one):
        assert not in_one
        return torch.compile(run, fullgraph=True, backend="aot_eager")

    torch.compiler.reset()
    monkeypatch.setattr(compiling, "compiled", compiled)
    model, method, own = REGIONS[kind]
    times = (0.4, 1.0)
    if own:
        times = torch.tensor([[0.0, 0.5, 1.0], [0.1, 0.3, 0.3], [0.2, 0.6, 0.9]])
    node = small(model, compile=True, method=method)
    node.automatic_grid.steps = 2
    stats = step_as_eager(node, times=times)
    assert stats.accepted == 2 * 2 > plan.FEW


@pytest.mark.usefixtures("_by_dynamo")
def test_times_of_a_traced_solve():
    own = torch.tensor([[0.0, 0.5, 1.0], [0.1, 0.3, 0.3], [0.2, 0.6, 0.9]], dtype=torch.float32)
    for times in ((0.4, 1.0), own):
        node = small(compile=True)
        stats = step_as_eager(node, times=times)
        assert stats.compile_seconds > 0
        assert stats.accepted == 2


def test_the_mode_is_the_compilers(monkeypatch):
    given = []
    monkeypatch.setattr(torch, "compile", lambda each, **more: given.append((each, more)))
    for mode in (True, "max-autotune"):
        for in_one in (True, False):
            compiling.compiled.__wrapped__(mode, in_one)
    assert given[0][1]["options"]["cpp_wrapper"] is True
    assert [more["mode"] for _, more in given[1:]] == [None, "max-autotune", "max-autotune"]
    assert all(each is run and more["fullgraph"] for each, more in given)


@pytest.mark.usefixtures("_by_dynamo")
def test_compile_seconds_are_those_of_all_tries(monkeypatch):
    """A clock that goes one second a look: two for each of the tries that had to be compiled."""
    clock = iter(range(1000))
    monkeypatch.setattr(compiling, "perf_counter", lambda: float(next(clock)))
    node = small(compile=True)
    node.rtol = node.atol = 3e-3
    _, stats = step(node)
    assert stats.repeated == 1
    assert stats.compile_seconds >= 2.0


@pytest.mark.usefixtures("_by_dynamo")
def test_many_shapes_compile():
    node = small(compile=True, method="euler", grid=None, options={"steps": 1})
    for size in range(1, 11):
        h0 = torch.ones(size, 2, dtype=torch.float32)
        with torch.no_grad():
            torch.testing.assert_close(node(h0), 0 * h0 + node(h0)[:1])


@pytest.mark.usefixtures("_by_dynamo")
def test_more_shapes_compile():
    """Of which 3 stand for 256."""
    node = small(compile=True, method="euler", grid=None, options={"steps": 1})
    with torch._dynamo.config.patch(accumulated_recompile_limit=3), torch.no_grad():
        for size in range(1, 6):
            node(torch.ones(size, 2, dtype=torch.float32))


class Tanhs(TorchDispatchMode):
    """Counts them: one is in each evaluation of the field, none in its pull-back."""

    count = 0

    def __torch_dispatch__(self, operation, types, arguments=(), named=None):
        self.count += operation is torch.ops.aten.tanh.default
        return operation(*arguments, **(named or {}))


@pytest.mark.skipif(
    torch.__version__ < (2, 13), reason="the backend `eager` of PyTorch 2.10 keeps all graphs"
)
@pytest.mark.usefixtures("_by_dynamo")
def test_a_traced_solve_keeps_the_graphs_that_fit():
    """Of three steps those that do not fit are taken again on the way back; the first never is."""
    node = small(method="interpolation3", grid=None, options={"steps": 3})
    node.compiled, taken = True, []
    node(SMALL)  # a first compiled solve weighs an evaluation
    (weight,) = node.graph_bytes.values()
    for evaluations in (100, 8, 0):
        node.options["keep"] = evaluations * weight
        h = node.integrate(SMALL).states.h
        with Tanhs() as seen:
            grads = torch.autograd.grad(torch.sin(h[-1]).sum(), [*node.parameters()])
        taken.append(seen.count)
        eager = copy.deepcopy(node)
        eager.compiled = False
        torch.testing.assert_close((h.detach(), *grads), step(eager)[0], rtol=1e-6, atol=1e-6)
    assert taken == [0, 3, 6]


@pytest.mark.usefixtures("_by_dynamo")
def test_the_steps_of_a_fitted_solve_are_a_fixed_grid():
    ends = []
    node = small(method="tsit5", grid=None, rtol=1e-4, atol=1e-4)
    node.callback_accept_step = lambda t, states, dt: ends.append(float(t + dt))
    expected, fitted = step(node)
    assert len({round(b - a, 3) for a, b in pairwise([0.0, *ends])}) > 1  # they are unequal
    options = {"steps": 1, "step_t": ends[:-1]}
    found, stats = step(small(compile=True, method="tsit5", grid=None, options=options))
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)
    assert stats.accepted == len(ends)
    assert stats.forward_nfe == 6 * len(ends) < fitted.forward_nfe


@pytest.mark.usefixtures("_by_dynamo")
def test_a_field_that_draws_is_refused_before_it_is_traced():
    node = small(compile=True, grid=None, options={"steps": 2})
    node.field.linear = nn.Sequential(node.field.linear, nn.Dropout(0.5))
    with pytest.raises(ValueError, match="draws random numbers"):
        node(SMALL)


def test_steps_that_are_fitted_are_not_compiled():
    with pytest.raises(ValueError, match="compile"):
        small(compile=True, method="interpolation3", grid=None)(SMALL)


def test_the_method_of_modules_is_not_hidden():
    node = small(grid=None)
    expected = node(SMALL)
    node.compile(backend="eager")
    torch.testing.assert_close(node(SMALL), expected)


@pytest.mark.parametrize("gradient", ["discrete", "autograd"])
def test_an_end_that_overflows_is_not_returned(gradient):
    """In its last step, by stages that are finite."""
    node = NODE(
        lambda t, h: torch.full_like(h, 1e38), method="dopri5", gradient=gradient,
        options={"max_steps": 50},
    )  # fmt: skip
    h0 = torch.full((2, 3), 3e38, dtype=torch.float32)
    for node.grid in (None, "auto"):
        with pytest.raises((FloatingPointError, RuntimeError), match=r"h is not finite|error of h"):
            node(h0)
