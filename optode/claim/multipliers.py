"""Short names for elementwise factors: ``D`` for ``1/(sqrt(v) + eps)``, with the rate ``D'``."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import count

import sympy as sp

from optode.calculus.tangent import derivative_along
from optode.claim.elimination import Flow
from optode.claim.operators import OPERATORS, Operators, shortest
from optode.language.symbols import Field, Tangent, symbol, velocity_symbol


def named(flow: Flow) -> tuple[Flow, dict[sp.Symbol, sp.Expr]]:
    """Return a flow whose factors that move along the trajectory have names, those claimed first.

    Returns what the names stand for as well. A factor's rate is a name too: the flow is then free
    of the states' own equations.
    """
    multipliers = _Multipliers(flow.operators, _letters(flow))
    claimed = {image: multipliers.rebuilt(right) for image, right in flow.claimed.items()}
    vectors = flow.operators.vectors
    rates = {x: multipliers.rebuilt(r) if x in vectors else r for x, r in flow.rates.items()}
    meaning = {name: factor for factor, name in multipliers.found.items()}
    moving = {name: derivative_along(factor, flow.rates) for name, factor in meaning.items()}
    known = {velocity_symbol(name): rate for name, rate in moving.items() if not rate.has(Tangent)}
    operators = replace(flow.operators, names=(*meaning.items(), *known.items()))
    rates |= {name: velocity_symbol(name) for name in meaning}
    return replace(flow, operators=operators, rates=rates, claimed=claimed), meaning


def _letters(flow: Flow) -> Iterator[sp.Symbol]:
    """Yield free names."""
    expressions = (*flow.claimed.values(), *flow.rates.values())
    taken = set().union(*(e.free_symbols for e in expressions))
    letters = (symbol(f"{letter}{number or ''}") for number in count() for letter in "DEGKQ")
    return (letter for letter in letters if letter not in taken)


@dataclass(frozen=True)
class _Multipliers:
    """Gives names to factors; one that differs by a scalar alone shares the name."""

    operators: Operators
    letters: Iterator[sp.Symbol]
    found: dict[sp.Expr, sp.Symbol] = field(default_factory=dict)

    def rebuilt(self, expression: sp.Expr) -> sp.Expr:
        """Return an expression linear in the vectors, its factors named."""
        terms = self.operators.terms(expression)
        return sp.Add(*(self._named(c) * self._inside(vector) for vector, c in terms.items()))

    def _inside(self, vector: sp.Expr) -> sp.Expr:
        if not isinstance(vector, OPERATORS):
            return vector
        argument, *which = vector.args
        return vector.func(self.rebuilt(argument), *which)

    def _named(self, coefficient: sp.Expr) -> sp.Expr:
        if self._is_plain(coefficient):
            return coefficient
        for factor, name in self.found.items():
            ratio = sp.cancel(coefficient / factor)
            if self.operators.is_scalar(ratio):
                return ratio * name
        number, factor = shortest(coefficient).as_coeff_Mul()
        if factor.as_coeff_Add()[0] < 0:
            number, factor = -number, -factor
        self.found[factor] = next(self.letters)
        return number * self.found[factor]

    def _is_plain(self, coefficient: sp.Expr) -> bool:
        """Return whether nothing in it is longer than a state or a call of the field."""
        moving = [f for f in sp.Mul.make_args(coefficient) if not self.operators.is_scalar(f)]
        powers = (factor.as_base_exp() for factor in moving)
        return all(isinstance(base, (sp.Symbol, Field)) and n.is_Integer for base, n in powers)
