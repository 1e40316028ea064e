"""Limits of rules with conditions, reductions over the features, and periodic steps."""

from __future__ import annotations

import pytest
import sympy as sp

from optode import SpecError
from optode.calculus.signs import sign_in_time
from optode.compiler import derive
from optode.language.symbols import TIME, symbol
from optode.language.text import to_text
from optode.spec.reader import parse_spec
from optode.verification.gradients.report import verify_gradients
from optode.verification.orders.report import verify

A, B = symbol("a"), symbol("b")


def rule(*lines, states="x", parameters="a: fixed, b: fixed", start="", model=""):
    update = "".join(f"  {line}\n" for line in lines)
    return parse_spec(
        f"name: q\nstep_size: s\nparameters: {{{parameters}}}\nstate: [{states}]\n"
        f"update: |\n{update}{start}{model}"
    )


def equations(spec):
    limit = derive(spec).limit
    return [to_text(e) for e in limit.equations]


AVERAGE = "m[k+1] = (1 - a*s)*m[k] + a*s*grad(x[k])"


@pytest.mark.parametrize(
    ("lines", "states", "expected"),
    [
        (
            [AVERAGE, "x[k+1] = x[k] - s*where(m[k+1]*grad(x[k]) > 0, m[k+1], 0)"],
            "x, m",
            ["-where(m*g(x) > 0, m, 0)", "a*(g(x) - m)"],
        ),
        (["x[k+1] = where(grad(x[k]) > s, x[k] - s*grad(x[k]), x[k])"], "x", ["where(g(x) > 0, -g(x), 0)"]),
        (["x[k+1] = x[k] - s*where(k < 5, 1, a)*grad(x[k])"], "x", ["-a*g(x)"]),
        (["x[k+1] = x[k] - s*where(k*s < a and b > 0, 1, b)*grad(x[k])"], "x", ["-where(a > t and b > 0, 1, b)*g(x)"]),
        (["x[k+1] = x[k] - where(grad(x[k]) < 0 or x[k] >= 1, s*x[k], s**2)"], "x",
         ["-where(g(x) < 0 or x >= 1, x, 0)"]),
        (["x[k+1] = x[k] - maximum(s*grad(x[k])) - s*mean(x[k])*count(x[k])"], "x",
         ["-total(1)*mean(x) - maximum(g(x))"]),
        (["x[k+1] = x[k] - grad(x[k])*minimum(s*a + s**2*x[k])"], "x", ["-minimum(a)*g(x)"]),
        (["x[k+1] = soft_threshold(x[k] - s*grad(x[k]), a*s)"], "x", ["-a*sign(x) - g(x)"]),
        (["x[k+1] = x[k] - atan2(s*grad(x[k]), a**2 + 1) - s*atan2(s*x[k], s*grad(x[k]))"], "x",
         ["-atan2(x, g(x)) - g(x)/(a**2 + 1)"]),
        (["x[k+1] = where(k % 4 == 1 or k % 2 == 0, x[k] - s*grad(x[k]), x[k])"], "x", ["-3*g(x)/4"]),
    ],
)  # fmt: skip
def test_limits(lines, states, expected):
    found = equations(rule(*lines, states=states))
    assert found == expected


@pytest.mark.parametrize(
    ("lines", "states", "code", "message"),
    [
        (["m[k+1] = where(k == 0, grad(x[k]), (1 - a*s)*m[k] + a*s*grad(x[k]))", "x[k+1] = x[k] - s*m[k+1]"],
         "x, m", "E403", "in the first steps, where `k == 0`"),
        (["x[k+1] = where(k < 3, x[k]/2, x[k] - s*grad(x[k]))"], "x", "E403", "where `k < 3`"),
        (["x[k+1] = where(k % 5 == 0, x[k]/2, x[k] - s*grad(x[k]))"], "x", "E408", "goes on changing with `k % 5`"),
        (["m[k+1] = where(grad(x[k]) > 0, 0.9*m[k], 2*m[k]) + grad(x[k])", "x[k+1] = x[k] - s*m[k+1]"],
         "x, m", "E403", "does not settle"),
        (["m[k+1] = where(m[k] > 1, 0.9, 0.5)*m[k] + grad(x[k])", "x[k+1] = x[k] - s*m[k+1]"],
         "x, m", "E403", "relaxes to no unique value"),
        (["x[k+1] = x[k] - s*atan2(s*grad(x[k]), x[k])"], "x", "E403", "jumps by 2*pi"),
    ],
)  # fmt: skip
def test_refusals(lines, states, code, message):
    with pytest.raises(SpecError) as error:
        derive(rule(*lines, states=states)).limit  # noqa: B018
    found = error.value.diagnostics[0]
    assert (found.code, found.span is not None) == (code, True) and message in found.message


def test_a_condition_that_is_decided_in_time_leaves_no_choice():
    """RAdam's rho grows above 4: rho is of the size of 1/s at every t > 0."""
    spec = rule(
        "rho = 2/(a*s) - 1 - 2*(k + 1)*beta**(k + 1)/(1 - beta**(k + 1))",
        "x[k+1] = x[k] - s*where(rho > 4, 1, 2)*grad(x[k])",
        parameters="beta: 1 - a*s, a: fixed",
    )
    assert equations(spec) == ["-g(x)"]


def test_signs_in_time():
    t, exp = TIME, sp.exp
    assert sign_in_time(2 / A - 2 * t * exp(-A * t) / (1 - exp(-A * t))) == 1
    assert sign_in_time(1 - exp(-t) - t) == -1
    assert sign_in_time(exp(A * t) - 1) is None and sign_in_time(A) is None
    assert sign_in_time(t - 1) is None and sign_in_time(t**2 + 1) == 1


MODEL = "model: {class: Q, rename: {x: h}, parameters: {a: {init: 0.7}}}\n"


@pytest.mark.parametrize(
    ("lines", "states", "next_order"),
    [
        ([AVERAGE, "mask = where(m[k+1]*grad(x[k]) > 0, 1, 0)",
          "x[k+1] = x[k] - s*mask*m[k+1]/(mean(mask) + norm(x[k], 1) + maximum(x[k])**2)"], "x, m", True),
        (["x[k+1] = where(k % 3 == 1, x[k] - s*a*grad(x[k]), x[k] + s*x[k])"], "x", False),
    ],
)  # fmt: skip
def test_orders_and_gradients(lines, states, next_order):
    spec = rule(*lines, states=states, parameters="a: fixed", model=MODEL)
    (orders,) = verify(spec)
    assert orders.limit.passes and orders.limit.expected.order == 1
    assert (orders.next_order is not None and orders.next_order.passes) == next_order
    assert all(found.passes for found in verify_gradients(spec).checks)
