"""Scalings found by balance: regimes against the literature, numbers against hand calculations."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import pytest
import sympy as sp

from optode.compiler import derive
from optode.diagnostics import SpecError
from optode.language.elementwise import maximum, reaches, relu
from optode.language.symbols import TIME, At, Gradient, Tangent, step_symbol, symbol
from optode.limit.balance import scalings
from optode.limit.limit import continuous_limit
from optode.limit.regimes import describe, describe_at, loosened, parse_numbers
from optode.limit.scaled_rule import ScaledRule
from optode.rule.update_rule import update_rule
from optode.spec.reader import parse_spec

s = step_symbol("s")
x, v, m, z = map(symbol, ("x", "v", "m", "z"))
beta, beta1, beta2, eps, c = map(symbol, ("beta", "beta1", "beta2", "eps", "c"))
g = Gradient
HEAVY = {v: beta * v - s * g(x), x: x + At(v, 1)}


def heavy_ball(**parameters):
    return update_rule("hb", s, [x, v], HEAVY, **parameters)


def limits(rule):
    return {found.regimes: continuous_limit(rule, found) for found in scalings(rule)}


def test_regimes_of_the_heavy_ball():
    """The catalogue of the literature: x'' + c x' + g, its two neighbours, and beta fixed."""
    rule = replace(heavy_ball(), decays=(beta,))
    found = limits(rule)
    rate = sp.Symbol("rate_beta", positive=True)
    assert found["inertial",].equations == (v, -rate * v - g(x))
    assert found["fast",].equations == (-g(x),)
    assert found["frozen",].equations == (v, -g(x))
    (fixed,) = found["fixed",].equations
    assert sp.simplify(fixed + g(x) / (1 - beta)) == 0
    units = {regime[0]: limit.step for regime, limit in found.items()}
    assert units == {
        "inertial": sp.sqrt(s),
        "frozen": sp.sqrt(s),
        "fixed": s,
        "fast": s / (1 - beta),
    }
    assert [f.is_distinguished for f in scalings(rule)] == [True, True, False, False]


@pytest.mark.parametrize(
    ("power", "time"),
    [("1/4", "3/4"), ("1/3", "2/3"), ("1/2", "1/2"), ("3/4", "1/2"), ("1", "1/2")],
)
def test_declared_decay(power, time):
    """1 - beta = c s^a: t = k s^(1-a) up to a = 1/2, t = k sqrt(s) above (exponents by hand)."""
    formula = 1 - c * s ** sp.Rational(power)
    (found,) = scalings(heavy_ball(parameters={beta: formula}))
    assert 1 / found.step_power == Fraction(time)


def test_regimes_of_adam():
    """Da Silva, Gazeau 2020; Ma, Wu, E 2022: which average is slaved, and what remains."""
    update = {
        m: beta1 * m + (1 - beta1) * g(x),
        v: beta2 * v + (1 - beta2) * g(x) ** 2,
        x: x - s * At(m, 1) / (sp.sqrt(At(v, 1)) + eps),
    }
    rule = replace(update_rule("adam", s, [x, m, v], update), decays=(beta1, beta2))
    found = limits(rule)
    r1, r2 = (sp.Symbol(f"rate_{b}", positive=True) for b in ("beta1", "beta2"))
    root = sp.sqrt(v) + eps
    expected = {
        ("inertial", "inertial"): [-m / root, r1 * (g(x) - m), r2 * (g(x) ** 2 - v)],
        ("fixed", "inertial"): [-g(x) / root, r2 * (g(x) ** 2 - v)],
        ("inertial", "fixed"): [-m / (sp.Abs(g(x)) + eps), r1 * (g(x) - m)],
        ("fixed", "fixed"): [-g(x) / (sp.Abs(g(x)) + eps)],
        ("fast", "fast"): [-g(x) / (sp.Abs(g(x)) + eps)],
    }
    for regimes, equations in expected.items():
        for ours, theirs in zip(found[regimes].equations, equations, strict=True):
            assert sp.simplify(ours - theirs) == 0, regimes


def test_pytorch_defaults_are_in_the_regime_with_the_first_average_fast():
    rule = derive("adam_bias_corrected").rule
    numbers = parse_numbers("lr=1e-3, beta1=0.9, beta2=0.999")
    lines = list(describe_at(rule, numbers, 1.0))
    assert lines[0] == "m: decay rate 100, 100 time constants within the horizon: fast"
    assert lines[1] == "v: decay rate 1, 1 time constants within the horizon: inertial"
    assert any(line.strip().startswith("x' = -g(x)/") for line in lines)


def test_numbers_are_refused_clearly():
    with pytest.raises(ValueError, match="NAME=NUMBER"):
        parse_numbers("lr=1e-3, 0.9")
    with pytest.raises(ValueError, match="no value for"):
        list(describe_at(derive("adam").rule, {"lr": 1e-3}, 1.0))


def test_description_of_a_declared_rule_shows_what_lies_beside():
    lines = "\n".join(describe(derive("heavy_ball").rule))
    assert lines.count("Scaling") == 4
    assert "to choose it: parameters: {beta: fixed}" in lines
    assert loosened(derive("heavy_ball").rule).decays == (beta,)


