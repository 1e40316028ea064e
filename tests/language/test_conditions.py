"""Conditions and reductions: how they are read, printed, evaluated and differentiated."""

from __future__ import annotations

import math

import numpy as np
import pytest
import sympy as sp
import torch

from optode.codegen.expressions import TorchPrinter
from optode.compiler import compile, derive
from optode.diagnostics import Located, Reporter, Source, Span
from optode.language.arrays import array_function, array_modules
from optode.language.conditions import where
from optode.language.derivative import partial
from optode.language.latex import to_latex
from optode.language.symbols import COUNTER, dot, mean, norm, symbol, total
from optode.language.text import to_text
from optode.spec.expression import FUNCTIONS, Scope, parse_expression
from optode.spec.reader import parse_spec
from optode.trial.numerics import iterate

H, M, V = map(symbol, "hmv")
DOUBLE = torch.float64


def parsed(text):
    reporter = Reporter()
    located = Located(text, Span(Source("a.yaml", text), 0, len(text)))
    scope = Scope({s.name: s for s in (H, M, V)}, {}, FUNCTIONS, COUNTER)
    return parse_expression(located, scope, reporter), [d.code for d in reporter.diagnostics]


# Reading and printing


@pytest.mark.parametrize(
    ("condition", "printed"),
    [
        ("v > 0", "v > 0"),
        ("v <= 2*m", "2*m >= v"),
        ("4 > v + h", "h + v < 4"),
        ("-v > m", "m + v < 0"),
        ("v == h + m", "v == h + m"),
        ("not v != 1", "v == 1"),
        ("not (v > 0 and m > 0 or h == 1)", "(v <= 0 or m <= 0) and h != 1"),
        ("not (v != m or not h == 1)", "v == m and h == 1"),
        ("0 < v < 1", "v > 0 and v < 1"),
        ("v > 0 and m > 0 and h > 0", "v > 0 and m > 0 and h > 0"),
        ("(v > 0 or m == h) and h >= 1", "(v > 0 or m == h) and h >= 1"),
        ("v > 0 or m > 0 and h < 1", "v > 0 or (m > 0 and h < 1)"),
        ("(k + 1) % 5 == 0", "(k + 1) % 5 == 0"),
        ("where(v > 0, h, m) > mean(h)", "where(v > 0, h, m) > mean(h)"),
    ],
)
def test_a_condition_is_printed_as_it_is_written(condition, printed):
    expression, codes = parsed(f"where({condition}, h, m)")
    text = to_text(expression)
    assert codes == [] and parsed(text)[0] == expression
    assert text == f"where({printed}, h, m)"
    latex = to_latex(2 * expression**2)
    assert latex.count("{") == latex.count("}") and r"\begin{cases}" in latex


@pytest.mark.parametrize(
    ("condition", "code"),
    [
        ("k >= 0", "E213"),
        ("k % 4 < 4", "E213"),
        ("exp(v) > 0", "E213"),
        ("v > m and m > v", "E213"),
        ("v > 0 or not v > 0 or m > 0", "E213"),
        ("v", "E212"),
        ("max(v > 0, 1) > 0", "E212"),
        ("v % 2 == 0", "E214"),
        ("k % 0.5 == 0", "E214"),
        ("v > 0 or + not m > 0", "E201"),
    ],
)
def test_a_condition_that_is_none_is_refused(condition, code):
    assert parsed(f"where({condition}, h, m)") == (None, [code])


def test_a_condition_stands_in_where_only():
    for text in ("v > 0", "h + (v == 1)", "not v > 0", "k % 5", "exp(v < 1 or h > 2)"):
        assert parsed(text)[1] in (["E212"], ["E214"])


def test_comparisons_on_a_continued_line():
    spec = parse_spec(
        "name: q\nstep_size: s\nstate: [x]\nupdate: |\n  x[k+1] = x[k] - s*where(k >= 3 and\n"
        "    x[k] == 1 and grad(x[k]) <= x[k], 1, 2)*grad(x[k])\n"
    )
    assert len(spec.assignments) == 1


# Values


CONDITIONS = ("h > m", "h >= m", "h < m", "h <= m", "h == m", "h != m", "h > 0 and not m < 0",
              "h > 0 or m > 0 or h == 0")  # fmt: skip


@pytest.mark.parametrize("condition", CONDITIONS)
def test_tensors_arrays_and_floats_have_pythons_value(condition):
    expression, _ = parsed(f"where({condition}, h + 0.1, 2)")
    points = [(h, m) for h in (-1.0, 0.0, 1.0) for m in (-1.0, 0.0, 1.0)]
    expected = [h + 0.1 if eval(condition) else 2.0 for h, m in points]
    h, m = torch.tensor(points, dtype=DOUBLE).T
    ours = eval(TorchPrinter().text(expression), {"torch": torch, "h": h, "m": m})
    assert ours.dtype == DOUBLE and ours.tolist() == expected
    floats = TorchPrinter({H, M}).text(expression)
    assert [eval(floats, {"math": math, "h": h, "m": m}) for h, m in points] == expected
    arrays = array_function((H, M), expression, array_modules(None))
    assert arrays(h.numpy(), m.numpy()).tolist() == expected


