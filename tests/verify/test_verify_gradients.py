"""The checks of gradients checked: each passes on what is right and fails on what is made wrong."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest
import torch
from fields import DriftingField
from torch import nn
from typer.testing import CliRunner

from benchmarks import memory
from benchmarks.memory import PeakMemory
from generated.adam import AdamNODE
from generated.heavy_ball import HBNODE
from generated.nesterov import NesterovNODE
from generated.second_order import SONODE
from optode.cli.main import app
from optode.verification.gradients import report
from optode.verification.gradients.checks import (
    GradientCheck,
    adjoint_against_discrete,
    check_gradients,
    discrete_against_autograd,
    dot_product,
    finite_differences,
    taylor_rates,
)

MODELS = (HBNODE, AdamNODE, NesterovNODE, SONODE)


class Skewed(torch.autograd.Function):
    """The identity, with a backward pass that is out by a thousandth."""

    @staticmethod
    def forward(ctx, x):
        return x.clone()

    @staticmethod
    def backward(ctx, cotangent):
        return 1.001 * cotangent


class WrongBackward(DriftingField):
    def forward(self, t, *states):
        return Skewed.apply(super().forward(t, *states))


def node_of(model, field=DriftingField, **settings):
    torch.manual_seed(0)
    force = field(arguments=2 if model.state_names == ("x", "v") else 1)
    settings = {"method": "rk4", "options": {"step_size": 0.125}} | settings
    return model(force, span=(1.0, 1.5), **settings)


def states_of(model):
    torch.manual_seed(1)
    return tuple(0.5 + torch.rand(3, 4) for _ in model.state_names)


def failing(checks):
    return {check.name for check in checks if not check.passes}


NAMES = (
    "dot product",
    "Taylor rate 1",
    "Taylor rate 2",
    "finite differences",
    "autograd",
    "adjoint",
    "adjoint, finer steps",
)


@pytest.mark.parametrize("model", MODELS, ids=lambda m: m.__name__)
def test_a_right_gradient_passes(model):
    checks = check_gradients(node_of(model), states_of(model), [1.25, 1.5])
    assert tuple(check.name for check in checks) == NAMES
    assert failing(checks) == set()
    rates = {check.name: check.value for check in checks}
    assert rates["Taylor rate 1"] == pytest.approx(1, abs=0.01)
    assert rates["Taylor rate 2"] == pytest.approx(2, abs=0.01)


@pytest.mark.parametrize("method", ["dopri5", "bosh3"])
def test_adaptive_methods(method):
    node = node_of(HBNODE, method=method, options=None)
    assert failing(check_gradients(node, states_of(HBNODE))) == set()


class Driven(DriftingField):
    """The field with inputs: a number for each sample."""

    def forward(self, t, h, u):
        return super().forward(t, h) + torch.sin(u)


@pytest.mark.parametrize(
    "u", [torch.tensor([[0.1], [0.2], [0.3]]), lambda t: 3 * t], ids=["tensor", "function"]
)
def test_inputs(u):
    node = node_of(HBNODE, Driven)
    assert failing(check_gradients(node, states_of(HBNODE), inputs=u)) == set()


def test_a_solver_that_takes_no_equal_steps():
    node = node_of(HBNODE, method="torchdiffeq:dopri5", options=None)
    assert discrete_against_autograd(node, states_of(HBNODE)).passes
    with (
        pytest.warns(UserWarning, match="step_size"),
        pytest.raises(ValueError, match="equal steps"),
    ):
        dot_product(node, states_of(HBNODE))


def test_a_start_of_its_own_is_checked_too():
    """From the first state alone: a learned linear start of the second is among the parameters."""
    node = node_of(SONODE, features=4)
    assert failing(check_gradients(node, states_of(SONODE)[0])) == set()


def test_the_node_is_left_as_it_is():
    node = node_of(HBNODE, gradient="adjoint")
    before = {name: value.clone() for name, value in node.state_dict().items()}
    check_gradients(node, states_of(HBNODE))
    assert node.gradient == "adjoint"
    assert node.options == {"step_size": 0.125}
    assert all(torch.equal(value, before[name]) for name, value in node.state_dict().items())
    assert all(p.grad is None and p.dtype == torch.float32 for p in node.parameters())


def test_a_field_with_a_wrong_backward_pass():
    """All three gradients go through it: they agree, and only forward solves can tell."""
    found = check_gradients(node_of(HBNODE, WrongBackward), states_of(HBNODE))
    assert failing(found) == {"dot product", "Taylor rate 2", "finite differences"}


class WrongOnItsWay(HBNODE):
    """Out by a little on the way back, where the gradient is the one named wrong."""

    wrong, error = "discrete", 1e-6

    def integrate(self, states, t=None, inputs=None):
        solution = super().integrate(states, t, inputs)
        if self.gradient == self.wrong and torch.is_grad_enabled():
            for z in solution.states:
                z.register_hook(lambda cotangent: cotangent * (1 + self.error))
        return solution


def test_a_wrong_discrete_gradient():
    node, states = node_of(WrongOnItsWay), states_of(HBNODE)
    for check in (dot_product, finite_differences, discrete_against_autograd):
        found = check(node, states)
        assert not found.passes
        assert found.value == pytest.approx(1e-6, rel=0.01)
    node.gradient = "autograd"
    assert dot_product(node, states).passes
    assert finite_differences(node, states).passes


def test_a_wrong_adjoint_gradient():
    node = node_of(WrongOnItsWay)
    node.wrong = "adjoint"
    assert failing(check_gradients(node, states_of(HBNODE))) == {"adjoint, finer steps"}
    node.error = 1e-3
    both = {"adjoint", "adjoint, finer steps"}
    assert failing(check_gradients(node, states_of(HBNODE))) == both


class WrongAdjointSystem(HBNODE):
    """The costate of m decays a hundredth too fast, in the discrete gradient as in the adjoint."""

    def equations(self, *arguments):
        rates, pull = super().equations(*arguments)

        def wrong(costates):
            moved, bars = pull(costates)
            return moved._replace(m=1.01 * moved.m), bars

        return rates, wrong


def test_a_wrong_adjoint_system():
    found = check_gradients(node_of(WrongAdjointSystem), states_of(HBNODE))
    assert failing(found) == {"adjoint", "adjoint, finer steps"}


class WrongParameter(HBNODE):
    """Blind to its own parameter on the way back."""

    @property
    def gamma(self):
        return super().gamma.detach()


def test_finite_differences_see_every_tensor():
    node = node_of(WrongParameter)
    found = finite_differences(node, states_of(HBNODE))
    assert (found.value, found.where) == (pytest.approx(1), "raw_gamma")
    assert failing(taylor_rates(node, states_of(HBNODE))) == {"Taylor rate 2"}


def test_the_bound_of_the_adjoint_falls_with_the_steps():
    node, states = node_of(HBNODE), states_of(HBNODE)
    coarse = adjoint_against_discrete(node, states)[0]
    node.options = {"step_size": 0.125 / 4}
    fine = adjoint_against_discrete(node, states)[0]
    assert coarse.passes and fine.passes
    assert fine.value < coarse.value / 4**3
    assert fine.high < coarse.high / 4**3


def root(t, h):
    return h.sign() * h.abs().sqrt()


def test_a_field_without_a_derivative_has_no_rate_of_one():
    node = HBNODE(root, method="rk4", options={"step_size": 0.25})
    found = taylor_rates(node, (torch.zeros(2, 3), torch.zeros(2, 3)))
    assert "Taylor rate 1" in failing(found)


def test_a_field_that_is_not_deterministic():
    node = node_of(HBNODE)
    calls = []  # no generator's random numbers, which the solve itself refuses
    node.field.forward = lambda t, h: (calls.append(1), h * len(calls))[1]
    with pytest.raises(ValueError, match="not deterministic"):
        check_gradients(node, states_of(HBNODE))


def test_nan_passes_no_check():
    check = GradientCheck("dot product", 1e-9, 0, 1e-8)
    assert check.passes
    assert not replace(check, value=math.nan).passes


# The command


def invoke(*arguments, code=0):
    done = CliRunner().invoke(app, ["verify", *map(str, arguments)])
    assert done.exit_code == code, f"{done.exit_code}\n{done.output}\n{done.exception!r}"
    assert done.exception is None or isinstance(done.exception, SystemExit)
    return done


FIELDS = """\
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(2, 2)
    def forward(self, t, h):
        return torch.tanh(self.layer(h))

