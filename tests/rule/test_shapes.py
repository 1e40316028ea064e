"""How many rows and columns the states have, what does not fit, and how it reads."""

from __future__ import annotations

import pytest
import sympy as sp

from optode.compiler import check, derive
from optode.language.latex import to_latex
from optode.language.matrices import eye, inv_root, matmul, newton_schulz, polar, transposed
from optode.language.symbols import Gradient, symbol
from optode.language.text import to_text
from optode.rule.shapes import COLUMNS, ROWS, shapes_of
from optode.rule.update_rule import update_rule
from optode.spec.reader import parse_spec

a, b, c, x, left = map(symbol, ("a", "b", "c", "x", "left"))
g = Gradient(x)

SPEC = """
name: written
step_size: lr
shape: matrix
parameters: {{c: fixed}}
state: [x, left, m]
update: |
  g = grad(x[k])
  left[k+1] = {left}
  m[k+1] = {m}
  x[k+1] = x[k] - lr*{step}
"""


def spec(left="left[k] + lr*(g @ g.T)", m="m[k] + lr*(g - m[k])", step="m[k+1]"):
    return parse_spec(SPEC.format(left=left, m=m, step=step))


def shapes(spec):
    rule = derive(spec).rule
    return dict(zip(map(str, rule.states), shapes_of(rule.states, dict(rule.step)), strict=True))


def test_the_sides_of_a_state_follow_from_the_equations():
    assert shapes(spec()) == {"x": (ROWS, COLUMNS), "left": (ROWS, ROWS), "m": (ROWS, COLUMNS)}
    right = shapes(spec(left="left[k] + lr*(g.T @ g)", step="(g @ left[k+1])"))
    assert right["left"] == (COLUMNS, COLUMNS)
    turned = shapes(spec(left="left[k] + lr*g.T", step="(g @ left[k+1] @ g)"))
    assert turned["left"] == (COLUMNS, ROWS)
    by_others = shapes(spec(left="left[k]", m="m[k] - lr*(left[k] @ m[k])"))
    assert by_others["left"] == (ROWS, ROWS)
    assert shapes(spec(left="left[k] + lr*norm(g)"))["left"] == (ROWS, COLUMNS)


def test_lines_stand_in_any_order():
    lines = """
name: ordered
step_size: lr
shape: matrix
state: [x, s]
update: |
  x[k+1] = x[k] - lr*size*(u @ g)
  u = inv_root(s[k] + eye(x), 2)
  size = norm(g)
  s[k+1] = s[k] + lr*(g @ g.T)
  g = grad(x[k])
"""
    assert shapes(parse_spec(lines)) == {"x": (ROWS, COLUMNS), "s": (ROWS, ROWS)}
    (diagnostic,) = check(parse_spec(lines.replace("(g @ g.T)", "(g.T @ g)")))
    assert diagnostic.code == "E310"


def test_a_square_state_that_nothing_else_reads_is_square():
    rule = spec(left="left[k] + lr*(left[k] @ left[k])")
    assert shapes(rule)["left"] == (ROWS, ROWS)


@pytest.mark.parametrize(
    "lines",
    [
        {"step": "(m[k+1] @ m[k+1])"},
        {"step": "(m[k+1] + left[k])"},
        {"step": "(left[k+1]*g)"},
        {"step": "inv_root(g, 2)"},
        {"step": "g*trace(m[k])"},
        {"step": "(g @ left[k+1])"},
        {"step": "m[k+1].T"},
        {"step": "eigenvectors(g)"},
    ],
    ids=lambda lines: next(iter(lines.values())),
)
def test_shapes_that_do_not_fit_are_refused_at_the_line(lines):
    (diagnostic,) = check(spec(**lines))
    assert diagnostic.code == "E310" and diagnostic.span is not None
    (line,) = lines.values()
    assert line in diagnostic.span.source.text[diagnostic.span.start : diagnostic.span.end]


@pytest.mark.parametrize("line", ["norm(g) @ g", "polar(norm(g))", "trace(c)", "c @ g"])
def test_a_number_is_no_matrix(line):
    (diagnostic,) = check(spec(step=f"({line})"))
    assert diagnostic.code == "E310" and "is a number" in diagnostic.message


