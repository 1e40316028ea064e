"""Smooth functions of two variables on which derivations are tried out, with exact derivatives.

Neither quadratic nor separable: on a quadratic the third derivatives vanish, on a separable
function every product of vectors commutes with the Hessian, and either would hide a wrong
next-order term.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache, cached_property
from itertools import chain
from typing import TypeAlias

import numpy as np
import sympy as sp
from numpy.typing import NDArray

from optode.language.arrays import stacked
from optode.rule.rule import UpdateRule

Array: TypeAlias = NDArray[np.float64]


class SmoothField:
    """A map of arrays of one shape to such an array, with its derivatives of every order.

    The shape is that of vectors, (2,), unless another is given, as (2, 2) of matrices.
    ``potential`` is the function whose gradient the map is, where there is one.
    """

    def __init__(
        self,
        variables: Sequence[sp.Symbol],
        components: Sequence[sp.Expr],
        potential: sp.Expr | None = None,
        shape: tuple[int, ...] = (2,),
    ) -> None:
        self.variables, self.shape = tuple(variables), shape
        self.potential = potential
        self._derivatives: dict[int, Callable[..., Sequence[float]]] = {}
        self._tensors: list[list[sp.Expr]] = [list(components)]

    def __call__(self, *points: Array) -> Array:
        """Return the value at a point, given as one vector for each argument."""
        return self.derivative(points)

    def loss(self, *points: Array) -> Array:
        """Return the potential at a point of two components; TypeError where there is none."""
        if self.potential is None:
            raise TypeError("this field is no gradient: it has no loss")
        try:
            return np.array(self._potential(*self._joined(points).tolist()))
        except (OverflowError, ValueError):  # far away, or nowhere
            return np.array(np.nan)

    @cached_property
    def _potential(self) -> Callable[..., float]:
        function: Callable[..., float] = sp.lambdify(self.variables, self.potential, "math")
        return function

    def derivative(self, points: Sequence[Array], *directions: Sequence[Array]) -> Array:
        """Return the n-th derivative at a point applied to n directions (for n = 1 the Jacobian product)."""
        tensor = self._tensor(len(directions), self._joined(points))
        for direction in directions:
            tensor = tensor @ self._joined(direction)
        return tensor.reshape(self.shape)

    def _tensor(self, order: int, point: Array) -> Array:
        """Return all partial derivatives of an order, shape (2, n, ..., n) with n variables."""
        if order not in self._derivatives:
            entries = self._entries(order)
            self._derivatives[order] = sp.lambdify(self.variables, entries, "math", cse=True)
        shape = (-1,) + (len(self.variables),) * order
        try:
            values = self._derivatives[order](*point.tolist())
        except (OverflowError, ValueError):  # far away, or nowhere
            return np.full(len(self._entries(order)), np.nan).reshape(shape)
        return np.array(values).reshape(shape)

    def _entries(self, order: int) -> list[sp.Expr]:
        while len(self._tensors) <= order:
            rows = ([e.diff(v) for v in self.variables] for e in self._tensors[-1])
            self._tensors.append(list(chain.from_iterable(rows)))
        return self._tensors[order]

    def _joined(self, arrays: Sequence[Array]) -> Array:
        """Concatenate arrays; a number stands for an array of equal components."""
        return np.asarray(stacked(arrays, self.shape)).ravel()


def field_for(rule: UpdateRule, *, convex: bool = True) -> SmoothField:
    """Return a field for the position of a rule, of a convex function or of a game."""
    if rule.is_matrix:
        return matrix_field(convex)
    return optimizer_field() if convex else game_field()


@cache
def matrix_field(convex: bool = True) -> SmoothField:
    """Return the gradient of a convex function of a matrix of 2 rows and 2 columns, or a field beside it.

    No entry is alone, and the function is not that of the transposed matrix.
    """
    a, b, c, d = variables = sp.symbols("a b c d", real=True)
    f = sp.log(sp.cosh(a + b / 2 - d / 3)) + (a**4 + (b - c) ** 4) / 10
    f += (a**2 + 2 * b**2 + 3 * c**2 + 2 * d**2 + a * d + b * c) / 5
    components = [f.diff(v) for v in variables]
    if not convex:
        turning = (b + b**3 / 5, -a, d - sp.sin(a) / 2, -c)
        components = [g / 2 + r for g, r in zip(components, turning, strict=True)]
    return SmoothField(variables, components, f if convex else None, (2, 2))


@cache
def optimizer_field() -> SmoothField:
    """Return the gradient of a strongly convex function, its loss; its Hessian is symmetric."""
    x, y = variables = sp.symbols("x y", real=True)
    f = sp.log(sp.cosh(x + y / 2)) + x**4 / 10 + x**2 / 10 + y**2 / 2 + x * y / 5
    bend = sp.tanh(x + y / 2)  # written out: SymPy takes as long to differentiate as a check takes
    slopes = [bend + 2 * x**3 / 5 + x / 5 + y / 5, bend / 2 + y + x / 5]
    return SmoothField(variables, slopes, f)


@cache
def game_field() -> SmoothField:
    """Return a monotone field that is no gradient, as of a game between x and y: it turns.

    What holds on it holds for a network; ``J^T u`` in the place of ``J u`` is told apart.
    """
    x, y = variables = sp.symbols("x y", real=True)
    turning = sp.Matrix([y + y**3 / 5, -x - sp.sin(x) / 2])
    pulling = sp.Matrix([x / 2 + x * y / 5, sp.tanh(y) / 2 + x**2 / 6])
    return SmoothField(variables, list(turning + pulling))
