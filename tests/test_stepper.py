"""The structure that an integrator can use: against forms typed by hand, and against SciPy."""

from __future__ import annotations

import functools

import numpy as np
import pytest
import sympy as sp
from scipy.integrate import solve_ivp

from optode.compiler import derive, shipped_models
from optode.interchange import as_json
from optode.model import Initial, LearnedParameter, NeuralODE
from optode.notation import TIME, Field, dot, hardtanh, symbol
from optode.stepper import CLOCK, LENGTH, START, Damped, General, Separable, derive_stepper

h, m, v, p, gamma, xi, eps = map(symbol, ["h", "m", "v", "p", "gamma", "xi", "eps"])
alpha, beta, mu, r, x, theta = map(symbol, ["alpha", "beta", "mu", "r", "x", "theta"])
t, t0, d, s = TIME, START, LENGTH, CLOCK
f = Field(t, h)


def stepper(name):
    return derive_stepper(derive(name).model)


def same(ours, theirs):
    values = {c: 0.3 + 0.17 * i for i, c in enumerate((t0, gamma, mu, r, s))}
    values |= {t: sp.Rational(13, 10), f: 0.7, h: 0.2, m: -0.4, v: 0.6, d: 0.25}
    values |= {alpha: 0.8, beta: 1.1, eps: 1e-3, xi: 0.5}
    return abs(sp.N((ours - theirs).subs(values))) < 1e-13


# Speed notes of the design, and the integrals by hand: P = exp(int c), s = int dt/P.
DAMPED = {
    "heavy_ball": (
        gamma,
        sp.exp(gamma * (t - t0)),
        (1 - sp.exp(-gamma * (t - t0))) / gamma,
        t0 - sp.log(1 - gamma * s) / gamma,
    ),
    "heavy_ball_undamped": (sp.S.Zero, sp.S.One, t - t0, t0 + s),
    "nesterov": (3 / t, (t / t0) ** 3, t0 / 2 * (1 - (t0 / t) ** 2), t0 / sp.sqrt(1 - 2 * s / t0)),
    "nesterov_generalized": (
        r / t,
        (t / t0) ** r,
        t0 / (r - 1) * (1 - (t0 / t) ** (r - 1)),
        t0 * (1 - (r - 1) * s / t0) ** (-1 / (r - 1)),
    ),
}


@pytest.mark.parametrize("name", DAMPED)
def test_damping_is_removed_by_hand(name):
    found = stepper(name)
    assert isinstance(found, Damped)
    for ours, theirs in zip(
        (found.damping, found.growth, found.clock, found.time), DAMPED[name], strict=True
    ):
        assert same(ours, theirs), (ours, theirs)
    assert sp.simplify(found.acceleration - found.growth**2 * f) == 0


RELAX = sp.exp(-gamma * d), (1 - sp.exp(-gamma * d)) / gamma
SEPARABLE = {
    "generalized_heavy_ball": (h + d * sp.tanh(m), {m: m * RELAX[0] + RELAX[1] * (f - xi * h)}),
    "generalized_heavy_ball_hardtanh": (
        h + d * hardtanh(m, -5, 5),
        {m: m * RELAX[0] + RELAX[1] * (f - xi * h)},
    ),
    "adam": (
        h - d * m / (sp.sqrt(v) + eps),
        {
            m: -f + (m + f) * sp.exp(-alpha * d),
            v: f**2 + (v - f**2) * sp.exp(-beta * d),
        },
    ),
    "hamiltonian_descent": (
        h + d * p / sp.sqrt(1 + dot(p, p)),
        {p: p * RELAX[0] + RELAX[1] * f},
    ),
}


@pytest.mark.parametrize("name", SEPARABLE)
def test_exact_flows_by_hand(name):
    found = stepper(name)
    assert isinstance(found, Separable)
    drift, kicks = SEPARABLE[name]
    if not drift.has(hardtanh, dot):
        assert same(found.drift, drift)
    assert sp.simplify(found.drift - drift) == 0
    assert [state for state, _ in found.kicks] == list(kicks)
    for state, flow in found.kicks:
        assert same(flow, kicks[state])


def smooth(time, position):
    return np.sin(2 * position + time) + 0.3 * position**2


def function(expression, *inputs):
    """Numerically, with the field a smooth function that depends on time."""
    return sp.lambdify(inputs, expression, [{"Field": smooth}, "numpy"])


@pytest.mark.parametrize("name", DAMPED)
def test_undamped_form_has_the_same_solution(name):
    """h and m at t = 2 from t0 = 1, in time t by the equations and in time s without damping."""
    found, constants = stepper(name), {gamma: 0.9, r: 3.7}
    forward = [e.subs(constants) for e in found.model.equations]
    rates = function(sp.Tuple(*forward), t, h, m)
    ends = solve_ivp(lambda time, z: rates(time, *z), (1, 2), [0.4, -0.3], rtol=1e-12, atol=1e-13)
    at = {**constants, t0: 1.0}
    end = float(found.clock.subs(at).subs(t, 2.0))
    acceleration = found.acceleration.subs(at).subs(t, found.time.subs(at))
    second = function(acceleration, s, h)
    curve = solve_ivp(
        lambda clock, z: (z[1], second(clock, z[0])), (0, end), [0.4, -0.3], rtol=1e-12, atol=1e-13
    )
    position, momentum = curve.y[:, -1]
    assert position == pytest.approx(ends.y[0, -1], abs=1e-10)
    velocity = momentum / float(found.growth.subs(at).subs(t, 2.0))
    assert velocity == pytest.approx(ends.y[1, -1], abs=1e-10)
    assert float(found.time.subs(at).subs(s, end)) == pytest.approx(2.0, abs=1e-12)


