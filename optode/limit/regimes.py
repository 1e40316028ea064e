"""The scalings of a rule in words, and the one that given numbers are in."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction

import sympy as sp

from optode.calculus.expansion import at_infinity
from optode.diagnostics import SpecError
from optode.language.derivative import partial
from optode.language.effort import expanded
from optode.language.symbols import COUNTER, symbol
from optode.language.text import to_text
from optode.limit.exponents import Regime
from optode.limit.limit import ContinuousLimit, continuous_limit
from optode.limit.scaling import scalings
from optode.rule.rule import UpdateRule

FAST, FROZEN = 10.0, 0.1
"""Time constants within the horizon: above FAST a state is fast, below FROZEN it is frozen."""

_WORDS: dict[Regime, str] = {
    "fixed": "{beta} is fixed: what it averages relaxes within a few steps and is slaved",
    "fast": "1 - {beta} vanishes more slowly than the time step: what it averages is slaved",
    "inertial": "1 - {beta} vanishes like the time step: what it averages moves with the position",
    "frozen": "1 - {beta} vanishes faster than the time step: nothing is forgotten",
}


@dataclass(frozen=True, slots=True)
class Rate:
    """The decay rate of a state per unit of time, and whether that is fast, inertial or frozen."""

    state: sp.Symbol
    per_time: float
    kind: Regime


def describe(rule: UpdateRule) -> Iterator[str]:
    """Describe the scalings of a rule, distinguished ones first: unit of time, equations, words.

    Decays that the author has tied to the step size are set free, to show what lies beside.
    """
    rule = loosened(rule)
    for number, scaling in enumerate(scalings(rule), 1):
        kind = "distinguished" if scaling.is_distinguished else "between distinguished ones"
        yield f"Scaling {number}, {kind}: t = k*{_unit_text(scaling.unit)}"
        try:
            yield from (f"  {line}" for line in _equations(continuous_limit(rule, scaling)))
        except SpecError as error:
            yield f"  {error.diagnostics[0].message}"
        for decay, regime in zip(rule.decays, scaling.regimes, strict=True):
            yield f"  {_WORDS[regime].format(beta=decay)}"
        if rule.decays:
            yield f"  to choose it: {scaling.as_declaration(rule)}"
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


def _equations(limit: ContinuousLimit) -> Iterator[str]:
    for state, equation in zip(limit.states, limit.equations, strict=True):
        yield f"{state}' = {to_text(equation)}"
    for state, value in limit.manifold:
        yield f"{state} = {to_text(value)}"


def _unit_text(unit: sp.Expr) -> str:
    return to_text(unit) if unit.is_Symbol or isinstance(unit, sp.Pow) else f"({to_text(unit)})"


def rates(rule: UpdateRule, values: Mapping[str, float], horizon: float) -> tuple[Rate, ...]:
    """Return the decay rate of each state but the position, per unit of time.

    ``values`` gives the step size and the hyper-parameters, those with a formula included; one unit
    of time is ``horizon``. Raises ValueError where a value is missing.
    """
    unit = _time_unit(rule)
    numbers = {s: sp.Float(v) for s, v in _by_symbol(rule, values).items()}
    step = float(unit.xreplace(numbers))
    found = []
    for state, value in zip(rule.states[1:], rule.step_map[1:], strict=True):
        kept = partial(expanded(value), state).xreplace(numbers)
        kept = at_infinity(kept, COUNTER) if kept.has(COUNTER) else kept
        if not kept.is_number:
            missing = ", ".join(sorted(map(str, kept.free_symbols)))
            raise ValueError(f"no value for {missing}")
        per_time = (1 - float(kept)) / step
        times = per_time * horizon
        kind: Regime = "fast" if times > FAST else "frozen" if times < FROZEN else "inertial"
        found.append(Rate(state, per_time, kind))
    return tuple(found)


def _by_symbol(rule: UpdateRule, values: Mapping[str, float]) -> dict[sp.Symbol, float]:
    names = {str(rule.step_size): rule.step_size}
    return {names.get(name, symbol(name)): value for name, value in values.items()}


def _time_unit(rule: UpdateRule) -> sp.Expr:
    """Return Delta of the scaling in which all averages move with the position, if there is one."""
    found = [s for s in scalings(rule) if set(s.regimes) <= {"inertial"}]
    return (found or list(scalings(rule)))[0].unit


def limit_at(rule: UpdateRule, found: tuple[Rate, ...]) -> ContinuousLimit | None:
    """Return the limit of the regime that the rates are in; None where no scaling has it."""
    kinds = {rate.state: rate.kind for rate in found}
    loose = loosened(rule)
    wanted = tuple(_regime_of(decay, loose, kinds) for decay in loose.decays)
    for scaling in scalings(loose):
        if scaling.regimes == wanted:
            return continuous_limit(loose, scaling)
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
    limit = limit_at(rule, found)
    if limit is not None:
        yield f"in the limit, t = k*{_unit_text(limit.step)}"
        yield from (f"  {line}" for line in _equations(limit))


def parse_numbers(text: str) -> dict[str, float]:
    """Read ``lr=1e-3, beta1=0.9`` as numbers by name. Raises ValueError for anything else."""
    numbers = {}
    for part in text.split(","):
        name, _, value = part.partition("=")
        if not name.strip().isidentifier():
            raise ValueError(f"{part.strip()!r} is not NAME=NUMBER")
        numbers[name.strip()] = float(Fraction(value.strip())) if "/" in value else float(value)
    return numbers
