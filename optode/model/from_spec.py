"""From the model part of a spec's text to the architecture it describes."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import get_args

import sympy as sp

from optode.diagnostics import Diagnostic, Located, Reporter, Span, SpecError
from optode.language.symbols import TIME, Oracle, field_call, loss_call, symbol
from optode.limit.limit import ContinuousLimit
from optode.model.fitting import Places, fitted, number_of_arguments
from optode.model.jumps import SMOOTHED
from optode.model.model import (
    DERIVED,
    Architecture,
    Initial,
    InitialKind,
    LearnedParameter,
)
from optode.rule.rule import UpdateRule
from optode.spec.expression import FUNCTIONS, Function, Scope, parse_expression
from optode.spec.reader import LearnedSpec, ModelSpec, Spec


def read_architecture(
    spec: Spec, limit: ContinuousLimit, step: float | None = None, rule: UpdateRule | None = None
) -> Architecture:
    """Return the architecture that a spec's model part describes, fitted to the limit.

    ``step`` and ``rule`` are as in ``fitted``. Raises SpecError with all errors: bad expressions,
    and those of ``fitted``.
    """
    if spec.model is None:
        raise no_model(spec.name.span)
    reporter = Reporter()
    operators = [p.name.text for p in spec.parameters if p.is_oracle]
    architecture = _written(spec.model, limit, operators, reporter)
    places = Places(reporter, _spans(spec.model))
    return fitted(architecture, limit, rule, step, places, spec.assumed)


def no_model(span: Span | None) -> SpecError:
    """Return the error of a spec that says nothing of a model."""
    hint = "add `model: {class: ...}`; `optode new NAME --from SPEC` makes a copy to edit"
    return SpecError([Diagnostic("E501", "no `model` part to generate", span, hint)])


def _written(
    model: ModelSpec, limit: ContinuousLimit, operators: list[str], reporter: Reporter
) -> Architecture:
    """Return what the model part says; of an expression with errors a stand-in."""
    rename = {symbol(old.text): symbol(new.text) for old, new in model.rename}
    states = [rename.get(state, state) for state in limit.states]
    scope = _scope(model, states, limit, operators)
    return Architecture(
        class_name=model.class_name.text,
        field_sign=-1 if model.field.text == "-grad" else 1,
        rename=tuple(rename.items()),
        parameters=tuple(map(_learned, model.parameters)),
        initial=tuple(
            (symbol(i.state.text), _initial(i.value, scope, reporter)) for i in model.initial
        ),
        rewrites=tuple(
            (symbol(e.state.text), parse_expression(e.expression, scope, reporter) or DERIVED)
            for e in model.equations
        ),
        span=model.span,
        smooth=_smooth(model, reporter),
    )


def _smooth(model: ModelSpec, reporter: Reporter) -> sp.Expr | None:
    """Return what stands in the place of sign(x); of an expression with errors, x."""
    if model.smooth is None:
        return None
    names = {p.name.text: symbol(p.name.text) for p in model.parameters}
    scope = Scope({**names, SMOOTHED.name: SMOOTHED}, {}, FUNCTIONS, None)
    return parse_expression(model.smooth, scope, reporter) or SMOOTHED


def _scope(
    model: ModelSpec, states: list[sp.Symbol], limit: ContinuousLimit, operators: list[str]
) -> Scope:
    number = number_of_arguments(limit)

    def field(*arguments: sp.Expr) -> sp.Expr:
        """Call f; ValueError unless it has as many arguments as in the limit's equations."""
        if len(arguments) != number:
            raise ValueError(f"f takes {number} arguments here, the time first")
        return field_call(*arguments)

    names = {s.name: s for s in (TIME, DERIVED, *states)}
    parameters = (p.name.text for p in model.parameters)
    names |= {name: symbol(name) for name in parameters if name not in operators}
    calls: dict[str, Function] = {} if "loss" in names else {"loss": (loss_call, None)}
    calls |= {name: (partial(Oracle, name), 1) for name in operators}
    return Scope(names, {}, {**FUNCTIONS, "f": (field, None), **calls}, None)


def _initial(value: Located, scope: Scope, reporter: Reporter) -> Initial:
    kind = value.text.strip()
    for named in get_args(InitialKind):
        if kind == named != "expression":
            return Initial(named)
    expression = parse_expression(value, scope, reporter)
    return Initial("zero") if expression is None else Initial("expression", expression)


def _spans(model: ModelSpec) -> Mapping[tuple[str, str], Span]:
    """Return where the model part has each name, by its section."""
    spans = {("class", ""): model.class_name.span}
    spans |= {("field", ""): model.field.span}
    spans |= {("smooth", ""): model.smooth.span} if model.smooth else {}
    spans |= {("rename", old.text): old.span for old, _ in model.rename}
    spans |= {("renamed", new.text): new.span for _, new in model.rename}
    spans |= {("equations", e.state.text): e.state.span for e in model.equations}
    spans |= {("initial", i.state.text): i.state.span for i in model.initial}
    return spans | {("parameters", p.name.text): p.name.span for p in model.parameters}


def _learned(parameter: LearnedSpec) -> LearnedParameter:
    return LearnedParameter(
        symbol(parameter.name.text),
        parameter.init,
        parameter.value,
        parameter.transform,
        parameter.per_feature,
    )
