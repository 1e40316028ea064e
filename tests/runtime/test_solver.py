"""How the modules step, in real use: times of each sample, inputs, what goes wrong, what is kept."""

from __future__ import annotations

import warnings

import pytest
import torch
from fields import TanhField
from torch import nn
from torchdiffeq import odeint, odeint_dense, odeint_event

from generated.adam import AdamNODE
from generated.adam_bias_corrected import BiasCorrectedAdamNODE
from generated.gradient_descent import NODE
from generated.heavy_ball import HBNODE
from generated.nesterov import NesterovNODE
from generated.second_order import SONODE

GRADIENTS = ("discrete", "adjoint", "autograd")
every_gradient = pytest.mark.parametrize("gradient", GRADIENTS)
TABLES = ("euler", "midpoint", "heun2", "heun3", "rk4", "bosh3", "dopri5", "dopri8")
pytestmark = pytest.mark.usefixtures("float64")


def by_hand(node, t, states):
    """HBNODE typed out, for torchdiffeq."""
    h, m = states
    return m, node.field(t, h) - torch.sigmoid(node.raw_gamma) * m


# Steps


@pytest.mark.parametrize("method", TABLES)
def test_fixed_steps_are_those_of_torchdiffeq(method):
    """Fixed-step methods as they are; of adaptive ones a single step that nothing rejects."""
    node = HBNODE(TanhField(3, 5), span=(0.0, 0.01), rtol=1.0, atol=1.0, method=method)
    states = (torch.randn(2, 3), torch.randn(2, 3))
    options = {"first_step": 1.0} if method in TABLES[5:] else {}
    times = torch.tensor([0.0, 0.01])
    theirs = odeint(
        lambda t, z: by_hand(node, t, z), states, times, method=method, rtol=1.0, atol=1.0,
        options=options | ({"step_t": times[1:]} if options else {}),
    )  # fmt: skip
    node.options = {"steps": 1}
    for ours, expected in zip(node.integrate(states).states, theirs, strict=True):
        torch.testing.assert_close(ours, expected, rtol=1e-14, atol=1e-14)
        assert not torch.equal(ours[0], ours[1])


@pytest.mark.parametrize("method", ["bosh3", "dopri5", "dopri8", "adaptive_heun"])
def test_adaptive_steps_hold_the_tolerance_at_the_cost_of_torchdiffeq(method):
    node = HBNODE(TanhField(3, 5), (0.0, 2.0), rtol=1e-6, atol=1e-6, method=method)
    states = (torch.randn(2, 3), torch.randn(2, 3))
    calls = 0

    def field(t, z):
        nonlocal calls
        calls += 1
        return by_hand(node, t, z)

    times = torch.tensor([0.0, 2.0])
    exact = odeint(field, states, times, rtol=1e-12, atol=1e-12)
    calls = 0
    theirs = odeint(field, states, times, rtol=1e-6, atol=1e-6, method=method)
    solution = node.integrate(states)

    def error(path):
        return max((x - y).abs().max() for x, y in zip(path, exact, strict=True))

    assert error(solution.states) < max(2e-5, 1.1 * error(theirs))
    # it begins with a stage of its own, where torchdiffeq keeps another's
    dearer = 2.05 if method == "adaptive_heun" else 1.15
    assert solution.stats.forward_nfe <= dearer * calls + 6


ORDERS = {
    "euler": 1,
    "midpoint": 2,
    "heun2": 2,
    "heun3": 3,
    "rk4": 4,
    "bosh3": 3,
    "dopri5": 5,
    "tsit5": 5,
}


@pytest.mark.parametrize("method", ORDERS)
def test_observed_order_of_states_and_gradient(method):
    """Against a reference at 1e-13, where the steps are in the asymptotic range."""
    field, h0 = TanhField(3, 5), torch.randn(2, 3, requires_grad=True)
    known = (h0, *field.parameters())

    def solved(**settings):
        h1 = HBNODE(field, (0.0, 1.0), **settings)(h0)
        return [h1.detach(), *torch.autograd.grad(torch.sin(h1).sum(), known)]

    exact = solved(rtol=1e-13, atol=1e-13, method="dopri8")
    errors = []
    for steps in (8, 16, 32):
        found = solved(method=method, options={"steps": steps})
        pairs = list(zip(found, exact, strict=True))
        errors.append([max((x - y).abs().max() for x, y in p) for p in (pairs[:1], pairs[1:])])
    for coarse, fine in zip(errors[-2], errors[-1], strict=True):
        assert torch.log2(coarse / fine).item() == pytest.approx(ORDERS[method], abs=0.25)


