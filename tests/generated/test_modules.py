"""The generated modules, in float64: against hand-written torch code and automatic differentiation."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
from fields import ImageField, TanhField
from vector_fields import (
    adam,
    adam_bias_corrected,
    adam_guarded,
    generalized_heavy_ball,
    gradient_descent,
    hardtanh_heavy_ball,
    heavy_ball,
    nesterov,
    second_order,
)

from generated.adam import AdamNODE
from generated.adam_bias_corrected import BiasCorrectedAdamNODE
from generated.adam_guarded import GuardedAdamNODE
from generated.generalized_heavy_ball import GHBNODE
from generated.generalized_heavy_ball_hardtanh import HardGHBNODE
from generated.gradient_descent import NODE
from generated.heavy_ball import HBNODE
from generated.nesterov import NesterovNODE
from generated.second_order import SONODE

pytestmark = pytest.mark.usefixtures("float64")


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
SHAPES = {(4,): TanhField, (6, 4): TanhField, (2, 3, 5, 5): ImageField}
every_model = pytest.mark.parametrize("model", MODELS, ids=lambda m: m.__name__)


def build(model, field=TanhField, **options):
    """The model in float64 on a field of its own; SONODE's velocity starts as a learned linear map."""
    if model is SONODE:
        options["features"] = 3 if field is ImageField else 4
    return model(field(arguments=2 if model is SONODE else 1), **options).double()


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


TIMES = torch.tensor([1.0, 1.4, 2.0], dtype=torch.float64)


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
    node = HBNODE(TanhField(), (1.0, 2.0), rtol=1e-11, atol=1e-11, gradient=gradient).double()
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
    node = GHBNODE(TanhField()).double()
    with torch.no_grad():
        node.raw_gamma.fill_(0.3)
    if transform == "state_dict":
        twin = GHBNODE(TanhField()).double()
        twin.load_state_dict(node.state_dict())
    else:
        twin = {"pickle": lambda n: pickle.loads(pickle.dumps(n)), "deepcopy": copy.deepcopy}[
            transform
        ](node)
    h0 = torch.randn(5, 4)
    assert torch.equal(node(h0), twin(h0))


def test_learned_parameter_goes_through_its_transform():
    node = HBNODE(TanhField())
    assert next(iter(node.state_dict())) == "raw_gamma"
    torch.testing.assert_close(node.gamma, torch.sigmoid(torch.tensor(-3.0)), check_dtype=False)


def test_compiled_vector_field():
    node, t = HBNODE(TanhField()).double(), torch.tensor(0.5)
    states = random_states(HBNODE, (3, 4))
    compiled = torch.compile(node.vector_field, fullgraph=True, backend="eager")
    for ours, theirs in zip(compiled(t, states), node.vector_field(t, states), strict=True):
        assert torch.equal(ours, theirs)
