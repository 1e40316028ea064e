"""Settings are refused by name before anything is evaluated, and failures name their cause."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from fields import TanhField
from torch import nn

from generated.gradient_descent import NODE
from generated.heavy_ball import HBNODE
from optode.runtime import ODERNN

pytestmark = pytest.mark.usefixtures("float64")

NAN, INF = math.nan, math.inf
NO_NUMBERS = (NAN, True, "1e-3", None, [], {}, torch.tensor(1e-3), 1j, object())
TOLERANCES = (*NO_NUMBERS, INF, -1.0, np.float32(-1), b"x", np.array([1e-3, 1e-3]))

SETTINGS = {
    "rtol": TOLERANCES,
    "atol": TOLERANCES,
    "span": (
        *(None, 5, "ab", (0,), (0, 1, 2), (1, 0), (0, 0), (0, INF), (NAN, 1), ("0", "1"), {0, 1}),
        *((None, 1), (True, False), (0, 1j), (0, torch.tensor([1.0, 2.0])), np.array([0.0, 1.0])),
    ),
    "method": (None, 5, "", "euler2", ["rk4"], "torchdiffeq:", "torchode:rk4", "foo:rk4", "RK4"),
    "gradient": (None, 5, "", ["discrete"], "Discrete", True),
    "options": (5, "steps=3", ["steps"], True, [("steps", 3)], {"nope": 1}, {5: 1}, {None: 1}),
    "grid": (5, "fine", True, ["auto"], "Auto"),
    "compile": (5, "nonsense", 3.0, ["x"]),
    "observe": (5, "", True, ["steps"], "interpolated"),
    "running": (5, "cost", True, [], torch.ones(3)),
    "record": (5, "yes", None, [], 2.0),
    "field": (5, "f", [], torch.ones(3), {}, TanhField),
}
ATTRIBUTES = {"compile": "compiled"}

OPTIONS = {
    "steps": (0, -1, 2.5, 2.0, NAN, True, "3", None, [3], torch.tensor(3), np.float64(2), INF),
    "step_size": (*NO_NUMBERS, 0, -0.1, INF),
    "first_step": (*NO_NUMBERS, 0, -1, INF),
    "min_step": (*NO_NUMBERS, -1, INF),
    "max_step": (*NO_NUMBERS, 0, -1),
    "max_steps": (*NO_NUMBERS, 0, -1, 2.5, INF),
    "keep": (*NO_NUMBERS, -1, "1GB"),
    "step_t": (0.5, "ab", None, [NAN], [INF], ["x"], [None], [1j], {}, {0.5}, torch.tensor(0.5)),
    "jump_t": (0.5, "ab", None, [NAN], [INF], ["x"], [None], [1j], {0.5: 1}, torch.tensor(0.5)),
    "norm": (5, "samples", None, True, []),
    "adjoint_norm": (5, "seminorm", None, True, lambda x: x),
    "safety": (*NO_NUMBERS, 0, -1, 1.5),
    "ifactor": (*NO_NUMBERS, 0, 1, 0.5, INF),
    "dfactor": (*NO_NUMBERS, 0, 1, -1, 1.5),
}


def never(t, h):
    pytest.fail("the field was evaluated")


@pytest.mark.parametrize("setting", SETTINGS)
def test_bad_settings_are_refused_by_name(setting):
    """Whether they are given to the constructor or set later."""
    for value in SETTINGS[setting]:
        with pytest.raises(ValueError, match=setting):
            HBNODE(**{"field": never} | {setting: value})
        node = HBNODE(never)
        setattr(node, ATTRIBUTES.get(setting, setting), value)
        with pytest.raises(ValueError, match=setting):
            node(torch.ones(2, 3))


@pytest.mark.parametrize("option", OPTIONS)
def test_bad_options_are_refused_by_name(option):
    """Also with the methods of torchdiffeq, and where the dictionary is changed in place."""
    for value in OPTIONS[option]:
        for method in ("dopri5", "torchdiffeq:dopri5"):
            with pytest.raises(ValueError, match=option):
                HBNODE(never, method=method, options={option: value})
        node = HBNODE(never)
        node.options[option] = value
        with pytest.raises(ValueError, match=option):
            node(torch.ones(2, 3))


@pytest.mark.parametrize(
    "settings",
    [
        {"span": [0, 1]},
        {"span": (np.float32(0), np.int64(1))},
        {"rtol": np.float32(1e-3), "atol": 1},
        {"rtol": 0},
        {"atol": 0},
        {"options": None},
        {"options": {"steps": np.int64(3)}},
        {"options": {"keep": INF, "max_step": INF, "min_step": 0, "safety": 1}},
        {"options": {"step_t": []}},
        {"options": {"step_t": torch.tensor([0.5])}},
        {"options": {"step_t": np.array([0.5]), "jump_t": (0.5, 0.2)}},
        {"options": {"step_t": [-1.0, 0.0, 0.5, 0.5, 1.0, 5.0]}},
        {"options": {"jump_t": [torch.tensor(0.5)]}, "method": "rk4"},
    ],
    ids=str,
)
def test_good_settings_are_taken(settings):
    node = HBNODE(TanhField(3, 5), **settings)
    x = torch.ones(2, 3, requires_grad=True)
    node(x).sum().backward()
    torch.testing.assert_close(node(x), HBNODE(node.field)(x), rtol=5e-2, atol=5e-2)


def test_a_setting_may_be_good_again():
    """A refusal leaves the node as it is."""
    node = HBNODE(TanhField(3, 5))
    x = torch.ones(2, 3)
    expected = node(x)
    for name, bad in (("rtol", -1), ("method", "x"), ("options", {"steps": 0}), ("span", None)):
        good = getattr(node, name)
        setattr(node, name, bad)
        with pytest.raises(ValueError, match=r"rtol|method|steps|span"):
            node(x)
        setattr(node, name, good)
        assert torch.equal(node(x), expected)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"rtol": 0, "atol": 0}, "must not both be 0"),
        ({"options": {"steps": 2, "step_size": 0.1}}, "steps and step_size"),
        ({"grid": "auto", "options": {"steps": 2}}, "no meaning with grid"),
        ({"grid": "auto", "method": "euler"}, "needs a method that estimates its error"),
        ({"compile": True}, "compile needs a grid"),
        ({"method": "implicit_adams"}, 'gradient="discrete" needs a one-step method'),
        ({"method": "scipy_solver"}, "keeps no graph"),
        ({"method": "torchode:dopri5", "options": {"steps": 2}}, "options must be in"),
    ],
    ids=str,
)
def test_settings_that_do_not_go_together_are_refused(settings, words):
    with pytest.raises(ValueError, match=words):
        HBNODE(never, **settings)


@pytest.mark.parametrize(
    "states",
    [
        None,
        5,
        "x",
        [1.0, 2.0],
        {"h": torch.ones(2, 3)},
        np.ones((2, 3)),
        (torch.ones(2, 3),),
        (torch.ones(2, 3),) * 3,
        (torch.ones(2, 3), None),
        (torch.ones(2, 3), torch.ones(2, 4)),
        (torch.ones(2, 3, dtype=torch.float64), torch.ones(2, 3, dtype=torch.float32)),
        torch.ones(2, 3, dtype=torch.int64),
        torch.ones(2, 3) + 0j,
        torch.ones(2, 3).to_sparse(),
        torch.ones(2, 3, device="meta"),
    ],
    ids=lambda x: type(x).__name__,
)
def test_states_that_do_not_fit_are_refused(states):
    with pytest.raises(ValueError, match="state"):
        HBNODE(never)(states)


def test_states_that_are_not_finite_are_refused_by_name():
    for bad in (NAN, INF):
        with pytest.raises(ValueError, match="m is not finite at the start"):
            HBNODE(never)((torch.ones(2, 3), torch.full((2, 3), bad)))


def test_tolerances_below_what_numbers_hold_are_refused():
    for method in ("dopri5", "interpolation5", "torchode:dopri5", "auto"):
        with pytest.raises(ValueError, match=r"rtol = 1e-12.*float32"):
            HBNODE(never, method=method, rtol=1e-12, atol=1e-12)(torch.ones(2, 3).float())
    HBNODE(TanhField(3, 5).float(), rtol=1e-12, method="rk4")(torch.ones(2, 3).float())


# Failures


class Nan(TanhField):
    """A field with a parameter that is not finite."""

    def __init__(self) -> None:
        super().__init__(3, 5)
        with torch.no_grad():
            self.outer.weight[0, 0] = NAN


WITHIN = {
    "dopri5": {},
    "rk4": {"method": "rk4", "options": {"steps": 4}},
    "interpolation5": {"method": "interpolation5"},
    "grid": {"method": "auto", "grid": "auto"},
    "torchdiffeq": {"method": "torchdiffeq:dopri5"},
}
every_kind_of_step = pytest.mark.parametrize("kind", WITHIN)
CAUSES = ("is not finite", "random numbers", "max_steps", "grows", "jump_t", "min_step")


@every_kind_of_step
def test_a_parameter_that_is_not_finite_is_named(kind):
    for context in (torch.enable_grad, torch.no_grad):
        with (
            context(),
            pytest.raises(FloatingPointError, match=r"field.outer.weight is not finite"),
        ):
            HBNODE(Nan(), **WITHIN[kind])(torch.ones(2, 3))


GROWING = {
    "dopri5": {},
    "rk4": {"method": "rk4", "options": {"steps": 40}},
    "interpolation5": {"method": "interpolation5"},
    "torchdiffeq": {"method": "torchdiffeq:dopri5"},
}


@pytest.mark.parametrize("kind", GROWING)
def test_growth_without_bound_is_named(kind):
    """h' = h**2 from 2 is infinite at t = 1/2; the time is said, and no jump or chance is blamed."""
    if kind == "interpolation5":
        node = HBNODE(lambda t, h: 50 * h**3, **GROWING[kind])
    else:
        node = NODE(lambda t, h: h**2, **GROWING[kind])
    with pytest.raises(FloatingPointError, match="grows without bound") as found:
        node(torch.full((2, 3), 2.0), (0.9, 1.0))
    assert "random" not in str(found.value)
    assert "jump_t" not in str(found.value)
    assert "t = " in str(found.value)