@pytest.mark.parametrize("options", [{"steps": 3}, {"step_size": 0.11}], ids=str)
def test_a_grid_means_the_same_to_torchdiffeq(options):
    node, h0 = HBNODE(TanhField(3, 5), method="rk4", options=options), torch.randn(2, 3)
    ours = node(h0, (0.0, 0.4, 1.0))
    node.method = "torchdiffeq:rk4"
    torch.testing.assert_close(ours, node(h0, (0.0, 0.4, 1.0)), rtol=1e-14, atol=1e-14)


def test_steps_end_at_jumps():
    """A field that jumps at 0.3: with jump_t dopri5 keeps its order, and its gradient is exact."""
    node = HBNODE(lambda t, h: torch.where(t < 0.3, -h, 2 * h), rtol=1e-9, atol=1e-9)
    h0 = torch.randn(2, 3)
    plain = node.integrate(h0).stats
    node.options = {"jump_t": [0.3]}
    solution = node.integrate(h0)
    assert solution.stats.forward_nfe + solution.stats.rejected < 0.6 * plain.forward_nfe
    first = HBNODE(lambda t, h: -h, (0.0, 0.3), rtol=1e-12, atol=1e-12).integrate(h0)
    second = HBNODE(lambda t, h: 2 * h, (0.3, 1.0), rtol=1e-12, atol=1e-12)
    expected = second.integrate(tuple(x[-1] for x in first.states))
    torch.testing.assert_close(solution.states.h[-1], expected.states.h[-1], rtol=1e-7, atol=1e-7)


def test_each_state_may_have_a_tolerance_norm():
    """norm replaces the measure of the error."""
    node = HBNODE(TanhField(3, 5), rtol=1e-8, atol=1e-8)
    h0 = torch.randn(2, 3)
    fine = node.integrate(h0).stats.accepted
    node.options = {"norm": lambda ratios: ratios[0].abs().max() * 1e-4}
    assert node.integrate(h0).stats.accepted < fine


# Each sample's own times


MODELS = {
    model.__name__: model for model in (NODE, HBNODE, AdamNODE, BiasCorrectedAdamNODE, NesterovNODE)
}
OWN_TIMES = torch.tensor([[1.0, 1.3, 2.0], [1.2, 1.25, 1.25], [0.5, 1.5, 1.6]], dtype=torch.float64)


@every_gradient
@pytest.mark.parametrize("name", MODELS)
def test_samples_with_times_of_their_own(name, gradient):
    """Every sample as if it were solved alone, in its own span; also its gradients."""
    node = MODELS[name](TanhField(3, 5), (1.0, 2.0), rtol=1e-10, atol=1e-10, gradient=gradient)
    h0 = torch.randn(3, 3, requires_grad=True)
    known = (h0, *node.parameters())
    together = node(h0, OWN_TIMES)
    ours = torch.autograd.grad(torch.sin(together).sum(), known, materialize_grads=True)
    alone = []
    for i, times in enumerate(OWN_TIMES):
        times = times.unique()
        node.span = (times[0].item(), times[-1].item())
        trajectory = node(h0[i : i + 1], times)
        alone.append(trajectory[[0, 1, 1]] if len(times) == 2 else trajectory)
    expected = torch.cat(alone, 1)
    torch.testing.assert_close(together, expected, rtol=1e-7, atol=1e-7)
    theirs = torch.autograd.grad(torch.sin(expected).sum(), known, materialize_grads=True)
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-6)