@pytest.mark.parametrize("order", [1, 2, math.inf])
def test_norms(order):
    x = torch.tensor([[1.0, -3.0, 2.0]], dtype=DOUBLE)
    node = module(f"m = 0*f(t, h) + norm(h, {order})")
    rate = node.vector_field(torch.tensor(0.0), (x,))[0]
    expected = torch.linalg.vector_norm(x, order, dim=1, keepdim=True).expand_as(x)
    torch.testing.assert_close(rate, expected)


def test_sums_of_what_is_no_state():
    assert dot(sp.S.One, 2 * H) == 2 * total(H) and norm(sp.S.One) == sp.sqrt(total(sp.S.One))
    assert mean(-3 * H) == -3 * mean(H) and mean(sp.Integer(4)) == 4


RULE = """
name: counted
step_size: s
state: [x]
parameters: {c: fixed}
update: |
  n = dot(1, 1) + norm(1)**2 + total(1) + count(grad(x[k]))
  x[k+1] = x[k] - s*n*grad(x[k]) - s*dot(c, 1)*norm(1)**2
"""


def test_the_number_of_features_is_the_same_in_iterates_and_modules():
    values = {"s": 1.0, "c": 0.5}
    rule = derive(parse_spec(RULE)).rule
    found = iterate(rule, lambda x: x, values, {"x": np.array([1.0, 2.0, 3.0])}, 1)["x"][1]
    np.testing.assert_allclose(found, np.array([1.0, 2.0, 3.0]) * (1 - 12) - 1.5 * 3)
    x = torch.rand(2, 3, 4, dtype=DOUBLE)
    node = module("m = dot(1, 1)*f(t, h)/count(h) + norm(1)**2 + total(1) + f(t, mean(1))*0")
    rate = node.vector_field(torch.tensor(0.0), (x,))[0]
    torch.testing.assert_close(rate, torch.sin(x) + 24)


# Derivatives


def test_the_derivative_of_a_choice_is_a_choice():
    expression = where(parsed("where(h > 0, 1, 0)")[0].args[0], sp.sqrt(H), H * M)
    assert to_text(partial(expression, H)) == "where(h > 0, 1/(2*sqrt(h)), m)"
    assert to_text(partial(expression, M)) == "where(h > 0, 0, h)"
    assert partial(where(expression.args[0], M, M**2), H) == 0


def module(line, parameters=""):
    text = f"name: q\nstate: [h]\node: |\n  {line}\n  h' = m\nmodel:\n  class: Q\n{parameters}"
    return compile(parse_spec(text))(lambda t, h: torch.sin(h)).double()


def test_an_infinite_value_that_is_not_taken_makes_no_nan():
    node = module("m = f(t, h) + where(h > 0, sqrt(h), where(norm(h) > 0, 0, log(norm(h))))")
    x = torch.tensor([[0.0, -1.0, 4.0], [0.0, 0.0, 0.0]], dtype=DOUBLE)[:1]
    rates, pull = node.linearize(torch.tensor(0.0), (x,))
    torch.testing.assert_close(
        rates[0] - torch.sin(x), torch.tensor([[0.0, 0.0, 2.0]], dtype=DOUBLE)
    )
    (pulled,), _ = pull((torch.ones_like(x),))
    torch.testing.assert_close(
        -pulled - torch.cos(x), torch.tensor([[0.0, 0.0, 0.25]], dtype=DOUBLE)
    )


@pytest.mark.parametrize(
    "line",
    [
        "m = f(t, h)*maximum(h)",
        "m = f(t, h) - minimum(h**2)*h",
        "m = norm(f(t, h), inf)*h + norm(h, 1)*mean(f(t, h))",
        "m = where(h > mean(h) and maximum(f(t, h)) >= h, c*h*total(h), f(t, c*h))",
        "m = f(t, h) + where(dot(h, f(t, h)) > 0, clip(h, c - 1, c), mean(c)) + mean(h*c)",
        "m = soft_threshold(f(t, h), c) + atan2(h, c) + atan2(c, 2*f(t, h)) + expm1(h)/log1p(h**2)",
    ],
)
@pytest.mark.parametrize("ties", [False, True])
def test_costates_and_gradients_are_those_of_autograd(line, ties):
    node = module(f"{line} + c*h", "  parameters: {c: {init: 0.4}}\n")
    x = torch.rand(2, 3, 4, dtype=DOUBLE, generator=torch.Generator().manual_seed(3))
    x = (3 * x).round() / 2 + 0.25 if ties else x
    x.requires_grad_()
    (rate,) = node.vector_field(torch.tensor(0.5, dtype=DOUBLE), (x,))
    costate = torch.rand_like(x)
    learned = [p for p in node.parameters() if p.requires_grad]
    expected = torch.autograd.grad(rate, (x, *learned), costate)
    (pulled,), bars = node.linearize(torch.tensor(0.5, dtype=DOUBLE), (x,))[1]((costate,))
    for ours, theirs in zip((-pulled, *bars), expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)
