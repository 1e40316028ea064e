"""What the equations of a model do not say themselves."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import sympy as sp

from optode.language.symbols import Tangent


def on_time(equations: Iterable[sp.Expr]) -> Iterator[str]:
    """Say that Jacobian products are derived for a field that is the same at all times.

    A rule says nothing of when its gradient is taken, and a module has no derivative in time.
    """
    if any(equation.has(Tangent) for equation in equations):
        yield (
            "J is the derivative of f in its states: of an f that changes with t, the terms with its "
            "derivative in t are not there"
        )
