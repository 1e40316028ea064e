"""ODE-RNNs, in float64: against a loop by hand over torchdiffeq's odeint, one sample at a time."""

from __future__ import annotations

import copy
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import walker2d
from fields import CountingField
from torch import nn
from torchdiffeq import odeint
from vector_fields import adam, gradient_descent, heavy_ball, nesterov, second_order

from generated.adam import AdamNODE
from generated.gradient_descent import NODE
from generated.heavy_ball import HBNODE
from generated.nesterov import NesterovNODE
from generated.second_order import SONODE
from optode.runtime import ODERNN, padded

ROOT = Path(__file__).resolve().parents[2]
DATA = Path(os.environ.get("OPTODE_DATA", ROOT.parent / "shared" / "data"))
FEATURES, HIDDEN = 3, 4
EXACT = {"rtol": 1e-10, "atol": 1e-10}
FIXED = {"method": "rk4", "options": {"step_size": 0.05}}
pytestmark = pytest.mark.usefixtures("float64")


# The vector field of each model, and the states that start beside h.
def zero(p, h):
    return (torch.zeros_like(h),)


MODELS = {
    NODE: (gradient_descent, lambda p, h: ()),
    HBNODE: (heavy_ball, zero),
    NesterovNODE: (nesterov, zero),
    AdamNODE: (adam, lambda p, h: (torch.zeros_like(h), torch.ones_like(h))),
    SONODE: (second_order, lambda p, h: (p["initial_v.weight"] @ h + p["initial_v.bias"],)),
}
every_model = pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)


def build(model, **settings):
    """The same cell and readout for every model."""
    if model is SONODE:
        settings["features"] = HIDDEN
    node = model(CountingField(HIDDEN, arguments=2 if model is SONODE else 1), **settings)
    return ODERNN(node, nn.GRUCell(FEATURES, HIDDEN), nn.Linear(HIDDEN, 2)).double()


def by_hand(rnn, values, times, mask):
    """Output of the ODE-RNN as Rubanova et al. write it, for one sample: (times, 2)."""
    rates, others = MODELS[type(rnn.node)]
    parameters = dict(rnn.node.named_parameters())
    h, states, outputs = torch.zeros(HIDDEN), None, []
    for i, t in enumerate(times):
        if i > 0 and t > times[i - 1]:
            states = odeint(
                lambda t, z: rates(parameters, rnn.node.field, t, *z),
                states,
                times[i - 1 : i + 1],
                **EXACT,
            )
            states = tuple(z[-1] for z in states)
        if i > 0:
            h = states[0]
        if mask[i]:
            h = rnn.cell(values[i][None], h[None])[0]
        states = (h, *(others(parameters, h) if states is None else states[1:]))
        outputs.append(rnn.readout(h))
    return torch.stack(outputs)


def batch():
    """Four samples at irregular times of their own, a third of them not observed."""
    times = 0.5 + torch.rand(4, 6).cumsum(1) / 3
    times[0, 3:] = times[0, 3]
    times[1, 2] = times[1, 1]
    mask = torch.rand(4, 6) < 0.7
    mask[2, 0] = False
    return torch.randn(4, 6, FEATURES), times, mask


def gradients(rnn, output, values):
    """Of a loss that weighs every output differently, by name."""
    weights = torch.linspace(-1, 1, output.numel()).reshape(output.shape)
    names, leaves = zip(*rnn.named_parameters(), strict=True)
    loss = (weights * torch.sin(output)).sum()
    found = torch.autograd.grad(loss, (values, *leaves), materialize_grads=True)
    return dict(zip(("values", *names), found, strict=True))


def assert_gradients_close(ours, theirs, tolerance):
    scale = max(gradient.abs().max() for gradient in theirs.values())
    for name, gradient in theirs.items():
        difference = (ours[name] - gradient).abs().max()
        assert difference <= tolerance * scale, f"{name}: {difference} of {scale}"


