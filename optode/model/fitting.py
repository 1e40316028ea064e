"""An architecture held against the limit it is for: states that exist, parameters that are used."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import sympy as sp

from optode.diagnostics import Reporter, Span, nearest
from optode.language.mutual import in_terms_of_the_rest
from optode.language.symbols import TIME, Field, Loss, Oracle, by_name, operators_in, symbol
from optode.limit.limit import ContinuousLimit
from optode.model.jumps import SMOOTHED, jumps
from optode.model.model import DERIVED, Architecture, LearnedParameter
from optode.rule.rule import UpdateRule
from optode.spec.names import class_name_problem, name_problem


@dataclass(frozen=True)
class Places:
    """Where errors go, and where a spec writes what they are about.

    ``spans`` is empty for an architecture made in Python. Its keys are a section of the spec's
    model and a name: ``("initial", "m")``.
    """

    reporter: Reporter
    spans: Mapping[tuple[str, str], Span]

    def error(
        self, code: str, message: str, section: str, name: object, hint: str | None = None
    ) -> None:
        """Record an error about a name in a section."""
        self.reporter.error(code, message, self.spans.get((section, str(name))), hint)


def fitted(
    architecture: Architecture,
    limit: ContinuousLimit,
    rule: UpdateRule | None = None,
    step: float | None = None,
    places: Places | None = None,
    assumed: tuple[str, ...] = (),
) -> Architecture:
    """Return the architecture for this limit, with the value of the step size.

    ``step`` is that value where the limit has terms of next order, unless the architecture declares
    it. A parameter of the rule that the limit has not (it may be in the next order) is left out. One
    that only says where a state starts, or is ``assumed`` to be fixed, needs no value here: the
    caller of the module gives it.

    Raises SpecError with all errors: names that are taken, unknown states, parameters without a
    value or a use.
    """
    places = places or Places(Reporter(), {})
    declared = architecture
    if rule is not None:
        architecture = _with_required(architecture, _start_values(architecture, limit, rule))
        architecture = _with_step(architecture, rule.step_size, step)
    used_names = {s.name for s in _used(architecture, limit)}
    architecture = _with_required(architecture, (symbol(s) for s in assumed if s in used_names))
    renaming = dict(architecture.rename)
    states = tuple(renaming.get(state, state) for state in limit.states)
    _check_names(architecture, states, places)
    _check_states(architecture, limit.states, states, places)
    _check_calls(architecture, limit, places)
    _check_loss(architecture, limit, rule, places)
    operators = _operators(architecture, limit)
    _check_operators(operators, states, places)
    written = _written(architecture, limit)
    if architecture.smooth is not None and not jumps(written):
        message = "no equation of the model has a sign for `smooth` to replace"
        places.error("E505", message, "smooth", "", "remove it")
    known = {TIME, DERIVED, *states, *limit.states}
    used = _used(architecture, limit) - known
    _check_values(architecture, used, places)
    of_rule = rule.free_parameters if rule is not None else ()
    _check_uses(declared, used | {*of_rule, *map(symbol, operators)}, places)
    places.reporter.raise_if_any()
    kept = tuple(p for p in architecture.parameters if p.symbol in used)
    numbers = {p.symbol.name for p in declared.parameters}
    idle = (name for name in operators if name in numbers)
    notes = [f"{z} is an operator that the caller gives: the number is not used" for z in idle]
    lost = (p for p in architecture.parameters if p.is_learned and p.symbol not in used)
    notes += (f"{p.symbol} is in no equation: it drops out of the limit" for p in lost)
    return replace(architecture, parameters=kept, notes=(*architecture.notes, *notes))


def _with_required(architecture: Architecture, names: Iterable[sp.Symbol]) -> Architecture:
    """Add constants that the caller of the module gives, but for those that have a value."""
    known = {p.symbol for p in architecture.parameters}
    required = tuple(LearnedParameter(name, required=True) for name in names if name not in known)
    return replace(architecture, parameters=(*architecture.parameters, *required))


def _start_values(
    architecture: Architecture, limit: ContinuousLimit, rule: UpdateRule
) -> list[sp.Symbol]:
    """Return the numbers that only say where states start, and have no value."""
    declared = {p.symbol for p in architecture.parameters}
    elsewhere = {rule.step_size.name, *map(str, (*declared, *rule.vectors))}
    for expression in _written(architecture, limit):
        elsewhere |= {s.name for s in expression.free_symbols}
    starts = _derived_starts(architecture, limit)
    found = {by_name(s) for value in starts for s in value.free_symbols} - {*limit.states}
    return sorted((s for s in found if s.name not in elsewhere), key=str)


def _with_step(
    architecture: Architecture, step_size: sp.Symbol, step: float | None
) -> Architecture:
    name = symbol(step_size.name)
    if step is None or any(p.symbol == name for p in architecture.parameters):
        return architecture
    constant = LearnedParameter(name, value=step)
    return replace(architecture, parameters=(*architecture.parameters, constant))


def _check_names(architecture: Architecture, states: tuple[sp.Symbol, ...], places: Places) -> None:
    """Report names that a module cannot have, and names of two things."""
    problem = class_name_problem(architecture.class_name)
    if problem is not None:
        places.error("E110", problem[0], "class", "", problem[1])
    parameters = [p.symbol for p in architecture.parameters]
    names = [("renamed", new) for _, new in architecture.rename]
    for section, name in [*names, *(("parameters", p) for p in parameters)]:
        problem = name_problem(name.name)
        if problem is not None:
            places.error("E110", problem[0], section, name, problem[1])
    for _, new in architecture.rename:
        if states.count(new) > 1:
            places.error("E503", f"two states named `{new}`", "renamed", new)
    for parameter in parameters:
        if parameter in states:
            message = f"`{parameter}` is a state and a parameter"
            places.error("E503", message, "parameters", parameter)
        elif parameters.count(parameter) > 1:
            places.error("E117", f"`{parameter}` is declared twice", "parameters", parameter)


def _check_states(
    architecture: Architecture,
    own: tuple[sp.Symbol, ...],
    renamed: tuple[sp.Symbol, ...],
    places: Places,
) -> None:
    """Report entries for what is no state, of the limit or of the model, and starts in a circle."""
    sections = (
        ("rename", [old for old, _ in architecture.rename], own),
        ("equations", [state for state, _ in architecture.rewrites], renamed),
        ("initial", [state for state, _ in architecture.initial], renamed[1:]),
    )
    for section, entries, states in sections:
        for entry in entries:
            if entry not in states:
                hint = _nearest_state(entry.name, list(map(str, states)))
                places.error("E502", f"`{entry}` is not a state here", section, entry, hint)
    _check_starts(architecture, renamed, places)


def _check_starts(
    architecture: Architecture, states: tuple[sp.Symbol, ...], places: Places
) -> None:
    """Report starts that read each other, of the states but the first, which is given."""
    written = ((z, start.expression) for z, start in architecture.initial if z in states[1:])
    starts = {z: expression for z, expression in written if expression is not None}
    try:
        in_terms_of_the_rest(starts)
    except ValueError as error:
        state = next(z for z in starts if f"`{z}`" in str(error))
        message = f"the start of {error} is given by itself"
        hint = f"in terms of `{states[0]}`, of parameters, and of states that start by these"
        places.error("E309", message, "initial", state, hint)


def _nearest_state(name: str, states: list[str]) -> str:
    near = nearest(name, states)
    if near:
        return f"did you mean `{near}`?"
    return f"the states are {', '.join(states)}" if states else "the first starts as it is given"


def number_of_arguments(limit: ContinuousLimit) -> int:
    """Return how many arguments the limit's equations give f, the time included."""
    calls = [call for equation in limit.equations for call in equation.atoms(Field)]
    return len(calls[0].args) if calls else 2


