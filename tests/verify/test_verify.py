"""The self-check checked: orders that are known by theory, and controls that must fail to have them.

The controls are the measured pitfalls of the literature: a published initial velocity, the equation
of another method with the same limit, and a transposed Jacobian product.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import sympy as sp

from optode.compiler import derive
from optode.language.symbols import TIME, At, Gradient, Tangent, symbol, velocity_symbol
from optode.limit.balance import scalings
from optode.rule.update_rule import update_rule
from optode.spec.reader import parse_spec
from optode.trial.expectation import Expectation, expected_order
from optode.trial.numerics import numerical, observed_order, value_of
from optode.trial.smooth_field import SmoothField, game_field, optimizer_field
from optode.trial.starts import NoSolution, is_regular, regular_branch, solve
from optode.trial.trial import Trial
from optode.verification.orders.orders import (
    Order,
    OrderCheck,
    horizon,
    limit_order,
    measured,
    next_order,
)
from optode.verification.orders.plot import plot_orders
from optode.verification.orders.report import as_markdown, as_text, check_orders, rows, verify

NUMBERS = (40, 80, 160, 320)


@cache
def trial(name, field=game_field, given=()):
    """A shipped rule with the numbers of its spec, or with given ones in their place."""
    derivation = derive(name)
    rule, declared = derivation.rule, derivation.spec.verify
    (scaling,) = scalings(rule)
    numbers = tuple((entry.name.text, entry.numbers[0]) for entry in declared)
    return Trial(rule, scaling, field(), given=(*numbers, *given))


def approximately(order):
    return pytest.approx(order, abs=0.1)


@pytest.mark.parametrize("name", ["gradient_descent", "heavy_ball", "nesterov_strongly_convex"])
def test_orders_one_and_two(name):
    assert limit_order(trial(name)).observed == approximately(1)
    assert next_order(trial(name)).observed == approximately(2)


def test_third_order_of_gradient_descent():
    assert next_order(trial("gradient_descent"), order=2).observed == approximately(3)


def test_a_fast_velocity_shifts_the_start():
    """Without the shift the equation of next order is of order 1 (Kovachki and Stuart 2021)."""
    fast = trial("heavy_ball_fixed")
    assert next_order(fast).observed == approximately(2)
    start = fast.initial(0, 1.0)
    unshifted = measured(
        lambda n: solve(fast.rates(1, 1 / n), (0.0, 1.0), start) - fast.iterates(1 / n, n)[-1],
        1.0,
        Expectation(1),
    )
    assert unshifted.observed == approximately(1)


def second_order_errors(rule, equation, slope, offset=0.0):
    """Errors of ``x''`` = equation from ``x'(t0) = slope sqrt(s) g(x0)`` against the rule's x."""
    x, x_dot = symbol("x"), velocity_symbol(symbol("x"))
    names = sorted(equation.free_symbols - {TIME, x, x_dot}, key=str)
    field = numerical((TIME, x, x_dot, *names), [x_dot, equation], rule.field)
    x0, mu = np.array(rule.start[:2]), rule.constants.get("mu", 0.0)
    errors = []
    for number in NUMBERS:
        delta = 1 / number
        values = [rule.values(delta)[name.name] for name in names]
        velocity = slope(delta * np.sqrt(mu)) * delta * rule.field(x0)
        times = (offset * delta, (number + offset) * delta)
        end = solve(
            lambda t, z, c=values: np.stack(field(t, *z, *c)), times, np.stack([x0, velocity])
        )
        errors.append(np.linalg.norm(end[0] - rule.iterates(delta, number)[-1, 0]))
    return observed_order([1 / n for n in NUMBERS], errors)


def test_matched_and_published_initial_velocity():
    """Shi et al. 2018, equation (1.11), is of order 2 from -(3/2) sqrt(s) g(x0) only."""
    nesterov = trial("nesterov_strongly_convex")
    equation = nesterov.limit(1).second_order
    matched = second_order_errors(nesterov, equation, lambda _: -1.5)
    published = second_order_errors(nesterov, equation, lambda root: -2 / (1 + root))
    assert matched == approximately(2)
    assert published == approximately(1)


def test_the_equation_of_heavy_ball_does_not_describe_nesterov():
    nesterov = trial("nesterov_strongly_convex")
    equation = trial("heavy_ball_strongly_convex").limit(1).second_order
    assert second_order_errors(nesterov, equation, lambda _: -1.5) == approximately(1)


@pytest.mark.parametrize("name", ["nesterov", "nesterov_generalized"])
def test_high_resolution_from_a_singular_start(name):
    """Shi et al. 2018, equation (1.12): of order 2 from t0 = kappa Delta on, not from 0 on."""
    singular = trial(name)
    equation, offset = singular.limit(1).second_order, singular.offset(1)
    slope = second_order_errors(singular, equation, lambda _: -1.0, offset)
    assert slope == approximately(2)
    assert second_order_errors(singular, equation, lambda _: -1.0, offset + 1) < 1.2


class Transposed(SmoothField):
    """The first derivative transposed, as of a vector-Jacobian product."""

    def derivative(self, points, *directions):
        if len(directions) == 1:
            return directions[0][0] @ self._tensor(1, np.concatenate(points))
        return super().derivative(points, *directions)


def test_a_transposed_jacobian_product_has_order_one():
    x, y = sp.symbols("x y", real=True)
    wrong = Transposed((x, y), [y + x**3 / 5 + x / 2, -x + sp.tanh(y)])
    assert next_order(Trial(*rule_and_scaling("gradient_descent"), wrong)).observed < 1.2


def rule_and_scaling(name):
    rule = derive(name).rule
    return rule, scalings(rule)[0]


@pytest.mark.parametrize("name", ["adagrad", "rmsprop"])
def test_half_order_from_zero_averages(name):
    guard = {"adagrad": "epsilon", "rmsprop": "eps"}[name]
    order = limit_order(trial(name, optimizer_field, ((guard, 0.0),)))
    assert order.expected.order == sp.Rational(1, 2)
    assert order.observed == approximately(0.5)


def test_a_logarithm_is_predicted():
    """theta_k = k/2 + log(k)/4 + ... (Su, Boyd and Candes 2014): the factor 1/4 is derived."""
    x, v, theta, s = sp.symbols("x v theta s")
    momentum = (theta - 1) / At(theta, 1)
    fista = update_rule(
        "fista",
        s,
        [x, v, theta],
        {
            theta: (1 + sp.sqrt(1 + 4 * theta**2)) / 2,
            v: momentum * v - s * Gradient(x + momentum * v),
            x: x + At(v, 1),
        },
        start={theta: 1},
    )
    order = limit_order(Trial(fista, scalings(fista)[0], optimizer_field()))
    np.testing.assert_allclose(order.expected.logarithm[2], 0.25, rtol=1e-3)
    assert order.observed == approximately(1)


def test_a_symmetric_scheme_is_of_order_two():
    """The step of the midpoint rule, its implicit part expanded."""
    x, s = sp.symbols("x s")
    rule = update_rule("midpoint", s, [x], {x: x - s * Gradient(x - s * Gradient(x) / 2)})
    order = limit_order(Trial(rule, scalings(rule)[0], game_field()))
    assert order.expected.order == 2
    assert order.observed == approximately(2)


def test_powers_between_whole_ones_are_predicted():
    x, s = sp.symbols("x s")
    rule = update_rule("y", s, [x], {x: x - s * Gradient(x) + s ** sp.Rational(3, 2) * x})
    check = check_orders("y", "", rule, scalings(rule)[0])
    assert check.limit.expected.order == sp.Rational(1, 2)
    assert check.passes
    assert check.next_order is None
    assert check.failures


def test_undeclared_decays_are_checked_in_every_regime():
    x, v, s, beta = sp.symbols("x v s beta")
    update = {v: beta * v - s * Gradient(x), x: x + At(v, 1)}
    rule = update_rule("ball", s, [x, v], update)
    rule = type(rule)(rule.name, rule.step_size, rule.states, rule.step, decays=(symbol("beta"),))
    checks = [check_orders("ball", "", rule, scaling) for scaling in scalings(rule)]
    assert [str(c.limit.expected.order) for c in checks if c.limit] == ["1", "1", "1/2", "1"]
    assert all(check.passes for check in checks)


def test_horizon_ends_before_a_sign_switches():
    assert horizon(trial("sign_descent", optimizer_field), (sp.sign,)) < 1
    assert horizon(trial("gradient_descent"), (sp.sign,)) == 1


# --- starts


def nesterov_rates(t, z):
    x, v = z
    return np.stack([v, -3 / t * v - optimizer_field()(x)])


def test_the_regular_branch_of_a_pole():
    """x = x0 - g(x0) t^2/8 + O(t^4) (Su, Boyd and Candes 2014)."""
    x0 = np.array([0.8, -0.9])
    start = np.stack([x0, np.zeros(2)])
    g = optimizer_field()(x0)
    rough = tuple(np.stack([x0, -0.3 * t * g]) for t in (0.0025, 0.01))
    branch = regular_branch(nesterov_rates, start, rough)
    for t in (1e-4, 1e-3):
        np.testing.assert_allclose(branch(t)[1], -t * g / 4, rtol=1e-5, atol=1e-12)


def test_starts_are_told_apart():
    def regular(function):
        return is_regular(lambda t, z: function(z), np.zeros((1, 2)))

    assert not regular(lambda u: np.sqrt(np.abs(u)))
    assert not regular(lambda u: 1 / u)
    assert regular(lambda u: np.where(u > 0, 1.0, 0.0))
    assert regular(np.square)


def test_no_solution_is_said():
    with pytest.raises(NoSolution):
        solve(lambda t, z: z**2, (0.0, 2.0), np.ones((1, 2)))
    with pytest.raises(NoSolution, match="too rough"):
        solve(lambda t, z: -np.sign(z), (0.0, 1.0), np.full((1, 2), 0.3))


# --- values of derivatives


def test_jacobian_products_are_exact():
    """Against central differences of the expression without them, nested and of second order."""
    x, u, w = map(symbol, "xuw")
    values = {"x": np.array([0.3, -0.4]), "u": np.array([0.7, 0.2]), "w": np.array([-0.5, 0.9])}
    field, h = game_field(), 1e-4
    tangent = Tangent(Gradient(x), u * Tangent(Gradient(x), w))
    inner = value_of(u * Tangent(Gradient(x), w), values, field)
    ahead, behind = (field(values["x"] + d * h * inner) for d in (1, -1))
    np.testing.assert_allclose(
        value_of(tangent, values, field), (ahead - behind) / (2 * h), atol=1e-7
    )
    jacobian = Tangent(Gradient(x), u)
    ahead, behind = (
        value_of(jacobian, values | {"x": values["x"] + d * h * values["w"]}, field)
        for d in (1, -1)
    )
    second = value_of(Tangent(Gradient(x), u, w), values, field)
    np.testing.assert_allclose(second, (ahead - behind) / (2 * h), atol=1e-7)


def test_the_fields_are_what_they_are_said_to_be():
    point, (e1, e2) = np.array([0.3, -0.4]), np.eye(2)
    for field, symmetric in ((optimizer_field(), True), (game_field(), False)):
        a, b = field.derivative([point], [e1]), field.derivative([point], [e2])
        assert np.isclose(a[1], b[0]) == symmetric


# --- tables and pictures


def some_checks():
    steps = (0.1, 0.05)
    good = Order(Expectation(1), steps, (0.2, 0.1))
    bad = Order(Expectation(2, "because"), steps, (0.2, 0.1), "from t = 0.25")
    return (
        OrderCheck("good", "t = k*s", good),
        OrderCheck("bad", "t = k*s", good, bad),
        OrderCheck("broken", "", failures=("no limit",)),
        OrderCheck("exact", "|", Order(Expectation(1))),
    )


def test_what_passes():
    assert [check.passes for check in some_checks()] == [True, False, False, True]


def test_tables():
    assert rows(some_checks())[1] == (
        "bad", "t = k*s", "1.00", "1", "1.00 (!)", "2",
        "next order: because; next order: from t = 0.25",
    )  # fmt: skip
    assert rows(some_checks())[3][2] == "exact"
    assert as_text(some_checks()).splitlines()[3].startswith("broken")
    lines = as_markdown(some_checks()).splitlines()
    assert len({line.replace(r"\|", "").count("|") for line in lines}) == 1


GUARDED = """\
name: guarded
step_size: s
parameters: {rate: 1 - b*s, b: fixed, guard: fixed}
state: [x, v]
update: |
  v[k+1] = rate*v[k] + (1 - rate)*grad(x[k])**2
  x[k+1] = x[k] - s*grad(x[k])/(sqrt(v[k+1]) + guard)
