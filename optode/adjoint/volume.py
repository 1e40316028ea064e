"""How the flow of a model changes volumes: the trace of the vector field's Jacobian.

``d/dt det(dz(t)/dz(t0)) = tr(dz'/dz) det`` (Liouville). A field in the equation of one state that
is read at another stands off the diagonal, so that often the elementwise part alone is left.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import sympy as sp

from optode.language.presentation import present
from optode.language.symbols import TIME, Field, Tangent, dot, partial, total
from optode.model.model import NeuralODE

ELEMENTS = sp.Symbol("N", positive=True)
"""The number of elements of a state."""
START = sp.Symbol("t0", real=True, nonzero=True)
END = sp.Symbol("T", real=True, nonzero=True)
"""The ends of the span; told apart from a state or a parameter of the same name."""


class tr(sp.Function):
    """``tr(c*J_x)``: the trace of the partial Jacobian of the field in x, its rows multiplied by
    c.
    """

    nargs = 1
    is_real = True


class element_sum(sp.Function):
    """``element_sum(u)``: the sum over all elements."""

    nargs = 1
    is_real = True

    def _sympystr(self, printer: Any) -> str:
        return f"sum({printer.doprint(self.args[0])})"

    def _latex(self, printer: Any, exp: str | None = None) -> str:
        return rf"\sum \left({printer.doprint(self.args[0])}\right)"


class jacobian_trace(sp.Function):
    """The trace of dz'/dz, z all states."""

    nargs = 0
    is_real = True

    def _sympystr(self, printer: Any) -> str:
        return "tr(dz'/dz)"

    def _latex(self, printer: Any, exp: str | None = None) -> str:
        return r"\operatorname{tr} \frac{\partial \dot{z}}{\partial z}"


class flow_determinant(sp.Function):
    """The determinant of dz(T)/dz(t0), z all states."""

    nargs = 0
    is_real = True

    def _sympystr(self, printer: Any) -> str:
        return "det(dz(T)/dz(t0))"

    def _latex(self, printer: Any, exp: str | None = None) -> str:
        return r"\det \frac{\partial z(T)}{\partial z(t_{0})}"


@dataclass(frozen=True, slots=True)
class Volume:
    """The trace of dz'/dz, and the determinant of dz(T)/dz(t0) where that has a closed form."""

    trace: sp.Expr
    determinant: sp.Expr | None

    @property
    def jacobians(self) -> tuple[sp.Symbol, ...]:
        """The Jacobians of the field whose traces are taken, ``J`` or ``J_x``."""
        names = {name for node in self.trace.atoms(tr) for name in node.free_symbols}
        return tuple(sorted((name for name in names if name.is_nonzero), key=str))

    @property
    def lines(self) -> Iterator[tuple[sp.Expr, sp.Expr]]:
        """What is known, as equations."""
        yield jacobian_trace(), self.trace
        if self.determinant is not None:
            yield flow_determinant(), self.determinant


def volume(model: NeuralODE) -> Volume | None:
    """How volumes change, or None where the diagonal is more than elementwise parts and one J."""
    diagonal: list[sp.Expr] = []
    calls: set[sp.Expr] = set()
    for state, right in zip(model.states, model.equations, strict=True):
        found = _diagonal(state, right, model.states)
        if found is None:
            return None
        diagonal += found
        calls |= {call for call in right.atoms(Field) if any(term.has(tr) for term in found)}
    if len(calls) > 1:
        return None
    trace = present(sp.Add(*diagonal))
    rate = sp.cancel(trace / ELEMENTS)
    known = not rate.has(tr, element_sum)
    return Volume(trace, growth(rate, START, END, ELEMENTS) if known else None)