@every_model
def test_outputs_and_gradients_are_those_of_the_loop_by_hand(model):
    rnn, (values, times, mask) = build(model, **EXACT), batch()
    values.requires_grad_()
    rows = zip(values, times, mask, strict=True)
    expected = torch.stack([by_hand(rnn, *row) for row in rows])
    theirs = gradients(rnn, expected, values)
    for rnn.node.gradient in ("discrete", "adjoint", "autograd"):
        output = rnn(values, times, mask)
        torch.testing.assert_close(output, expected, rtol=1e-7, atol=1e-7)
        assert_gradients_close(gradients(rnn, output, values), theirs, 1e-6)


@every_model
def test_discrete_gradient_is_backpropagation_through_the_same_steps(model):
    rnn, (values, times, mask) = build(model, **FIXED), batch()
    values.requires_grad_()
    rnn.node.gradient = "autograd"
    theirs = gradients(rnn, rnn(values, times, mask), values)
    rnn.node.gradient = "discrete"
    assert_gradients_close(gradients(rnn, rnn(values, times, mask), values), theirs, 1e-10)
    largest = max(gradient.abs().max() for gradient in theirs.values())
    assert all(gradient.abs().max() > 1e-6 * largest for gradient in theirs.values())


def test_gradient_with_respect_to_the_times():
    rnn, (values, times, mask) = build(HBNODE, **EXACT), batch()
    times = (0.5 + torch.rand(4, 6).cumsum(1) / 3).requires_grad_()
    direction = torch.randn(4, 6)

    def loss(times):
        return torch.sin(rnn(values, times, mask)).sum()

    for rnn.node.gradient in ("discrete", "adjoint", "autograd"):
        slope = (torch.autograd.grad(loss(times), times)[0] * direction).sum()
        with torch.no_grad():
            difference = loss(times + 1e-5 * direction) - loss(times - 1e-5 * direction)
        torch.testing.assert_close(slope, difference / 2e-5, rtol=1e-6, atol=1e-7)


@every_model
def test_padding_changes_neither_loss_nor_gradients(model):
    rnn = build(model, **FIXED)
    lengths = (5, 1, 3)
    times = [1.0 + torch.rand(n).cumsum(0) / 3 for n in lengths]
    values = [torch.randn(n, FEATURES) for n in lengths]

    def loss(values, times, mask=None):
        output = rnn(values, times, mask)
        return (output**2).sum() if mask is None else (output[mask] ** 2).sum()

    leaves = list(rnn.parameters())
    alone = sum(loss(x[None], t) for x, t in zip(values, times, strict=True))
    expected = torch.autograd.grad(alone, leaves, materialize_grads=True)
    together, own_times, mask = padded(values, times)
    together[~mask] = torch.nan
    padded_loss = loss(together, own_times, mask)
    torch.testing.assert_close(padded_loss, alone, rtol=1e-9, atol=0)
    found = torch.autograd.grad(padded_loss, leaves, materialize_grads=True)
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-7, atol=1e-9)


def test_padded_repeats_the_last_time():
    values = [torch.ones(2, 1), torch.ones(3, 1)]
    values, times, mask = padded(values, [torch.tensor([1.0, 2.0]), torch.tensor([3.0, 4.0, 5.0])])
    assert values[..., 0].tolist() == [[1, 1, 0], [1, 1, 1]]
    assert times.tolist() == [[1, 2, 2], [3, 4, 5]]
    assert mask.tolist() == [[True, True, False], [True, True, True]]


@every_model
def test_states_stand_still_where_a_time_is_repeated(model):
    rnn, (values, times, _) = build(model, **FIXED), batch()
    times = times[:, :1].expand(4, 6)
    states = rnn.integrate(values, times, torch.zeros(4, 6, dtype=torch.bool)).states
    for trajectory in states:
        assert torch.equal(trajectory, trajectory[:, :1].expand_as(trajectory))


@every_model
def test_other_states_go_on_unchanged_across_an_observation(model):
    """The same times once more, observed in between: only h has another value there."""
    rnn = build(model, **FIXED)
    times = torch.tensor([1.0, 1.4, 1.4])
    mask = torch.tensor([[True, False, True]])
    solution = rnn.integrate(torch.randn(1, 3, FEATURES), times, mask)
    h, *others = solution.states
    assert not torch.allclose(h[:, 2], h[:, 1])
    assert torch.equal(solution.before[:, 2], h[:, 1])
    for state in others:
        assert torch.equal(state[:, 2], state[:, 1])
        assert not torch.allclose(state[:, 1], state[:, 0])


