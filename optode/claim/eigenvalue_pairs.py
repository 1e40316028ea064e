"""Pair the eigenvalues of the Jacobian of a second-order flow: their products follow from the damping.

Where ``W = S a / P`` (S the exchange of two states, one with its sign changed) satisfies the
linearised equation with ``J^T`` for J, the transition matrices of the two are ``P0/P S Phi^(-T)
S^(-1)`` and Phi: with a symmetric J they are the same, and the eigenvalues of Phi pair. Where all
else is scalar, a constant J is brought to triangular form once and for all, and each of its
eigenvalues gives a pair.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

import sympy as sp

from optode.adjoint.volume import END
from optode.calculus.integrals import growth, integral
from optode.claim.costates import Costates
from optode.claim.operators import Operators, Terms
from optode.claim.verdicts import Change, Claim, Verdict
from optode.language.symbols import TIME, FieldTransposed, symbol

_FIRST, _SECOND = symbol("mu_1"), symbol("mu_2")


def pair_claims(costates: Costates, claims: Iterable[Claim]) -> Iterator[Claim]:
    """Yield the claims on the eigenvalues, where a costate was found that satisfies the equations.

    They are on the Jacobian's integral over (t, T), and on the transition matrix from t to T.
    """
    for claim in claims:
        for verdict in claim.verdicts:
            if verdict.status == "proven" and _is_exchange(verdict, costates):
                operators = replace(costates.operators, names=claim.names)
                right = {b: operators.terms(e) for b, e in claim.equations}
                yield from _claims(operators, right, verdict.change, bool(costates.calls))
                return


def _is_exchange(verdict: Verdict, costates: Costates) -> bool:
    """Return whether the images are ``(a_y, c a_x)/P`` with a number c, in forward time."""
    if verdict.change.is_reversed or len(verdict.images) != 2:
        return False
    (_, first), (_, second) = verdict.images
    a_x, a_y = costates.of.values()
    ratio = sp.cancel(second / first * a_y / a_x)
    return bool(ratio.is_number)


def _claims(
    operators: Operators, right: dict[sp.Symbol, Terms], change: Change, has_field: bool
) -> Iterator[Claim]:
    total, product = integral(-change.rate, TIME, END), growth(-change.rate, TIME, END)
    if total is None or product is None:
        return
    if _diagonal_is_scalar(operators, right):
        pairs = (_FIRST + _SECOND, total)
        yield Claim("integrated", (pairs,), (Verdict("proven", change=change),))
    if not has_field:
        yield Claim("transition", ((_FIRST * _SECOND, product),), (Verdict("proven"),))
        return
    verdicts = [
        Verdict("proven", change=change, remark="where J is symmetric", jacobian="symmetric")
    ]
    if _commutes_with_constant(operators, right):
        remark = "where J is constant"
        verdicts.append(Verdict("proven", change=change, remark=remark, jacobian="constant"))
    J, JT = symbol("J"), symbol("JT")
    verdicts.append(Verdict("refuted", change=change, leftover=((J, J - JT),)))
    yield Claim("transition", ((_FIRST * _SECOND, product),), tuple(verdicts))


def _diagonal_is_scalar(operators: Operators, right: dict[sp.Symbol, Terms]) -> bool:
    """Return whether each state moves itself by a factor that is a function of t alone."""
    own = ((v, c) for b, terms in right.items() for v, c in terms.items() if v.has(b))
    return all(vector.is_Symbol and operators.is_scalar(c) for vector, c in own)


def _commutes_with_constant(operators: Operators, right: dict[sp.Symbol, Terms]) -> bool:
    """Return whether J and scalars are all that there is: a constant J commutes with them at all times."""
    plain = {*right, *map(FieldTransposed, right)}
    every = (item for terms in right.values() for item in terms.items())
    return all(vector in plain and operators.is_scalar(c) for vector, c in every)