@every_gradient
@pytest.mark.parametrize("own", [False, True], ids=["shared", "own"])
def test_gradients_of_times(gradient, own):
    """By central differences, all times: shared by the samples, or each sample's."""
    node = HBNODE(TanhField(3, 5), (0.4, 2.5), rtol=1e-11, atol=1e-11, gradient=gradient)
    h0, times = torch.randn(3, 3), OWN_TIMES if own else torch.tensor([0.5, 1.1, 2.0])

    def loss(times):
        return torch.sin(node(h0, times) * torch.arange(1.0, 4.0)).sum()

    leaf = times.clone().requires_grad_()
    loss(leaf).backward()
    for index in [(0, 0), (0, 2), (2, 1)] if own else [(0,), (2,)]:
        step = torch.zeros_like(times)
        step[index] = 1e-5
        with torch.no_grad():
            difference = (loss(times + step) - loss(times - step)) / 2e-5
        torch.testing.assert_close(leaf.grad[index], difference, rtol=1e-6, atol=1e-6)


def test_padded_samples_stay_where_they_are():
    node, h0 = HBNODE(TanhField(3, 5)), torch.randn(2, 3)
    times = torch.tensor([[0.0, 0.5, 1.0], [0.0, 0.0, 0.0]])
    trajectory = node(h0, times)
    assert torch.equal(trajectory[:, 1], h0[1].expand(3, 3))
    still = node(h0, torch.zeros(2, 2))
    assert torch.equal(still[1], h0)


# Inputs


@every_gradient
@pytest.mark.parametrize("kind", ["tensor", "function", "module"])
def test_inputs_of_the_field(kind, gradient):
    """A conditioning tensor, a control u(t), a control with parameters: against a closure."""
    base = torch.randn(2, 2, requires_grad=True)
    encoder = nn.Linear(1, 4)

    class Control(nn.Module):
        def __init__(self):
            super().__init__()
            self.encoder = encoder

        def forward(self, t):
            return self.encoder(t.reshape(1)).view(2, 2)

    inputs = {"tensor": torch.tanh(base), "function": lambda t: torch.cos(t) * torch.ones(2, 2),
              "module": Control()}[kind]  # fmt: skip
    field = TanhField(3, 5, inputs=2)
    h0 = torch.randn(2, 3, requires_grad=True)
    known = (h0, base, *field.parameters(), *encoder.parameters())
    settings = {"rtol": 1e-9, "atol": 1e-9}
    h1 = HBNODE(field, gradient=gradient, **settings)(h0, inputs=inputs)
    ours = torch.autograd.grad(h1.sum(), known, materialize_grads=True, retain_graph=True)

    def closed(t, h):
        return field(t, h, inputs(t) if callable(inputs) else inputs)

    h1 = HBNODE(closed, gradient="autograd", **settings)(h0)
    theirs = torch.autograd.grad(h1.sum(), known, materialize_grads=True)
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-6)
    assert kind == "function" or any(b.any() for b in theirs[1:2] + theirs[-2:])


# What goes wrong


def test_nan_at_the_start_is_named():
    h0 = torch.zeros(2, 3)
    h0[1, 2] = torch.nan
    with pytest.raises(ValueError, match="m is not finite at the start"):
        HBNODE(TanhField(3, 5)).integrate((torch.zeros(2, 3), h0))


def test_a_field_that_is_not_finite_is_named():
    node = HBNODE(TanhField(3, 5))
    with torch.no_grad():
        node.field.outer.bias.fill_(torch.inf)
    for node.method, node.options in [("dopri5", {}), ("rk4", {}), ("torchdiffeq:rk4", {})]:
        with pytest.raises(
            FloatingPointError, match=r"m' is not finite at t = 0: field.outer.bias"
        ):
            node(torch.zeros(2, 3))


def test_equations_that_blow_up_are_named():
    """h' = h^2 from 1 ends at t = 1: an error soon, that names the state and the time."""
    node = NODE(lambda t, h: h**2, (0.0, 2.0))
    with pytest.raises(
        FloatingPointError, match=r"no step at t = 1\.?\d* is short .* for h .*grows"
    ):
        node(torch.ones(2, 3))
    node.options = {"max_steps": 7}
    with pytest.raises(RuntimeError, match=r"max_steps = 7 steps at t = 0\.\d+"):
        node(torch.ones(2, 3))


def test_min_step_is_taken_whatever_its_error():
    node = NODE(lambda t, h: torch.sin(1e4 * t) + 0 * h, options={"min_step": 0.1})
    assert node.integrate(torch.ones(2, 3)).stats.accepted <= 10


class Dropped(nn.Module):
    def __init__(self, layer):
        super().__init__()
        self.inner, self.layer = nn.Linear(3, 3), layer

    def forward(self, t, h, *mask):
        return self.layer(self.inner(h)) * (mask[0] if mask else 1.0)


