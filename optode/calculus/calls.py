"""Series of calls of an oracle, and of its Jacobian products, by Taylor's theorem."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import TypeAlias

import sympy as sp

from optode.calculus.series import NoExpansion, Order, Series, Work, joined
from optode.calculus.tangent import tangent
from optode.language.matrices import operator_of

_Product: TypeAlias = tuple[Fraction, tuple[sp.Expr, ...]]
"""An exponent of Delta, and the directions of a Jacobian product."""


@dataclass(frozen=True, slots=True)
class Taylor:
    """Expands calls up to an order; ``vectors`` are the symbols that do not come out of a product."""

    order: Order
    vectors: frozenset[sp.Symbol]
    work: Work

    def of(self, call: sp.Expr, arguments: Sequence[Series], along: Sequence[Series]) -> Series:
        """Expand a call whose arguments, and directions where there are any, are series.

        With directions it is the Jacobian product along them. A power of Delta comes out of a matrix
        function, whose n-th derivative has the degree of the function minus n. Raises NoExpansion
        where an argument runs away.
        """
        operator = operator_of(call)
        if operator is not None and (exponent := arguments[0].leading[0]) != 0:
            found = self.of(call, [arguments[0].shifted(-exponent)], along)
            return found.shifted(exponent * (operator.degree - len(along)))
        if any(a.terms and a.terms[0][0] < 0 for a in arguments):
            raise NoExpansion(f"the argument of {call} runs away")
        at = call.at(*(a.coefficient(Fraction(0)) for a in arguments))
        moved = joined(list(arguments))
        shifts = [(e, d) for e, d in moved.terms if e > 0]
        products: list[_Product] = [(Fraction(0), ())]
        for series in along:
            products = self._each_along(products, series.terms)
        total: dict[Fraction, sp.Expr] = {}
        n = 0
        while products:
            for exponent, vectors in products:
                term = tangent(at, vectors, self.vectors) if vectors else at
                total[exponent] = total.get(exponent, sp.S.Zero) + term / sp.factorial(n)
            self.work.on(total.values())
            products, n = self._each_along(products, shifts), n + 1
        return Series.of(total, self._known(moved, along, bool(shifts)))

    def _each_along(
        self, products: list[_Product], terms: Iterable[tuple[Fraction, sp.Expr]]
    ) -> list[_Product]:
        """Return the products with a further direction each, as far as the order goes."""
        return [
            (e1 + e2, (*vectors, d))
            for e1, vectors in products
            for e2, d in terms
            if e1 + e2 < self.order
        ]

    def _known(self, moved: Series, along: Sequence[Series], moves: bool) -> Order:
        """Return the order up to which a Jacobian product is known."""
        floors = [d.terms[0][0] if d.terms else d.order for d in along]
        lowest = sum(floors, Fraction(0))
        known = [moved.order + lowest]
        known += [d.order + lowest - f for d, f in zip(along, floors, strict=True)]
        return min([*known, self.order] if moves or along else known)
