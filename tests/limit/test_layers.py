"""What the slow states gain while the fast ones settle, for rates that are polynomials of the fast states."""

import pytest

from optode.compiler import derive
from optode.diagnostics import SpecError
from optode.language.effort import is_zero
from optode.language.symbols import Gradient, symbol
from optode.limit.limit import continuous_limit
from optode.spec.reader import parse_spec
from optode.verification.orders.report import verify

x0, b, c = map(symbol, ("x0", "b", "c"))
g0 = Gradient(x0)


def rule(direction, start="", extra=()):
    names = ["x", "m", *("q" for _ in extra)]
    lines = ["m[k+1] = b*m[k] + (1 - b)*grad(x[k])", *extra, f"x[k+1] = x[k] - lr*({direction})"]
    body = "".join(f"  {line}\n" for line in lines)
    return parse_spec(
        "name: layered\nstep_size: lr\nparameters: {b: fixed, c: fixed}\n"
        f"state: [{', '.join(names)}]\nstart: {{{start}}}\nupdate: |\n{body}",
        "layered.yaml",
    )


def gained(spec):
    derivation = derive(spec, order=1)
    return (derivation.limit.initial[0] - x0) / derivation.limit.step


def test_a_linear_rate():
    # sum of m[k+1] - g over k, from m = 0: -g*b/(1 - b)
    assert is_zero(gained(rule("m[k+1]")) - g0 * b / (1 - b))


def test_a_square():
    # m[k] = g*(1 - b**k), and m**2 - g**2 is g**2*(-2*b**k + b**(2*k))
    expected = g0**2 * (2 / (1 - b) - 1 / (1 - b**2))
    assert is_zero(gained(rule("m[k]**2 + m[k] - grad(x[k])")) - expected - g0 / (1 - b))


def test_a_cube_from_elsewhere():
    # with d = c - g: the sum of (g + d*b**k)**3 - g**3
    d = c - g0
    expected = 3 * g0**2 * d / (1 - b) + 3 * g0 * d**2 / (1 - b**2) + d**3 / (1 - b**3)
    assert is_zero(gained(rule("m[k]**3", "m: c")) + expected)


PRODUCTS = {
    "a product of two": ("m[k]*q[k] + m[k]", ["q[k+1] = c*q[k] + (1 - c)*m[k+1]"]),
    "a square of the second": ("q[k+1]**2/4 + m[k]", ["q[k+1] = c*q[k] + (1 - c)*m[k]"]),
}


@pytest.mark.parametrize("kind", PRODUCTS)
def test_products_of_two_fast_states_by_iterates(kind):
    direction, extra = PRODUCTS[kind]
    spec = rule(f"({direction})/(1 + norm(x[k])**2)", "q: 0.5", extra)
    (check,) = verify(spec)
    assert check.next_order is not None, check.failures
    assert abs(check.next_order.observed - 2) < 0.1
    assert "no closed form" not in check.next_order.remark


@pytest.mark.parametrize("direction", ["m[k]/(1 + m[k]**2)", "abs(m[k]) + m[k]", "m[k]**9"])
def test_what_is_no_polynomial_of_low_degree_has_none(direction):
    notes = derive(rule(direction), order=1).limit.notes
    assert any("no closed form" in note for note in notes)


def test_what_grows_without_bound_is_not_exact():
    spec = rule("q[k+1]*m[k]*30", "q: 1", ["q[k+1] = c*q[k] + (1 - c)*m[k+1]"])
    (check,) = verify(spec)
    assert not check.passes or check.next_order is None
    assert any("without bound" in said or "no solution" in said for said in check.failures)


CORRECTED = """\
name: corrected
step_size: lr
parameters: {b: decay, c: decay, eps: fixed}
state: [x, m, v]
update: |
  m[k+1] = b*m[k] + (1 - b)*grad(x[k])
  v[k+1] = c*v[k] + (1 - c)*(grad(x[k]) - m[k+1])**2 + eps
  x[k+1] = x[k] - lr*m[k+1]/((1 - b**(k+1))*(sqrt(v[k+1]/(1 - c**(k+1))) + eps))
"""


@pytest.mark.parametrize("work", [5, 20, 60, 150, 400])
def test_a_series_that_takes_too_long_is_a_problem_of_the_rule(work, monkeypatch):
    monkeypatch.setattr("optode.calculus.series.MOST_WORK", work)
    continuous_limit.cache_clear()
    with pytest.raises(SpecError) as caught:
        _ = derive(parse_spec(CORRECTED, "corrected.yaml")).limit
    continuous_limit.cache_clear()
    assert {error.code for error in caught.value.diagnostics} <= {"E401", "E402", "E403"}
