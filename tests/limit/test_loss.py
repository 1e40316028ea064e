"""Rules that read the loss: their series against finite differences, their limits against iterates.

The rules and the equations are written out here in NumPy; only what is compared comes of optode.
"""

from __future__ import annotations

import numpy as np
import pytest
import sympy as sp
from scipy.integrate import solve_ivp

from optode import derive
from optode.calculus.expansion import Scale, expand
from optode.calculus.tangent import derivative_along
from optode.diagnostics import SpecError
from optode.language.latex import to_latex
from optode.language.symbols import TIME, Gradient, Loss, Oracle, Tangent, dot, symbol
from optode.language.text import to_text
from optode.limit.limit import continuous_limit
from optode.spec.reader import parse_spec
from optode.trial.numerics import numerical, right_hand_side
from optode.trial.smooth_field import game_field, optimizer_field

every = pytest.mark.parametrize
x, d, w = map(symbol, "xdw")
POINT, ALONG, OTHER = np.array([0.7, -0.4]), np.array([0.5, 1.1]), np.array([-0.3, 0.8])


def loss(z):
    """What the trial field is the gradient of, typed again."""
    a, b = z
    return np.log(np.cosh(a + b / 2)) + a**4 / 10 + a**2 / 10 + b**2 / 2 + a * b / 5


def gradient(z):
    a, b = z
    slope = np.tanh(a + b / 2)
    return np.array([slope + 0.4 * a**3 + a / 5 + b / 5, slope / 2 + b + a / 5])


def hessian(z):
    a, b = z
    bend = 1 / np.cosh(a + b / 2) ** 2
    return np.array([[bend + 1.2 * a**2 + 0.2, bend / 2 + 0.2], [bend / 2 + 0.2, bend / 4 + 1]])


def spec(update, parameters="", states="[x]", model=""):
    lines = "\n".join(f"  {line}" for line in update)
    text = f"name: a\nstep_size: s\nparameters: {{{parameters}}}\nstate: {states}\n"
    return parse_spec(f"{text}update: |\n{lines}\n{model}")


# Derivatives


def test_the_trial_field_is_the_gradient_of_its_loss():
    field = optimizer_field()
    assert field.loss(POINT) == pytest.approx(loss(POINT), rel=1e-14)
    np.testing.assert_allclose(field(POINT), gradient(POINT), rtol=1e-14)
    h, units = 1e-5, np.eye(2)
    slopes = [(field.loss(POINT + h * e) - field.loss(POINT - h * e)) / (2 * h) for e in units]
    np.testing.assert_allclose(field(POINT), slopes, rtol=1e-9)
    with pytest.raises(TypeError, match="no gradient"):
        game_field().loss(POINT)


def test_derivatives_of_the_loss_are_products_with_the_gradient():
    g = Gradient(x)
    assert Tangent(Loss(x), d) == dot(g, d)
    assert Tangent(Loss(x), d, w) == dot(Tangent(g, d), w)
    assert derivative_along(Loss(x), {x: -g}) == -dot(g, g)
    moved = derivative_along(Loss(x + d), {x: w, d: d, w: sp.S.Zero})
    assert moved == dot(Gradient(x + d), d) + dot(Gradient(x + d), w)
    operator = Oracle("loss", TIME, x)  # a caller's loss is not known to have that gradient
    assert Tangent(operator, d) != dot(g, d)


def test_the_series_of_the_loss_is_taylor_s():
    """Of ``loss(x + s d + s^2 w)``; the remainder after s^3 shrinks like s^4."""
    s = sp.Symbol("s", positive=True)
    scale = Scale(((s, sp.S.One, sp.Integer(1)),), vectors=frozenset((x, d, w)))
    series = expand(Loss(x + s * d + s**2 * w), scale, 4)
    run = numerical((x, d, w), [c for _, c in series.terms], optimizer_field())
    terms = run(POINT, ALONG, OTHER)
    assert [e for e, _ in series.terms] == [0, 1, 2, 3]
    second = gradient(POINT) @ OTHER + ALONG @ hessian(POINT) @ ALONG / 2
    np.testing.assert_allclose(
        terms[:3], [loss(POINT), gradient(POINT) @ ALONG, second], rtol=1e-13
    )
    steps = np.array([0.04, 0.02, 0.01])
    left = [
        loss(POINT + h * ALONG + h**2 * OTHER) - sum(c * h**n for n, c in enumerate(terms))
        for h in steps
    ]
    orders = np.diff(np.log(np.abs(left))) / np.diff(np.log(steps))
    np.testing.assert_allclose(orders, 4, atol=0.15)


def test_a_difference_of_losses_is_of_the_size_of_the_step():
    update = ["x[k+1] = x[k] - s*grad(x[k])", "e[k+1] = e[k] + loss(x[k+1]) - loss(x[k])"]
    limit = derive(spec(update, states="[x, e]")).limit
    assert limit.equations == (-Gradient(x), -dot(Gradient(x), Gradient(x)))


# Limits