def test_all_misfits_are_reported_at_once():
    found = check(spec(left="left[k] + lr*(g @ g)", m="m[k] + lr*(g @ g)"))
    assert [d.code for d in found] == ["E310", "E310"]


@pytest.mark.parametrize("line", ["g @ g.T", "polar(g)", "rows(x)*g", "row_mean(g)", "trace(g)*g"])
def test_what_sees_rows_needs_a_matrix(line):
    text = SPEC.format(left="left[k]", m="m[k]", step=f"({line})").replace("shape: matrix\n", "")
    assert [d.code for d in check(parse_spec(text))] == ["E311"]


@pytest.mark.parametrize(
    "argument, message",
    [
        ("inv_root(g, 0)", "from 1 to 16"),
        ("inv_root(g, 2.5)", "from 1"),
        ("newton_schulz(g, k)", "from 1"),
    ],
)
def test_the_number_of_a_matrix_function_is_whole(argument, message):
    (diagnostic,) = check(spec(step=argument))
    assert diagnostic.code == "E205" and message in diagnostic.message


@pytest.mark.parametrize(
    "text",
    ["g @ g.T", "x.T @ (x @ x.T)", "(c*x) @ x.T", "-(x @ x.T)", "(x + g) @ x.T", "inv_root(x @ x.T, 4) @ (g @ x.T)",
     "2*left*(x @ x.T)", "eye(x) - x @ x.T", "polar(x)", "newton_schulz(x, 3)"],
)  # fmt: skip
def test_text_reads_back(text):
    derivation = derive(spec(left=f"left[k] + lr*({text})".replace("x.T", "x[k].T"), step="m[k+1]"))
    shown = to_text(derivation.limit.equations[1])
    again = derive(spec(left=f"left[k] + lr*({shown})".replace("g(x)", "g"), step="m[k+1]"))
    assert again.limit.equations == derivation.limit.equations


def test_latex():
    assert to_latex(matmul(a, transposed(a + b))) == r"a \cdot \left({a}^{\top} + {b}^{\top}\right)"
    assert to_latex(inv_root(a, 4)) == r"\left(a\right)^{-1/4}"
    assert to_latex(polar(g)) == r"\operatorname{polar}\left(g\left(x\right)\right)"


def test_factors_come_out():
    assert matmul(2 * a, -b) == -2 * matmul(a, b)
    assert matmul(-a, -b) == matmul(a, b)
    assert matmul(eye(x), b) == b
    assert transposed(transposed(a)) == a
    assert transposed(matmul(a, b)) == matmul(transposed(b), transposed(a))
    assert polar(-3 * a) == -polar(a)
    assert newton_schulz(-a) == -newton_schulz(a)
    assert inv_root(16 * a, 4) == inv_root(a, 4) / 2
    assert inv_root(-a, 2).args[1] == -a


def test_a_rule_made_in_python():
    s = sp.Symbol("s")
    rule = update_rule("signed", s, [x], {x: x - s * polar(g)}, is_matrix=True)
    assert derive_limit(rule) == {x: -polar(g)}


def derive_limit(rule):
    from optode.formulation import Formulation

    limit = derive(Formulation(rule)).limit
    return dict(zip(limit.states, limit.equations, strict=True))


@pytest.mark.parametrize(
    "step, limit",
    [
        ("lr*polar(lr*g)", "-polar(g(x))"),
        ("lr*polar(m[k+1]/lr)", "-polar(m)"),
        ("lr**(3/2)*(inv_root(lr*(g @ g.T) + lr**2*eye(x), 2) @ g)", "-(inv_root(g(x) @ g(x).T, 2) @ g(x))"),
        ("lr*newton_schulz(lr**2*g, 3)", "-newton_schulz(g(x), 3)"),
        ("lr*row_maximum(c*lr*g)/lr", "-row_maximum(c*g(x))"),
    ],
)  # fmt: skip
def test_powers_of_the_step_size_come_out(step, limit):
    lines = SPEC.format(left="left[k]", m="m[k] + lr*(g - m[k])", step="0")
    lines = lines.replace("x[k] - lr*0", f"x[k] - {step}")
    assert to_text(derive(parse_spec(lines)).limit.equations[0]) == limit