def _check_calls(architecture: Architecture, limit: ContinuousLimit, places: Places) -> None:
    number = number_of_arguments(limit)
    starts = ((z, start.expression) for z, start in architecture.initial if start.expression)
    entries = [("initial", *entry) for entry in starts]
    entries += [("equations", *entry) for entry in architecture.rewrites]
    for section, state, expression in entries:
        if any(len(call.args) != number for call in expression.atoms(Field)):
            message = f"f takes {number} arguments here, the time first"
            places.error("E205", message, section, state)


def _check_loss(
    architecture: Architecture, limit: ContinuousLimit, rule: UpdateRule | None, places: Places
) -> None:
    """Report a loss in a game: its field is the gradient of no one function."""
    expressions = [*_written(architecture, limit), *_derived_starts(architecture, limit)]
    expressions += rule.step_map if rule is not None else ()
    calls = {c for e in expressions for c in e.atoms(Loss, Oracle)}
    if architecture.field_sign == 1 and any(isinstance(c, Loss) or c.has_time for c in calls):
        message = "a game has no loss: its field is the gradient of no one function"
        hint = "leave `field: grad` out, or `loss(...)` out of the equations"
        places.error("E508", message, "field", "", hint)


def _operators(architecture: Architecture, limit: ContinuousLimit) -> tuple[str, ...]:
    """Return the names of the operators of the caller's that the module calls."""
    expressions = [*_written(architecture, limit), *_derived_starts(architecture, limit)]
    names = operators_in(expressions)
    has_loss = any(e.has(Loss) for e in expressions) and "loss" not in names
    return tuple(sorted((*names, "loss"))) if has_loss else names


