"""Values of learned parameters and constants: as arguments, shared, fixed, and out of range."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
from torch import nn

from generated.adam import AdamNODE
from generated.heavy_ball import HBNODE
from generated.heavy_ball_fixed import FixedMomentumNODE
from generated.heavy_ball_overdamped import OverdampedNODE
from generated.nesterov_strongly_convex import StronglyConvexNesterovNODE
from optode.compiler import compile
from optode.runtime import FeatureNode, learned_value, set_learned
from optode.runtime.learned_values import check_learned, learned_text
from optode.runtime.parameters import unknown_argument
from optode.spec.reader import parse_spec

FEATURES = """
name: per_feature
state: [h]
ode: |
  h' = f(t, h) - omega*h + k2*h
model:
  class: PerFeatureNODE
  parameters:
    omega: {init: 0.5, transform: exp, per: feature}
    k2: {init: 0.25}
"""


class Force(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(3, 3)

    def forward(self, t, h):
        return torch.tanh(self.layer(h))


@pytest.fixture(scope="module")
def per_feature():
    return compile(parse_spec(FEATURES))


@pytest.mark.parametrize("value", [1e-30, 1e-6, 0.1, 0.5, 0.9, 1 - 1e-6])
def test_a_number_is_where_learning_begins(value):
    node = HBNODE(Force(), gamma=value)
    assert [n for n, _ in node.named_parameters(recurse=False)] == ["raw_gamma"]
    assert node.gamma.item() == pytest.approx(value, rel=1e-6)


@pytest.mark.parametrize("value", [1e-30, 1e-3, 1, 20.0, 20.5, 1e6, 1e30])
def test_softplus_is_inverted_at_every_size(value):
    node = StronglyConvexNesterovNODE(Force(), mu=value)
    assert node.mu.item() == pytest.approx(value, rel=1e-6)


def test_without_values_nothing_changes():
    node = AdamNODE(Force())
    assert (node.raw_alpha.item(), node.raw_beta.item(), node.eps) == (3.0, 3.0, 1e-8)


def test_an_instance_has_its_own_constant():
    node, other = AdamNODE(Force(), eps=1e-6), AdamNODE(Force())
    assert (node.eps, other.eps) == (1e-6, 1e-8)


def test_values_of_each_feature(per_feature):
    ones = per_feature(Force(), features=3, omega=2.0)
    torch.testing.assert_close(ones.omega, torch.full((3,), 2.0))
    wanted = torch.tensor([0.5, 1.0, 2.0])
    node = per_feature(Force(), features=3, omega=wanted, k2=-1.5)
    torch.testing.assert_close(node.omega, wanted)
    assert node.k2.item() == -1.5
    for omega in (torch.ones(2), torch.ones(3, 1), torch.tensor([1.0, -1.0, 1.0])):
        with pytest.raises(ValueError, match="omega must"):
            per_feature(Force(), features=3, omega=omega)
    with pytest.raises(ValueError, match="give features: omega has a value for each"):
        per_feature(Force())


BAD = (
    (1.5, r"gamma must lie in \(0, 1\), got 1.5"), (0.0, r"lie in \(0, 1\), got 0"),
    (float("nan"), "got nan"), (1 - 1e-12, "is 1 in torch.float32"), ("0.5", "got '0.5'"),
    (True, "got True"), (1j, "got 1j"), ([0.5], "got list"),
    (torch.tensor([0.5]), r"of shape \(\), got \(1,\)"), (torch.tensor(True), "torch.bool"),
    (torch.tensor(0.5, requires_grad=True), "make it an nn.Parameter"),
    (nn.Parameter(torch.ones(2)), r"floats of shape \(\), got \(2,\)"),
)  # fmt: skip


@pytest.mark.parametrize(("value", "message"), BAD)
def test_values_that_cannot_be_are_refused(value, message):
    with pytest.raises(ValueError, match=f"gamma.*{message}|{message}"):
        HBNODE(Force(), gamma=value)


@pytest.mark.parametrize("eps", [float("inf"), "1", None, True, torch.tensor(1.0)])
def test_constants_are_finite_numbers(eps):
    with pytest.raises(ValueError, match="eps must be a finite number"):
        AdamNODE(Force(), eps=eps)


def test_a_wrong_name_is_a_type_error():
    with pytest.raises(TypeError, match="gama"):
        HBNODE(Force(), gama=0.5)
    error = unknown_argument(HBNODE(Force()), ["gama"])
    assert str(error) == (
        "HBNODE() got an unexpected keyword argument 'gama': did you mean 'gamma'?"
    )


@pytest.mark.parametrize(
    ("learn", "learned"),
    [
        (True, ["raw_alpha", "raw_beta"]),
        (False, []),
        ("alpha", ["raw_alpha"]),
        (("beta",), ["raw_beta"]),
    ],
)
def test_learn_names_what_is_learned(learn, learned):
    node = AdamNODE(Force(), alpha=0.25, learn=learn)
    assert [n for n, _ in node.named_parameters(recurse=False)] == learned
    assert {"raw_alpha", "raw_beta"} <= {*node.state_dict()}
    assert node.alpha.item() == pytest.approx(0.25)


def test_learn_names_only_what_is_there():
    with pytest.raises(ValueError, match="got 'alhpa': did you mean 'alpha'"):
        AdamNODE(Force(), learn=["alhpa"])
    with pytest.raises(ValueError, match="True, False or names, got 3"):
        AdamNODE(Force(), learn=3)
    with pytest.raises(ValueError, match="which learn does not fix"):
        HBNODE(Force(), gamma=nn.Parameter(torch.tensor(0.5)), learn=False)


@pytest.mark.parametrize("gradient", ["discrete", "adjoint", "autograd"])
def test_a_parameter_is_the_value_and_may_be_shared(gradient):
    """Its gradient is the sum of both nodes'; without transform it is that of the value."""
    gamma, h0 = nn.Parameter(torch.tensor(0.7, dtype=torch.float64)), torch.ones(2, 3).double()
    field = Force().double()
    tied = nn.ModuleList([HBNODE(field, gamma=gamma, gradient=gradient) for _ in range(2)])
    assert sum(p is gamma for p in tied.parameters()) == 1
    assert "gamma" in tied[0].state_dict() and "raw_gamma" not in tied[0].state_dict()
    sum(node(h0).sum() for node in tied).backward()
    free = HBNODE(field, gamma=0.7, gradient=gradient).double()
    with torch.no_grad():
        free.raw_gamma.copy_(torch.logit(gamma))
    free(h0).sum().backward()
    through = free.raw_gamma.grad / (0.7 * 0.3)
    torch.testing.assert_close(gamma.grad, 2 * through, rtol=1e-4, atol=0)
    twins = copy.deepcopy(tied)
    assert twins[0].gamma is twins[1].gamma is not gamma


