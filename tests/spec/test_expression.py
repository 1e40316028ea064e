"""The expression language against independent evaluations, and against what it must refuse."""

from __future__ import annotations

import math
import re
import warnings
from types import MappingProxyType

import mpmath
import pytest
import sympy as sp
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from optode.diagnostics import Diagnostic, Located, Reporter, Source, Span
from optode.language.elementwise import hardtanh, relu, sigmoid, softplus
from optode.language.function_names import MATRIX_NAMES
from optode.language.symbols import COUNTER, TIME, At, Field, Gradient, step_symbol, symbol
from optode.language.text import to_text
from optode.spec.expression import FUNCTIONS, Scope, parse_expression

NAMES = ("x", "v", "m", "beta", "eps", "β1")
X, V, M, BETA, EPS, GREEK = (symbol(name) for name in NAMES)
S = step_symbol("s")
SCOPE = Scope(
    symbols=MappingProxyType({"beta": BETA, "eps": EPS, "β1": GREEK, "s": S, "t": TIME}),
    indexed=MappingProxyType({"x": X, "v": V, "m": M}),
    functions={**FUNCTIONS, "grad": (Gradient, 1), "f": (Field, None)},
    counter=COUNTER,
)
ODE_SCOPE = Scope(SCOPE.symbols, SCOPE.indexed, SCOPE.functions, None)


def parse(text: str, scope: Scope = SCOPE) -> tuple[sp.Expr | None, tuple[Diagnostic, ...]]:
    reporter = Reporter()
    located = Located(text, Span(Source("a.yaml", text), 0, len(text)))
    value = parse_expression(located, scope, reporter)
    assert (value is None) == bool(reporter.diagnostics)
    return value, reporter.diagnostics


def parsed(text: str) -> sp.Expr:
    value, diagnostics = parse(text)
    assert not diagnostics, [diagnostic.render() for diagnostic in diagnostics]
    return value


