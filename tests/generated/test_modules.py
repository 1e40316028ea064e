"""The generated modules, in float64: against hand-written torch code and automatic differentiation."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
from torch import nn

from generated.adam import AdamNODE
from generated.adam_bias_corrected import BiasCorrectedAdamNODE
from generated.adam_guarded import GuardedAdamNODE
from generated.generalized_heavy_ball import GHBNODE
from generated.generalized_heavy_ball_hardtanh import HardGHBNODE
from generated.gradient_descent import NODE
from generated.heavy_ball import HBNODE
from generated.nesterov import NesterovNODE
from generated.second_order import SONODE

FLOAT64 = torch.float64
softplus = nn.functional.softplus


@pytest.fixture(autouse=True)
def _float64():
    torch.manual_seed(0)
    torch.set_default_dtype(FLOAT64)
    yield
    torch.set_default_dtype(torch.float32)


class VectorField(nn.Module):
    """A tanh network that depends on time, for states of shape (..., 4)."""

    def __init__(self, inputs: int = 1) -> None:
        super().__init__()
        self.inner = nn.Linear(4 * inputs, 8)
        self.outer = nn.Linear(8, 4)

    def forward(self, t, *states):
        return self.outer(torch.tanh(self.inner(torch.cat(states, -1)) + t))


class ImageField(nn.Module):
    """A convolution that depends on time, for states of shape (batch, 3, 5, 5)."""

    def __init__(self, inputs: int = 1) -> None:
        super().__init__()
        self.inner = nn.Conv2d(3 * inputs, 4, 3, padding=1)
        self.outer = nn.Conv2d(4, 3, 1)

    def forward(self, t, *states):
        return self.outer(torch.tanh(self.inner(torch.cat(states, 1)) + t))


# The vector fields, typed from the papers (references in tests/test_derivations.py).
def heavy_ball(p, f, t, h, m):
    return m, -torch.sigmoid(p["raw_gamma"]) * m + f(t, h)


def generalized_heavy_ball(p, f, t, h, m):
    force = f(t, h) - softplus(p["raw_xi"]) * h
    return torch.tanh(m), -torch.sigmoid(p["raw_gamma"]) * m + force


def hardtanh_heavy_ball(p, f, t, h, m):
    force = f(t, h) - softplus(p["raw_xi"]) * h
    return nn.functional.hardtanh(m, -5, 5), -torch.sigmoid(p["raw_gamma"]) * m + force


def nesterov(p, f, t, h, m):
    return m, -3 / t * m + f(t, h)


def adam(p, f, t, h, m, v):
    alpha, beta = torch.sigmoid(p["raw_alpha"]), torch.sigmoid(p["raw_beta"])
    g = -f(t, h)
    return -m / (v.sqrt() + 1e-8), alpha * (g - m), beta * (g**2 - v)


def adam_guarded(p, f, t, h, m, v):
    alpha, beta = torch.sigmoid(p["raw_alpha"]), torch.sigmoid(p["raw_beta"])
    g = -f(t, h)
    return -m / (softplus(v).sqrt() + 1e-8), alpha * (g - m), beta * (g**2 - v)


def adam_bias_corrected(p, f, t, h, m, v):
    alpha, beta = torch.sigmoid(p["raw_alpha"]), torch.sigmoid(p["raw_beta"])
    g = -f(t, h)
    m_hat, v_hat = m / (1 - torch.exp(-alpha * t)), v / (1 - torch.exp(-beta * t))
    return -m_hat / (v_hat.sqrt() + 1e-8), alpha * (g - m), beta * (g**2 - v)


def second_order(p, f, t, x, v):
    return v, f(t, x, v)


def gradient_descent(p, f, t, h):
    return (f(t, h),)


MODELS = {
    NODE: gradient_descent,
    HBNODE: heavy_ball,
    GHBNODE: generalized_heavy_ball,
    HardGHBNODE: hardtanh_heavy_ball,
    NesterovNODE: nesterov,
    AdamNODE: adam,
    GuardedAdamNODE: adam_guarded,
    BiasCorrectedAdamNODE: adam_bias_corrected,
    SONODE: second_order,
}
SHAPES = {(4,): VectorField, (6, 4): VectorField, (2, 3, 5, 5): ImageField}
every_model = pytest.mark.parametrize("model", MODELS, ids=lambda m: m.__name__)


def build(model, field=VectorField, **options):
    """The model in float64 on a field of its own; SONODE's velocity starts as a learned linear map."""
    if model is SONODE:
        options["features"] = 3 if field is ImageField else 4
    return model(field(inputs=2 if model is SONODE else 1), **options).to(FLOAT64)


def random_states(model, shape):
    """States in the domain of the model: a second moment is positive."""
    return tuple(
        torch.rand(shape) + 0.2 if name == "v" and model is not SONODE else torch.randn(shape)
        for name in model.state_names
    )


@every_model
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_vector_field_is_the_hand_written_one(model, shape):
    node, t = build(model, SHAPES[shape]), torch.tensor(1.3)
    states = random_states(model, shape)
    expected = MODELS[model](dict(node.named_parameters()), node.field, t, *states)
    for ours, theirs in zip(node.vector_field(t, states), expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)


