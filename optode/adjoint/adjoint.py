"""The adjoint system: the equations of the costates, by reversing the vector field's program.

For ``z' = F(t, z, f(t, h), p)`` and a loss L the costates ``a_i = dL/dz_i(t)`` obey

    a_j' = - sum_i (dF_i/dz_j) a_i - [j is an argument of f] J^T c,   c = sum_i (dF_i/df) a_i
    dL/dp = int (sum over elements of sum_i (dF_i/dp) a_i) dt
    dL/dtheta = int (df/dtheta)^T c dt

backwards from ``a(T) = dL/dz(T)``, jumping by the observation's cotangent at every observation time
(Pontryagin et al. 1962; Chen et al. 2018, arXiv:1806.07366). One vector-Jacobian product of the
field for each of its calls gives J^T c and the integrand of dL/dtheta together.
"""

from __future__ import annotations

from dataclasses import dataclass

import sympy as sp

from optode.adjoint.reverse import reverse
from optode.language.ordering import ordered_terms
from optode.language.presentation import present
from optode.language.program import (
    Assign,
    FieldCall,
    FieldPullback,
    Program,
    Statement,
    Total,
    lower,
)
from optode.language.symbols import TIME, Field, FieldTransposed, Oracle, Tangent, symbol
from optode.model.model import NeuralODE


@dataclass(frozen=True, slots=True)
class AdjointSystem:
    """The neural ODE with its costates.

    ``equations`` are the costates' derivatives, ``JT(c)`` written ``FieldTransposed(c)``, and
    ``quadratures`` the integrands of the gradients of the learned parameters, to be summed over
    elements. ``forward`` computes the vector field: (t, states, parameters) -> (dz/dt, ...);
    ``backward`` (t, states, costates, parameters) -> (da/dt, ..., one scalar integrand for each
    learned parameter).
    """

    model: NeuralODE
    costates: tuple[sp.Symbol, ...]
    equations: tuple[sp.Expr, ...]
    quadratures: tuple[tuple[sp.Symbol, sp.Expr], ...]
    forward: Program
    backward: Program


def adjoint_system(model: NeuralODE) -> AdjointSystem:
    """Derive the adjoint of a neural ODE, as equations and as programs."""
    costates = tuple(symbol(f"a_{state}") for state in model.states)
    parameters = tuple(p.symbol for p in model.parameters)
    learned = tuple(p.symbol for p in model.parameters if p.is_learned)
    derivatives = tuple(symbol(f"d{state}_dt") for state in model.states)
    forward = lower(
        (TIME, *model.states, *parameters), dict(zip(derivatives, model.equations, strict=True))
    )
    numbers = [TIME, *(p.symbol for p in model.parameters if not p.per_feature)]
    statements, bars = reverse(forward, dict(zip(derivatives, costates, strict=True)), numbers)
    rates = [present(-bars.get(state, sp.S.Zero)) for state in model.states]
    integrands = [(p, present(bars.get(p, sp.S.Zero))) for p in learned]
    final: list[Assign | Total] = [
        Assign(symbol(f"d{a}_dt"), rate) for a, rate in zip(costates, rates, strict=True)
    ]
    final += [Total(symbol(f"{p}_bar"), integrand, p) for p, integrand in integrands]
    backward = Program(
        inputs=(TIME, *model.states, *costates, *parameters),
        statements=(*statements, *final),
        outputs=tuple(statement.name for statement in final),
    )
    meaning = _meaning(statements)
    return AdjointSystem(
        model=model,
        costates=costates,
        equations=tuple(_as_equation(rate, meaning) for rate in rates),
        quadratures=tuple((p, _as_equation(e, meaning)) for p, e in integrands),
        forward=forward,
        backward=backward,
    )


def _meaning(statements: tuple[Statement, ...]) -> dict[sp.Symbol, sp.Expr]:
    """Return what each name of the reverse program means, in the states and costates."""
    meaning: dict[sp.Symbol, sp.Expr] = {}
    for statement in statements:
        if isinstance(statement, Assign):
            meaning[statement.name] = present(statement.value.xreplace(meaning))
        elif isinstance(statement, FieldCall):
            at = tuple(meaning.get(a, a) for a in statement.arguments)
            along = tuple(meaning.get(u, u) for u in statement.directions)
            when = () if statement.time is None else (statement.time,)
            name = statement.operator
            call = Oracle(name, *when, *at) if name else Field(TIME, *at)
            direction = along if len(along) == 1 else (sp.Tuple(*along),)
            meaning[statement.name] = Tangent(call, *direction) if along else call
        elif isinstance(statement, FieldPullback):
            for name, argument in zip(statement.names, _arguments(statement, meaning), strict=True):
                meaning[name] = transposed(meaning[statement.cotangent], *argument)
    return meaning


def _arguments(
    pullback: FieldPullback, meaning: dict[sp.Symbol, sp.Expr]
) -> list[tuple[sp.Expr, ...]]:
    """Return what each transposed Jacobian is named after, as FieldTransposed takes it.

    It is the argument of f, or nothing where f has one argument; of an operator its call. For a
    Jacobian product J(u) the product comes first; its transpose in u is that of J.
    """
    call = pullback.call
    partial = [(a,) for a in call.arguments] if len(call.arguments) > 1 else [()]
    value = meaning[call.name]
    if call.operator:
        partial = [(value.args[0] if call.directions else value,)]
    if not call.directions:
        return partial
    return [(value, *p) for p in partial] + partial


def transposed(cotangent: sp.Expr, *partial: sp.Symbol) -> sp.Expr:
    """Return ``J^T c`` with a leading minus of c taken out: it is linear in c."""
    if ordered_terms(cotangent)[0].could_extract_minus_sign():
        return -FieldTransposed(present(-cotangent), *partial)
    return FieldTransposed(cotangent, *partial)


def _as_equation(expression: sp.Expr, meaning: dict[sp.Symbol, sp.Expr]) -> sp.Expr:
    return present(expression.xreplace(meaning))