def errors(text: str, scope: Scope = SCOPE) -> list[tuple[str, str]]:
    """Code and marked text of every error."""
    diagnostics = parse(text, scope)[1]
    spans = [diagnostic.span for diagnostic in diagnostics]
    return [(d.code, text[s.start : s.end]) for d, s in zip(diagnostics, spans, strict=True) if s]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("beta*v[k] - s*grad(x[k])", BETA * V - S * Gradient(X)),
        ("x[k+1] + x[ k - 2 ] + x[k+0]", At(X, 1) + At(X, -2) + X),
        ("(k - 1)/(k + 2)", (COUNTER - 1) / (COUNTER + 2)),
        ("beta**(k+1)", BETA ** (COUNTER + 1)),
        ("0.9*x + 1e-8", sp.Rational(9, 10) * X + sp.Rational(1, 10**8)),
        (".5 + 1. + 1_000 + 2.5e3", sp.Rational(7003, 2)),
        ("3.14159265358979323846", sp.Rational("3.141592653589793")),
        ("-x**2", -(X**2)),
        ("2**-1", sp.Rational(1, 2)),
        ("x/v/2", X / V / 2),
        ("2**3**2", sp.Integer(512)),
        ("--x + +v", X + V),
        ("hardtanh(x, -5, 5)", hardtanh(X, -5, 5)),
        ("hardtanh(x)", hardtanh(X, -1, 1)),
        ("max(x, v) + min(x, v)", 2 * X + relu(V - X) - relu(X - V)),
        ("f(t, x, v)", Field(TIME, X, V)),
        ("β1*x", GREEK * X),
        (" (x\n\t+ v )", X + V),
        ("sqrt(x**2)", sp.Abs(X)),
        ("abs(x)*sign(x) + log(exp(x))", sp.Abs(X) * sp.sign(X) + X),
    ],
)
def test_what_an_expression_means(text: str, expected: sp.Expr) -> None:
    assert parsed(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("bet*x + y*v[k] + z(1)", [("E203", "bet"), ("E203", "y"), ("E204", "z")]),
        ("β1*betta", [("E203", "betta")]),
        ("x^2", [("E202", "^")]),
        ("x // 2", [("E202", "//")]),
        ("torch.exp(x)", [("E202", ".")]),
        ("x' + v'", [("E202", "'"), ("E202", "'")]),
        ("x < v", [("E212", "x < v")]),
        ("__import__('os')", [("E202", "'os'")]),
        ("f(x=1)", [("E202", "=")]),
        ("x² − é", [("E202", "²"), ("E202", "−"), ("E202", "é")]),
        ("2x", [("E201", "2x")]),
        ("2(x)", [("E201", "2(")]),
        ("x v", [("E201", "x v")]),
        ("(x)(v)", [("E201", ")(")]),
        ("(x", [("E201", "(")]),
        ("x)", [("E201", ")")]),
        ("x[k)", [("E201", ")")]),
        ("x[k][k]", [("E201", "[")]),
        ("x +", [("E201", "+")]),
        ("x * * v", [("E201", "*")]),
        ("(x, v)", [("E201", ",")]),
        ("f(x,)", [("E201", ")")]),
        ("f(*x)", [("E201", "*")]),
        ("()", [("E201", ")")]),
        ("", [("E201", "")]),
        ("007", [("E201", "007")]),
        ("1j", [("E201", "1j")]),
        ("lambda x", [("E208", "lambda")]),
        ("1 is x", [("E208", "is")]),
        ("True", [("E208", "True")]),
        ("beta(x)", [("E204", "beta")]),
        ("sqrt", [("E204", "sqrt")]),
        ("sqrt(x, v) + f()", [("E205", "sqrt(x, v)"), ("E205", "f()")]),
        ("x[1+k] + beta[k] + y[k]", [("E211", "1+k"), ("E211", "beta[k]"), ("E203", "y")]),
        ("x[k+17]", [("E211", "k+17")]),
        ("x**65 + x**-65", [("E206", "65"), ("E206", "-65")]),
        ("(x**60)**60", [("E206", "(x**60)**60")]),
        ("2**1e300", [("E206", "1e300")]),
        ("(10**12)**64", [("E207", "(10**12)**64")]),
        ("(1 + 1e-300)**64", [("E207", "(1 + 1e-300)**64")]),
        ("exp(exp(exp(exp(9))))", [("E207", "exp(exp(9))")]),
        ("max(exp(exp(100)), 1)", [("E207", "exp(exp(100))")]),
        ("1e301 + 1e-301 + 1e999 + 1e-999", [("E207", f"1e{n}") for n in (301, -301, 999, -999)]),
        ("9999999999999", [("E207", "9999999999999")]),
        ("1/0", [("E209", "0")]),
        ("1/(x - x)", [("E209", "x - x")]),
        ("0**-1", [("E209", "0**-1")]),
        ("log(0) + sqrt(-2)", [("E209", "log(0)"), ("E209", "sqrt(-2)")]),
        ("(-8)**(1/3)", [("E209", "(-8)**(1/3)")]),
    ],
)  # fmt: skip
def test_what_is_refused_and_where(text: str, expected: list[tuple[str, str]]) -> None:
    assert errors(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "(" * 51 + "x" + ")" * 51,
        "(" * 100_000,
        "-" * 201 + "x",
        "**".join(["2"] * 300),
        "+".join(["x"] * 300),
        "x" * 2001,
        "9" * 5000,
    ],
)
def test_bounds(text: str) -> None:
    assert [code for code, _ in errors(text)] == ["E210"]


@pytest.mark.parametrize("text", ["(" * 50 + "x" + ")" * 50, "-" * 200 + "x"])
def test_the_largest_that_is_allowed(text: str) -> None:
    assert parsed(text) == X


def test_without_a_counter() -> None:
    assert parse("-x + v", ODE_SCOPE)[0] == V - X
    assert errors("x[k] + k", ODE_SCOPE) == [("E211", "x[k]"), ("E203", "k")]


def test_a_function_may_refuse_its_arguments() -> None:
    def field(*arguments: sp.Expr) -> sp.Expr:
        raise ValueError("the first argument is t")

    scope = Scope(SCOPE.symbols, SCOPE.indexed, {"f": (field, None)}, COUNTER)
    assert errors("2*f(x)", scope) == [("E205", "f(x)")]