def test_adagrad_accumulates():
    """The accumulator has no decay: t = k lr^2 and v of size 1/lr^2 (Da Silva, Gazeau 2020)."""
    update = {v: v + g(x) ** 2, x: x - s * g(x) / sp.sqrt(At(v, 1))}
    (found,) = scalings(update_rule("adagrad", s, [x, v], update))
    assert (found.step_power, found.powers) == (Fraction(1, 2), (0, -1))


@pytest.mark.parametrize(
    "update",
    [
        {x: x - g(x)},
        {x: x - g(x) / s},
        {x: x},
        {v: 2 * v + g(x), x: x - s * At(v, 1)},
    ],
    ids=["no small parameter", "blows up", "stays", "grows"],
)
def test_no_limit(update):
    states = [x, v] if v in update else [x]
    rule = update_rule("bad", s, states, update)
    with pytest.raises(SpecError):
        for found in scalings(rule):
            continuous_limit(rule, found)


def test_two_sequences_that_coincide():
    """Nesterov's x and y: the state is their distance, and x starts with velocity -(3/2) sqrt(s) g."""
    spec = derive("nesterov_strongly_convex")
    limit = continuous_limit(spec.rule, spec.scaling, 1)
    root, mu, x_dot = sp.sqrt(spec.rule.step_size), symbol("mu"), symbol("x_dot")
    published = -2 * sp.sqrt(mu) * x_dot - root * Tangent(g(x), x_dot)
    published -= (1 + sp.sqrt(mu) * root) * g(x)
    assert sp.simplify(sp.expand(limit.second_order - published)) == 0
    start = dict(zip(limit.states, limit.initial, strict=True))
    velocity = limit.equations[0].xreplace({z: value for z, value in start.items() if z != x})
    assert sp.simplify(velocity + sp.Rational(3, 2) * root * g(x)) == 0


def test_coefficients_that_grow():
    """FISTA's theta is k/2 + ...: a state of size 1/Delta with Theta' = 1/2 and damping 3/(2 Theta)."""
    theta, y, dx = symbol("theta"), symbol("y"), symbol("dx")
    update = {
        y: x + (theta - 1) / At(theta, 1) * (x - At(x, -1)),
        x: y - s * g(y),
        theta: (1 + sp.sqrt(1 + 4 * theta**2)) / 2,
    }
    rule = update_rule("fista", s, [x, theta], update, start={theta: 1})
    (found,) = scalings(rule)
    limit = continuous_limit(rule, found)
    equations = dict(zip(limit.states, limit.equations, strict=True))
    assert equations[theta] == sp.Rational(1, 2)
    assert sp.simplify(equations[dx] + 3 * dx / (2 * theta) + g(x)) == 0


def test_running_suprema():
    """max in the rule: the state rises with its floor and rests above it."""
    w = symbol("w")
    update = {w: maximum(w, x), x: x - s * g(x)}
    rule = update_rule("sup", s, [x, w], update, start={w: 0})
    (found,) = scalings(rule)
    limit = continuous_limit(rule, found)
    assert limit.equations == (-g(x), reaches(x - w) * relu(-g(x)))
    assert TIME not in limit.equations[1].free_symbols


@pytest.mark.parametrize("time", ["1", "1/s"])
def test_declared_time_must_vanish(time):
    text = "name: t\nstep_size: s\nstate: [x]\nupdate: |\n  x[k+1] = x[k] - s*grad(x[k])\n"
    with pytest.raises(SpecError, match="E303"):
        _ = derive(parse_spec(f"{text}scaling: {{time: {time}}}\n")).limit


@pytest.mark.parametrize("name", ["adam_bias_corrected", "nesterov"])
def test_leading_terms_do_not_depend_on_the_time_offset(name):
    """So kappa in t = (k + kappa) Delta can be solved for after the expansion."""
    derivation, kappa = derive(name), sp.Symbol("kappa", real=True)
    scaled = ScaledRule(derivation.rule, derivation.scaling)
    states = derivation.rule.states
    assert derivation.rule.has_counter
    with_offset, without = scaled.increments(1, kappa), scaled.increments(1)
    assert with_offset.coefficients(states) == without.coefficients(states)


def test_a_later_start_shifts_the_time_of_the_next_order():
    """k*x/(k + 3) - x with k = t/Delta - kappa is -3*x*Delta/t + (9 - 3*kappa)*x*Delta^2/t^2 + ..."""
    kappa = sp.Symbol("kappa", real=True)
    k = symbol("k")
    rule = update_rule("mean", s, [x, v], {v: k * v / (k + 3) - s * g(x), x: x + s * At(v, 1)})
    (scaling,) = scalings(rule)
    series = ScaledRule(rule, scaling).increments(1, kappa).series[1]
    exponents = [exponent for exponent, _ in series.terms][:2]
    leading, following = (series.coefficient(e).coeff(v) for e in exponents)
    assert sp.simplify(leading + 3 / TIME) == 0
    assert sp.simplify(following - (9 - 3 * kappa) / TIME**2) == 0
