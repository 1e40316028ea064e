"""Decide by elimination whether a costate, in new variables, satisfies a linear equation.

The position's image is ``b = a_j / P``; its own equation gives the image of the other state, whose
equation is then the test. ``P' = rho P`` stays open until the test itself says which scalar rho
removes the mismatch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import sympy as sp

from optode.adjoint.volume import END
from optode.claim.operators import NotEliminated, Operators, Terms, at_time
from optode.language.symbols import TIME, Field

RATE, _RATE_DOT = sp.Dummy("rho", real=True), sp.Dummy("rho_dot", real=True)
"""``rho`` in ``P' = rho P``, and its derivative."""


@dataclass(frozen=True, slots=True)
class Elimination:
    """The images multiplied by P, and the terms left over in each equation.

    An image ``is_guess`` where it stands under an operator that was matched, not inverted: with
    something left over, another image might do better.
    """

    images: Mapping[sp.Symbol, sp.Expr]
    leftover: Mapping[sp.Symbol, Terms]
    is_guess: bool = False

    @property
    def size(self) -> int:
        """Return the number of terms left over; 0 if the equations hold."""
        return sum(map(len, self.leftover.values()))


@dataclass(frozen=True, slots=True)
class Flow:
    """Costates along a trajectory, and the equations that their images are claimed to satisfy.

    ``rates`` are those of t, the states and the costates; ``claimed`` maps each image to the
    right-hand side of its equation, the position's first.
    """

    operators: Operators
    rates: Mapping[sp.Symbol, sp.Expr]
    claimed: Mapping[sp.Symbol, sp.Expr]
    is_reversed: bool = False

    def backwards(self, clock: sp.Expr = END - TIME) -> Flow:
        """Return the test in reversed time, with the coefficients of the claimed equations at ``clock``."""
        claimed = {b: at_time(right, clock) for b, right in self.claimed.items()}
        return replace(self, claimed=claimed, is_reversed=True)

    def eliminate(self, costate: sp.Symbol, rate: sp.Expr = sp.S.Zero) -> Elimination:
        """Test ``b = costate/P`` as the image b of the position, with ``P' = rate*P``.

        Each equation of a known image tells the next one, or is a test. An image that none tells is
        free. Raises NotEliminated where an equation has two unknown images.
        """
        position = next(iter(self.claimed))
        images, leftover, guesses = {position: costate}, {}, False
        rates = dict(self.rates) | {RATE: _RATE_DOT}
        waiting = dict(self.claimed)
        while (image := next((b for b in waiting if b in images), None)) is not None:
            right = waiting.pop(image)
            moved = self.operators.rate(images[image], rates)
            left = (-1 if self.is_reversed else 1) * (moved - rate * images[image])
            unknown = [b for b in self.claimed if right.has(b) and b not in images]
            if len(unknown) > 1:
                raise NotEliminated("more than two states are coupled")
            for b in unknown:
                missing = left - right.xreplace({**images, b: sp.S.Zero})
                coupling = right.xreplace(dict.fromkeys(images, sp.S.Zero))
                factor = self.operators.terms(coupling).get(b, sp.S.Zero)
                guesses = not self.operators.terms(coupling).keys() <= {b}
                if guesses:
                    images[b] = self._matched(b, missing, coupling)
                elif factor.has(Field):
                    raise NotEliminated("the field would have to be differentiated in time")
                else:
                    images[b] = self.operators.normal(missing / factor)
            leftover[image] = self.operators.terms(left - right.xreplace(images))
        return Elimination(images, leftover, guesses)

    def _matched(self, unknown: sp.Symbol, missing: sp.Expr, coupling: sp.Expr) -> sp.Expr:
        """Return the multiple of one costate that supplies all its terms in the missing sum."""
        found = self.operators.terms(missing)
        for costate in filter(self.rates.get, self.operators.vectors):
            pattern = self.operators.terms(coupling.xreplace({unknown: costate}))
            ratios = {sp.cancel(found.get(vector, sp.S.Zero) / c) for vector, c in pattern.items()}
            if len(ratios) == 1 and self.operators.is_scalar(ratio := ratios.pop()) and ratio != 0:
                return ratio * costate
        raise NotEliminated("an operator would have to be inverted")

    def factor_rates(self, costate: sp.Symbol) -> tuple[sp.Expr, ...]:
        """Return the scalars rho, P' = rho P, for which ``costate/P`` leaves the fewest terms over.

        They meet one of the conditions; 0 is among them.
        """
        slopes = ((c, c.diff(RATE)) for c in self._conditions(costate) if c.has(RATE))
        found = (sp.cancel(-c.xreplace({RATE: sp.S.Zero}) / slope) for c, slope in slopes)
        rates = dict.fromkeys([sp.S.Zero, *filter(self.operators.is_scalar, found)])
        return tuple(sorted(rates, key=lambda rate: self.eliminate(costate, rate).size))

    def excludes_every_factor(self, costate: sp.Symbol) -> bool:
        """Return whether only the factors of factor_rates can make the equations hold."""
        return bool(self._conditions(costate))

    def _conditions(self, costate: sp.Symbol) -> list[sp.Expr]:
        """Return the coefficients that must vanish if a factor makes the equations hold: linear in rho."""
        leftover = self.eliminate(costate, RATE).leftover
        coefficients = [c for terms in leftover.values() for c in terms.values()]
        flat = [c for c in coefficients if not c.has(_RATE_DOT)]
        return [c for c in flat if not c.diff(RATE).has(RATE)]
