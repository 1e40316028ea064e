"""States between two bounds: slow ones move freely inside, and rest on a bound that they reach."""

import pytest
import sympy as sp

from optode.compiler import derive
from optode.language.effort import is_zero
from optode.language.elementwise import hardtanh, reaches, relu
from optode.language.symbols import TIME, Gradient, symbol
from optode.rule.bound import Bound
from optode.spec.reader import parse_spec
from optode.verification.orders.report import verify

x, d, p, q, low, high = map(symbol, ("x", "d", "p", "q", "low", "high"))
g = Gradient(x)


def spec(update, start="d: 1", states="x, d", parameters="p: fixed, low: fixed, high: fixed"):
    lines = "".join(f"  {line}\n" for line in update)
    return parse_spec(
        f"name: bounded\nstep_size: lr\nparameters: {{{parameters}}}\nstate: [{states}]\n"
        f"start: {{{start}}}\nupdate: |\n{lines}",
        "bounded.yaml",
    )


GROWN = "d[k] + lr*p*(abs(grad(x[k])) - d[k])"
FREE = p * (sp.Abs(g) - d)
WRITTEN = {
    "clip": f"clip({GROWN}, low, high)",
    "a maximum within a minimum": f"min(max({GROWN}, low), high)",
    "a minimum within a maximum": f"max(min({GROWN}, high), low)",
}


def between(free, floor, ceiling):
    """The rate of a state d that moves at a free rate between two constants."""
    return free + reaches(floor - d) * relu(-free) - reaches(d - ceiling) * relu(free)


@pytest.mark.parametrize("text", WRITTEN.values(), ids=WRITTEN)
def test_however_it_is_written(text):
    derivation = derive(spec([f"d[k+1] = {text}", "x[k+1] = x[k] - lr*d[k+1]*grad(x[k])"]))
    assert derivation.rule.bounds == {d: Bound(low, high)}
    limit = derivation.limit
    assert limit.states == (x, d)
    assert is_zero(limit.equations[0] + d * g)
    assert is_zero(limit.equations[1] - between(FREE, low, high))
    assert limit.initial[1] == hardtanh(1, low, high)
    assert derivation.check_limit() == ""


def test_bounds_that_move():
    update = [
        "d[k+1] = clip(d[k] - lr*p*d[k], 0.5*exp(-3*lr*k), 2 - lr*k)",
        "x[k+1] = x[k] - lr*d[k+1]*grad(x[k])",
    ]
    derivation = derive(spec(update, parameters="p: fixed"))
    floor, ceiling = sp.exp(-3 * TIME) / 2, 2 - TIME
    rate = (
        -p * d
        + reaches(floor - d) * relu(-3 * floor + p * d)
        - reaches(d - ceiling) * relu(-p * d + 1)
    )
    assert is_zero(derivation.limit.equations[1] - rate)
    assert derivation.check_limit() == ""


TURNING = [
    "same = grad(x[k])*last[k]",
    "d[k+1] = clip(d[k]*(1 + lr*where(same > 0, p, where(same < 0, -q, 0))), low*lr, high*lr)",
    "last[k+1] = where(same < 0, 0, grad(x[k]))",
    "x[k+1] = x[k] - sign(last[k+1])*d[k+1]",
]


def test_a_step_that_grows_while_a_stored_gradient_keeps_its_sign():
    parameters = "p: fixed, q: fixed, low: fixed, high: fixed"
    derivation = derive(spec(TURNING, "d: lr", "x, last, d", parameters))
    limit = derivation.limit
    assert limit.states == (x, d)
    assert is_zero(limit.equations[0] + d * sp.sign(g))
    assert is_zero(limit.equations[1].subs(p, 2) - between(2 * d, low, high))
    assert derivation.check_limit() == ""


@pytest.mark.parametrize("high_value", ["1.25", "4"])
def test_the_order_of_a_rule_that_reaches_its_ceiling(high_value):
    update = [
        f"d[k+1] = clip(d[k]*(1 + lr*2), 0.5, {high_value})",
        "x[k+1] = x[k] - lr*d[k+1]*grad(x[k])",
    ]
    (check,) = verify(spec(update, parameters=""), order=0)
    assert check.passes


def test_a_fast_state_between_two_bounds_settles_within_them():
    update = ["d[k+1] = clip(0.5*d[k] + 0.5*grad(x[k]), -1, 1)", "x[k+1] = x[k] - lr*d[k+1]"]
    derivation = derive(spec(update, "d: 0", parameters=""))
    assert derivation.rule.bounds == {}
    (found,) = derivation.limit.equations
    for value in (sp.Rational(-7, 2), sp.Rational(1, 3), sp.Integer(2)):
        assert found.xreplace({g: value}) == -max(-1, min(1, value))


def test_a_bound_needs_a_level():
    with pytest.raises(ValueError, match="a floor, a ceiling or both"):
        Bound()


@pytest.mark.parametrize("fast", [False, True])
def test_a_start_beyond_a_bound_that_moves(fast):
    driven = "0.5*v[k] + 0.5*grad(x[k])**2" if fast else "v[k] + lr*grad(x[k])**2"
    update = [
        f"v[k+1] = {driven}",
        "d[k+1] = max(d[k] - lr*d[k], 3*exp(-2*lr*k))",
        "x[k+1] = x[k] - lr*d[k+1]*grad(x[k])/(1 + v[k+1])",
    ]
    derivation = derive(spec(update, states="x, d, v", parameters=""))
    limit = derivation.limit
    floor = 3 * sp.exp(-2 * TIME)
    assert limit.initial[1] == 3
    assert is_zero(limit.equations[1] - (-d + reaches(floor - d) * relu(d - 2 * floor)))
    assert derivation.check_limit() == ""
