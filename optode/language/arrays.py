"""The functions of the language on NumPy arrays, for ``sympy.lambdify``.

lambdify runs code that SymPy prints. It is given expressions alone, whose names and functions the
reader has looked up one by one: no text of a user is in what it runs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache, partial
from typing import Any, TypeAlias

import numpy as np
import sympy as sp

from optode.language.functions import FUNCTIONS, by_formula
from optode.language.record import Function

Table: TypeAlias = Mapping[str, Callable[..., Any] | None]


def array_modules(total: Callable[[Any], Any], *tables: Table) -> list[Any]:
    """Return the ``modules`` argument of ``lambdify``, with further tables that go first.

    ``total`` sums over the features, broadcast back.
    """
    sums = {"total": total, "dot": lambda u, w: total(u * w)}
    return [*tables, {**_elementwise(), **sums}, "scipy", "numpy"]


@cache
def _elementwise() -> Table:
    """Every elementwise function that NumPy and SciPy do not have by its SymPy name."""
    found = {record.kind.__name__: _on_arrays(record) for record in FUNCTIONS}
    return {name: function for name, function in found.items() if function}


def _on_arrays(record: Function) -> Callable[..., Any] | None:
    if record.arrays is not None:
        return partial(record.arrays, np)
    if record.over_features or not hasattr(record.kind, "formula"):
        return None
    slots = [sp.Dummy(real=True) for _ in range(max(record.arguments))]
    function: Callable[..., Any] = sp.lambdify(
        slots, by_formula(record.kind(*slots)), ["scipy", "numpy"]
    )
    return function