@functools.cache
def all_separable():
    found = {spec.name.text: derive_stepper(derive(spec).model) for spec in shipped_models()}
    return {name: each for name, each in found.items() if isinstance(each, Separable)}


@pytest.mark.parametrize("name", sorted(set(all_separable()) - {"hamiltonian_descent"}))
def test_exact_flows_solve_the_split_system(name):
    """Drift and kick over d = 0.4, against SciPy at 1e-12; decoupled elements stand for tensors."""
    found = all_separable()[name]
    states = found.model.states
    parameters = [q.symbol for q in found.model.parameters]
    values = {q: 0.3 + 0.2 * i for i, q in enumerate(parameters)}
    start = [0.4, 0.5, 0.6][: len(states)]
    position, *others = states
    flows = {position: found.drift, **dict(found.kicks)}
    equations = dict(zip(states, found.model.equations, strict=True))
    hardtanh_ = {"hardtanh": np.clip, "softplus": lambda u: np.logaddexp(0, u), "Field": smooth}
    for moving in ([position], others):
        rates = sp.lambdify(
            (t, *states), [equations[z].subs(values) for z in states], [hardtanh_, "numpy"]
        )
        mask = np.array([z in moving for z in states], dtype=float)
        exact = solve_ivp(
            lambda _, z, rates=rates, mask=mask: mask * np.array(rates(0.2, *z), dtype=float),
            (0, 0.4), start, rtol=1e-12, atol=1e-13,
        ).y[:, -1]  # fmt: skip
        for state in moving:
            flow = sp.lambdify((t, d, *states), flows[state].subs(values), [hardtanh_, "numpy"])
            expected = exact[states.index(state)]
            assert flow(0.2, 0.4, *start) == pytest.approx(expected, abs=1e-10)


def model(equations, parameters=(gamma,), **changes):
    learned = tuple(LearnedParameter(q, init=0.1, **changes) for q in parameters)
    starts = (Initial("given"), *[Initial("zero")] * (len(equations) - 1))
    return NeuralODE(
        "own", "Own", "", (), tuple(equations), learned, tuple(equations.values()), starts,
        (1.0, 2.0), (),
    )  # fmt: skip


def test_a_model_of_ones_own_is_seen_by_its_equations():
    """Damping r/(t + 2): P = ((t + 2)/(t0 + 2))^r; no name is known."""
    found = derive_stepper(model({h: m, m: -gamma / (t + 2) * m + sp.sin(h) + 2 * f}))
    assert isinstance(found, Damped)
    assert same(found.growth, ((t + 2) / (t0 + 2)) ** gamma)
    assert same(found.force, sp.sin(h) + 2 * f)
    found = derive_stepper(model({h: m, m: f - m / t}, ()))  # P = t/t0, s = t0 log(t/t0)
    assert same(found.clock, t0 * sp.log(t / t0))
    assert same(found.time, t0 * sp.exp(s / t0))
    decayed = derive_stepper(model({h: -gamma * h + m, m: f}))
    assert same(decayed.drift, h * RELAX[0] + m * RELAX[1])


@pytest.mark.parametrize(
    ("equations", "changes", "reason"),
    [
        ({h: f}, {}, "not of second order: 1 states"),
        ({h: f, m: -m}, {}, "not of second order: h' is not m"),
        ({h: m, m: -m * h + f}, {}, "damping h is not a number"),
        ({h: m, m: -(m**3) + f}, {}, "m does not enter its own derivative linearly"),
        ({h: m, m: -m * sp.exp(t) + f}, {}, "has no closed form"),
        ({h: m, m: -m + Field(t, h + m)}, {}, "m enters its own derivative through f"),
        ({h: m, m: -gamma * m + f}, {"per_feature": True}, "damping gamma is not a number"),
        ({h: sp.tanh(m) * t, m: f}, {}, "not separable: h' depends on the time"),
        ({h: sp.tanh(m), m: f - v, v: -v}, {}, "m' has another state that moves with it"),
        ({h: sp.tanh(m) * h**2, m: f}, {}, "h does not enter its own derivative linearly"),
    ],
)
def test_what_is_missing_is_said(equations, changes, reason):
    found = derive_stepper(model(equations, **changes))
    assert isinstance(found, (General, Separable))
    assert any(reason in each for each in found.reasons), found.reasons


def test_the_stage_is_shown():
    assert derive("nesterov").show("stepper").splitlines()[2:] == [
        "Structure of NesterovNODE: of second order, with linear damping c",
        "  h' = m",
        "  m' = -c*m + F",
        "  with",
        "    c = 3/t",
        "    F = f(t, h)",
        "  without damping in the time s from t0 on",
        "    P     = t**3/t0**3",
        "    s     = t0*(1 - t0**2/t**2)/2",
        "    t     = t0/sqrt(1 - 2*s/t0)",
        "    p     = P*m",
        "    dh/ds = p",
        "    dp/ds = t**6*f(t, h)/t0**6",
    ]
    for name in ("heavy_ball", "adam", "second_order"):
        derivation = derive(name)
        for form in ("latex", "markdown"):
            assert "Structure of" in derivation.show("stepper", form=form)
        structure = as_json(name, derivation.stages("stepper"))["stepper"]["structure"]
        assert structure == {"heavy_ball": "damped", "adam": "separable"}.get(name, "none")
    assert len(derive("heavy_ball").stages()) == 4  # shown where it is asked for


def test_sonode_has_no_structure():
    assert isinstance(stepper("second_order"), General)
    assert isinstance(stepper("gradient_descent"), General)
