"""Modules that read a loss beside the field: their gradients, and what they ask of the loss."""

from __future__ import annotations

import copy

import pytest
import torch
from fields import LogLoss, TanhField
from torch import nn

from generated.alig import AligNODE
from generated.polyak_step import PolyakStepNODE
from generated.sps_max import StochasticPolyakNODE
from optode import compile
from optode.diagnostics import SpecError
from optode.runtime import Node, set_loss
from optode.spec.reader import parse_spec

every = pytest.mark.parametrize
METHODS = {"discrete": 6, "autograd": 6, "adjoint": 40}
CLASSES = (PolyakStepNODE, StochasticPolyakNODE, AligNODE)

WRITTEN = """\
name: read_twice
step_size: s
parameters: {beta: 1 - c*s, c: fixed}
state: [x, m]
update: |
  m[k+1] = beta*m[k] + s*loss(x[k] + m[k])*grad(x[k])
  x[k+1] = x[k] - s*loss(x[k])*m[k+1]
model:
  class: TwiceNODE
  rename: {x: h}
  parameters: {c: {init: 0.3}}
"""


@pytest.fixture(autouse=True)
def _settings(float64):
    """Every test in float64, from one seed."""


def gradients(node, h):
    """By the start and by every parameter, of the network, the loss and the equations."""
    node.zero_grad()
    start = h.clone().requires_grad_()
    out = node.integrate((start, *(0.1 * h for _ in node.state_names[1:]))).states
    sum(torch.sin(z[-1]).sum() for z in out).backward()
    return {"h": start.grad} | {name: p.grad for name, p in node.named_parameters()}


def close(found, expected, tolerance):
    assert found.keys() == expected.keys()
    for name, g in expected.items():
        torch.testing.assert_close(found[name], g, rtol=tolerance, atol=tolerance * g.abs().max())


def by_hand(loss, f, c, t, h, m):
    """The limit of WRITTEN on paper: ``x' = -loss m``, ``m' = loss(x + m) g - c m``, with g = -f."""

    def each(z):
        return loss(t, z).unsqueeze(-1)

    return -each(h) * m, -each(h + m) * f(t, h) - c * m


def made_by_hand():
    made = compile(parse_spec(WRITTEN))
    return made, made(TanhField(), LogLoss(0.7)).double()


def test_the_vector_field_is_the_one_by_hand():
    made, node = made_by_hand()
    assert made.operator_names == ("loss",)
    t, states = torch.tensor(0.3), (torch.randn(3, 4), torch.randn(3, 4))
    expected = by_hand(node.loss, node.field, node.c, t, *states)
    for ours, theirs in zip(node.vector_field(t, states), expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-13, atol=1e-13)


def test_the_adjoint_is_the_transposed_derivative():
    """Against autograd through the equations by hand."""
    _, node = made_by_hand()
    t = torch.tensor(0.3)
    states = tuple(torch.randn(3, 4).requires_grad_() for _ in range(2))
    costates = tuple(torch.randn(3, 4) for _ in range(2))
    rates = by_hand(node.loss, node.field, node.c, t, *states)
    expected = torch.autograd.grad(rates, states, costates)
    for ours, theirs in zip(node.adjoint_field(t, states, costates), expected, strict=True):
        torch.testing.assert_close(ours, -theirs, rtol=1e-12, atol=1e-12)


@every("gradient", METHODS)
@every("made", [*CLASSES, compile(parse_spec(WRITTEN))])
def test_every_gradient_is_autograd_s(made, gradient):
    """By the start, the network, the loss and the equations' parameters; no gradient is zero."""
    settings = {"method": "rk4", "options": {"steps": METHODS[gradient]}, "span": (0.0, 0.3)}
    sizes = torch.tensor([0.2, 0.4, 4.0, 8.0, 12.0]).unsqueeze(1)  # clipped steps and others
    node, h = made(TanhField(), LogLoss(), **settings), sizes * torch.randn(5, 4)
    node.gradient = gradient
    found = gradients(node, h)
    node.gradient = "autograd"
    expected = gradients(node, h)
    assert all(g is not None and g.abs().max() > 0 for g in expected.values())
    close(found, expected, 1e-4 if gradient == "adjoint" else 1e-11)