def test_time_that_is_not_observed_only_reads_the_path():
    rnn, (values, times, _) = build(HBNODE, **EXACT), batch()
    times = times[2:]
    mask = torch.ones(2, 6, dtype=torch.bool)
    mask[:, 3] = False
    others = [0, 1, 2, 4, 5]
    expected = rnn(values[2:, others], times[:, others])
    torch.testing.assert_close(rnn(values[2:], times, mask)[:, others], expected)


def test_values_that_are_not_observed_enter_as_zeros():
    rnn, (values, times, _) = build(HBNODE, **FIXED), batch()
    mask = torch.rand(4, 6, FEATURES) < 0.5
    values[~mask] = torch.nan
    expected = rnn(values.nan_to_num(0.0), times, mask.any(-1))
    assert not mask.any(-1).all()
    torch.testing.assert_close(rnn(values, times, mask), expected, rtol=0, atol=0)
    torch.testing.assert_close(rnn(values, times, mask.double()), expected, rtol=0, atol=0)


def test_times_of_one_row_are_shared():
    rnn, (values, times, mask) = build(AdamNODE, **FIXED), batch()
    shared = rnn(values, times[2], mask)
    torch.testing.assert_close(shared, rnn(values, times[2].expand(4, 6), mask))


@every_model
def test_goes_on_from_given_states(model):
    """In two parts: the second begins where the first ended, and does not observe it again."""
    rnn, (values, times, mask) = build(model, **FIXED), batch()
    whole = rnn.integrate(values, times, mask)
    first = rnn.integrate(values[:, :4], times[:, :4], mask[:, :4])
    mask[:, 3] = False
    states = tuple(z[:, -1] for z in first.states)
    rest = rnn.integrate(values[:, 3:], times[:, 3:], mask[:, 3:], start=states)
    for ours, theirs in zip(rest.states, whole.states, strict=True):
        torch.testing.assert_close(ours, theirs[:, 3:])


def test_nesterov_starts_at_its_singular_time():
    """From t = 0 on, where h'' = f/4: by hand from the first terms of the series, soon after it."""
    rnn, (values, times, _) = build(NesterovNODE, rtol=1e-8, atol=1e-8), batch()
    times, mask, early = times - times[:, :1], torch.ones(4, 6, dtype=torch.bool), 1e-3
    times[0] = 0.0  # one observation only, padded
    times[1] += 1.0
    values.requires_grad_()

    def by_hand_after(i):
        h = rnn.cell(values[i, :1], torch.zeros(1, HIDDEN))[0]
        f, soon = rnn.node.field(torch.tensor(early), h), torch.tensor([early, times[i, 1].item()])
        start = (h + f * early**2 / 8, f * early / 4)
        path = odeint(lambda t, z: nesterov(None, rnn.node.field, t, *z), start, soon, **EXACT)
        return path[0][-1]

    expected = torch.stack([by_hand_after(i) for i in (2, 3)])
    theirs = gradients(rnn, expected, values)
    for rnn.node.gradient in ("discrete", "autograd"):  # backwards the damping 3/t is unstable
        before = rnn.integrate(values, times, mask).before[:, 1]
        torch.testing.assert_close(before[2:], expected, rtol=1e-5, atol=1e-6)
        assert_gradients_close(gradients(rnn, before[2:], values), theirs, 1e-5)
        alone = rnn.integrate(values[1:2], times[1:2]).before[:, 1]
        torch.testing.assert_close(before[1:2], alone)
        single = rnn.cell(values[:1, 0], torch.zeros(1, HIDDEN))
        torch.testing.assert_close(before[:1], single)
        assert rnn(values, times, mask).isfinite().all()


