"""What must hold of every text: it is read or refused, quickly, and a module does what it says."""

from __future__ import annotations

import math
import re
import statistics
from collections.abc import Callable, Mapping

import sympy as sp
import torch

from optode import SpecError
from optode.codegen.in_memory import class_from_text
from optode.derivation import Derivation
from optode.diagnostics import Located, Reporter, Source, Span
from optode.language.symbols import TIME, Field, Reduction, field_call, symbol
from optode.language.text import to_text
from optode.spec.expression import FUNCTIONS, Scope, parse_expression
from optode.spec.reader import parse_spec
from optode.time_limit import time_limit
from tests.fuzz.strategies import OdeText

SECONDS = 8.0
"""Beyond which an answer counts as a fault."""

LONGEST = 400
UNSAYABLE = re.compile(r"[0-9]{14}|e[+-]30")
"""A spec has no text for a long integer that is no decimal, nor for the largest floats."""

FAULTS = {"E900", "E901"}
NAMES = ("x", "v", "beta", "eps", "t")
SCOPE = Scope(
    {name: symbol(name) for name in NAMES}, {}, {**FUNCTIONS, "f": (field_call, None)}, None
)
Vector = list[float]


class TooSlow(Exception):
    """Nothing came within the time; such an example is not made smaller, which would take for ever."""


class NoNumber(Exception):
    """The value at a point is not finite, complex, or lies at a jump."""


def parsed(text: str) -> sp.Expr | None:
    """Read an expression; None if it is refused, which needs a diagnostic."""
    reporter = Reporter()
    located = Located(text, Span(Source("a.yaml", text), 0, len(text)))
    value = parse_expression(located, SCOPE, reporter)
    assert (value is None) == bool(reporter.diagnostics)
    assert all(d.render() and d.code not in FAULTS for d in reporter.diagnostics)
    return value


def check_expression(text: str) -> None:
    """An expression is refused, or its text means the expression again."""
    with time_limit(SECONDS):
        value = parsed(text)
        if value is None:
            return
        again = to_text(value)
        if len(again) > LONGEST or UNSAYABLE.search(again):
            return
        value_again = parsed(again)
    assert value_again is not None, again
    assert value_again == value or _agree(value, value_again), again


def _agree(value: sp.Expr, other: sp.Expr) -> bool:
    """Compare at two points; where there is no number nothing is said."""
    for shift in (0.3, 1.1):
        point = {symbol(n): [shift + 0.2 * i] for i, n in enumerate(NAMES)}
        try:
            a, b = (evaluated(e, point)[0] for e in (value, other))
        except NoNumber:
            continue
        if not math.isclose(a, b, rel_tol=1e-7, abs_tol=1e-9):
            return False
    return True


def check_spec(text: str) -> Derivation | None:
    """A spec is refused with diagnostics that are no fault, or gives a module that compiles."""
    try:
        with time_limit(SECONDS):
            derivation = Derivation(parse_spec(text, "q.yaml"))
            derivation.show()
            if derivation.spec.has_model:
                compile(derivation.module_text, "q.py", "exec")
    except SpecError as error:
        assert str(error)
        codes = {diagnostic.code for diagnostic in error.diagnostics}
        if "E901" in codes:
            raise TooSlow(f"{error}\n{text}") from error
        assert not codes & FAULTS, str(error)
        return None
    return derivation


def check_ode(ode: OdeText) -> None:
    """The module of an ODE has the vector field that is written in the spec."""
    derivation = check_spec(ode.text)
    if derivation is None:
        return
    names = (*ode.states, *ode.parameters, "t")
    scope = Scope({n: symbol(n) for n in names}, {}, {**FUNCTIONS, "f": (field_call, None)}, None)
    reporter = Reporter()
    located = (Located(e, Span(Source("a", e), 0, len(e))) for e in ode.equations)
    equations = [parse_expression(e, scope, reporter) for e in located]
    check_vector_field(derivation, dict(zip(ode.states, equations, strict=True)))


def check_rule(text: str) -> None:
    """The module of a rule has the vector field of its derived equations."""
    derivation = check_spec(text)
    if derivation is not None and derivation.spec.has_model:
        model = derivation.model
        pairs = zip(map(str, model.states), model.equations, strict=True)
        check_vector_field(derivation, dict(pairs))


