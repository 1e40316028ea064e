"""Expressions as PyTorch text: looks, values against SymPy's own, and ruff's layout."""

from __future__ import annotations

import math
import random
import subprocess
import sys

import pytest
import sympy as sp
import torch
from torch.nn import functional

from optode.codegen.assignment import assignment
from optode.codegen.expressions import TorchPrinter
from optode.codegen.layout import LINE_LENGTH
from optode.language.elementwise import hardtanh, maximum, minimum, relu, sigmoid, softplus, step
from optode.language.symbols import TIME, Field, symbol

h, m, v, a_m, gamma, alpha, eps, low, t = map(
    symbol, ["h", "m", "v", "a_m", "gamma", "alpha", "eps", "low", "t"]
)
PRINTER = TorchPrinter({eps})
NAMES = {"torch": torch, "functional": functional, "math": math}


def random_expression(source: random.Random, depth: int) -> sp.Expr:
    if depth == 0 or source.random() < 0.15:
        numbers = [sp.Rational(1, 3), sp.Rational(1, 10**8), sp.Integer(2), sp.sqrt(2)]
        return source.choice([h, m, v, a_m, gamma, alpha, eps, *numbers])
    parts = [random_expression(source, depth - 1) for _ in range(source.randint(2, 4))]
    powers = [1, 1, 1, -1, 2, -2, sp.Rational(-1, 2), sp.Rational(3, 2)]
    functions = [sp.exp, sp.tanh, sp.Abs, sp.sign, sigmoid, softplus, relu]
    kind = source.randrange(3)
    if kind == 0:
        return sum((source.choice([1, -1]) * part for part in parts), sp.S.Zero)
    if kind == 1:
        return sp.Mul(*(part ** source.choice(powers) for part in parts))
    return source.choice(functions)(parts[0])


@pytest.mark.parametrize(
    ("expression", "text"),
    [
        (-gamma * m + symbol("f"), "-gamma * m + f"),
        (h**2, "h**2"),
        ((h + m) ** 2, "(h + m) ** 2"),
        (sp.sqrt(v) ** 3, "v**1.5"),
        (softplus(v) ** 2, "functional.softplus(v) ** 2"),
        (sp.Mul(-1, h**2), "-(h**2)"),
        (sp.sqrt(v), "torch.sqrt(v)"),
        (1 / sp.sqrt(v), "1 / torch.sqrt(v)"),
        (1 / v, "1 / v"),
        (-m / (sp.sqrt(v) + eps), "-m / (torch.sqrt(v) + eps)"),
        (3 * m / t, "3 * m / t"),
        (m / (2 * v * sp.sqrt(h)), "0.5 * m / (v * torch.sqrt(h))"),
        (2 * m / 3, "2 * m / 3"),
        (h - sp.Rational(1, 3), "h - 1 / 3"),
        (sp.Rational(1, 10**8) + sp.sqrt(v), "torch.sqrt(v) + 1e-08"),
        (alpha * (-h - m), "alpha * (-h - m)"),
        (m ** sp.Rational(1, 3), "m ** (1 / 3)"),
        (gamma**t, "gamma**t"),
        (hardtanh(m, -5, 5), "torch.clamp(m, -5.0, 5.0)"),
        (step(5 - m) * step(m + 5), "(m < 5).to(m.dtype) * (m > -5).to(m.dtype)"),
        (sp.exp(-alpha * t), "torch.exp(-alpha * t)"),
        (sp.sqrt(eps), "math.sqrt(eps)"),
        (sigmoid(eps), "1 / (math.exp(-eps) + 1)"),
        (sp.sqrt(2) * m, "1.4142135623730951 * m"),
        (sp.pi + m, "m + 3.141592653589793"),
        (10**20 * m, "1e20 * m"),
        (10**20 * m / 3, "1e20 * m / 3"),
    ],
    ids=str,
)
def test_text(expression, text):
    assert PRINTER.text(expression) == text


EVERYTHING = (
    (sp.exp(-h) + sp.log(v) + sp.tanh(m) - sp.Abs(m) * sp.sign(m - 2)) / (sp.sqrt(v) + eps)
    + sigmoid(m) * softplus(h) ** 2
    - relu(m - h)
    + hardtanh(m, sp.Rational(-1, 2), sp.Rational(1, 2))
    + hardtanh(h, low, 4)
    + step(m) * step(sp.Rational(1, 2) - h)
    + maximum(h, m)
    + minimum(h, v)
    + v ** sp.Rational(3, 2)
    + v ** sp.Rational(-1, 2)
    + gamma**t * sp.Rational(1, 3)
    + 1 / (h * m)
    + sp.pi * sp.sqrt(2)
    + sp.Rational(1, 10**8)
    + (sp.exp(eps) - sp.log(eps) + sp.tanh(eps) + sp.Abs(eps - 1) + sp.sqrt(eps) + sp.sign(eps))
    + (sigmoid(eps) + softplus(eps) + relu(eps - 1) + step(eps) + hardtanh(eps, -1, eps))
)