def test_statistics_are_sums_over_the_intervals():
    rnn, (values, times, mask) = build(HBNODE, **FIXED), batch()
    rnn.node.options |= {"keep": 0}  # the way back evaluates again
    solution = rnn.integrate(values.requires_grad_(), times, mask)
    forward = rnn.node.field.calls
    assert solution.stats.forward_nfe == forward > 0
    assert solution.stats.accepted > 0 == solution.stats.rejected
    assert solution.stats.backward_nfe == 0
    solution.states.h.sum().backward()
    assert solution.stats.backward_nfe == rnn.node.field.calls - forward > 0


def test_copies_compute_the_same():
    rnn, (values, times, mask) = build(HBNODE, **FIXED), batch()
    assert torch.equal(copy.deepcopy(rnn)(values, times, mask), rnn(values, times, mask))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"values": torch.zeros(4)}, "values of shape"),
        ({"times": torch.zeros(5)}, "times of shape"),
        ({"times": torch.zeros(4, 6, 1)}, "times of shape"),
        ({"mask": torch.ones(6)}, "mask must have shape"),
        ({"start": torch.zeros(3, HIDDEN)}, "start must have 4 samples"),
        ({"times": torch.arange(6.0).flip(0)}, "decreas"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else value,
)
def test_refuses_what_does_not_fit(change, message):
    values, times, mask = batch()
    arguments = {"values": values, "times": times, "mask": mask} | change
    with pytest.raises(ValueError, match=message):
        build(HBNODE, **FIXED)(**arguments)


def test_cell_without_a_size_needs_a_start():
    values, times, mask = batch()
    rnn = ODERNN(NODE(CountingField(HIDDEN), **FIXED), lambda x, h: h + x.sum(-1, keepdim=True))
    with pytest.raises(ValueError, match="give start"):
        rnn(values, times, mask)
    assert rnn(values, times, mask, torch.zeros(4, HIDDEN)).shape == (4, 6, HIDDEN)


# Walker2D

walker_data = pytest.mark.skipif(
    not (DATA / "walker2d.npz").is_file(), reason="no walker2d.npz in OPTODE_DATA"
)


@walker_data
def test_windows_are_those_of_the_papers():
    """9684, 1272 and 1937 windows: Lechner and Hasani 2020, Xia et al. 2021."""
    parts = walker2d.load_windows(DATA / "walker2d.npz")
    assert [len(part) for part in parts] == [9684, 1272, 1937]
    for part in parts:
        assert part.values.shape == part.targets.shape == (len(part), 64, 17)
        assert (part.times[:, 0] == 1).all() and (part.times.diff() > 0).all()
        gaps = (part.times.diff() * 64).round()
        assert gaps.min() == 1 and gaps.max() > 2
        following = part.values[:, 1:][gaps == 1]  # where no row is left out
        assert torch.equal(part.targets[:, :-1][gaps == 1], following)


@walker_data
@pytest.mark.parametrize("model", [NODE, HBNODE, AdamNODE, NesterovNODE], ids=lambda m: m.__name__)
def test_loss_falls_on_walker2d(model):
    """One cell, one schedule, one start for all models."""
    torch.set_default_dtype(torch.float32)
    windows = walker2d.load_windows(DATA / "walker2d.npz")[0].take(slice(0, 640, 20))
    torch.manual_seed(1)
    node = model(walker2d.Field(1, 16), method="rk4")
    rnn = ODERNN(node, nn.GRUCell(17, 16), nn.Linear(16, 17))
    optimizer = torch.optim.Adam(rnn.parameters(), 3e-2)
    losses = []
    for _ in range(6):
        prediction = rnn(windows.values, windows.times)
        loss = (prediction - windows.targets).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.95 * losses[0]


