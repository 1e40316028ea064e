"""The functions of the language on NumPy arrays, for ``sympy.lambdify``.

lambdify runs code that SymPy prints. It is given expressions alone, whose names and functions the
reader has looked up one by one: no text of a user is in what it runs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial
from typing import Any, TypeAlias

import numpy as np
import sympy as sp
from sympy.printing.numpy import NumPyPrinter

from optode.language.functions import FUNCTIONS
from optode.language.matrices import eye, matmul, trace, transposed
from optode.language.matrix_arrays import matrix_reductions
from optode.language.symbols import Reduction

Table: TypeAlias = Mapping[str, Callable[..., Any] | None]


ONES = sp.Symbol("_ones", real=True)
"""An array of ones in the shape of the states: see ``in_full``."""


def array_modules(axis: int | None, *tables: Table) -> list[Any]:
    """Return the ``modules`` argument of ``lambdify``, with further tables that go first.

    The features are on the given axis, or fill the arrays where it is None.
    """
    return [*tables, {**_numpy(), "in_shape": _broadcast, **_elementwise(), **_reductions(axis)}]


def array_function(
    inputs: Sequence[sp.Symbol], value: Any, modules: list[Any], *, shared: bool = False
) -> Callable[..., Any]:
    """Return a function of the inputs' arrays, with the ``modules`` of ``array_modules``.

    Where ``shared``, what occurs twice is computed once. ``lambdify`` would import all of NumPy by name for
    ``"numpy"``, its tests and compilers too, which takes as long as a whole check.
    """
    names = {name: name for table in modules for name in table}
    settings = {"fully_qualified_modules": False, "inline": True, "allow_unknown_functions": True}
    printer = NumPyPrinter({**settings, "user_functions": names})
    found: Callable[..., Any] = sp.lambdify(inputs, value, modules, printer=printer, cse=shared)
    return found


def in_full(expression: sp.Expr) -> sp.Expr:
    """Return the expression with what reductions are applied to multiplied by ``ONES``.

    So ``total(1)`` is the number of features, although 1 is one number.
    """
    return expression.replace(
        lambda node: isinstance(node, Reduction) and not isinstance(node, _OF_MATRICES),
        lambda node: node.func(_in_shape(ONES, node.args[0]), *node.args[1:]),
    )


_in_shape = sp.Function("in_shape", real=True)
_OF_MATRICES = (matmul, transposed, trace, eye)


def _broadcast(full: Any, u: Any) -> Any:
    """Return an array in the shape of another, unless it has a shape of its own: a Gram matrix has."""
    square = np.ndim(u) > 1 and np.shape(u)[-2] == np.shape(u)[-1] > 1
    return u if square and np.shape(u)[-2:] != np.shape(full)[-2:] else full * u


def stacked(values: Sequence[Any], shape: tuple[int, ...]) -> Any:
    """Return arrays of a shape as one array; a number stands for an array of equal elements."""
    whole = np.empty((len(values), *shape))
    for k, value in enumerate(values):  # np.broadcast_to takes many times as long
        whole[k] = value
    return whole


def ones(*arrays: Any) -> Any:
    """Return the value of ``ONES``, given arrays of which one has the states' shape."""
    return np.ones(np.broadcast_shapes(*map(np.shape, arrays)))


def _reductions(axis: int | None) -> Table:
    """Return sums, means and extremes over an axis, broadcast back; extremes of complex numbers by real part."""
    options: dict[str, Any] = {"axis": axis, "keepdims": axis is not None}

    def total(u: Any) -> Any:
        return np.sum(u, **options)

    def at(index: Any, u: Any) -> Any:
        return np.ravel(u)[index] if axis is None else np.take_along_axis(u, index, axis)

    return {
        **matrix_reductions(),
        "total": total,
        "dot": lambda u, w: total(u * w),
        "mean": lambda u: np.mean(u, **options),
        "highest": lambda u: at(np.argmax(np.real(u), **options), u),
        "lowest": lambda u: at(np.argmin(np.real(u), **options), u),
    }


@cache
def _numpy() -> Table:
    """What SymPy prints for NumPy under NumPy's own names."""
    return {name: getattr(np, name) for name in _PRINTED}


_PRINTED = (
    "abs", "arccos", "arcsin", "arctan", "cos", "cosh", "e", "equal", "exp", "greater",
    "greater_equal", "inf", "less", "less_equal", "log", "logical_and", "logical_not",
    "logical_or", "nan", "not_equal", "pi", "select", "sign", "sin", "sinh", "sqrt", "tan", "tanh",
)  # fmt: skip


@cache
def _elementwise() -> Table:
    """Return every elementwise function that NumPy does not have by its SymPy name."""
    return {r.kind.__name__: partial(r.arrays, np) for r in FUNCTIONS if r.arrays is not None}
