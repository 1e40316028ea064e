"""What each state gains in a step, as series in Delta."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

import sympy as sp

from optode.calculus.series import Series
from optode.rule.bound import Bound


@dataclass(frozen=True, slots=True)
class Increments:
    """The scaled increments of all states as series in Delta, and the rate of each state.

    ``bounds`` are those of states that are kept within one, at their own scale.
    """

    states: tuple[sp.Symbol, ...]
    series: tuple[Series, ...]
    rates: tuple[Fraction, ...]
    bounds: Mapping[sp.Symbol, Bound]

    @property
    def slow(self) -> tuple[sp.Symbol, ...]:
        """The states that move at the rate of the position, or not at all."""
        return tuple(s for s, rate in zip(self.states, self.rates, strict=True) if rate >= 1)

    @property
    def fast(self) -> tuple[sp.Symbol, ...]:
        """The states that are slaved."""
        return tuple(s for s, rate in zip(self.states, self.rates, strict=True) if rate < 1)

    def coefficients(self, states: Sequence[sp.Symbol], extra: int = 0) -> list[sp.Expr]:
        """Return the leading coefficient of the given states' increments, or a later one."""
        rows = zip(self.states, self.series, self.rates, strict=True)
        return [s.coefficient(min(r, Fraction(1)) + extra) for z, s, r in rows if z in states]
