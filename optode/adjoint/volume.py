"""How the flow of a model changes volumes: the trace of the vector field's Jacobian.

``d/dt det(dz(t)/dz(t0)) = tr(dz'/dz) det`` (Liouville). A field in the equation of one state that
is read at another stands off the diagonal, so that often the elementwise part alone is left.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import sympy as sp

from optode.calculus.integrals import growth
from optode.language.derivative import partial
from optode.language.effort import cancelled, expanded
from optode.language.presentation import present
from optode.language.symbols import Field, Oracle, Reduction, Tangent
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
    """Derive how volumes change.

    None where the diagonal is more than elementwise parts and the Jacobian of one call.
    """
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
    if trace.has(tr, element_sum):
        return Volume(trace, None)
    return Volume(trace, growth(cancelled(trace / ELEMENTS), START, END, ELEMENTS))


def _diagonal(
    state: sp.Symbol, right: sp.Expr, states: tuple[sp.Symbol, ...]
) -> list[sp.Expr] | None:
    """Return the traces that one state's own block of the Jacobian is made of."""
    reductions = right.atoms(Reduction, Tangent, Oracle)
    if any(node.has(state) for node in reductions):
        return None
    names = {call: sp.Dummy(real=True) for call in right.atoms(Field)}
    opened = right.xreplace(names)
    found = []
    for term in sp.Add.make_args(expanded(partial(opened, state))):
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
