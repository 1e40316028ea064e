"""The limits that a rule has, in its scalings, and the one that an author has chosen."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import sympy as sp

from optode.diagnostics import Diagnostic, SpecError
from optode.language.symbols import symbol
from optode.language.text import to_text
from optode.limit.balance import scalings
from optode.limit.exponents import Regime
from optode.limit.in_step_size import forgetting
from optode.limit.limit import ContinuousLimit, continuous_limit
from optode.limit.scaling import Scaling
from optode.rule.rule import UpdateRule

USUAL_STEP = 1e-3
USUAL_DECAYS = (0.9, 0.999)
"""Those of most papers; further decays are as the last."""

FAST, FROZEN = 10.0, 0.1
"""Time constants within the horizon: above FAST a state is fast, below FROZEN it is frozen."""

_WORDS: dict[Regime, str] = {
    "fixed": "{beta} is fixed: what it averages relaxes within a few steps and is slaved",
    "fast": "1 - {beta} vanishes more slowly than the time step: what it averages is slaved",
    "inertial": "1 - {beta} vanishes like the time step: what it averages moves with the position",
    "frozen": "1 - {beta} vanishes faster than the time step: nothing is forgotten",
}


@dataclass(frozen=True, slots=True)
class Choice:
    """A scaling of a rule that has a limit."""

    rule: UpdateRule
    scaling: Scaling
    limit: ContinuousLimit

    def lines(self) -> Iterator[str]:
        """Yield the equations, and what becomes of each decay."""
        yield from self.equations()
        for decay, regime in zip(self.rule.decays, self.scaling.regimes, strict=True):
            yield _WORDS[regime].format(beta=decay)

    def equations(self) -> Iterator[str]:
        """Yield the equations, and the fast states, with the names of the declaration."""
        names = {forgetting(decay): symbol(f"c_{decay}") for decay in self.rule.decays}
        for state, equation in zip(self.limit.states, self.limit.equations, strict=True):
            yield f"{state}' = {to_text(equation.xreplace(names))}"
        for state, value in self.limit.manifold:
            yield f"{state} = {to_text(value.xreplace(names))}"

    @property
    def time(self) -> str:
        """The unit of time."""
        unit = self.scaling.unit
        text = to_text(unit)
        return f"t = k*{text if unit.is_Symbol or isinstance(unit, sp.Pow) else f'({text})'}"

    @property
    def fits_usual_numbers(self) -> bool:
        """Whether the usual numbers of the decays are in its regimes."""
        decays = dict(zip(self.rule.decays, _usual_decays(self.rule), strict=True))
        numbers = {self.rule.step_size: USUAL_STEP, **decays}
        unit = self.scaling.unit.xreplace({z: sp.Float(n) for z, n in numbers.items()})
        if not unit.is_number:
            return False
        kinds = [regime_at((1 - beta) / float(unit)) for beta in decays.values()]
        return all(
            regime == kind or (regime == "fixed" and kind == "fast")
            for regime, kind in zip(self.scaling.regimes, kinds, strict=True)
        )


def regime_at(times: float) -> Regime:
    """Return the regime of a decay with so many time constants within the horizon."""
    return "fast" if times > FAST else "frozen" if times < FROZEN else "inertial"


def _usual_decays(rule: UpdateRule) -> list[float]:
    last = len(USUAL_DECAYS) - 1
    return [USUAL_DECAYS[min(i, last)] for i in range(len(rule.decays))]


def choices(rule: UpdateRule) -> tuple[Choice, ...]:
    """Return the scalings that have a limit, distinguished ones first.

    Raises SpecError with what is wrong with the first where none has.
    """
    found: list[Choice] = []
    errors: list[SpecError] = []
    for scaling in scalings(rule):
        try:
            found.append(Choice(rule, scaling, continuous_limit(rule, scaling)))
        except SpecError as error:
            errors.append(error)
    if not found:
        raise errors[0]
    return tuple(found)


def only_scaling(rule: UpdateRule) -> Scaling:
    """Return the only scaling of a rule that has a limit.

    Raises SpecError (E402) where there are several: the author chooses, nothing is chosen silently.
    """
    scaled = scalings(rule)
    if len(scaled) == 1:
        return scaled[0]
    found = choices(rule)
    if len(found) == 1:
        return found[0].scaling
    message = f"{len(found)} scalings have a limit; choose one"
    raise SpecError([Diagnostic("E402", message, rule.span_of(0), "\n".join(_hint(found)))])


def _hint(found: tuple[Choice, ...]) -> Iterator[str]:
    """Yield the lines of a spec for the distinguished limits, each above its equations."""
    shown = [choice for choice in found if choice.scaling.is_distinguished] or list(found)
    rule = found[0].rule
    section = "parameters" if rule.decays else "scaling"
    yield f"let one of these lines be the `{section}:` of the spec"
    # of several that fit, the one that keeps most: the others are limits of it
    usual = max(
        (choice for choice in shown if rule.decays and choice.fits_usual_numbers),
        key=lambda choice: choice.scaling.regimes.count("inertial"),
        default=None,
    )
    for choice in shown:
        yield f"  {choice.scaling.as_declaration(rule)}"
        yield f"      {choice.time}" + (f" ({_usual_words(rule)})" if choice is usual else "")
        yield from (f"      {line}" for line in choice.lines())
    if further := len(found) - len(shown):
        yield f"`optode derive --scalings` shows {further} more between these"


def _usual_words(rule: UpdateRule) -> str:
    pairs = zip(rule.decays, _usual_decays(rule), strict=True)
    numbers = ", ".join(f"{decay} = {number:g}" for decay, number in pairs)
    return f"the usual numbers {numbers}, {rule.step_size} = {USUAL_STEP:g} are in this one"