@every("made", [PolyakStepNODE, compile(parse_spec(WRITTEN))])
def test_gradcheck(made):
    """Finite differences of PyTorch's own, by the start and the loss's parameter."""
    settings = {"method": "rk4", "options": {"steps": 3}, "span": (0.0, 0.2)}
    node, h = made(TanhField(), LogLoss(), **settings), torch.randn(2, 4, requires_grad=True)
    scale = node.loss.scale
    assert torch.autograd.gradcheck(lambda h, _: node(h), (h, scale), atol=1e-6)


def test_the_loss_need_not_have_the_field_for_its_gradient():
    """Of a potential both are given, or a network beside it: what is differentiated is what is called."""
    potential = LogLoss()

    def field(t, h):
        return -potential.slope(t, h)

    node = PolyakStepNODE(field, potential, method="rk4", span=(0.0, 0.5), rtol=1e-9, atol=1e-11)
    h = 0.5 + torch.rand(5, 4)
    t = torch.tensor(0.2)
    (rate,) = node.vector_field(t, (h,))
    slope = torch.autograd.grad(potential(t, z := h.clone().requires_grad_()).sum(), z)[0]
    # Polyak's flow decreases the loss at the rate of the loss
    torch.testing.assert_close((slope * rate).sum(-1), -potential(t, h), rtol=1e-12, atol=1e-12)


# What is asked of the loss


def test_a_loss_is_asked_for():
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'loss'"):
        PolyakStepNODE(TanhField())
    for given in (None, 0.5, LogLoss):
        with pytest.raises(TypeError, match="PolyakStepNODE: loss must be a function of a tensor"):
            PolyakStepNODE(TanhField(), given)


@every("shape", [(3, 4), (3, 2, 2, 2), (4,)])
def test_one_number_for_each_sample(shape):
    """In shape (n,) or (n, 1, ...), () or (1,) for a single sample; anything else is refused."""
    h, samples = torch.randn(shape), shape[:1] if len(shape) > 1 else ()
    singles = (*samples, *(1 for _ in shape[len(samples) :]))

    def field(t, h):
        return torch.cos(h) + t

    def loss(t, h):
        return h.square().flatten(len(samples)).sum(-1) * (1 + t)

    node = AligNODE(field, loss)
    expected = node(h)
    single = AligNODE(field, lambda t, h: loss(t, h).reshape(singles))
    torch.testing.assert_close(single(h), expected, rtol=0, atol=0)
    wrong = (lambda t, h: h, lambda t, h: h.square().mean(), lambda t, h: loss(t, h).float())
    for refused in wrong if samples else (wrong[0], wrong[2]):
        with pytest.raises(ValueError, match="loss must return one number for each sample, in"):
            AligNODE(field, refused)(h)


def test_the_loss_is_called_as_the_field_is():
    """With the time and the inputs, or with the state alone where it takes one argument."""
    h, u, seen = torch.randn(3, 4), torch.randn(3, 2), []

    def field(t, h, u):
        return torch.sin(h + u.sum(-1, keepdim=True) + t)

    def loss(t, h, u):
        seen.append((t.item(), u))
        return (h - u.mean(-1, keepdim=True)).square().sum(-1) * (1 + t)

    AligNODE(field, loss, method="rk4", options={"steps": 2})(h, inputs=u)
    assert {0.0, 0.5, 1.0} < {t for t, _ in seen}
    assert all(torch.equal(given, u) for _, given in seen)
    alone = nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 1))
    field = TanhField()
    ours, theirs = AligNODE(field, alone), AligNODE(field, lambda t, h: alone(h))
    with torch.no_grad():
        torch.testing.assert_close(ours(h), theirs(h), rtol=0, atol=0)
    with pytest.raises(ValueError, match="loss is called with 2 arguments, the time, the states"):
        AligNODE(field, lambda t, h, more: h.sum(-1))(h)


def test_refusals_name_the_loss():
    field, h, hidden = TanhField(), torch.randn(3, 4), torch.ones((), requires_grad=True)
    with pytest.raises(ValueError, match="field or loss uses a tensor that requires a gradient"):
        AligNODE(field, lambda t, h: h.sum(-1) * hidden)(h)
    with pytest.raises(ValueError, match="loss changes its states"), torch.no_grad():
        AligNODE(field, lambda t, h: h.mul_(2).sum(-1))(h)