@pytest.mark.parametrize("seed", range(5))
def test_every_function_has_sympys_value(seed):
    torch.manual_seed(seed)
    symbols = sorted(EVERYTHING.free_symbols, key=str)
    values = {s: torch.rand((), dtype=torch.float64) * 1.8 + 0.1 for s in symbols}
    values[low] = -values[low]
    numbers = {s: float(value) for s, value in values.items()}
    exact = EVERYTHING.xreplace({s: sp.Float(x, 30) for s, x in numbers.items()}).evalf(30)
    named = {s.name: value for s, value in values.items()} | {"eps": numbers[eps]}
    ours = eval(PRINTER.text(EVERYTHING), NAMES | named)
    assert ours.dtype == torch.float64
    assert float(ours) == pytest.approx(float(exact), rel=1e-13)


def test_a_float_is_never_handed_to_torch():
    text = PRINTER.text(EVERYTHING.xreplace(dict.fromkeys(EVERYTHING.free_symbols, eps)))
    assert "torch" not in text
    assert isinstance(eval(text, NAMES | {"eps": 0.7}), float)


@pytest.mark.parametrize("expression", [Field(t, h), sp.zoo, sp.I, sp.zeta(h), sp.oo])
def test_what_has_no_text_is_refused(expression):
    with pytest.raises(TypeError, match="no PyTorch text"):
        PRINTER.text(expression)


@pytest.mark.parametrize("seed", range(4))
def test_layout_is_ruffs_and_keeps_the_value(seed, tmp_path):
    source, printer = random.Random(seed), TorchPrinter()
    lines, checks = ["def statements():"], 0
    torch.manual_seed(seed)
    values = {
        s.name: torch.rand(3, dtype=torch.float64) + 0.5 for s in (h, m, v, a_m, gamma, alpha, eps)
    }
    for _ in range(80):
        expression = random_expression(source, 3)
        try:
            whole = printer.text(expression)
        except TypeError:  # a root of a negative number, or a division by zero
            continue
        statement = assignment("da_h_dt", expression, printer, 4)
        lines += [f"    {line}" for line in statement]
        names = dict(values)
        exec("\n".join(statement), NAMES, names)
        ours, theirs = (
            torch.as_tensor(x, dtype=torch.float64)
            for x in (names["da_h_dt"], eval(whole, NAMES, values))
        )
        torch.testing.assert_close(ours, theirs, equal_nan=True, rtol=1e-9, atol=1e-12)
        checks += 1
    assert checks > 40
    assert max(map(len, lines)) <= LINE_LENGTH
    path = tmp_path / "statements.py"
    path.write_text("\n".join(lines) + "\n")
    command = [sys.executable, "-m", "ruff", "format", "--isolated", "--diff", str(path)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout


def test_parts_of_a_long_statement_get_free_names():
    long = sp.sqrt(sum(symbol(f"a_rather_long_name_{i}") for i in range(8)) ** 2 + 1)
    lines = assignment("rate", long, PRINTER, 8, taken={"rate_1"})
    assert lines[-1] == "rate = torch.sqrt(rate_2)"


def test_time_is_not_asked_for_a_dtype_while_there_is_a_state():
    assert PRINTER.text(step(TIME - h)).endswith(".to(h.dtype)")


def test_scalars_are_divided_by_one_another():
    """A product of a state with a ratio of scalars costs one operation of a state's size."""
    r, d, x, y = (symbol(name) for name in "rdxy")
    printer = TorchPrinter({d}, {r})
    assert printer.text(-sp.exp(r) * x / (r * d)) == "-torch.exp(r) / (d * r) * x"
    assert printer.text(r * (x + y) / (d * y)) == "r / d * (x + y) / y"
    assert printer.text(3 * x / d) == "3 / d * x"
    assert printer.text(2 * r / (d * y)) == "2 * r / (d * y)"
    assert printer.text(x / (r * d)) == "x / (d * r)"
    assert printer.text(r * x / 3) == "r * x / 3"
    assert TorchPrinter({d}).text(r * x / d) == "r * x / d"
