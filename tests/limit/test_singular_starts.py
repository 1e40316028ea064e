"""Limits with a pole at t = 0: those that start there, those that cannot, and bounds that are 0/0."""

import pytest
import sympy as sp

from optode.compiler import derive
from optode.diagnostics import SpecError
from optode.language.symbols import Gradient, symbol
from optode.spec.reader import parse_spec
from optode.verification.orders.report import verify

g0 = Gradient(symbol("x0"))
AVERAGE = "m[k+1] = (1 - a*lr)*m[k] + a*lr*grad(x[k])"
BIAS = "(1 - (1 - a*lr)**(k+1))"


def rule(update, names="x, m"):
    lines = "".join(f"  {line}\n" for line in update)
    return parse_spec(
        f"name: early\nstep_size: lr\nparameters: {{a: fixed, c: fixed}}\nstate: [{names}]\n"
        f"update: |\n{lines}",
        "early.yaml",
    )


AWAY = {
    "the gradient by a bias that it has not": [AVERAGE, f"x[k+1] = x[k] - lr*grad(x[k])/{BIAS}"],
    "the position by it": [AVERAGE, f"x[k+1] = x[k] - lr*(m[k+1] + c*x[k]/{BIAS})"],
    "a bias twice": [AVERAGE, f"x[k+1] = x[k] - lr*m[k+1]/{BIAS}**2"],
}


@pytest.mark.parametrize("kind", AWAY)
def test_what_moves_without_bound_at_first_is_refused(kind):
    with pytest.raises(SpecError, match="moves without bound in the first steps") as raised:
        _ = derive(rule(AWAY[kind])).limit
    assert {d.code for d in raised.value.diagnostics} == {"E403"}


STAYS = {
    "a bias once": [AVERAGE, f"x[k+1] = x[k] - lr*m[k+1]/{BIAS}"],
    "under a root": [AVERAGE, f"x[k+1] = x[k] - lr*grad(x[k])/sqrt({BIAS})"],
    "of both": [AVERAGE, f"x[k+1] = x[k] - lr*(m[k+1]/{BIAS})/(1 + (m[k+1]/{BIAS})**2)"],
}


@pytest.mark.parametrize("kind", STAYS)
def test_what_starts_at_a_pole_is_not(kind):
    assert sp.S.Zero in derive(rule(STAYS[kind])).limit.singular_times
    (check,) = verify(rule(STAYS[kind]), order=0)
    assert check.passes


LARGEST = {
    "w[k+1] = max(w[k], abs({}))": sp.Abs(g0),
    "w[k+1] = max(w[k], ({})**2 + c)": g0**2 + symbol("c"),
}


@pytest.mark.parametrize("bound", LARGEST)
def test_the_largest_corrected_average_starts_at_the_first(bound):
    update = [AVERAGE, bound.format(f"m[k+1]/{BIAS}"), "x[k+1] = x[k] - lr*m[k+1]/(1 + w[k+1])"]
    spec = rule(update, "x, m, w")
    limit = derive(spec).limit
    start = dict(zip(map(str, limit.states), limit.initial, strict=True))["w"]
    at_a_point = {g0: sp.Rational(3, 2), symbol("c"): sp.Rational(1, 4)}
    assert start.subs(at_a_point) == LARGEST[bound].subs(at_a_point)
    (check,) = verify(spec, order=0)
    assert check.passes
