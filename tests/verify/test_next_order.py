"""The orders of the equations with terms of next order: what is expected, and how it is measured."""

from fractions import Fraction

import pytest

from optode.spec.reader import parse_spec
from optode.trial.expectation import Expectation
from optode.verification.orders.orders import Order
from optode.verification.orders.report import verify


def rule(update, parameters="", names="x", numbers=""):
    lines = "".join(f"  {line}\n" for line in update)
    return parse_spec(
        f"name: late\nstep_size: lr\nparameters: {{{parameters}}}\nstate: [{names}]\n"
        f"verify: {{{numbers}}}\nupdate: |\n{lines}",
        "late.yaml",
    )


BROKEN = {
    "x[k+1] = x[k] - lr*grad(x[k]) + lr**2*sqrt(lr)*x[k]": Fraction(3, 2),
    "x[k+1] = x[k] - lr*grad(x[k])/(1 + sqrt(lr)*lr*norm(x[k]))": Fraction(3, 2),
    "x[k+1] = x[k] - lr*grad(x[k])/(1 + lr*norm(x[k]))": Fraction(2),
}


@pytest.mark.parametrize("update", BROKEN)
def test_terms_of_broken_order_are_expected(update):
    (check,) = verify(rule([update]))
    assert check.next_order.expected.order == BROKEN[update]
    assert check.passes


def test_next_order_is_measured_where_steps_are_fine_enough():
    spec = rule(
        [
            "v[k+1] = alpha*v[k] + (1 - alpha)*grad(x[k])**2",
            "b[k+1] = mu*b[k] + grad(x[k])/(sqrt(v[k+1]) + eps)",
            "x[k+1] = x[k] - lr*b[k+1]",
        ],
        "alpha: 1 - a*lr, a: fixed, mu: fixed, eps: fixed",
        "x, v, b",
        "eps: 0.1",
    )
    (check,) = verify(spec)
    assert check.next_order.passes
    assert "up to t = 0.25: beyond it finer steps are needed" in check.next_order.remark


def test_slopes_that_still_change_are_extrapolated():
    steps = tuple(2.0**-n for n in range(5, 9))
    errors = tuple(h**2 * (1 + 4 * h) for h in steps)
    slopes = Order(Expectation(2), steps, errors)
    assert slopes.observed == pytest.approx(2.0, abs=0.02)
    wrong = Order(Expectation(2), steps, tuple(h * (1 + 4 * h) for h in steps))
    assert wrong.observed == pytest.approx(1.0, abs=0.02)
    assert not wrong.passes


def test_slopes_that_part_are_not_extrapolated():
    order = Order(Expectation(2), (1 / 40, 1 / 80, 1 / 160, 1 / 320), (1.0, 0.4, 0.1, 0.01))
    assert not order.passes


def test_a_start_on_the_floor_is_left_to_the_rule():
    spec = rule(
        [
            "m[k+1] = beta1*m[k] + (1 - beta1)*grad(x[k])",
            "u[k+1] = max(beta2*u[k], abs(grad(x[k])) + eps)",
            "x[k+1] = x[k] - lr/(1 - beta1**(k+1))*m[k+1]/u[k+1]",
        ],
        "beta1: 1 - alpha*lr, beta2: 1 - beta*lr, eps: fixed, alpha: fixed, beta: fixed",
        "x, m, u",
    )
    (check,) = verify(spec)
    assert check.passes
    assert check.limit.remark.startswith("from t = 0.25: no regular branch")


def test_a_first_step_that_is_not_a_number_is_said():
    """At k = 0 rho is 1, and the estimate of a variance is 0/0."""
    spec = rule(
        [
            "m[k+1] = beta*m[k] + (1 - beta)*grad(x[k])",
            "v[k+1] = beta*v[k] + (1 - beta)*grad(x[k])**2",
            "bias = 1 - beta**(k+1)",
            "rho = (1 - beta)*(1 + beta**(k+1))/((1 + beta)*bias)",
            "s = (v[k+1]/bias - (m[k+1]/bias)**2)/(1 - rho)",
            "x[k+1] = x[k] - lr*(m[k+1]/bias)**3/((m[k+1]/bias)**2 + rho*s)",
        ],
        "beta: 1 - a*lr, a: fixed",
        "x, m, v",
    )
    (check,) = verify(spec)
    assert check.limit is None
    assert "a state is not a number" in check.failures[0]
