"""A limit's expressions in the author's names, each with its terms collected."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import sympy as sp

from optode.language.presentation import collected, present
from optode.language.symbols import velocity_symbol
from optode.limit.in_step_size import forgetting
from optode.limit.scaled_rule import ScaledRule


@dataclass(frozen=True)
class Writer:
    """Writes expressions of a limit whose states are ``slow``."""

    scaled: ScaledRule
    slow: tuple[sp.Symbol, ...]

    def __call__(self, expression: sp.Expr) -> sp.Expr:
        """Collect the terms of an expression, and name what a fixed decay forgets ``1 - beta``."""
        rule = self.scaled.rule
        vectors = (*self.slow, *rule.vectors, velocity_symbol(rule.position))
        fixed = zip(rule.decays, self.scaled.scaling.regimes, strict=True)
        names = {forgetting(d): 1 - d for d, regime in fixed if regime == "fixed"}
        return collected(expression, vectors).xreplace(names)

    def series(self, terms: Iterable[sp.Expr]) -> sp.Expr:
        """Write ``f0 + Delta f1 + ...``, the orders kept apart."""
        unit = self.scaled.scaling.unit
        return sp.Add(*(present(self(term)) * unit**n for n, term in enumerate(terms)))

    def scale(self, state: sp.Symbol) -> sp.Expr:
        """Return what one unit of a state of the limit is in the rule, as a power of Delta."""
        power = self.scaled.scaling.unit ** sp.Rational(self.scaled.powers[state])
        return sp.powdenest(power, force=True)

    def in_the_rule(self, state: sp.Symbol, value: sp.Expr) -> sp.Expr:
        """Write the value of a state of the limit as what it is in the rule."""
        return present(self.scale(state) * self(value))