class Noisy(nn.Module):
    """A field with noise of a generator of its own, which no check of the common state sees."""

    def __init__(self) -> None:
        super().__init__()
        self.source = torch.Generator().manual_seed(0)

    def forward(self, t, h):
        return h + torch.randn(h.shape, generator=self.source)


@pytest.mark.parametrize("kind", ["dopri5", "interpolation5"])
def test_chance_is_named_where_steps_fail(kind):
    node = HBNODE(Noisy(), options={"max_steps": 100}, **WITHIN[kind])
    with pytest.raises((FloatingPointError, RuntimeError), match="draws random numbers"):
        node(torch.ones(2, 3))


def test_too_many_times_are_named():
    """Each ends a step; neither stiffness nor growth is to blame."""
    times = torch.linspace(0, 1, 101)
    for settings in ({"method": "euler"}, {"observe": "steps"}):
        node = NODE(lambda t, h: -h, options={"max_steps": 60}, **settings)
        with torch.no_grad(), pytest.raises(RuntimeError, match="each of the 101 times") as found:
            node(torch.ones(1), times)
        assert "raise max_steps" in str(found.value)
        assert "loosen" not in str(found.value)
    with torch.no_grad():
        assert len(NODE(lambda t, h: -h)(torch.ones(1), torch.linspace(0, 1, 20_000))) == 20_000


