"""The methods of a module that evaluate equations and pull costates back, from their programs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import sympy as sp

from optode.adjoint.adjoint import AdjointSystem
from optode.codegen.statements import BODY, Statements, call_lines, tuple_lines, unpacking
from optode.language.program import Total
from optode.model.model import NeuralODE


def forward_lines(
    system: AdjointSystem, given: Iterable[sp.Symbol] = (), kind: str = "States"
) -> tuple[str, ...]:
    """The body that returns the derivatives of the states, as ``kind``.

    The method is called with the parameters given, and has the others from its module.
    """
    model, program = system.model, system.forward
    statements = Statements(model, model.states, program.outputs, program.statements, given)
    statements.divisors = set() if kind else _divisors(model)
    rates = _made("return", kind, program.outputs)
    return (*unpacking(model.states, "states"), *statements.lines(), *rates)


def linear_lines(
    system: AdjointSystem, given: Iterable[sp.Symbol] = (), kind: str = "States"
) -> dict[str, Any]:
    """The forward program, and the backward program as a function within its scope.

    They share the field's calls; what they read of each other stays where it was computed. Where
    ``kind`` is no named tuple, the gradient by what has no part in the equations is None.
    """
    model, forward, backward = system.model, system.forward, system.backward
    costate_rates = backward.outputs[: len(system.costates)]
    idle = {s.name for s in backward.statements if isinstance(s, Total) and s.value == 0}
    idle &= set() if kind else set(backward.outputs)
    added = [
        s
        for s in backward.statements
        if s not in forward.statements and not (isinstance(s, Total) and s.name in idle)
    ]
    statements = Statements(
        model,
        (*model.states, *system.costates),
        (*forward.outputs, *costate_rates),
        (*forward.statements, *added),
        given,
    )
    statements.divisors = set() if kind else _divisors(model)
    learned = backward.outputs[len(costate_rates) :]
    bars = ["None" if name in idle else str(name) for name in learned]
    field_bars = statements.field_bars()
    if not kind and not statements.pulled:
        field_bars = "[None] * len(parameters)"
    inner = BODY + 4
    return {
        "linear_lines": (
            *unpacking(model.states, "states"),
            *statements.parameters(),
            *statements.block(forward.statements),
        ),
        "pull_lines": (
            *unpacking(system.costates, "costates", inner),
            *statements.block(added, inner),
            *_made("rates =", kind, costate_rates, inner),
            *tuple_lines("return rates,", [*bars, f"*{field_bars}"], inner),
        ),
        "returned_lines": _made("rates =", kind, forward.outputs),
    }


def _divisors(model: NeuralODE) -> set[sp.Symbol]:
    """Rates that mean rates are divided by, which may vanish: they tend to a limit."""
    divided = (sp.fraction(sp.together(equation))[1] for equation in model.equations)
    rates = {p.symbol for p in model.parameters if p.is_learned}
    return rates & set().union(*(x.free_symbols for x in divided))


def _made(start: str, kind: str, names: Iterable[sp.Symbol], indent: int = BODY) -> tuple[str, ...]:
    """``start kind(a, b)``."""
    items = list(map(str, names))
    if kind:
        return tuple(call_lines(f"{start} {kind}(", items, ")", indent))
    return tuple(tuple_lines(start, items, indent))
