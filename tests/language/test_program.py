"""Programs: lowering keeps values, reversal is the transpose of the derivative."""

from __future__ import annotations

import numpy as np
import pytest
import sympy as sp

from optode.adjoint.reverse import reverse
from optode.language.program import Assign, FieldCall, FieldPullback, Program, lower
from optode.language.symbols import TIME, Field, Gradient, symbol
from optode.trial.numerics import evaluator

h, m, v, p = map(symbol, ("h", "m", "v", "p"))
r, q = symbol("r"), symbol("q")
a_r, a_q = symbol("a_r"), symbol("a_q")

SYSTEMS = {
    "one call": {r: m, q: -p * m + Field(TIME, h)},
    "call used nonlinearly": {r: -m / (sp.sqrt(v) + 1), q: p * (Field(TIME, h) ** 2 - v)},
    "call elsewhere": {r: m, q: Field(TIME, h + p * m) - m},
    "two calls": {r: Field(TIME, h) * m, q: Field(TIME, m) + Field(TIME, h)},
    "nested calls": {r: m, q: Field(TIME, h - p * Field(TIME, h))},
}
VALUES = {"t": 0.3, "h": 0.4, "m": -0.7, "v": 0.9, "p": 1.3}
INPUTS = (TIME, h, m, v, p)


def oracle(x):
    return np.tanh(1.7 * x) + x**2


def oracle_slope(x):
    return 1.7 / np.cosh(1.7 * x) ** 2 + 2 * x


def direct(equations, values):
    """The equations' values with the oracle put in as a formula."""
    x = sp.Symbol("x")
    formula = sp.Lambda(x, sp.tanh(sp.Rational(17, 10) * x) + x**2)
    point = {symbol(name): value for name, value in values.items()}
    return [
        float(e.replace(Field, lambda _, at: formula(at)).subs(point)) for e in equations.values()
    ]


@pytest.mark.parametrize("equations", SYSTEMS.values(), ids=SYSTEMS)
def test_lowering_keeps_the_values(equations):
    run = evaluator(lower(INPUTS, equations))
    np.testing.assert_allclose(run(VALUES, oracle), direct(equations, VALUES), rtol=1e-14)


@pytest.mark.parametrize("equations", SYSTEMS.values(), ids=SYSTEMS)
def test_reversal_is_the_transposed_derivative(equations):
    """Against central differences of the equations; pullbacks are carried out by hand here."""
    program = lower(INPUTS, equations)
    statements, bars = reverse(program, {r: a_r, q: a_q})
    values = {symbol(n): x for n, x in VALUES.items()} | {a_r: 0.8, a_q: -1.1}
    for statement in statements:
        if isinstance(statement, Assign):
            values[statement.name] = float(statement.value.subs(values))
        elif isinstance(statement, FieldCall):
            values[statement.name] = oracle(values[statement.arguments[0]])
        elif isinstance(statement, FieldPullback):
            slope = oracle_slope(values[statement.call.arguments[0]])
            values[statement.names[0]] = slope * values[statement.cotangent]
    for name in (h, m, v, p):
        ahead, behind = (
            direct(equations, VALUES | {str(name): VALUES[str(name)] + d}) for d in (1e-6, -1e-6)
        )
        slopes = [(x - y) / 2e-6 for x, y in zip(ahead, behind, strict=True)]
        expected = 0.8 * slopes[0] - 1.1 * slopes[1]
        ours = float(sp.sympify(bars.get(name, 0)).subs(values))
        assert ours == pytest.approx(expected, abs=1e-8)


def test_each_distinct_call_is_made_once():
    program = lower(INPUTS, SYSTEMS["two calls"])
    assert sum(isinstance(s, FieldCall) for s in program.statements) == 2


def test_an_intermediate_may_have_the_name_of_the_gradient():
    g = symbol("g")
    program = lower((h,), {g: Gradient(h), r: h - g})
    assert len({s.name for s in program.statements}) == 3


def test_programs_are_straight_line():
    with pytest.raises(ValueError, match="straight-line"):
        Program((h,), (Assign(r, m),), (r,))
    with pytest.raises(ValueError, match="not all assigned"):
        Program((h,), (), (r,))