def check_vector_field(derivation: Derivation, equations: Mapping[str, sp.Expr]) -> None:
    """Compare a module with its equations in plain numbers, at points of both signs."""
    model = derivation.model
    made = class_from_text(derivation.module_text, "fuzzed", model.class_name)
    try:
        node = made(_Tanh(), span=(0.5, 0.9)).double()
    except ValueError:  # a singular time in the span
        return
    for sign in (1.0, -1.0):
        states = {z: [sign * (0.3 + 0.4 * i), 0.7 - 0.2 * i] for i, z in enumerate(equations)}
        point = {symbol(z): values for z, values in states.items()}
        for parameter in model.parameters:
            number = torch.as_tensor(getattr(node, parameter.symbol.name)).item()
            point[parameter.symbol] = [number] * 2
        point[TIME] = [0.6, 0.6]
        tensors = [torch.tensor([values], dtype=torch.float64) for values in states.values()]
        found = node.vector_field(torch.tensor(0.6, dtype=torch.float64), made.States(*tensors))
        for rate, equation in zip(found, equations.values(), strict=True):
            assert rate.shape == tensors[0].shape
            try:
                expected = torch.tensor([evaluated(equation, point)], dtype=torch.float64)
            except NoNumber:
                continue
            assert torch.allclose(rate, expected, rtol=1e-6, atol=1e-8), (equation, rate, expected)


class _Tanh(torch.nn.Module):
    def forward(self, t: torch.Tensor, *arguments: torch.Tensor) -> torch.Tensor:
        return torch.tanh(sum(arguments) + t)


def evaluated(expression: sp.Expr, point: Mapping[sp.Symbol, Vector]) -> Vector:
    """Evaluate an expression for a vector of features, in plain Python numbers.

    Written apart from the records of functions. Raises NoNumber where there is no finite number,
    or a kink is so near that rounding decides.
    """
    if expression in point:
        return point[expression]
    length = len(next(iter(point.values())))
    if not expression.args or not expression.has(sp.Symbol, Reduction):
        return [_number(expression)] * length
    inner = [evaluated(argument, point) for argument in expression.args]
    if isinstance(expression, Reduction):
        products = [math.prod(column) for column in zip(*inner, strict=True)]
        return [_finite(_OVER[type(expression).__name__](products))] * length
    if isinstance(expression, Field):
        return [math.tanh(sum(column[1:]) + column[0]) for column in zip(*inner, strict=True)]
    compute = _COMPUTE.get(type(expression).__name__)
    if compute is None:
        raise NoNumber
    try:
        return [_finite(compute(*column)) for column in zip(*inner, strict=True)]
    except (ArithmeticError, ValueError, TypeError):
        raise NoNumber from None


def _number(expression: sp.Expr) -> float:
    value = complex(expression.evalf(17))
    if value.imag:
        raise NoNumber
    return _finite(value.real)


def _finite(value: float | complex) -> float:
    if isinstance(value, complex) or not math.isfinite(value) or abs(value) > 1e12:
        raise NoNumber
    return value


def _away_from_zero(value: float) -> float:
    if abs(value) < 1e-7:
        raise NoNumber
    return value


def _step(u: float) -> float:
    return float(_away_from_zero(u) > 0)


def _power(base: float, exponent: float) -> float | complex:
    if abs(base) < 1e-9 and exponent < 1:
        raise NoNumber
    return base**exponent


_OVER: Mapping[str, Callable[[Vector], float]] = {
    "dot": math.fsum,
    "total": math.fsum,
    "mean": statistics.fmean,
    "highest": max,
    "lowest": min,
}
_COMPUTE: Mapping[str, Callable[..., float | complex]] = {
    "Add": lambda *terms: math.fsum(terms),
    "Mul": lambda *factors: math.prod(factors),
    "Pow": _power,
    "Abs": abs,
    "sign": lambda u: math.copysign(1.0, _away_from_zero(u)),
    "exp": math.exp,
    "log": math.log,
    "tanh": math.tanh,
    "erf": math.erf,
    "sigmoid": lambda u: 1 / (1 + math.exp(-u)),
    "softplus": lambda u: math.log1p(math.exp(u)),
    "silu": lambda u: u / (1 + math.exp(-u)),
    "gelu": lambda u: u * (1 + math.erf(u / math.sqrt(2))) / 2,
    "relu": lambda u: max(u, 0.0),
    "step": _step,
    "hardtanh": lambda u, low, high: min(max(u, low), high),
    "atan2": math.atan2,
    "where": lambda c, a, b: a if c > 0.5 else b,
    "expm1": math.expm1,
    "log1p": math.log1p,
    "cos": math.cos,
    "sin": math.sin,
}
