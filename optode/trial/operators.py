"""Put something in the place of the operators that a caller would give."""

from __future__ import annotations

from dataclasses import replace

import sympy as sp

from optode.language.symbols import Oracle
from optode.rule.rule import UpdateRule


def with_operators(rule: UpdateRule) -> UpdateRule:
    """Return the rule with tanh in place of the operators that the caller would give."""

    def is_given(node: sp.Basic) -> bool:
        return type(node) is Oracle

    def replaced(pairs: tuple[tuple[sp.Expr, sp.Expr], ...]) -> tuple[tuple[sp.Expr, sp.Expr], ...]:
        return tuple((z, v.replace(is_given, lambda call: sp.tanh(call.args[1]))) for z, v in pairs)

    return replace(
        rule,
        step=replaced(rule.step),
        start=replaced(rule.start),
        formulas=replaced(rule.formulas),
        written=replaced(rule.written),
        written_start=replaced(rule.written_start),
    )