"""


def test_a_spec_says_which_numbers_to_take():
    """A number of any name: 0 is tried as well where the start is singular."""
    (plain,) = verify(parse_spec(GUARDED), 0)
    with_guard, without = verify(parse_spec(GUARDED + "verify: {guard: [0.1, 0]}\n"), 0)
    assert plain.regime == with_guard.regime == "t = k*s"
    assert plain.limit.errors != with_guard.limit.errors
    assert without.regime == "t = k*s, guard = 0"
    orders = [check.limit.expected.order for check in (with_guard, without)]
    assert orders == [1, sp.Rational(1, 2)]


def test_generic_numbers_do_not_depend_on_the_name_eps():
    renamed = GUARDED.replace("guard", "eps")
    first, second = (
        Trial(rule, scalings(rule)[0], game_field()).constants
        for rule in (derive(parse_spec(text)).rule for text in (GUARDED, renamed))
    )
    assert [*second] == ["b", "eps"]
    assert [*first.values()] == [*second.values()]


def test_an_ode_has_no_rule_to_verify():
    assert verify("second_order") == ()


def test_steps_shrink_until_the_slope_rests():
    order = measured(lambda n: np.array([1 / n + 30 / n**2]), 1.0, Expectation(1))
    assert order.steps[0] < 1 / 40
    assert order.passes
    assert measured(lambda n: np.array([0.0]), 1.0, Expectation(2)).observed is None


def test_expectations_do_not_look_at_the_rule(monkeypatch):
    monkeypatch.setattr(Trial, "iterates", None)
    assert expected_order(trial("heavy_ball"), 1.0).order == 1


def test_plot(tmp_path):
    path = tmp_path / "orders.png"
    plot_orders(some_checks(), path)
    assert path.read_bytes().startswith(b"\x89PNG")