def test_short_steps_are_named():
    with pytest.raises(RuntimeError, match=r"max_steps = 50 .*as short as .*loosen rtol"):
        NODE(lambda t, h: torch.sin(1e5 * t) + 0 * h, options={"max_steps": 50})(torch.ones(1))


def test_a_jump_is_named():
    """The state is 0 where the field jumps: no step is short enough for so small a tolerance."""
    node = NODE(lambda t, h: torch.where(t < 0.3, -1.0, 1.0) + 0 * h, rtol=1e-13, atol=1e-19)
    with pytest.raises(FloatingPointError, match="the field jumps there"):
        node(torch.full((1,), 0.3))


# Sequences


@pytest.mark.parametrize(
    ("updates", "words"),
    [((), "updates"), (("x",), "updates must be"), ("hm", None), (("h", "h"), "updates must be")],
)
def test_updates_that_are_no_states_are_refused(updates, words):
    node = HBNODE(TanhField(4, 5))
    if words is None:
        assert ODERNN(node, nn.GRUCell(2, 4), updates=updates).updates == ("h", "m")
        return
    with pytest.raises(ValueError, match=words):
        ODERNN(node, nn.GRUCell(2, 4), updates=updates)


def test_torchode_calls_no_callbacks():
    node = HBNODE(TanhField(3, 5), method="torchode:dopri5")
    node.callback_accept_step = lambda *given: None
    with pytest.raises(ValueError, match="torchode calls no"):
        node(torch.ones(2, 3))
