"""From a spec's text to the update rule."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from fractions import Fraction
from functools import partial

import sympy as sp

from optode.diagnostics import Diagnostic, Located, Reporter, Span, SpecError
from optode.language.symbols import COUNTER, Gradient, Oracle, step_symbol, symbol
from optode.rule.normal_form import normal_form
from optode.rule.rule import RuleError, UpdateRule, update_rule
from optode.spec.expression import FUNCTIONS, Scope, parse_expression
from optode.spec.reader import Spec


def build_rule(spec: Spec) -> UpdateRule:
    """The update rule a spec writes down.

    Raises SpecError with all errors of the rule: unknown names, an implicit step, a difference
    state whose name is taken, a scaling that is none.
    """
    reporter = Reporter()
    scope = _scope(spec)
    formulas = parse_pairs(
        [(p.name, p.formula) for p in spec.parameters if p.formula is not None], scope, reporter
    )
    start = parse_pairs(spec.start, scope, reporter)
    update = parse_pairs([(a.target, a.expression) for a in spec.assignments], scope, reporter)
    reporter.raise_if_any()
    states = [symbol(s.text) for s in spec.states]
    try:
        rule = update_rule(
            spec.name.text, _step_size(spec), states, dict(update), dict(formulas), dict(start)
        )
    except RuleError as error:
        where = {a.target.text: a.expression.span for a in spec.assignments}
        for flaw in error.flaws:
            reporter.error(flaw.code, flaw.message, where[str(flaw.target)], flaw.hint)
        raise SpecError(reporter.diagnostics) from error
    rule = normal_form(rule)
    powers = _declared_powers(spec, rule.states, scope, reporter)
    reporter.raise_if_any()
    decays = tuple(symbol(p.name.text) for p in spec.parameters if p.is_decay)
    vectors = tuple(symbol(p.name.text) for p in spec.parameters if p.is_vector)
    spans = _spans(spec, rule.states)
    return replace(rule, decays=decays, vectors=vectors, declared_powers=powers, spans=spans)


def expression_errors(spec: Spec) -> tuple[Diagnostic, ...]:
    """The errors in the rule's expressions of a spec that could not be read as a whole.

    An unknown name counts only where it is close to a known one and stands nowhere as a key: a
    broken section may have meant to declare it.
    """
    if spec.is_ode:
        return ()
    reporter, scope = Reporter(), _scope(spec)
    formulas = [(p.name, p.formula) for p in spec.parameters if p.formula is not None]
    update = [(a.target, a.expression) for a in spec.assignments]
    parse_pairs([*formulas, *update], scope, reporter)
    return tuple(d for d in reporter.diagnostics if d.code != "E203" or _is_misspelt(d))


def _is_misspelt(unknown: Diagnostic) -> bool:
    if unknown.hint is None or unknown.span is None:
        return False
    text, name = unknown.span.source.text, unknown.span
    return text[name.start : name.end] not in re.findall(r"(\w+)\s*:", text)


def _step_size(spec: Spec) -> sp.Symbol:
    return step_symbol(spec.step_size.text if spec.step_size else "s")


def _scope(spec: Spec) -> Scope:
    """What an expression of the rule may name."""
    sequences = [*spec.states, *(a.target for a in spec.assignments if a.kind == "define")]
    learned = spec.model.parameters if spec.model else ()
    symbols: dict[str, sp.Expr] = {p.name.text: symbol(p.name.text) for p in spec.parameters}
    symbols |= {p.name.text: symbol(p.name.text) for p in learned}
    if spec.step_size:
        symbols[spec.step_size.text] = _step_size(spec)
    indexed = {s.text: symbol(s.text) for s in sequences}
    functions = {**FUNCTIONS, "grad": (Gradient, 1)}
    for parameter in spec.parameters:
        if parameter.is_oracle:
            functions[parameter.name.text] = (partial(Oracle, symbols.pop(parameter.name.text)), 1)
    return Scope(symbols, indexed, functions, COUNTER)


def parse_pairs(
    pairs: Iterable[tuple[Located, Located]], scope: Scope, reporter: Reporter
) -> tuple[tuple[sp.Symbol, sp.Expr], ...]:
    """Read ``name: expression`` pairs as SymPy; those with errors are reported and left out."""
    parsed = [(symbol(n.text), parse_expression(value, scope, reporter)) for n, value in pairs]
    return tuple((name, value) for name, value in parsed if value is not None)


def _declared_powers(
    spec: Spec, states: tuple[sp.Symbol, ...], scope: Scope, reporter: Reporter
) -> tuple[tuple[int, Fraction], ...]:
    """The entries of ``scaling``, each a power of the step size."""
    names = {"time": 0} | {str(state): index for index, state in enumerate(states) if index}
    powers: list[tuple[int, Fraction]] = []
    for name, value in spec.scaling:
        expression = parse_expression(value, scope, reporter)
        if expression is None:
            continue
        _, exponent = expression.as_base_exp()
        if name.text not in names or not exponent.is_Rational:
            reporter.error("E303", "not a scaling of the rule", name.span, _SCALING_HINT)
        elif expression != _step_size(spec) ** exponent and expression != 1:
            reporter.error("E303", "not a power of the step size", value.span, _SCALING_HINT)
        else:
            power = exponent if expression != 1 else sp.S.Zero
            if name.text == "time" and power <= 0:
                message = "the time step must vanish with the step size"
                reporter.error("E303", message, value.span, _SCALING_HINT)
                continue
            powers.append((names[name.text], Fraction(int(power.p), int(power.q))))
    return tuple(powers)


_SCALING_HINT = "write `time` or an auxiliary state, and a power of the step size: `v: sqrt(s)`"


def _spans(spec: Spec, states: tuple[sp.Symbol, ...]) -> tuple[Span | None, ...]:
    written = {a.target.text: a.expression.span for a in spec.assignments if a.kind == "next"}
    first = next(iter(written.values()), None)
    return tuple(written.get(str(state), first) for state in states)