def test_positions_in_a_text_that_is_not_the_files_own() -> None:
    reporter = Reporter()
    source = Source("a.yaml", '"x \\x2b y"')
    parse_expression(Located("x + y", Span(source, 1, 9)), SCOPE, reporter)
    assert [diagnostic.span for diagnostic in reporter.diagnostics] == [Span(source, 1, 9)]


CHARACTERS = "xvmk0129+-*/()[],.^ \n\t'\"#=<é²−"
WORDS = (
    "**", "//", "beta", "β1", "[k+1]", "[k-1]", "sqrt(", "f(t,", "max(", "exp(", "grad(", "log(",
    "1e9", "1e-300", "0.5", "lambda", "if", "None", "__import__",
)  # fmt: skip
FRAGMENTS = st.sampled_from([*CHARACTERS, *WORDS])


@settings(max_examples=300, deadline=None)
@given(st.one_of(st.lists(FRAGMENTS, max_size=20).map("".join), st.text(max_size=30)))
@example("1 is x")
@example("2(x)")
@example("grad(3)**grad(3)/grad(0)")
@example("\ud800")
def test_any_text_is_an_expression_or_is_reported(text: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        diagnostics = parse(text)[1]
    for diagnostic in diagnostics:
        assert diagnostic.render().encode()


def _leaves() -> st.SearchStrategy[str]:
    decimals = st.decimals(min_value=0, max_value=100, places=3).map(str)
    return st.one_of(
        st.sampled_from(["x", "v[k]", "beta", "β1", "s", "k"]),
        st.integers(0, 20).map(str),
        decimals,
    )


OVER_FEATURES = ("norm", "total", "mean", "maximum", "minimum", "count")
RELATIONS = st.sampled_from(["<", "<=", ">", ">=", "==", "!=", "< 1 and 2 >", "> 0 or not 2 <"])


def _compound(parts: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    one = [
        name
        for name, (_, count) in FUNCTIONS.items()
        if count == 1 and name not in ("sign", *OVER_FEATURES, *MATRIX_NAMES)
    ]
    return st.one_of(
        st.builds("{} {} {}".format, parts, st.sampled_from(list("+-*/")), parts),
        st.builds("({} {} {})".format, parts, st.sampled_from(list("+-*/")), parts),
        st.builds("({})**{}".format, parts, st.integers(-3, 3)),
        st.builds("-{}".format, parts),
        st.builds("{}({})".format, st.sampled_from(one), parts),
        st.builds("sign({})".format, _leaves()),  # of a rounded zero it would be anything
        st.builds("{}({}, {})".format, st.sampled_from(["max", "min"]), parts, parts),
        st.builds("hardtanh({}, -{}, 2)".format, parts, st.integers(0, 3)),
        st.builds("where({} {} {}, {}, {})".format, parts, RELATIONS, _leaves(), parts, _leaves()),
    )


TEXTS = st.recursive(_leaves(), _compound, max_leaves=8)
VALUES = {
    "x": sp.Rational(7, 10),
    "v": sp.Rational(-13, 10),
    "beta": sp.Rational(9, 10),
    "β1": sp.Rational(-1, 4),
    "s": sp.Rational(1, 100),
    "k": sp.Integer(5),
}
ELEMENTARY = {
    "sqrt": mpmath.sqrt,
    "abs": abs,
    "sign": mpmath.sign,
    "exp": mpmath.exp,
    "log": mpmath.log,
    "tanh": mpmath.tanh,
    "sigmoid": lambda u: 1 / (1 + mpmath.exp(-u)),
    "softplus": lambda u: mpmath.log(1 + mpmath.exp(u)),
    "silu": lambda u: u / (1 + mpmath.exp(-u)),
    "gelu": lambda u: u * mpmath.ncdf(u),
    "relu": lambda u: max(u, mpmath.mpf(0)),
    "hardtanh": lambda u, low, high: min(max(u, low), high),
    "max": max,
    "min": min,
    "where": lambda condition, a, b: mpmath.mpmathify(a if condition else b),
    "step": lambda u: mpmath.mpf(u > 0),
    "expm1": mpmath.expm1,
    "log1p": mpmath.log1p,
    "cos": mpmath.cos,
    "sin": mpmath.sin,
}


def _evaluated_by_python(text: str) -> mpmath.mpf | None:
    """The value by Python's own eval, at 500 digits; None where there is none that is real."""
    text = re.sub(
        r"(?<!\*\*)(?<!\*\*-)(?<![\wβ])\d+(\.\d+)?", r"mpf('\g<0>')", text.replace("[k]", "")
    )
    names = {name: mpmath.mpf(value.p) / value.q for name, value in VALUES.items()}
    try:
        value = eval(text, {"__builtins__": {}}, {**ELEMENTARY, **names, "mpf": mpmath.mpf})
    except (ZeroDivisionError, OverflowError, ValueError, TypeError):
        return None
    value = mpmath.mpmathify(value)
    return value if isinstance(value, mpmath.mpf) and mpmath.isfinite(value) else None


@settings(max_examples=300, deadline=None)
@given(TEXTS)
@example("2 - x**2/v[k]/3 - -beta")
@example("-(x)**2 + 2*-v[k]")
def test_values_are_those_of_python(text: str) -> None:
    with mpmath.workdps(500):
        expected = _evaluated_by_python(text)
        assume(expected is not None and 1e-20 < abs(expected) < 1e20)
        expression, diagnostics = parse(text)
        assume(not diagnostics)
        actual = sp.lambdify((X, V, BETA, GREEK, S, COUNTER), expression, [ELEMENTARY, "mpmath"])(
            *(mpmath.mpf(value.p) / value.q for value in VALUES.values())
        )
        assert abs(actual - expected) <= 1e-25 * abs(expected)


ATOMS = st.sampled_from(
    [X, V, BETA, GREEK, S, COUNTER, At(X, -1), At(V, 1), Gradient(X), Field(TIME, X)]
)
NUMBERS = st.one_of(
    st.integers(-50, 50).map(sp.Integer),
    st.fractions(-9, 9, max_denominator=12).map(lambda q: sp.Rational(q.numerator, q.denominator)),
    st.decimals(0, 10, places=3).map(lambda d: sp.Rational(str(d))),
)
UNARY = st.sampled_from([sp.tanh, sp.exp, sp.Abs, sp.sign, sigmoid, softplus, relu])


def _sums_and_products(parts: st.SearchStrategy[sp.Expr]) -> st.SearchStrategy[sp.Expr]:
    return st.one_of(
        st.builds(sp.Add, parts, parts),
        st.builds(sp.Mul, parts, parts),
        st.builds(sp.Pow, ATOMS, st.integers(-4, 4)),
        st.builds(lambda a: sp.sqrt(1 + a**2), parts),
        st.builds(lambda function, a: function(a), UNARY, parts),
    )


@settings(max_examples=200, deadline=None)
@given(st.recursive(st.one_of(ATOMS, NUMBERS), _sums_and_products, max_leaves=8))
def test_what_is_printed_is_read_back(expression: sp.Expr) -> None:
    assume(not expression.has(sp.nan, sp.zoo, sp.oo, sp.re) and sp.E not in expression.atoms())
    text = re.sub(r"\bg\(", "grad(", to_text(expression))
    value, diagnostics = parse(text)
    assume(not {d.code for d in diagnostics} & {"E206", "E207"})
    assert value is not None, [diagnostic.render() for diagnostic in diagnostics]
    difference = (value - expression).doit()  # SymPy leaves some of what it builds unevaluated
    assert difference == 0 or sp.simplify(difference) == 0, text


def test_numbers_print_as_they_were_written() -> None:
    assert to_text(parsed("0.9*x + 1e-8")) == "0.9*x + 1e-08"
    assert math.isclose(float(parsed("0.1 + 0.2")), 0.3, rel_tol=0)


def test_a_maximum_of_one_argument_is_offered_the_one_over_features() -> None:
    _, (found,) = parse("max(x)")
    assert found.hint == "`maximum(...)` is taken over the values of each sample"