def test_walker2d_example(tmp_path):
    lengths = np.full(20, 100)
    rollouts = np.sin(np.arange(2000)[:, None] / 5 + np.arange(17)).astype(np.float32)
    np.savez(tmp_path / "walker2d.npz", rollouts=rollouts, lengths=lengths)
    options = ("--epochs", "1", "--hidden", "8", "--method", "rk4", "--seeds", "0", "1")
    done = subprocess.run(
        (sys.executable, ROOT / "examples" / "walker2d.py", "--data", tmp_path, *options),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    for text in ("row repeated", "seed 1", "NFE", "last epoch", "over 2 seed(s)"):
        assert text in done.stdout


@pytest.mark.parametrize("method", ["dopri5", "interpolation5", "auto"])
@pytest.mark.parametrize("own", [False, True])
def test_steps_go_on_from_interval_to_interval(method, own):
    """Where nothing is observed the intervals are one solve, whose steps go on: its work and its states."""
    rnn = build(HBNODE, method=method, rtol=1e-4, atol=1e-4, observe="steps")
    times = torch.tensor([[0.0, 0.3, 1.9, 2.0, 5.0]]).expand(2, -1).clone()
    times[1, 1:] += 0.2 if own else 0.0
    h0 = torch.randn(2, HIDDEN)
    found = rnn.integrate(torch.zeros(2, 5, FEATURES), times, torch.zeros(2, 5), start=h0)
    whole = rnn.node.integrate(h0, times)
    for ours, theirs in zip(found.states, whole.states, strict=True):
        torch.testing.assert_close(ours, theirs.movedim(0, 1), rtol=1e-12, atol=1e-12)
    for name in ("forward_nfe", "accepted", "rejected"):
        assert getattr(found.stats, name) == getattr(whole.stats, name)


def test_a_step_that_goes_on_may_be_too_long():
    """After an observation that makes the field steep the step is rejected, and all is accurate."""

    def field(t, h):
        return torch.sin(torch.relu(h - 1) * 20) - 0.01 * h

    node = NODE(field, method="dopri5", rtol=1e-7, atol=1e-7)
    rnn = ODERNN(node, lambda x, h: h + x)
    values = torch.zeros(1, 4, HIDDEN)
    values[:, 2] = 3.0
    times = torch.tensor([[0.0, 1.0, 2.0, 3.0]])
    start = torch.full((1, HIDDEN), 0.5)
    found = rnn.integrate(values, times, start=start)
    assert found.stats.solves[1].accepted == 1  # the field is nearly zero there
    assert found.stats.solves[2].rejected > 0
    h = found.states.h[:, 2]
    (_, expected) = odeint(field, h, torch.tensor([2.0, 3.0]), **EXACT)
    torch.testing.assert_close(found.states.h[:, 3], expected, rtol=0, atol=1e-5)


def test_the_way_back_by_the_adjoint_begins_anew():
    """As torchdiffeq's does in every interval: its counts are those of solves of each for itself."""
    options = {"adjoint_norm": "torchdiffeq"}
    rnn = build(HBNODE, method="dopri5", gradient="adjoint", rtol=1e-6, atol=1e-6, options=options)
    values, times = torch.randn(2, 4, FEATURES), 2 * torch.arange(4.0).expand(2, -1)
    found = rnn.integrate(values, times)
    h, m = (x.detach() for x in found.states)
    weights = torch.randn(3, 2, HIDDEN)
    for k, solve in enumerate(found.stats.solves[:3]):
        alone = rnn.node.integrate((h[:, k], m[:, k]), times[:, k : k + 2])
        assert alone.stats.forward_nfe >= solve.forward_nfe
        (alone.states.h[-1] * weights[k]).sum().backward()
        rnn.node.first_length = 2.0
        with_first = rnn.node.integrate((h[:, k], m[:, k]), times[:, k : k + 2])
        rnn.node.first_length = None
        (with_first.states.h[-1] * weights[k]).sum().backward()
        assert with_first.stats.backward_nfe == alone.stats.backward_nfe > 0


def test_what_goes_on_ends_with_the_sequence():
    rnn = build(HBNODE, method="dopri5")
    values, times = torch.randn(2, 4, FEATURES), torch.arange(4.0).expand(2, -1)
    first = rnn.integrate(values, times)
    assert rnn.node.first_length is None
    again = rnn.integrate(values, times)
    assert first.stats.forward_nfe == again.stats.forward_nfe
    assert torch.equal(first.states.h, again.states.h)
    rnn.node.options = {"max_steps": 1}
    with pytest.raises(RuntimeError, match="max_steps"):
        rnn.integrate(100 * values, 10 * times)
    assert rnn.node.first_length is None
