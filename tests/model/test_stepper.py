"""The structure that an integrator can use: against forms typed by hand, and against SciPy."""

from __future__ import annotations

import functools
import math

import numpy as np
import pytest
import sympy as sp
import torch
from corpus_catalogue import LIMITS as CORPUS
from scipy.integrate import solve_ivp

from optode.codegen.expressions import TorchPrinter
from optode.compiler import derive, shipped_models
from optode.language.elementwise import expm1, hardtanh, softplus
from optode.language.latex import to_latex
from optode.language.symbols import TIME, Field, Oracle, dot, symbol
from optode.language.text import to_text
from optode.model.model import Initial, LearnedParameter, NeuralODE
from optode.model.structure import LENGTH, SCALED, START, Damped, General, Separable, derive_stepper
from optode.show.as_json import as_json

h, m, v, p, gamma, xi, eps = map(symbol, ["h", "m", "v", "p", "gamma", "xi", "eps"])
alpha, beta, mu, r, decay = map(symbol, ["alpha", "beta", "mu", "r", "decay"])
t, t0, d, w = TIME, START, LENGTH, SCALED
f = Field(t, h)


@functools.cache
def every(kind):
    found = {spec.name.text: derive_stepper(derive(spec).model) for spec in shipped_models()}
    return {name: each for name, each in found.items() if isinstance(each, kind)}


def stepper(name):
    return derive_stepper(derive(name).model)


def same(ours, theirs):
    values = {c: 0.3 + 0.17 * i for i, c in enumerate((t0, gamma, mu, r, decay))}
    values |= {t: sp.Rational(13, 10), f: 0.7, h: 0.2, m: -0.4, v: 0.6, d: 0.25}
    values |= {alpha: 0.8, beta: 1.1, eps: 1e-3, xi: 0.5, w: -0.9}
    return abs(sp.N((ours - theirs).subs(values))) < 1e-13


# By hand: c, R = exp(1/2 int_t0^t c) and q = c^2/4 + c'/2. Of 3/t: 9/(4 t^2) - 3/(2 t^2).
CRITICAL = 2 * sp.sqrt(mu), sp.exp(sp.sqrt(mu) * (t - t0)), mu
DAMPED = {
    "heavy_ball": (gamma, sp.exp(gamma * (t - t0) / 2), gamma**2 / 4),
    "heavy_ball_undamped": (sp.S.Zero, sp.S.One, sp.S.Zero),
    "heavy_ball_strongly_convex": CRITICAL,
    "nesterov": (3 / t, (t / t0) ** sp.Rational(3, 2), 3 / (4 * t**2)),
    "nesterov_generalized": (r / t, (t / t0) ** (r / 2), r * (r - 2) / (4 * t**2)),
    "nesterov_strongly_convex": CRITICAL,
}


def test_all_damped_models_are_typed_by_hand():
    assert set(every(Damped)) - set(CORPUS) == set(DAMPED)