@pytest.mark.parametrize("gradient", ["discrete", "adjoint"])
@pytest.mark.parametrize("layer", [nn.Dropout(0.5), nn.BatchNorm1d(3).double()])
def test_a_field_that_is_no_function_is_refused(layer, gradient):
    """Before the solve; in evaluation it is one, and a mask drawn once is an input."""
    node, h0 = HBNODE(Dropped(layer), gradient=gradient), torch.randn(4, 3, requires_grad=True)
    calls = []
    layer.register_forward_hook(lambda *_: calls.append(1))
    with pytest.raises(ValueError, match=r"random numbers.*inputs|changes its buffer.*inputs"):
        node(h0)
    assert len(calls) == 1
    node.field.eval()
    node(h0, inputs=torch.bernoulli(torch.full((4, 3), 0.5))).sum().backward()
    assert h0.grad.any()
    node.field.train()
    node.gradient, node.options = "autograd", {"steps": 2}  # fitted steps of noise are many
    node(h0).sum().backward()


@pytest.mark.parametrize(
    ("field", "message"),
    [
        (lambda t, h: h.float(), r"field must return shape \(2, 3\), torch.float64, cpu, got .*32"),
        (lambda t, h: h[:1], r"got \(1, 3\)"),
        (lambda t, h: h.to("meta"), "got .* meta"),
    ],
)
def test_a_field_of_another_kind_is_refused(field, message):
    with pytest.raises(ValueError, match=message):
        HBNODE(field)(torch.randn(2, 3))


@pytest.mark.parametrize(
    ("t", "message"),
    [
        (torch.zeros(3, 2), r"t must have shape \(2, times\) .* got \(3, 2\)"),
        (torch.zeros(2, 0), r"got \(2, 0\)"),
        (torch.tensor([[0.0, 1.0], [0.5, 0.2]]), "must not decrease"),
        (torch.tensor([[0.0, 1.0], [0.5, torch.nan]]), "must not decrease"),
        (torch.zeros(2, 2, 2), "vector, or a matrix"),
    ],
)
def test_own_times_that_do_not_fit(t, message):
    with pytest.raises(ValueError, match=message):
        HBNODE(TanhField(3, 5))(torch.randn(2, 3), t)


def test_own_times_may_not_meet_a_singular_time():
    with pytest.raises(ValueError, match="singular"):
        NesterovNODE(TanhField(3, 5), (1.0, 2.0))(
            torch.randn(2, 3), torch.tensor([[1.0, 2.0], [-1.0, 1.0]])
        )


def test_constants_are_checked_against_the_dtype():
    node = AdamNODE(lambda t, h: -h).half()
    with pytest.raises(ValueError, match=r"eps = 1e-08 is 0.0 in torch.float16"):
        node(torch.ones(2, 3, dtype=torch.float16))


def test_an_adjoint_that_drifts_warns():
    """A strongly damped system grows on its way back."""
    node = NODE(lambda t, h: -40 * h, (0.0, 1.0), gradient="adjoint")
    h0 = torch.ones(2, 3, requires_grad=True)
    with pytest.warns(UserWarning, match=r"h came \d+ times .* at t = 0.*discrete"):
        node(h0).sum().backward()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        HBNODE(TanhField(3, 5), gradient="adjoint")(h0).sum().backward()


def test_adjoint_does_not_depend_on_the_size_of_the_loss():
    """The adjoint system is linear: a loss of 1e-9 has the relative accuracy of a loss of 1."""
    node = HBNODE(TanhField(3, 5), gradient="adjoint", rtol=1e-6, atol=1e-6)
    h0 = torch.randn(2, 3, requires_grad=True)
    known = (h0, *node.parameters())
    ours = torch.autograd.grad(1e-9 * node(h0).sum(), known)
    for small, large in zip(ours, torch.autograd.grad(node(h0).sum(), known), strict=True):
        torch.testing.assert_close(small * 1e9, large, rtol=1e-12, atol=1e-12)


# Fields as users have them


