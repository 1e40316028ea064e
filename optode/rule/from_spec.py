"""From a spec's text to the update rule."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import partial

import sympy as sp

from optode.diagnostics import Diagnostic, Located, Reporter, Span, SpecError, quoted
from optode.language.symbols import COUNTER, Gradient, Loss, Oracle, step_symbol, symbol
from optode.rule.rule import RuleError, UpdateRule
from optode.rule.update_rule import update_rule
from optode.spec.expression import FUNCTIONS, Function, Scope, parse_expression
from optode.spec.reader import Spec
from optode.spec.undeclared import offered


def build_rule(spec: Spec) -> UpdateRule:
    """Return the update rule that a spec writes down.

    Raises SpecError with all errors of the rule: unknown names, an implicit step, a difference
    state whose name is taken, a scaling that is none.
    """
    reporter = Reporter()
    formulas = [(p.name, p.formula) for p in spec.parameters if p.formula is not None]
    update = [(a.target, a.expression) for a in spec.assignments]
    step, outside = _scope(spec), replace(_scope(spec), counter=COUNTER, shifted=frozenset())
    sections = ((update, step), (formulas, step), (spec.start, outside), (spec.scaling, outside))
    values = [dict(parse_pairs(pairs, scope, reporter)) for pairs, scope in sections]
    _report_vectors(formulas, values[1], step, reporter)
    if reporter.diagnostics:
        raise SpecError(offered(reporter.diagnostics, "parameters", "fixed"))
    try:
        rule = update_rule(
            spec.name.text,
            _step_size(spec),
            [symbol(s.text) for s in spec.states],
            *values[:3],
            decays=[symbol(p.name.text) for p in spec.parameters if p.is_decay],
            vectors=[symbol(p.name.text) for p in spec.parameters if p.is_vector],
            scaling=values[3],
            is_matrix=spec.is_matrix,
        )
    except RuleError as error:
        raise SpecError(_diagnostics(spec, error)) from error
    declared = tuple((p.name.text, p.declaration) for p in spec.parameters)
    return replace(rule, spans=_spans(spec, rule.states), declared=declared)


def _report_vectors(
    formulas: Iterable[tuple[Located, Located]],
    values: Mapping[sp.Symbol, sp.Expr],
    scope: Scope,
    reporter: Reporter,
) -> None:
    """Report formulas of hyper-parameters, which are numbers, that read states or gradients (E215)."""
    sequences = set(scope.indexed.values())
    for name, formula in formulas:
        value = values.get(symbol(name.text), sp.S.Zero)
        read = sorted(map(str, value.free_symbols & sequences))
        calls = {"grad": Gradient, "loss": Loss}
        read += [] if read else [name for name, kind in calls.items() if value.has(kind)]
        if read:
            message = f"{quoted(name.text)} is a number, and {quoted(read[0])} has many values"
            hint = f"make it a line of `update:`: `{name.text} = ...`"
            reporter.error("E215", message, formula.span, hint)


def _diagnostics(spec: Spec, error: RuleError) -> list[Diagnostic]:
    """Return the errors of a rule, each with the place in the spec that is at fault."""
    where = {("update", a.target.text): a.expression.span for a in spec.assignments}
    where |= {("start", name.text): name.span for name, _ in spec.start}
    where |= {("scaling", name.text): name.span for name, _ in spec.scaling}
    where |= {("power", name.text): value.span for name, value in spec.scaling}
    return [
        Diagnostic(f.code, f.message, where.get((f.place, str(f.target))), f.hint)
        for f in error.flaws
    ]


def expression_errors(spec: Spec, keys: frozenset[str]) -> tuple[Diagnostic, ...]:
    """Return the errors in the rule's expressions of a spec that could not be read as a whole.

    An unknown name counts only where it is close to a known one and is none of the file's ``keys``:
    a broken section may have meant to declare it.
    """
    if spec.is_ode:
        return ()
    reporter, scope = Reporter(), _scope(spec)
    formulas = [(p.name, p.formula) for p in spec.parameters if p.formula is not None]
    update = [(a.target, a.expression) for a in spec.assignments]
    parse_pairs([*formulas, *update], scope, reporter)
    return tuple(d for d in reporter.diagnostics if d.code != "E203" or _is_misspelt(d, keys))


def _is_misspelt(unknown: Diagnostic, keys: frozenset[str]) -> bool:
    if unknown.hint is None or unknown.span is None:
        return False
    span = unknown.span
    return span.source.text[span.start : span.end] not in keys


def _step_size(spec: Spec) -> sp.Symbol:
    return step_symbol(spec.step_size.text if spec.step_size else "s")


def _scope(spec: Spec) -> Scope:
    """Return the names that an expression of the rule may use, and what they mean."""
    sequences = [*spec.states, *(a.target for a in spec.assignments if a.kind == "define")]
    learned = spec.model.parameters if spec.model else ()
    symbols: dict[str, sp.Expr] = {p.name.text: symbol(p.name.text) for p in spec.parameters}
    symbols |= {p.name.text: symbol(p.name.text) for p in learned}
    if spec.step_size:
        symbols[spec.step_size.text] = _step_size(spec)
    indexed = {s.text: symbol(s.text) for s in sequences}
    functions: dict[str, Function] = {**FUNCTIONS, "grad": (Gradient, 1)}
    if "loss" not in {**symbols, **indexed}:  # what the author declares goes first
        functions["loss"] = (Loss, 1)
    for parameter in spec.parameters:
        if parameter.is_oracle:
            del symbols[parameter.name.text]
            functions[parameter.name.text] = (partial(Oracle, parameter.name.text), 1)
    if not spec.ends_at_k:
        return Scope(symbols, indexed, functions, COUNTER)
    states = frozenset(state.text for state in spec.states)
    return Scope(symbols, indexed, functions, COUNTER + 1, states)


def parse_pairs(
    pairs: Iterable[tuple[Located, Located]], scope: Scope, reporter: Reporter
) -> tuple[tuple[sp.Symbol, sp.Expr], ...]:
    """Read ``name: expression`` pairs as SymPy; those with errors are reported and left out."""
    parsed = [(symbol(n.text), parse_expression(value, scope, reporter)) for n, value in pairs]
    return tuple((name, value) for name, value in parsed if value is not None)


def _spans(spec: Spec, states: tuple[sp.Symbol, ...]) -> tuple[Span | None, ...]:
    written = {a.target.text: a.expression.span for a in spec.assignments if a.kind == "next"}
    first = next(iter(written.values()), None)
    return tuple(written.get(str(state), first) for state in states)