def test_copies_and_state_dicts_have_the_loss():
    node, h = AligNODE(TanhField(), LogLoss()), torch.randn(3, 4)
    torch.testing.assert_close(copy.deepcopy(node)(h), node(h), rtol=0, atol=0)
    assert "loss.scale" in node.state_dict()


def test_each_sample_at_a_time_of_its_own():
    """The loss sees t of shape (n, 1), as the field does."""
    shared = AligNODE(TanhField(), lambda t, h: ((2 + torch.sin(t)) * h**2).sum(-1), method="rk4")
    h = torch.randn(2, 4)
    own = shared(h, torch.tensor([[0.0, 0.5], [0.0, 1.0]]))[-1]
    for sample, end in ((0, 0.5), (1, 1.0)):
        alone = shared(h[sample : sample + 1], torch.tensor([0.0, end]))[-1]
        torch.testing.assert_close(own[sample : sample + 1], alone, rtol=1e-6, atol=1e-6)


def test_a_node_by_hand():
    class ByHand(Node):
        States = AligNODE.States
        operator_names = ("loss",)

        def __init__(self, field, loss, **settings):
            super().__init__(field, **settings)
            set_loss(self, loss)

        def equations(self, t, states, field):
            f, loss = field(*states), field.apply("loss", *states)

            def pull(costates):
                (a,) = costates
                return self.States(-field.pull(f, loss * a) - field.pull(loss, f * a)), ()

            return self.States(loss * f), pull

    text = WRITTEN.replace("state: [x, m]", "state: [x]").replace("beta: 1 - c*s, c: fixed", "")
    lines = [line for line in text.splitlines() if "m[k+1]" not in line and "c: {" not in line]
    lines.insert(5, "  x[k+1] = x[k] - s*loss(x[k])*grad(x[k])")
    made = compile(parse_spec("\n".join(lines)))
    field, loss, h = TanhField(), LogLoss(), torch.randn(3, 4)
    settings = {"method": "rk4", "options": {"steps": 4}}
    ours, theirs = (kind(field, loss, **settings) for kind in (made, ByHand))
    close(gradients(ours, h), gradients(theirs, h), 1e-12)


# In specs


def model(text):
    return parse_spec(WRITTEN.replace("rename: {x: h}", f"rename: {{x: h}}\n  {text}"))


def test_a_loss_in_the_model_part():
    made = compile(model('equations: {m: "rhs - loss(t, m)*m"}'))
    node = made(TanhField(), LogLoss())
    t, (h, m) = torch.tensor(0.3), (torch.randn(3, 4), torch.randn(3, 4))
    expected = by_hand(node.loss, node.field, node.c, t, h, m)[1]
    expected = expected - node.loss(t, m).unsqueeze(-1) * m
    torch.testing.assert_close(node.vector_field(t, (h, m))[1], expected, rtol=1e-12, atol=1e-12)


def test_a_loss_in_an_ode():
    text = "name: a\nstate: [h]\node: |\n  h' = loss(t, h)*f(t, h)\nmodel: {class: ANODE}\n"
    node, h = compile(parse_spec(text))(TanhField(), loss := LogLoss()), torch.randn(3, 4)
    t = torch.tensor(0.3)
    expected = loss(t, h).unsqueeze(-1) * node.field(t, h)
    torch.testing.assert_close(node.vector_field(t, (h,))[0], expected, rtol=1e-13, atol=1e-13)


def test_an_operator_of_that_name_is_an_operator():
    """It was declared: nothing is known of it, and it is called with the state alone."""
    text = WRITTEN.replace("{beta:", "{loss: oracle, beta:")
    node, h = compile(parse_spec(text))(TanhField(), torch.tanh), torch.randn(3, 4)
    (dh, _) = node.vector_field(torch.tensor(0.3), (h, m := torch.randn(3, 4)))
    torch.testing.assert_close(dh, -torch.tanh(h) * m, rtol=1e-14, atol=1e-14)


def test_games_and_names_are_refused():
    with pytest.raises(SpecError, match="a game has no loss"):
        compile(model("field: grad"))
    with pytest.raises(SpecError, match="`loss` is a state and an operator"):
        compile(parse_spec(WRITTEN.replace("{x: h}", "{x: loss}")))