@pytest.mark.parametrize("name", DAMPED)
def test_damping_is_removed_by_hand(name):
    found = stepper(name)
    assert isinstance(found, Damped)
    damping, root, curvature = DAMPED[name]
    assert found.root == root  # in this very form
    for ours, theirs in (
        (found.damping, damping),
        (found.curvature, curvature),
        (found.force, f),
        (found.acceleration, root * f + curvature * w),
    ):
        assert same(ours, theirs), (ours, theirs)


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
    "adamw": (
        h * sp.exp(-decay * d) - m / (sp.sqrt(v) + eps) * (1 - sp.exp(-decay * d)) / decay,
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


# Tensors of one element: the inner product is the product.
NUMBERS = {
    "Field": smooth,
    "dot": np.multiply,
    "hardtanh": np.clip,
    "softplus": lambda u: np.logaddexp(0, u),
    "expm1": np.expm1,
    "relu": lambda u: np.maximum(u, 0),
    "Oracle": lambda _, u: np.tanh(u),
}


def function(expression, *inputs):
    """Numerically, with the field a smooth function that depends on time."""
    expression = (
        sp.sympify(expression) if not isinstance(expression, list) else sp.Tuple(*expression)
    )
    expression = expression.replace(Oracle, lambda _, u: sp.Function("Oracle")(0, u))
    apart = {s: sp.Dummy(s.name) for s in inputs}  # a state may be called d, as the length is here
    return sp.lambdify(list(apart.values()), expression.xreplace(apart), [NUMBERS, "numpy"])


def end_of(rates, start, end, states):
    found = solve_ivp(
        lambda time, z: np.broadcast_to(rates(time, *z), 2),
        (start, end), states, method="DOP853", rtol=1e-12, atol=1e-14,
    )  # fmt: skip
    assert found.success
    return found.y[:, -1]


SPANS = [(1.0, 2.0), (2.0, 0.7), (-1.5, -0.6), (-0.6, -1.5)]


def check_transformed(found, constants, start, end):
    """h and m by the equations, and by the form without damping in w = R h from start on."""
    position, momentum = found.model.states
    equations = [e.subs(constants) for e in found.model.equations]
    expected = end_of(
        function(sp.Tuple(*equations), t, position, momentum), start, end, [0.4, -0.3]
    )
    at = {**constants, t0: start}
    root, curvature, damping = (
        function(sp.sympify(e).subs(at), t) for e in (found.root, found.curvature, found.damping)
    )
    force = function(found.force.subs(at), t, position)
    assert root(start) == pytest.approx(1, rel=1e-14)

    def undamped(time, scaled, rate):
        unscaled = scaled / root(time)
        return rate, root(time) * force(time, unscaled) + curvature(time) * scaled

    scaled, rate = end_of(undamped, start, end, [0.4, -0.3 + damping(start) / 2 * 0.4])
    ends = scaled / root(end), rate / root(end) - damping(end) / 2 * scaled / root(end)
    assert ends == pytest.approx(expected, abs=1e-9)
    assert abs(ends[0] - 0.4) > 0.03  # it moved
    acceleration = found.acceleration.subs(at).subs(w, found.root.subs(at) * position)
    moved = function(acceleration, t, position)(end, ends[0])
    assert moved == pytest.approx(undamped(end, scaled, rate)[1], rel=1e-12)


@pytest.mark.parametrize("span", SPANS)
@pytest.mark.parametrize("name", DAMPED)
def test_form_without_damping_has_the_same_solution(name, span):
    check_transformed(stepper(name), {gamma: 0.9, r: 3.7, mu: 0.8}, *span)


@pytest.mark.parametrize("name", sorted(every(Separable)))
def test_exact_flows_solve_the_split_system(name):
    """Drift and kick over d = 0.4, against SciPy at 1e-12."""
    found = every(Separable)[name]
    states = found.model.states
    parameters = [q.symbol for q in found.model.parameters]
    values = {q: 0.3 + 0.2 * i for i, q in enumerate(parameters)}
    start = [0.4 + 0.1 * i for i in range(len(states))]
    position, *others = states
    flows = {position: found.drift, **dict(found.kicks)}
    equations = dict(zip(states, found.model.equations, strict=True))
    rates = function([equations[z].subs(values) for z in states], t, *states)
    for moving in ([position], others):
        mask = np.array([z in moving for z in states], dtype=float)
        exact = solve_ivp(
            lambda _, z, mask=mask: mask * np.array(rates(0.2, *z), dtype=float),
            (0, 0.4), start, rtol=1e-12, atol=1e-13,
        ).y[:, -1]  # fmt: skip
        for state in moving:
            flow = function(flows[state].subs(values), t, d, *states)
            expected = exact[states.index(state)]
            assert flow(0.2, 0.4, *start) == pytest.approx(expected, abs=1e-10)


def moves(found):
    """Each state with its flow and its rate."""
    position, *_ = found.model.states
    rates = {position: found.drift_rate, **dict(found.kick_rates)}
    flows = {position: found.drift, **dict(found.kicks)}
    assert list(rates) == list(flows) == list(found.model.states)
    return [(state, flows[state], rates[state]) for state in flows]


@pytest.mark.parametrize("name", sorted(every(Separable)))
def test_rates_give_the_flows(name):
    """z + d*rate, d of both signs; over a short d the equation, also in float32."""
    found = every(Separable)[name]
    equations = dict(zip(found.model.states, found.model.equations, strict=True))
    inputs = [t, d, *found.model.states, *(q.symbol for q in found.model.parameters)]
    values = [0.3 + 0.2 * i for i in range(len(inputs))]
    for state, flow, rate in moves(found):
        position = values[inputs.index(state)]
        for length in (0.5, -0.5):
            at = [values[0], length, *values[2:]]
            reached = position + length * function(rate, *inputs)(*at)
            assert reached == pytest.approx(function(flow, *inputs)(*at), rel=1e-13)
        short = np.array([values[0], 1e-7, *values[2:]], dtype=np.float32)
        at_once = function(equations[state], *inputs)(*values)
        found_rate = np.asarray(function(rate, *inputs)(*short))
        assert found_rate.dtype == np.float32 or rate == 0
        # terms of size one may cancel
        assert found_rate == pytest.approx(at_once, rel=2e-6, abs=5e-7)


def test_rates_by_hand():
    """(g - r w)(1 - exp(-r d))/(r d); a rate r that is a factor of the equation cancels."""
    found = stepper("adamw")
    relaxed = [-expm1(-q * d) / d for q in (alpha, beta, decay)]
    by_hand = {
        h: (-decay * h - m / (sp.sqrt(v) + eps)) / decay * relaxed[2],
        m: (-f - m) * relaxed[0],
        v: (f**2 - v) * relaxed[1],
    }
    for state, _, rate in moves(found):
        assert sp.simplify(rate - by_hand[state]) == 0
        assert rate.has(alpha) == (state == m)
    assert stepper("generalized_heavy_ball").drift_rate == sp.tanh(m)


def test_a_rate_that_is_fixed_at_zero_moves_in_a_straight_line():
    for value in (0.0, 0.5):
        fixed = LearnedParameter(gamma, value=value)
        found = derive_stepper(model({h: -gamma * h + m, m: f}, (fixed,)))
        ((_, flow, rate), _) = moves(found)
        assert (rate == m) == (flow == h + d * m) == (value == 0)


def test_expm1_is_known_everywhere():
    u = symbol("u")
    assert expm1(sp.S.Zero) == 0
    assert sp.diff(expm1(2 * u), u) == 2 * sp.exp(2 * u)
    assert expm1(sp.Float("1e-12")).evalf() == pytest.approx(1e-12 + 5e-25, rel=1e-15)
    assert TorchPrinter().text(expm1(-u)) == "torch.expm1(-u)"
    assert TorchPrinter({u}).text(expm1(-u)) == "math.expm1(-u)"
    assert to_text(expm1(-u)) == "expm1(-u)"
    assert to_latex(expm1(-u)) == r"\operatorname{expm1}\left(- u\right)"


def model(equations, parameters=(gamma,), **changes):
    learned = tuple(
        q if isinstance(q, LearnedParameter) else LearnedParameter(q, init=0.1, **changes)
        for q in parameters
    )
    starts = (Initial("given"), *[Initial("zero")] * (len(equations) - 1))
    return NeuralODE(
        "own", "Own", "", (), tuple(equations), learned, tuple(equations.values()), starts,
        (1.0, 2.0), (),
    )  # fmt: skip


HALF = sp.Rational(1, 2)
# c, and R by hand
OWN = [
    (2 + 1 / t, sp.exp(t - t0) * (t / t0) ** HALF),
    (t, sp.exp((t**2 - t0**2) / 4)),
    (gamma / (t + 2), ((t + 2) / (t0 + 2)) ** (gamma / 2)),
    (softplus(gamma) / (3 - t), ((3 - t) / (3 - t0)) ** (-softplus(gamma) / 2)),
    (sp.sqrt(gamma) + 1 / t**2, sp.exp(sp.sqrt(gamma) * (t - t0) / 2 + (1 / t0 - 1 / t) / 2)),
    (t / (t**2 + gamma), ((t**2 + gamma) / (t0**2 + gamma)) ** (HALF / 2)),
    (t / (t**2 + 1) ** 2, sp.exp((1 / (t0**2 + 1) - 1 / (t**2 + 1)) / 4)),
    (1 / (t * (t + 3)), ((t / t0) / ((t + 3) / (t0 + 3))) ** (HALF / 3)),
    (gamma * sp.exp(-t) + 2 / t, t / t0 * sp.exp(gamma * (sp.exp(-t0) - sp.exp(-t)) / 2)),
    (softplus(gamma) * sp.exp(t), sp.exp(softplus(gamma) * (sp.exp(t) - sp.exp(t0)) / 2)),
    (sp.sqrt(t + 4), sp.exp(((t + 4) ** (3 * HALF) - (t0 + 4) ** (3 * HALF)) / 3)),
]


@pytest.mark.parametrize(("damping", "root"), OWN, ids=str)
def test_a_model_of_ones_own_is_seen_by_its_equations(damping, root):
    found = derive_stepper(model({h: m, m: -damping * m + sp.sin(h) + 2 * f}))
    assert isinstance(found, Damped)
    assert sp.simplify(found.damping - damping) == 0
    assert same(found.force, sp.sin(h) + 2 * f)
    for then in (1.3, -0.2):  # either side of t0, and of the pole at 0
        start = 0.3 if then > 0 else -1.1
        at = {gamma: 0.47, t: then, t0: start}
        assert complex(found.root.subs(at)) == pytest.approx(complex(root.subs(at)), rel=1e-13)
    for span in SPANS:
        check_transformed(found, {gamma: 0.47}, *span)


def test_time_and_parameters_are_no_symbols_of_the_structure():
    """A state w, and parameters d and t0, beside the d, the w and the t0 of the structure."""
    own_d, own_w, own_start = map(symbol, ["d", "w", "t0"])
    found = derive_stepper(model({own_w: m, m: -own_start * m + own_w}, (own_start,)))
    assert found.root.free_symbols == {own_start, t, t0}
    assert found.acceleration.free_symbols == {own_start, own_w, t, t0, w}
    assert len({own_start, t0}) == len({own_w, w}) == 2
    found = derive_stepper(model({h: sp.tanh(m), m: -own_d * m + f}, (own_d,)))
    assert found.kick_rates[0][1].free_symbols == {h, m, t, own_d, d}
    assert own_d != d


@pytest.mark.parametrize("kind", [torch.tensor, float])
def test_the_form_as_pytorch_code(kind):
    """On tensors for the times and the parameters, and on floats."""
    numbers = {t: 0.9, t0: 1.7, gamma: 0.47}
    printer = TorchPrinter(numbers if kind is float else ())
    names = {q.name: kind(x) for q, x in numbers.items()} | {"torch": torch, "math": math}
    names["functional"] = torch.nn.functional
    for damping, root in OWN:
        found = derive_stepper(model({h: m, m: -damping * m + f}))
        ours = [eval(printer.text(e), names) for e in (found.root, found.curvature)]
        theirs = root, damping**2 / 4 + sp.diff(damping, t) / 2
        expected = [float(e.subs(numbers)) for e in theirs]
        assert all(isinstance(x, float if kind is float else torch.Tensor) for x in ours)
        assert [float(x) for x in ours] == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    ("equations", "changes", "reason"),
    [
        ({h: f}, {}, "not of second order: 1 states"),
        ({h: f, m: -m}, {}, "not of second order: h' is not m"),
        ({h: m, m: -m * h + f}, {}, "damping h is not a number"),
        ({h: m, m: -(m**3) + f}, {}, "m does not enter its own derivative linearly"),
        ({h: m, m: -m * sp.exp(t**2) + f}, {}, "has no closed form"),
        ({h: m, m: -m * sp.tanh(t) + f}, {}, "has no closed form"),
        ({h: m, m: -m / (t**2 + 1) + f}, {}, "has no closed form"),  # an arc tangent
        ({h: m, m: -m / (t**2 - gamma) + f}, {}, "has no closed form"),  # of complex roots
        ({h: m, m: -m * (t + gamma) ** 30 + f}, {}, "has no closed form"),  # of pages
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


def test_constants_at_which_the_integral_has_another_form():
    """1/(a t + 1) has the integral log(a t + 1)/a, and t where a = 0."""
    for value in (0.0, 0.5):
        fixed = LearnedParameter(gamma, value=value)
        found = derive_stepper(model({h: m, m: -m / (gamma * t + 1) + f}, (fixed,)))
        assert isinstance(found, Damped) == (value != 0)


def test_the_stage_is_shown():
    assert derive("nesterov").show("stepper").splitlines()[2:] == [
        "Structure of NesterovNODE: of second order, with linear damping c",
        "  h' = m",
        "  m' = -c*m + F",
        "  with",
        "    c = 3/t",
        "    F = f(t, h)",
        "  without damping, R being 1 at t0",
        "    R   = (t/t0)**(3/2)",
        "    q   = 3/(4*t**2)",
        "    w   = R*h",
        "    w'  = R*(c*h/2 + m)",
        "    w'' = 3*w/(4*t**2) + (t/t0)**(3/2)*f(t, h)",
        "  given f along the solution",
        "    order = m relaxes at 3/t; h moves linearly with m",
        "  integrated by",
        "    methods = nystrom4, nystrom5, nystrom6",
    ]
    methods = {
        "heavy_ball": ("damped", ["nystrom4", "nystrom5", "nystrom6"]),
        "adam": ("separable", ["splitting2", "splitting4"]),
        "second_order": ("none", []),
    }
    for name, (structure, names) in methods.items():
        derivation = derive(name)
        line = ", ".join(names) or "Runge-Kutta methods only"
        assert derivation.show("stepper").splitlines()[-1] == f"    methods = {line}"
        for form in ("latex", "markdown"):
            shown = derivation.show("stepper", form=form)
            assert "Structure of" in shown
            assert rf"\text{{{line}}}" in shown
        document = as_json(name, derivation.stages("stepper"))["stepper"]
        assert (document["structure"], document["methods"]) == (structure, names)
    document = as_json("nesterov", derive("nesterov").stages("stepper"))["stepper"]
    assert document["root"] == "(t/t0)**(3/2)"
    assert document["curvature"] == "3/(4*t**2)"
    assert document["acceleration"] == "3*w/(4*t**2) + (t/t0)**(3/2)*f(t, h)"
    assert len(derive("heavy_ball").stages()) == 4  # shown where it is asked for


def test_sonode_has_no_structure():
    assert isinstance(stepper("second_order"), General)
    assert isinstance(stepper("gradient_descent"), General)