def _diagonal(
    state: sp.Symbol, right: sp.Expr, states: tuple[sp.Symbol, ...]
) -> list[sp.Expr] | None:
    """The traces that one state's own block of the Jacobian is made of."""
    reductions = right.atoms(dot, total, Tangent)
    if any(node.has(state) for node in reductions):
        return None
    names = {call: sp.Dummy(real=True) for call in right.atoms(Field)}
    opened = right.xreplace(names)
    found = []
    for term in sp.Add.make_args(sp.expand(partial(opened, state))):
        moving = term.has(*states, *names.values())
        term = term.xreplace({name: call for call, name in names.items()})
        found.append(element_sum(term) if moving else ELEMENTS * term)
    for call, name in names.items():
        for argument in filter(lambda a: a.has(state), call.args[1:]):
            if argument.has(Field):
                return None
            factor = partial(opened, name) * partial(argument, state)
            factor = factor.xreplace({n: c for c, n in names.items()})
            scalar, rows = factor.as_independent(*states, Field, as_Add=False)
            name = f"J_{argument}" if len(call.args) > 2 else "J"
            jacobian = sp.Symbol(name, real=True, nonzero=True)
            found.append(scalar * tr(rows * jacobian))
    return found


def growth(
    rate: sp.Expr, start: sp.Expr, end: sp.Expr, times: sp.Expr = sp.S.One
) -> sp.Expr | None:
    """``exp`` of the integral of ``times*rate``, a power where the rate is a pole: ``(t0/T)**3``.

    None without a closed form.
    """
    poles, rest = _poles(rate)
    falls = poles.could_extract_minus_sign()
    power = (start / end if falls else end / start) ** (times * (-poles if falls else poles))
    gained = integral(rest, start, end)
    return None if gained is None else power * exponential(times * gained)


def integral(rate: sp.Expr, start: sp.Expr, end: sp.Expr) -> sp.Expr | None:
    """The integral of a rate over time, ``-gamma*(T - t0)``; None without a closed form."""
    poles, rest = _poles(rate)
    constant, moving = rest.as_independent(TIME, as_Add=True)
    found = antiderivative(moving)
    if found is None:
        return None
    gained = found.xreplace({TIME: end}) - found.xreplace({TIME: start})
    gained += poles * sp.log(end / start)
    if constant.could_extract_minus_sign():
        return gained + sp.Mul(-1, -constant, end - start)
    return gained + constant * (end - start)


def _poles(rate: sp.Expr) -> tuple[sp.Expr, sp.Expr]:
    """The residue at t = 0, and what else a rate has."""
    terms = sp.Add.make_args(sp.expand(rate))
    poles = [term for term in terms if not (term * TIME).has(TIME)]
    return sp.Add(*poles) * TIME, sp.Add(*(term for term in terms if term not in poles))


def antiderivative(rate: sp.Expr) -> sp.Expr | None:
    """An integral over t, parameters being positive; None where none is found at once.

    Sought term by term, of terms with one function of t beside powers: others may take minutes.
    """
    found = sp.S.Zero
    generic = {s: sp.Dummy(positive=True) for s in rate.free_symbols - {TIME}}
    for term in sp.Add.make_args(sp.expand(rate).xreplace(generic)):
        nodes = (node for node in term.atoms(sp.Function, sp.Pow) if node.has(TIME))
        if sum(not (node.is_Pow and node.exp.is_Integer) for node in nodes) > 1:
            return None
        found += sp.integrate(term, TIME, manual=True)
    if found.has(sp.Integral, sp.Piecewise, sp.zoo, sp.nan):
        return None
    return found.xreplace({dummy: s for s, dummy in generic.items()})


def exponential(exponent: sp.Expr) -> sp.Expr:
    """``exp`` of a sum, where a logarithm in it is a power: ``t**r`` for ``r*log(t)``."""
    rest, powers = sp.S.Zero, sp.S.One
    for term in sp.Add.make_args(exponent):
        logarithms = [f for f in sp.Mul.make_args(term) if isinstance(f, sp.log)]
        if len(logarithms) == 1:
            powers *= logarithms[0].args[0] ** (term / logarithms[0])
        else:
            rest += term
    return powers * sp.exp(rest)
