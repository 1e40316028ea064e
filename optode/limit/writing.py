"""A limit's expressions in the author's names, each with its terms collected."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import sympy as sp

from optode.calculus.signs import sign_in_time
from optode.language.presentation import collected, present
from optode.language.symbols import TIME, Opaque, Reduction, velocity_symbol
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
        return _opened_roots(collected(expression, vectors).xreplace(names))

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


def _opened_roots(expression: sp.Expr) -> sp.Expr:
    """Take out of roots what is 0 at t = 0 and positive after: ``sqrt(t*v)`` is ``sqrt(t)*sqrt(v)``.

    The root of the rest has finite slopes there; that of the product has 0 times infinite ones.
    """

    def is_root(node: sp.Basic) -> bool:
        return node.is_Pow and node.exp.is_Rational and 0 < node.exp < 1 and node.base.is_Mul

    def opened(root: sp.Expr) -> sp.Expr:
        early = [f for f in root.base.args if _begins_at_zero(f)]
        rest = sp.Mul(*(f for f in root.base.args if f not in early))
        return sp.Mul(*(f**root.exp for f in early), rest**root.exp)

    return expression.replace(is_root, opened) if expression.has(TIME) else expression


def _begins_at_zero(factor: sp.Expr) -> bool:
    return (
        factor.has(TIME)
        and not factor.has(Opaque, Reduction)
        and factor.subs(TIME, 0) == 0
        and sign_in_time(factor) == 1
    )
