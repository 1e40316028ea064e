"""From the model part of a spec's text to the architecture it describes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import get_args

import sympy as sp

from optode.diagnostics import Diagnostic, Located, Reporter, SpecError, nearest
from optode.language.symbols import TIME, Field, by_name, field_call, symbol
from optode.limit.limit import ContinuousLimit
from optode.model.model import DERIVED, Architecture, Initial, InitialKind, LearnedParameter
from optode.rule.rule import UpdateRule
from optode.spec.expression import FUNCTIONS, Scope, parse_expression
from optode.spec.reader import InitialSpec, LearnedSpec, ModelSpec, Spec


def read_architecture(
    spec: Spec, limit: ContinuousLimit, step: float | None = None, rule: UpdateRule | None = None
) -> Architecture:
    """The model part of a spec against the limit it applies to.

    ``step`` is the value of the step size where the limit has terms of next order. A parameter of
    the rule that the limit has not (it may be in the next order) is no error and left out.

    Raises SpecError with all its errors: unknown states, missing or unused parameters, bad
    expressions.
    """
    if spec.model is None:
        hint = "add `model: {class: ...}`"
        raise SpecError([Diagnostic("E501", "no `model` part to generate", spec.name.span, hint)])
    given = {} if step is None or spec.step_size is None else {spec.step_size.text: step}
    of_rule = frozenset(rule.free_parameters) if rule is not None else frozenset()
    return _ArchitectureReader(spec.model, limit, given, of_rule).read()


class _ArchitectureReader:
    def __init__(
        self,
        model: ModelSpec,
        limit: ContinuousLimit,
        values: Mapping[str, float],
        of_rule: frozenset[sp.Symbol],
    ) -> None:
        self.model, self.limit, self.of_rule = model, limit, of_rule
        declared = {p.name.text for p in model.parameters}
        self.values = {name: value for name, value in values.items() if name not in declared}
        self.reporter = Reporter()

    def read(self) -> Architecture:
        rename = self.read_rename()
        states = tuple(dict(rename).get(state, state) for state in self.limit.states)
        self.check_distinct(states)
        scope = self.scope(states)
        rewrites = [
            (symbol(e.state.text), parse_expression(e.expression, scope, self.reporter))
            for e in self.model.equations
            if self.is_state(e.state, states)
        ]
        starts = [self.read_initial(i, states, scope) for i in self.model.initial]
        architecture = Architecture(
            class_name=self.model.class_name.text,
            field_sign=-1 if self.model.field.text == "-grad" else 1,
            rename=rename,
            parameters=(
                *map(_learned, self.model.parameters),
                *(LearnedParameter(symbol(n), value=v) for n, v in self.values.items()),
            ),
            initial=tuple(start for start in starts if start is not None),
            rewrites=tuple((state, value) for state, value in rewrites if value is not None),
            span=self.model.span,
        )
        used = self.check_parameters(architecture, states)
        self.reporter.raise_if_any()
        kept = tuple(p for p in architecture.parameters if p.symbol in used)
        return replace(architecture, parameters=kept)

    def field(self, *arguments: sp.Expr) -> sp.Expr:
        """f with as many arguments as the limit's equations give it."""
        calls = [call for e in self.limit.equations for call in e.atoms(Field)]
        number = len(calls[0].args) if calls else 2
        if len(arguments) != number:
            raise ValueError(f"f takes {number} arguments here, the time first")
        return field_call(*arguments)

    def read_rename(self) -> tuple[tuple[sp.Symbol, sp.Symbol], ...]:
        known = tuple(self.limit.states)
        return tuple(
            (symbol(old.text), symbol(new.text))
            for old, new in self.model.rename
            if self.is_state(old, known)
        )

    def is_state(self, name: Located, states: Iterable[sp.Symbol]) -> bool:
        names = [str(state) for state in states]
        if name.text in names:
            return True
        near = nearest(name.text, names)
        known = f"the states are {', '.join(names)}" if names else "the first starts as it is given"
        hint = f"did you mean `{near}`?" if near else known
        self.reporter.error("E502", f"`{name.text}` is not a state here", name.span, hint)
        return False

    def check_distinct(self, states: tuple[sp.Symbol, ...]) -> None:
        taken = [str(s) for s in states]
        for _, new in self.model.rename:
            if taken.count(new.text) > 1:
                self.reporter.error("E503", f"two states named `{new.text}`", new.span)
        for parameter in self.model.parameters:
            if parameter.name.text in taken:
                message = f"`{parameter.name.text}` is a state and a parameter"
                self.reporter.error("E503", message, parameter.name.span)

    def scope(self, states: tuple[sp.Symbol, ...]) -> Scope:
        names = {s.name: s for s in (TIME, DERIVED, *states)}
        names |= {p.name.text: symbol(p.name.text) for p in self.model.parameters}
        return Scope(names, {}, {**FUNCTIONS, "f": (self.field, None)}, None)

    def read_initial(
        self, initial: InitialSpec, states: tuple[sp.Symbol, ...], scope: Scope
    ) -> tuple[sp.Symbol, Initial] | None:
        if not self.is_state(initial.state, states[1:]):
            return None
        kind = initial.value.text.strip()
        for named in get_args(InitialKind):
            if kind == named != "expression":
                return symbol(initial.state.text), Initial(named)
        expression = parse_expression(initial.value, scope, self.reporter)
        return expression and (symbol(initial.state.text), Initial("expression", expression))

    def check_parameters(
        self, architecture: Architecture, states: tuple[sp.Symbol, ...]
    ) -> set[sp.Symbol]:
        """Report parameters without a value or a use; return those the equations have."""
        expressions = [*self.limit.equations, *(e for _, e in architecture.rewrites)]
        expressions += [i.expression for _, i in architecture.initial if i.expression is not None]
        used = set().union(*(e.free_symbols for e in expressions))
        used = {by_name(s) for s in used} - {TIME, DERIVED, *states, *self.limit.states}
        given = {p.symbol for p in architecture.parameters}
        for missing in sorted(used - given, key=str):
            self.reporter.error(
                "E504",
                f"`{missing}` has no value in the model",
                self.model.class_name.span,
                f"add `{missing}: {{init: ..., transform: ...}}` (learned) or `{missing}: "
                "{value: ...}` (fixed) to the model's parameters",
            )
        known = used | self.of_rule
        for unused in (p for p in self.model.parameters if symbol(p.name.text) not in known):
            message = f"no equation of the model has the parameter `{unused.name.text}`"
            self.reporter.error("E505", message, unused.name.span, "remove it")
        return used


def _learned(parameter: LearnedSpec) -> LearnedParameter:
    return LearnedParameter(
        symbol(parameter.name.text),
        parameter.init,
        parameter.value,
        parameter.transform,
        parameter.per_feature,
    )