def test_a_frozen_parameter_gets_no_gradient():
    gamma = nn.Parameter(torch.tensor(0.7), requires_grad=False)
    node = HBNODE(Force(), gamma=gamma)
    node(torch.ones(2, 3)).sum().backward()
    assert gamma.grad is None and node.field.layer.weight.grad is not None


@pytest.mark.parametrize(
    "settings", [{}, {"learn": False}, {"gamma": nn.Parameter(torch.tensor(0.5))}]
)
def test_copies_and_casts(settings):
    node, h0 = HBNODE(Force(), **settings), torch.ones(2, 3)
    for twin in (copy.deepcopy(node), pickle.loads(pickle.dumps(node))):
        assert torch.equal(twin(h0), node(h0))
    assert node.double().gamma.dtype == torch.float64
    fresh = HBNODE(Force(), **settings)
    fresh.load_state_dict(node.float().state_dict())
    assert torch.equal(fresh(h0), node(h0))


def test_a_fixed_node_takes_over_what_was_learned():
    trained, fixed = HBNODE(Force(), gamma=0.3), HBNODE(Force(), learn=False)
    fixed.load_state_dict(trained.state_dict())
    assert fixed.gamma.item() == trained.gamma.item()
    fixed(torch.ones(2, 3)).sum().backward()
    assert not fixed.raw_gamma.requires_grad