def _check_operators(
    operators: tuple[str, ...], states: tuple[sp.Symbol, ...], places: Places
) -> None:
    """Report operators whose name a state has: both are attributes, or variables, of the module."""
    for name in operators:
        if symbol(name) in states:
            message = f"`{name}` is a state and an operator"
            places.error("E503", message, "renamed", name)


def _used(architecture: Architecture, limit: ContinuousLimit) -> set[sp.Symbol]:
    """Return the symbols in the model's equations and starts."""
    expressions = [*_written(architecture, limit), *_derived_starts(architecture, limit)]
    if architecture.smooth is not None:
        expressions.append(architecture.smooth.xreplace({SMOOTHED: sp.S.One}))
    return {by_name(s) for expression in expressions for s in expression.free_symbols}


def _written(architecture: Architecture, limit: ContinuousLimit) -> list[sp.Expr]:
    """Return the equations, and the starts that the architecture writes."""
    starts = [i.expression for _, i in architecture.initial if i.expression is not None]
    return [*limit.equations, *(e for _, e in architecture.rewrites), *starts]


def _derived_starts(architecture: Architecture, limit: ContinuousLimit) -> list[sp.Expr]:
    """Return where states start that the architecture says nothing of, by the position there."""
    renaming, given = dict(architecture.rename), dict(architecture.initial)
    _, *starts = zip(limit.states, limit.initial, strict=True)
    at_start = {symbol(f"{limit.states[0]}0"): limit.states[0]}
    return [value.xreplace(at_start) for z, value in starts if renaming.get(z, z) not in given]


def _check_values(architecture: Architecture, used: set[sp.Symbol], places: Places) -> None:
    given = {p.symbol for p in architecture.parameters}
    for missing in sorted(used - given, key=str):
        hint = (
            f"add `{missing}: {{init: ..., transform: ...}}` (learned) or `{missing}: "
            "{value: ...}` (fixed) to the model's parameters"
        )
        places.error("E504", f"`{missing}` has no value in the model", "class", "", hint)


def _check_uses(architecture: Architecture, known: Iterable[sp.Symbol], places: Places) -> None:
    for unused in (p.symbol for p in architecture.parameters if p.symbol not in known):
        message = f"no equation of the model has the parameter `{unused}`"
        places.error("E505", message, "parameters", unused, "remove it")