RULES = {
    "polyak": (
        ["x[k+1] = x[k] - s*(loss(x[k]) - f_star)/norm(grad(x[k]))**2*grad(x[k])"],
        lambda z, s: z - s * (loss(z) - 0.1) / (gradient(z) @ gradient(z)) * gradient(z),
        lambda z: -(loss(z) - 0.1) / (gradient(z) @ gradient(z)) * gradient(z),
    ),
    "clipped": (
        ["x[k+1] = x[k] - s*min(0.3, loss(x[k])/(norm(grad(x[k]))**2 + f_star))*grad(x[k])"],
        lambda z, s: z - s * min(0.3, loss(z) / (gradient(z) @ gradient(z) + 0.1)) * gradient(z),
        lambda z: -min(0.3, loss(z) / (gradient(z) @ gradient(z) + 0.1)) * gradient(z),
    ),
    "ahead": (  # the loss after the step, which is implicit
        ["x[k+1] = x[k] - s*loss(x[k] - s*grad(x[k]))*grad(x[k])/(1 + f_star)"],
        lambda z, s: z - s * loss(z - s * gradient(z)) * gradient(z) / 1.1,
        lambda z: -loss(z) * gradient(z) / 1.1,
    ),
}


def order_of(step, rates, end=1.0):
    """The slope of the error of so many steps against the solution, both from one point."""
    steps, errors = np.array([64, 128, 256]), []
    for n in steps:
        z = np.array([0.8, -0.9])
        exact = solve_ivp(
            lambda t, z, n=n: rates(z, end / n), (0, end), z, "DOP853", rtol=1e-11, atol=1e-12
        )
        for _ in range(n):
            z = step(z, end / n)
        errors.append(np.abs(z - exact.y[:, -1]).max())
    return -np.polyfit(np.log(steps), np.log(errors), 1)[0]


@every("name", RULES)
def test_iterates_approach_the_limit_and_its_next_order(name):
    update, step, published = RULES[name]
    derivation = derive(spec(update, "f_star: fixed"))
    constants, found = {"f_star": 0.1}, {}
    for order in (0, 1):
        limit = continuous_limit(derivation.rule, derivation.scaling, order)

        def rates(z, s, limit=limit):
            run = right_hand_side(limit, optimizer_field(), {**constants, "s": s})
            return run(0.0, z[None])[0]

        found[order] = order_of(step, rates)
        if order == 0:
            np.testing.assert_allclose(rates(POINT, 0.0), published(POINT), rtol=1e-12)
    assert found[0] == pytest.approx(1, abs=0.1)
    assert found[1] == pytest.approx(2, abs=0.1)


def test_momentum_in_front_of_polyak_s_step():
    """By hand: a fixed momentum beta makes the step 1/(1 - beta) times as long."""
    update = [
        "gamma = s*(loss(x[k]) - f_star)/norm(grad(x[k]))**2",
        "x[k+1] = x[k] - gamma*grad(x[k]) + beta*(x[k] - x[k-1])",
    ]
    (equation,) = derive(spec(update, "f_star: fixed, beta: fixed")).limit.equations
    g, beta, f_star = Gradient(x), symbol("beta"), symbol("f_star")
    assert sp.simplify(equation + (Loss(x) - f_star) * g / dot(g, g) / (1 - beta)) == 0


CLIPPED = {
    "min(s, loss(x[k])/(norm(grad(x[k]))**2 + a))": "`a`, `loss(x)` taken to be positive",
    "min(a/norm(grad(x[k])), s)": "`a` taken to be positive",
    "min(s, (loss(x[k])**2 + 1)/norm(grad(x[k])))": "",
    "min(s, max(loss(x[k]), 0.5))": "",
}


@every("step", CLIPPED)
def test_a_bound_of_the_size_of_the_step_is_reached(step):
    """As ALI-G is written: for small s the step is s, where the other bound is positive."""
    limit = derive(spec([f"x[k+1] = x[k] - {step}*grad(x[k])"], "a: fixed")).limit
    assert limit.equations == (-Gradient(x),)
    assert [CLIPPED[step]] == ([note.split(", where")[0] for note in limit.notes] or [""])


def test_a_bound_of_any_sign_is_refused():
    step = "min(s, (loss(x[k]) - a)/norm(grad(x[k])))"
    with pytest.raises(SpecError, match="the increment of `x` has the term relu"):
        _ = derive(spec([f"x[k+1] = x[k] - {step}*grad(x[k])"], "a: fixed")).limit


def test_without_a_step_size_there_is_no_limit():
    update = ["x[k+1] = x[k] - (loss(x[k]) - f_star)/norm(grad(x[k]))**2*grad(x[k])"]
    with pytest.raises(SpecError, match="`s` stands in no line, so the rule has no small parame"):
        _ = derive(spec(update, "f_star: fixed")).limit


# Text


def test_the_loss_in_text_and_latex():
    assert to_text(Loss(x) * d) == "d*loss(x)"
    assert to_latex(Loss(x) ** 2) == r"\operatorname{loss}\left(x\right)^{2}"
    call = Oracle("loss", TIME, x)
    assert to_text(call) == "loss(t, x)"
    assert to_latex(call) == r"\operatorname{loss}\left(t, x\right)"