@every_gradient
def test_a_field_that_differentiates(gradient):
    """f = -grad of an energy: Hamiltonian networks call autograd.grad themselves."""

    class Descent(nn.Module):
        def __init__(self):
            super().__init__()
            self.energy = nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 1))

        def forward(self, t, h):
            with torch.enable_grad():
                h = h.requires_grad_(True)
                (g,) = torch.autograd.grad(self.energy(h).sum(), h, create_graph=True)
            return -g

    node, h0 = HBNODE(Descent(), rtol=1e-9, atol=1e-9), torch.randn(2, 3)
    known = [p for n, p in node.named_parameters() if n != "field.energy.2.bias"]
    node.gradient = gradient
    ours = torch.autograd.grad(node(h0).sum(), known)
    network = node.field.energy

    def by_formula(t, h):
        inner, outer = network[0], network[2]
        slope = 1 - torch.tanh(inner(h)) ** 2
        return -(slope * outer.weight) @ inner.weight

    reference = HBNODE(by_formula, gradient="autograd", rtol=1e-9, atol=1e-9)
    reference.raw_gamma = node.raw_gamma
    theirs = torch.autograd.grad(reference(h0).sum(), known)
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-7)


@every_gradient
def test_autocast_reaches_the_field_alone(gradient):
    node = HBNODE(TanhField(3, 5), gradient=gradient, method="rk4", options={"steps": 4}).float()
    h0 = torch.randn(2, 3, dtype=torch.float32, requires_grad=True)
    dtypes = set()
    node.field.outer.register_forward_hook(lambda module, x, y: dtypes.add(y.dtype))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        h1 = node(h0)
        again = node(h0)
    assert h1.dtype == torch.float32
    torch.testing.assert_close(h1, again, rtol=0, atol=0)
    h1.sum().backward()
    assert dtypes == {torch.bfloat16}  # also in the backward pass
    low = h0.grad.clone()
    h0.grad = None
    node(h0).sum().backward()
    torch.testing.assert_close(low, h0.grad, rtol=2e-2, atol=2e-2)
    assert not torch.equal(low, h0.grad)


def test_autocast_leaves_weights_with_gradients():
    """No cast of a weight made without a graph is left in autocast's cache."""
    node, h0 = HBNODE(TanhField(3, 5)).float(), torch.randn(2, 3)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        node(h0.float())
        node.field(torch.tensor(0.0), h0.float()).sum().backward()
    assert node.field.inner.weight.grad is not None


# torchdiffeq's own functions


def test_events_and_dense_output_by_torchdiffeq():
    """vector_field keeps torchdiffeq's contract: a free oscillator crosses zero at pi/2."""
    node = HBNODE(lambda t, h: -h)
    with torch.no_grad():
        node.raw_gamma.fill_(-80.0)
    states = node.initial_states(torch.ones(1))
    t, trajectory = odeint_event(
        node.vector_field, states, torch.tensor(0.0), event_fn=lambda t, z: z[0].sum(),
        rtol=1e-9, atol=1e-9,
    )  # fmt: skip
    assert t.item() == pytest.approx(torch.pi / 2, abs=1e-6)
    torch.testing.assert_close(trajectory[1][-1], -torch.ones(1), rtol=1e-6, atol=1e-6)
    dense = odeint_dense(
        lambda t, z: torch.stack(node.vector_field(t, tuple(z))),
        torch.stack(states), torch.tensor(0.0), torch.tensor(1.0), rtol=1e-9, atol=1e-9,
    )  # fmt: skip
    torch.testing.assert_close(
        dense(torch.tensor(0.5))[0], torch.cos(torch.tensor([0.5])), rtol=1e-6, atol=1e-6
    )


def test_second_order_models_take_inputs_and_own_times():
    class Both(nn.Module):
        def forward(self, t, x, v, u):
            return u - x - v * t

    node = SONODE(Both(), (0.0, 1.0), features=3, rtol=1e-10, atol=1e-10)
    states = (torch.randn(2, 3), torch.randn(2, 3))
    own = node.integrate(states, torch.tensor([[0.0, 1.0], [0.0, 0.5]]), torch.ones(2, 3))
    for i, end in enumerate([1.0, 0.5]):
        node.span = (0.0, end)
        alone = node.integrate(tuple(z[i : i + 1] for z in states), inputs=torch.ones(1, 3))
        torch.testing.assert_close(own.states[0][-1][i : i + 1], alone.states[0][-1])