made = Net()
def spring(t, h):
    return -torch.sin(h)
def narrow(t, h):
    return h[..., :1]
def crash(t, h):
    raise KeyError("lost")
class Sized(Net):
    def __init__(self, size):
        super().__init__()
number = 3

class Skewed(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x.clone()
    @staticmethod
    def backward(ctx, cotangent):
        return 1.01 * cotangent
def wrong(t, h):
    return Skewed.apply(torch.sin(h))
"""


@pytest.fixture
def fields(tmp_path):
    path = tmp_path / "fields.py"
    path.write_text(FIELDS)
    return path


@pytest.mark.parametrize("name", ["Net", "made", "spring"])
def test_a_field_of_the_users(fields, name):
    shown = invoke(
        "heavy_ball", "--gradients", "--field", f"{fields}:{name}", "--shape", "5,2"
    ).stdout
    assert "heavy_ball" in shown
    assert "(!)" not in shown


def test_a_wrong_field_of_the_users_is_found_out(fields):
    done = invoke("heavy_ball", "--gradients", "--field", f"{fields}:wrong", code=1)
    assert "(!)" in done.stdout


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ("{}", "expected FILE.py:NAME"),
        ("missing.py:Net", "there is no file 'missing.py'"),
        ("{}:Nett", "has no 'Nett': did you mean `Net`?"),
        ("{}:narrow", "field must return shape (3, 4)"),
        ("{}:crash", "KeyError: 'lost'"),
        ("{}:made", "--shape"),
        ("{}:Sized", "cannot be made without arguments: TypeError"),
        ("{}:number", "number is a int, not a callable f(t, h)"),
    ],
)
def test_a_field_that_does_not_fit(fields, place, message):
    place = place.format(str(fields).replace(":", ""))
    done = invoke("heavy_ball", "--gradients", "--field", place, code=1)
    assert done.stderr.startswith("error: ")
    assert message in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_file_that_cannot_be_run(tmp_path):
    path = tmp_path / "broken.py"
    path.write_text("import torch\ntorch.nothing\n")
    done = invoke("heavy_ball", "--gradients", "--field", f"{path}:Net", code=1)
    assert "cannot be run: AttributeError" in done.stderr


def test_a_spec_without_a_model_and_a_wrong_method():
    assert "error E501: no `model` part" in invoke("lion", "--gradients", code=1).stderr
    done = invoke("heavy_ball", "--gradients", "--method", "nope", code=1)
    assert done.stderr.startswith("error: method must be one of")


@pytest.mark.parametrize(
    "arguments",
    [
        ("heavy_ball", "--field", "f.py:Net"),
        ("heavy_ball", "--format", "json"),
        ("heavy_ball", "--gradients", "--plot", "f.png"),
        ("heavy_ball", "--gradients", "--shape", "3,x"),
        ("--all", "--gradients", "--field", "f.py:Net"),
    ],
)
def test_misuse(arguments):
    invoke(*arguments, code=2)


def test_all_models(monkeypatch):
    """Two of them, one whose equations cannot be solved."""
    specs = [s for s in report.shipped_models() if s.name.text in ("gradient_descent", "adam")]
    monkeypatch.setattr(report, "shipped_models", lambda: specs)
    document = json.loads(invoke("--all", "--gradients", "--format", "json").stdout)
    assert [entry["model"] for entry in document] == ["adam", "gradient_descent"]
    assert all(entry["passes"] and not entry["failure"] for entry in document)
    assert [c["name"] for c in document[0]["checks"]] == list(NAMES)
    assert all(c["low"] <= c["value"] <= c["high"] for c in document[0]["checks"])


def test_tables():
    checks = (GradientCheck("rate", 1.5, 0.9, 1.1), GradientCheck("adjoint", 1e-9, 0, 2e-8))
    other = (replace(checks[0], value=1.0), replace(checks[1], high=3e-8))
    models = (report.ModelCheck("a", checks), report.ModelCheck("b", other))
    broken = report.ModelCheck("c", failure="not finite | at all")
    assert [model.passes for model in (*models, broken)] == [False, True, False]
    assert report.as_text((*models, broken)).splitlines() == [
        "model  rate        adjoint             remarks",
        "       0.9 to 1.1",
        "a      1.50 (!)    1.0e-09 of 2.0e-08",
        "b      1.00        1.0e-09 of 3.0e-08",
        "c                                      not finite | at all",
    ]
    assert report.as_markdown((models[1], broken)).splitlines() == [
        "| model | rate | adjoint | remarks |",
        "| --- | --- | --- | --- |",
        "|  | 0.9 to 1.1 | at most 3e-08 |  |",
        "| b | 1.00 | 1.0e-09 |  |",
        r"| c |  |  | not finite \| at all |",
    ]


# The memory benchmark


def test_peak_memory_of_known_tensors():
    """Views count once, a saved tensor as long as the graph lives, what was there before never."""
    before = torch.ones(1000)
    with PeakMemory([before]) as measure:
        a = before + 1
        b = a.view(10, 100)
        assert measure.bytes == 4000
        del a
        assert measure.bytes == 4000
        del b
        assert measure.bytes == 0
        x = torch.ones(1000, requires_grad=True)
        y = torch.tanh(x).sum()
        assert measure.bytes == 2 * 4000 + 4
        del y
        assert measure.bytes == 4000
    assert measure.peak == 2 * 4000 + 4


def test_memory_of_each_gradient(monkeypatch):
    """One state a step, one graph a step, nothing."""
    monkeypatch.setattr(memory, "STEPS", (4, 8))
    peaks = memory.measured("cpu")
    states = {
        name: memory.bytes_per_step(peak) / memory.state_bytes() for name, peak in peaks.items()
    }
    assert states["discrete"] == pytest.approx(1, abs=0.01)
    assert states["adjoint"] == pytest.approx(0, abs=0.01)
    assert states["odeint_adjoint"] == pytest.approx(0, abs=0.01)
    assert states["autograd"] == pytest.approx(states["odeint"], rel=0.01)
    assert states["autograd"] > 2
    assert memory.table(peaks).splitlines()[-1].split()[3] == "1.00"


@pytest.mark.parametrize("seed", [6, 8, 15, 17, 21])
def test_a_right_adjoint_passes_whatever_is_drawn(seed: int) -> None:
    """There the discrete gradient changes far less in shorter steps than the tolerance allows."""
    torch.manual_seed(seed)
    node, h0 = HBNODE(nn.Sequential(nn.Linear(3, 3), nn.Tanh())), torch.randn(4, 3)
    assert all(check.passes for check in adjoint_against_discrete(node, h0))
