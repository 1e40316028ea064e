"""Fast states whose balance has kinks: solved on each side of them, and refused where that is no one place."""

import pytest
import sympy as sp

from optode.compiler import derive
from optode.diagnostics import SpecError
from optode.language.symbols import Gradient, symbol
from optode.spec.reader import parse_spec
from optode.verification.orders.report import verify

x, w = symbol("x"), symbol("w")
g = Gradient(x)


def rule(fast, start="", parameters="", direction="w[k+1]"):
    lines = "".join(f"  {line}\n" for line in [*fast, f"x[k+1] = x[k] - lr*{direction}"])
    return parse_spec(
        f"name: sided\nstep_size: lr\nparameters: {{{parameters}}}\nstate: [x, w]\n"
        f"start: {{{start}}}\nupdate: |\n{lines}",
        "sided.yaml",
    )


PLACES = {
    "a stored gradient, forgotten when it turns": (
        ["w[k+1] = where(w[k]*grad(x[k]) < 0, 0, grad(x[k]))"],
        "",
        lambda u: u,
    ),
    "a growing size that a minimum holds (RACS)": (
        ["w[k+1] = min(1.1*(w[k] + 0.01), abs(grad(x[k])) + 1)"],
        "w: 1",
        lambda u: abs(u) + 1,
    ),
    "two slopes": (
        ["w[k+1] = 0.5*min(w[k], 1) + 0.5*grad(x[k])"],
        "",
        lambda u: u if u <= 1 else (1 + u) / 2,
    ),
    "a size in itself": (
        ["w[k+1] = 0.3*abs(w[k]) + grad(x[k])"],
        "",
        lambda u: u / sp.Rational(7, 10) if u > 0 else u / sp.Rational(13, 10),
    ),
    "a clipped average": (
        ["w[k+1] = clip(0.5*w[k], -0.1, 0.2) + grad(x[k])"],
        "",
        lambda u: (
            min(max(2 * u, u - sp.Rational(1, 10)), u + sp.Rational(1, 5))
            if -sp.Rational(1, 10) <= u <= sp.Rational(1, 5)
            else (u - sp.Rational(1, 10) if u < 0 else u + sp.Rational(1, 5))
        ),
    ),
}


@pytest.mark.parametrize("kind", PLACES)
def test_where_they_settle(kind):
    fast, start, place = PLACES[kind]
    derivation = derive(rule(fast, start))
    (settled,) = (value for z, value in derivation.limit.manifold if z == w)
    for point in map(sp.Rational, ("1/3", "-1/3", "7/5", "-7/5", "1/20", "-1/20")):
        assert abs(settled.xreplace({g: point}).evalf() - place(point)) < 1e-12
    assert derivation.check_limit() == ""


@pytest.mark.parametrize("kind", PLACES)
def test_their_limit_is_approached(kind):
    fast, start, _ = PLACES[kind]
    (check,) = verify(rule(fast, start), order=0)
    assert check.passes


NOWHERE = {
    "two places": ["w[k+1] = 0.5*w[k] + 0.5*sign(w[k])*(1 + abs(grad(x[k])))"],
    "none on either side": ["w[k+1] = 2*max(w[k], 0) - 0.5*max(-w[k], 0) + 1"],
}


@pytest.mark.parametrize("kind", NOWHERE)
def test_no_one_place_is_refused(kind):
    with pytest.raises(SpecError, match="w relaxes to no unique value"):
        _ = derive(rule(NOWHERE[kind], direction="grad(x[k])*(3 + w[k+1])")).limit


INCREMENTS = {
    "a factor of two branches": (
        ["w[k+1] = w[k]*where(grad(x[k]) > 0, 1 + 2*lr, 1 - 3*lr)"],
        "w: 1",
        lambda u, w: 2 * w if u > 0 else -3 * w,
    ),
    "a factor of three branches": (
        ["w[k+1] = w[k]*where(grad(x[k]) > 1, 1 + lr, where(grad(x[k]) < -1, 1 - lr, 1))"],
        "w: 1",
        lambda u, w: w if u > 1 else -w if u < -1 else 0,
    ),
    "a clipped decay": (
        [
            "b = clip(1 - 2*lr*abs(grad(x[k])), 0, 1 - lr)",
            "w[k+1] = b*w[k] + (1 - b)*grad(x[k])",
        ],
        "",
        lambda u, w: max(2 * abs(u), 1) * (u - w),
    ),
}


@pytest.mark.parametrize("kind", INCREMENTS)
def test_slow_states_behind_choices(kind):
    fast, start, rate = INCREMENTS[kind]
    derivation = derive(rule(fast, start, direction="grad(x[k])*w[k+1]**2"))
    found = dict(zip(derivation.limit.states, derivation.limit.equations, strict=True))[w]
    for u in (0.25, -0.25, 1.5, -1.5):
        for at in (0.5, 2.0):
            value = found.xreplace({g: sp.Float(u), w: sp.Float(at)}).evalf()
            assert abs(value - rate(u, at)) < 1e-12
    assert derivation.check_limit() == ""


def test_a_decay_corrected_from_step_to_step():
    fast = [
        "b = (1 - a*lr)*(1 - (1 - a*lr)**k)/(1 - (1 - a*lr)**(k+1))",
        "w[k+1] = b*w[k] + (1 - b)*grad(x[k])",
    ]
    derivation = derive(rule(fast, parameters="a: fixed"))
    a, t = symbol("a"), sp.Rational(1, 2)
    rate = derivation.limit.equations[1]
    point = {g: sp.Integer(3), w: sp.Integer(1), a: sp.Integer(2)}
    at_time = {z: t for z in rate.free_symbols if str(z) == "t"}
    assert abs(rate.xreplace(point | at_time).evalf() - 4 / (1 - sp.exp(-1)).evalf()) < 1e-12
    (check,) = verify(rule(fast, parameters="a: fixed"))
    assert check.passes