@pytest.mark.parametrize("settings", [{}, {"gamma": nn.Parameter(torch.tensor(0.5))}])
def test_values_compile(settings):
    node, states = HBNODE(Force(), **settings), (torch.ones(2, 3), torch.ones(2, 3))
    compiled = torch.compile(node.vector_field, fullgraph=True, backend="eager")
    ours, plain = (call(torch.tensor(0.0), states) for call in (compiled, node.vector_field))
    assert all(torch.equal(x, y) for x, y in zip(ours, plain, strict=True))


def test_they_are_made_where_and_as_pytorch_makes_tensors(per_feature, float64):
    assert HBNODE(Force(), gamma=0.3).raw_gamma.dtype == torch.float64
    assert HBNODE(Force(), gamma=1 - 1e-12).gamma.item() == pytest.approx(1 - 1e-12, rel=1e-15)
    with torch.device("meta"):
        node = per_feature(Force(), features=3, omega=2.0)
    assert node.raw_omega.is_meta and node.raw_k2.is_meta


# Values where equations have no derivative


@pytest.mark.parametrize("raw", [-1e3, -90.0])
def test_a_pole_is_refused_by_name(raw):
    node = StronglyConvexNesterovNODE(Force())
    check_learned(node, (node.mu,))
    with torch.no_grad():
        node.raw_mu.fill_(raw)
    with pytest.raises(ValueError, match=f"raw_mu = {raw:g} makes mu = .*no finite derivative"):
        check_learned(node, (node.mu,))


def test_both_ends_of_a_range_may_be_poles():
    node = FixedMomentumNODE(Force())
    with torch.no_grad():
        node.raw_beta.fill_(1e3)
    with pytest.raises(ValueError, match="raw_beta = 1000 makes beta = 1, where"):
        check_learned(node, (node.beta,))


def test_a_value_that_is_not_finite_is_refused():
    node = HBNODE(Force())
    with torch.no_grad():
        node.raw_gamma.fill_(float("nan"))
    with pytest.raises(ValueError, match="raw_gamma = nan makes gamma = nan: it must be finite"):
        check_learned(node, (node.gamma,))


def test_batched_values_pass():
    node = StronglyConvexNesterovNODE(Force())

    def checked(raw):
        mu = torch.nn.functional.softplus(raw)
        check_learned(node, (mu,))
        return mu

    assert torch.func.vmap(checked)(torch.tensor([-1e3, 1.0])).shape == (2,)


def test_a_value_that_makes_the_equations_stiff_is_named():
    def pull(t, h):  # a random network may carry h to where it is flat
        return -h

    node = OverdampedNODE(pull, options={"max_steps": 50})
    with torch.no_grad():
        node.raw_c.fill_(-30.0)
    with pytest.raises(ValueError, match=r"raw_c = -30 makes c = 9\.\S+e-14, .* too stiff"):
        node(torch.ones(2, 3))
    with pytest.raises(RuntimeError, match=r"max_steps = 2 .*; c = 0\.\d+ \(raw_c = "):
        OverdampedNODE(pull, options={"max_steps": 2}, rtol=1e-9)(torch.ones(2, 3))


def test_values_in_words(per_feature):
    assert learned_text(HBNODE(Force(), gamma=0.5)) == "gamma = 0.5 (raw_gamma = 0)"
    node = per_feature(Force(), features=2, omega=torch.tensor([1.0, 2.0]))
    assert learned_text(node).startswith("omega = 1 to 2 (raw_omega = 0 to 0.69")


def test_a_node_written_by_hand_has_them_too():
    class Decay(FeatureNode):
        learned_names = ("rate",)

        def __init__(self, field, rate=None, **settings):
            super().__init__(field, **settings)
            set_learned(self, "rate", rate, torch.exp, 0.0)

        @property
        def rate(self):
            return learned_value(self, "rate", torch.exp)

    assert Decay(Force()).rate.item() == 1.0
    assert Decay(Force(), rate=2.0).rate.item() == pytest.approx(2.0)
