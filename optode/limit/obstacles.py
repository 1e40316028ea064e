"""Say why a rule has no scaling."""

from __future__ import annotations

from collections.abc import Sequence

import sympy as sp

from optode.diagnostics import Diagnostic
from optode.language.symbols import COUNTER
from optode.language.text import to_text
from optode.limit.exponents import Sizes
from optode.limit.increment_terms import Term
from optode.rule.rule import UpdateRule

_HINT = "every increment must vanish with the step size; let a hyper-parameter depend on it"


def obstacles(
    rule: UpdateRule, terms: Sequence[Term], sizes: Sizes | None
) -> tuple[Diagnostic, ...]:
    """Return what is in the way: the largest terms of the position, at sizes of one power each."""
    span = rule.span_of(0)
    if sizes is None:
        message = "no continuous limit: a state has no finite size"
        return (Diagnostic("E401", message, span, _HINT),)
    moving = [(t, sizes.of(t.expression)) for t in terms if t.state == 0]
    exponents = {t: sizes.value(form) for t, form in moving if form is not None}
    if not exponents:
        return (_standstill(rule, terms, sizes),)
    least = min(exponents.values())
    if least <= 0 and not _has_small_parameter(rule):
        return (_nothing_small(rule),)
    hint: str | None = _HINT
    words = f"of order {rule.step_size}**({least})"
    if least > 0:
        words = "which vanishes with the step size but determines no unit of time"
        hint = f"choose one: `scaling: {{time: {rule.step_size}}}`" if least == 1 else None
        if any(index == 0 for index, _ in rule.declared_powers):
            words = "which is smaller than the declared time step"
            hint = "the position would not move: declare a shorter one, or leave it out"
    before = f"no continuous limit: the increment of `{rule.position}` has the term"
    return tuple(
        Diagnostic("E401", f"{before} {to_text(term.expression)}, {words}", span, hint)
        for term, exponent in exponents.items()
        if exponent == least
    )


def _has_small_parameter(rule: UpdateRule) -> bool:
    """Return whether the step size, or a decay that may move with it, stands in the rule."""
    values = [value for _, value in (*rule.step, *rule.formulas)]
    return bool(rule.decays) or any(value.has(rule.step_size) for value in values)


def _nothing_small(rule: UpdateRule) -> Diagnostic:
    """Report that the step size stands in no line, so that the steps stay as long as they are."""
    s, x = rule.step_size, rule.position
    message = f"no continuous limit: `{s}` stands in no line, so the rule has no small parameter"
    hint = f"let `{s}` multiply what `{x}` gains in a step: `{x}[k+1] = {x}[k] + {s}*(...)`"
    return Diagnostic("E401", message, rule.span_of(0), hint)


def _standstill(rule: UpdateRule, terms: Sequence[Term], sizes: Sizes) -> Diagnostic:
    """Report that nothing moves the position, and what has died out where that is why."""
    for term in terms:
        powers = [p for p in term.expression.atoms(sp.Pow) if p.exp.has(COUNTER)]
        dying = ", ".join(to_text(p) for p in powers if sizes.of(p) is None)
        if dying:
            return died_out(rule, term.state, dying)
    return Diagnostic("E401", "no continuous limit: the position stays", rule.span_of(0))


def died_out(rule: UpdateRule, index: int, dying: str) -> Diagnostic:
    """Report that a state is changed at the beginning by what dies out."""
    state = rule.states[index]
    message = (
        f"no continuous limit: `{state}` is changed by {dying}, which dies out within a few steps: "
        "where it ends up has no closed form"
    )
    hint = f"leave the term out, and start `{state}` at the value that it tends to"
    return Diagnostic("E403", message, rule.span_of(index), hint)
