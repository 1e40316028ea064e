"""The functions of the language on NumPy arrays, for ``sympy.lambdify``.

lambdify runs code that SymPy prints. It is given expressions alone, whose names and functions the
reader has looked up one by one: no text of a user is in what it runs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache, partial
from typing import Any, TypeAlias

import numpy as np

from optode.language.functions import FUNCTIONS

Table: TypeAlias = Mapping[str, Callable[..., Any] | None]


def array_modules(total: Callable[[Any], Any], *tables: Table) -> list[Any]:
    """Return the ``modules`` argument of ``lambdify``, with further tables that go first.

    ``total`` sums over the features, broadcast back.
    """
    sums = {"total": total, "dot": lambda u, w: total(u * w)}
    return [*tables, {**_elementwise(), **sums}, "numpy"]


@cache
def _elementwise() -> Table:
    """Every elementwise function that NumPy does not have by its SymPy name."""
    return {r.kind.__name__: partial(r.arrays, np) for r in FUNCTIONS if r.arrays is not None}
