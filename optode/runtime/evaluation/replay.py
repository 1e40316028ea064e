"""Answer the calls of equations with given values, in the place of the network."""

from __future__ import annotations

from itertools import repeat

from torch import Tensor

from ..aliases import Tensors


class Replayed:
    """Stand in for a field: return given values, in the order in which equations call it.

    It takes the place of a ``BoundField``. Operators and Jacobian-vector products are calls, too.
    A single tensor answers all calls, for results that do not depend on f.
    """

    __slots__ = ("_values",)

    def __init__(self, values: Tensors | Tensor) -> None:
        self._values = repeat(values) if isinstance(values, Tensor) else iter(values)

    def __call__(self, *states: Tensor) -> Tensor:
        """Return the value of this call."""
        return next(self._values)

    def apply(self, name: str, *states: Tensor) -> Tensor:
        """Return the value of this call of a function of the node."""
        return next(self._values)

    def tangent(self, states: Tensors, directions: Tensors, name: str = "field") -> Tensor:
        """Return the value of this Jacobian-vector product."""
        return next(self._values)
