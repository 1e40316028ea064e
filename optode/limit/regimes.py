"""The scalings of a rule in words, and the one that given numbers are in."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import sympy as sp

from optode.calculus.expansion import at_infinity
from optode.diagnostics import nearest
from optode.language.derivative import partial
from optode.language.effort import expanded
from optode.language.symbols import COUNTER, symbol
from optode.limit.balance import scalings
from optode.limit.choices import FAST, FROZEN, Choice, choices, regime_at
from optode.limit.exponents import Regime
from optode.limit.limit import continuous_limit
from optode.rule.rule import UpdateRule

HORIZON = "horizon"
"""The name under which a horizon is given beside the numbers of a rule."""


@dataclass(frozen=True, slots=True)
class Rate:
    """The decay rate of a state per unit of time, and whether that is fast, inertial or frozen."""

    state: sp.Symbol
    per_time: float
    kind: Regime


def describe(rule: UpdateRule) -> Iterator[str]:
    """Describe the limits of a rule, distinguished ones first: unit of time, equations, words.

    Decays that the author has tied to the step size are set free, to show what lies beside.
    """
    rule = loosened(rule)
    for number, choice in enumerate(choices(rule), 1):
        distinguished = choice.scaling.is_distinguished
        kind = "distinguished" if distinguished else "between distinguished ones"
        yield f"Scaling {number}, {kind}: {choice.time}"
        yield from (f"  {line}" for line in choice.lines())
        if rule.decays:
            yield f"  to choose it: {choice.scaling.as_declaration(rule)}"
    yield _completeness(rule)


def loosened(rule: UpdateRule) -> UpdateRule:
    """Free every decay of a rule whose formula goes to 1 as the step size goes to 0."""
    freed = [n for n, f in rule.formulas if sp.expand(1 - f).subs(rule.step_size, 0) == 0]
    formulas = tuple((n, f) for n, f in rule.formulas if n not in freed)
    return replace(rule, formulas=formulas, decays=(*rule.decays, *freed), declared_powers=())


def _completeness(rule: UpdateRule) -> str:
    if not rule.decays:
        return "These are all: every power of the step size is determined by balance."
    return (
        "These are all regimes of each decay (fixed, slower than, as fast as and faster than the "
        "time step); decays that are both between are taken at one ratio of their powers."
    )


def rates(rule: UpdateRule, values: Mapping[str, float], horizon: float) -> tuple[Rate, ...]:
    """Return the decay rate of each state but the position, per unit of time.

    ``values`` gives the step size and the hyper-parameters, those with a formula included; one unit
    of time is ``horizon``. Raises ValueError where a value is missing.
    """
    numbers = {s: sp.Float(v) for s, v in _by_symbol(rule, values).items()}
    step = _number_of(_time_unit(rule).xreplace(numbers), rule, rule.position)
    if step == 0:
        raise ValueError(f"{rule.step_size} is too small a number")
    found = []
    for state, value in zip(rule.states[1:], rule.step_map[1:], strict=True):
        kept = partial(expanded(value), state).xreplace(numbers)
        kept = at_infinity(kept, COUNTER) if kept.has(COUNTER) else kept
        per_time = (1 - _number_of(kept, rule, state)) / step
        if per_time < 0:
            raise ValueError(f"{state} grows at these numbers")
        times = per_time * horizon
        found.append(Rate(state, per_time, regime_at(times)))
    return tuple(found)


def _number_of(value: sp.Expr, rule: UpdateRule, of: sp.Symbol) -> float:
    """Return a value as a number; raises ValueError with what is missing, or why it is none."""
    missing = sorted(symbol.name for symbol in value.free_symbols if symbol.name in _names(rule))
    if missing:
        raise ValueError(f"no value for {', '.join(missing)}")
    if not (value.is_number and value.is_real):
        raise ValueError(f"{of} has no constant decay rate: it depends on the states")
    return float(value)


def _by_symbol(rule: UpdateRule, values: Mapping[str, float]) -> dict[sp.Symbol, float]:
    names = {str(rule.step_size): rule.step_size}
    return {names.get(name, symbol(name)): value for name, value in values.items()}


def _time_unit(rule: UpdateRule) -> sp.Expr:
    """Return Delta of the scaling in which all averages move with the position, if there is one."""
    found = [s for s in scalings(rule) if set(s.regimes) <= {"inertial"}]
    return (found or list(scalings(rule)))[0].unit


def choice_at(rule: UpdateRule, found: tuple[Rate, ...]) -> Choice | None:
    """Return the limit of the regime that the rates are in; None where there is none."""
    kinds = {rate.state: rate.kind for rate in found}
    loose = loosened(rule)
    wanted = tuple(_regime_of(decay, loose, kinds) for decay in loose.decays)
    for scaling in scalings(loose):
        if scaling.regimes == wanted:
            return Choice(loose, scaling, continuous_limit(loose, scaling))
    return None


def _regime_of(decay: sp.Symbol, rule: UpdateRule, kinds: Mapping[sp.Symbol, Regime]) -> Regime:
    for state, value in zip(rule.states, rule.step_map, strict=True):
        if state in kinds and partial(expanded(value), state).has(decay):
            return kinds[state]
    return "inertial"


def describe_at(rule: UpdateRule, values: Mapping[str, float], horizon: float) -> Iterator[str]:
    """Describe the regime that given numbers are in: rates, time constants and the limit."""
    found = rates(rule, values, horizon)
    for rate in found:
        times = rate.per_time * horizon
        yield (
            f"{rate.state}: decay rate {rate.per_time:.4g}, "
            f"{times:.4g} time constants within the horizon: {rate.kind}"
        )
    yield (
        f"(fast: more than {FAST:g} time constants within the horizon {horizon:g}; "
        f"frozen: fewer than {FROZEN:g})"
    )
    choice = choice_at(rule, found)
    if choice is not None:
        yield f"in the limit, {choice.time}"
        yield from (f"  {line}" for line in choice.equations())


def described_at(rule: UpdateRule, text: str) -> Iterator[str]:
    """Describe the regime of the numbers in a text such as ``lr=1e-3, beta1=0.9, horizon=10``.

    Raises ValueError with all that is wrong with them, and the names that the rule has.
    """
    try:
        values = parse_numbers(text)
        check_numbers(rule, values)
        yield from describe_at(rule, values, values.pop(HORIZON, 1.0))
    except ValueError as error:
        raise ValueError(f"{error}; known names: {', '.join(_names(rule))}") from None


def parse_numbers(text: str) -> dict[str, float]:
    """Read ``lr=1e-3, beta1=9/10`` as finite numbers by name.

    Raises ValueError with all that is wrong: another form, a number that is none, a name twice.
    """
    numbers: dict[str, float] = {}
    problems = []
    for part in (part.strip() for part in text.split(",")):
        name, equals, value = map(str.strip, part.partition("="))
        if not (name.isidentifier() and equals):
            problems.append(f"{part!r} is not NAME=NUMBER")
        elif name in numbers:
            problems.append(f"{name} is given twice")
        else:
            numbers[name] = _number(value)
            if not math.isfinite(numbers[name]):
                problems.append(f"{value!r} is no finite number for {name}")
    _refuse(problems)
    return numbers


def _number(text: str) -> float:
    """Return the number or the quotient in a text, nan if there is none."""
    above, _, below = text.partition("/")
    try:
        return float(above) / float(below or 1)
    except (ValueError, ZeroDivisionError):
        return math.nan


def check_numbers(rule: UpdateRule, values: Mapping[str, float]) -> None:
    """Refuse names that are not of the rule, and numbers outside their range.

    The step size and the horizon are positive, a decay lies in (0, 1). Raises ValueError with all
    that is wrong.
    """
    names = _names(rule)
    decays = {decay.name for decay in loosened(rule).decays}
    problems = []
    for name, value in values.items():
        if name not in names:
            near = nearest(name, names)
            problems.append(f"unknown name {name}" + (f", did you mean {near}?" if near else ""))
        elif name in (rule.step_size.name, HORIZON) and value <= 0:
            problems.append(f"{name} is a positive number, not {value:g}")
        elif name in decays and not 0 < value < 1:
            problems.append(f"{name} is a decay: a number in (0, 1), not {value:g}")
    _refuse(problems)


def _names(rule: UpdateRule) -> tuple[str, ...]:
    """Return the names that can be given a number: step size, hyper-parameters, horizon."""
    values = [value for _, value in rule.step]
    inner = {*rule.states, *(target for target, _ in rule.step), COUNTER}
    found = {rule.step_size}.union(*(value.free_symbols for value in values)) - inner
    hyper_parameters = sorted(symbol.name for symbol in found - {rule.step_size})
    return (rule.step_size.name, *hyper_parameters, HORIZON)


def _refuse(problems: list[str]) -> None:
    if problems:
        raise ValueError("; ".join(problems))