@every_model
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_adjoint_field_is_the_transposed_derivative(model, shape):
    node, t = build(model, SHAPES[shape]), torch.tensor(1.3)
    states = tuple(z.requires_grad_() for z in random_states(model, shape))
    costates = tuple(torch.randn(shape) for _ in states)
    rates = MODELS[model](dict(node.named_parameters()), node.field, t, *states)
    expected = torch.autograd.grad(rates, states, costates, materialize_grads=True)
    for ours, theirs in zip(node.adjoint_field(t, states, costates), expected, strict=True):
        torch.testing.assert_close(ours, -theirs, rtol=1e-10, atol=1e-10)


def loss_gradients(node, states, times):
    """Gradients of one loss on every state at every time, by name."""
    states = {n: z.clone().requires_grad_() for n, z in zip(node.state_names, states, strict=True)}
    node.zero_grad()
    solution = node.integrate(tuple(states.values()), times)
    weights = [torch.linspace(-1, 1, z.numel()).reshape(z.shape) for z in solution.states]
    sum((w * torch.sin(z)).sum() for w, z in zip(weights, solution.states, strict=True)).backward()
    parameters = {n: p.grad for n, p in node.named_parameters()}
    return {n: z.grad for n, z in states.items()} | parameters


def assert_gradients_close(ours, theirs, tolerance):
    assert ours.keys() == theirs.keys()
    scale = max(g.abs().max() for g in theirs.values() if g is not None)
    for name, gradient in theirs.items():
        if gradient is not None:
            difference = (ours[name] - gradient).abs().max()
            assert difference <= tolerance * scale, f"{name}: {difference} of {scale}"


TIMES = torch.tensor([1.0, 1.4, 2.0], dtype=FLOAT64)


@every_model
@pytest.mark.parametrize(
    ("method", "options"), [("rk4", {"step_size": 0.1}), ("dopri5", None)], ids=["rk4", "dopri5"]
)
def test_discrete_gradient_is_backpropagation_through_the_same_steps(model, method, options):
    node = build(model, span=(1.0, 2.0), method=method, options=options)
    states = random_states(model, (3, 4))
    node.gradient = "discrete"
    ours = loss_gradients(node, states, TIMES)
    node.gradient = "autograd"
    assert_gradients_close(ours, loss_gradients(node, states, TIMES), 1e-9)


@every_model
def test_adjoint_gradient_at_tight_tolerance(model):
    node = build(model, span=(1.0, 2.0), rtol=1e-11, atol=1e-11)
    states = random_states(model, (3, 4))
    node.gradient = "adjoint"
    ours = loss_gradients(node, states, TIMES)
    node.gradient = "autograd"
    assert_gradients_close(ours, loss_gradients(node, states, TIMES), 1e-6)


@every_model
@pytest.mark.parametrize("gradient", ["discrete", "autograd"])
def test_gradcheck(model, gradient):
    settings = {"method": "rk4", "gradient": gradient, "options": {"step_size": 0.25}}
    node = build(model, span=(1.0, 2.0), **settings)
    states = tuple(z.requires_grad_() for z in random_states(model, (2, 4)))

    def final(*inputs):
        return tuple(z[-1] for z in node.integrate(inputs).states)

    assert torch.autograd.gradcheck(final, states)


@pytest.mark.parametrize("gradient", ["discrete", "adjoint", "autograd"])
def test_gradient_with_respect_to_observation_times(gradient):
    """Central differences of the loss in each time, start included."""
    node = HBNODE(VectorField(), (1.0, 2.0), rtol=1e-11, atol=1e-11, gradient=gradient).to(FLOAT64)
    states = random_states(HBNODE, (3, 4))

    def loss(times):
        return sum((z**2).sum() for z in node.integrate(states, times).states)

    times = torch.tensor([1.2, 1.4, 1.9], requires_grad=True)
    loss(times).backward()
    for i in range(3):
        step = torch.zeros(3)
        step[i] = 1e-5
        with torch.no_grad():
            difference = (loss(times + step) - loss(times - step)) / 2e-5
        torch.testing.assert_close(times.grad[i], difference, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("transform", ["state_dict", "pickle", "deepcopy"])
def test_copies_compute_the_same(transform):
    node = GHBNODE(VectorField()).to(FLOAT64)
    with torch.no_grad():
        node.raw_gamma.fill_(0.3)
    if transform == "state_dict":
        twin = GHBNODE(VectorField()).to(FLOAT64)
        twin.load_state_dict(node.state_dict())
    else:
        twin = {"pickle": lambda n: pickle.loads(pickle.dumps(n)), "deepcopy": copy.deepcopy}[
            transform
        ](node)
    h0 = torch.randn(5, 4)
    assert torch.equal(node(h0), twin(h0))


def test_learned_parameter_goes_through_its_transform():
    node = HBNODE(VectorField())
    assert next(iter(node.state_dict())) == "raw_gamma"
    torch.testing.assert_close(node.gamma, torch.sigmoid(torch.tensor(-3.0)), check_dtype=False)


def test_compiled_vector_field():
    node, t = HBNODE(VectorField()).to(FLOAT64), torch.tensor(0.5)
    states = random_states(HBNODE, (3, 4))
    compiled = torch.compile(node.vector_field, fullgraph=True, backend="eager")
    for ours, theirs in zip(compiled(t, states), node.vector_field(t, states), strict=True):
        assert torch.equal(ours, theirs)
