"""The matrix functions on NumPy arrays, with their derivatives."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[np.float64]
Table: TypeAlias = Mapping[str, Callable[..., Any]]


def matrix_reductions() -> Table:
    """Return products, traces, and what is taken over rows or columns, by their SymPy names."""

    def over(function: Callable[..., Any], axis: int) -> Callable[[Any], Any]:
        return lambda u: np.broadcast_to(function(u, axis=axis, keepdims=True), np.shape(u))

    def highest(u: Any, axis: int, keepdims: bool) -> Any:
        index = np.argmax(np.real(u), axis=axis, keepdims=keepdims)
        return np.take_along_axis(u, index, axis)

    return {
        "matmul": np.matmul,
        "transposed": lambda a: np.swapaxes(a, -1, -2),
        "trace": lambda a: np.trace(a, axis1=-2, axis2=-1)[..., None, None],
        "eye": lambda a: np.eye(np.shape(a)[-2]),
        "ones": np.ones_like,
        "row_total": over(np.sum, -1),
        "column_total": over(np.sum, -2),
        "row_mean": over(np.mean, -1),
        "column_mean": over(np.mean, -2),
        "row_highest": over(highest, -1),
        "column_highest": over(highest, -2),
    }


def matrix_function(name: str) -> tuple[Callable[..., Array], Callable[..., Array]]:
    """Return a matrix function by its name, and its derivative ``(at, along) -> array``.

    What is not finite has no value: nan.
    """
    stem, _, number = name.rpartition("_")
    value: Callable[..., Array]
    along: Callable[..., Array]
    if stem == "inv_root":
        value, along = (
            partial(_inverse_root, root=int(number)),
            partial(_inverse_root_along, root=int(number)),
        )
    elif stem == "newton_schulz":
        value, along = (
            partial(_newton_schulz, steps=int(number)),
            partial(_newton_schulz_along, steps=int(number)),
        )
    else:
        value, along = {"polar": (_polar, _polar_along), "eigenvectors": (_eigen, _eigen_along)}[
            name
        ]

    def guarded(function: Callable[..., Array], a: Any, *directions: Any) -> Array:
        if not np.isfinite(a).all():
            return np.full(np.shape(a), np.nan)
        return function(a, *(np.broadcast_to(u, np.shape(a)) for u in directions))

    return partial(guarded, value), partial(guarded, along)


def _turned(a: Any) -> Any:
    return np.swapaxes(a, -1, -2)


def _polar(a: Array) -> Array:
    u, _, v = np.linalg.svd(a, full_matrices=False)
    return np.asarray(u @ v)


def _polar_along(a: Array, along: Array) -> Array:
    """Return the derivative of the polar factor of a square matrix (Higham 2008, section 8.2)."""
    u, s, v = np.linalg.svd(a)
    turning = _turned(u) @ along @ _turned(v)
    sums = s[..., :, None] + s[..., None, :]
    return np.asarray(u @ ((turning - _turned(turning)) / sums) @ v)


def _inverse_root(a: Array, root: int) -> Array:
    values, vectors = np.linalg.eigh(a)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray((vectors * values[..., None, :] ** (-1 / root)) @ _turned(vectors))


def _inverse_root_along(a: Array, along: Array, root: int) -> Array:
    """Return the derivative by divided differences (Daleckii and Krein 1965; Higham 2008)."""
    values, vectors = np.linalg.eigh(a)
    x, y = values[..., :, None], values[..., None, :]
    power = -1 / root
    apart = np.abs(x - y) > 1e-6 * np.abs(x)
    slopes = np.where(
        apart,
        (x**power - y**power) / np.where(apart, x - y, 1.0),
        power * ((x + y) / 2) ** (power - 1),
    )
    inner = _turned(vectors) @ along @ vectors
    return np.asarray(vectors @ (slopes * inner) @ _turned(vectors))


def _eigen(a: Array) -> Array:
    vectors = np.linalg.eigh(a)[1]
    # the sign of each vector is open: its largest component is made positive
    largest = np.take_along_axis(vectors, np.argmax(np.abs(vectors), -2, keepdims=True), -2)
    return np.asarray(vectors * np.sign(largest))


def _eigen_along(a: Array, along: Array) -> Array:
    values, vectors = np.linalg.eigh(a)[0], _eigen(a)
    gaps = values[..., None, :] - values[..., :, None]
    turning = np.where(gaps == 0, 0.0, 1 / np.where(gaps == 0, 1.0, gaps))
    return np.asarray(vectors @ (turning * (_turned(vectors) @ along @ vectors)))


def _newton_schulz(a: Any, steps: int) -> Any:
    """Return the iterate after some steps, of a matrix or of one with an imaginary step."""
    high = np.shape(a)[-2] > np.shape(a)[-1]
    x = _turned(a) if high else a
    x = x / np.sqrt(np.sum(x * x, axis=(-2, -1), keepdims=True))
    for _ in range(steps):
        gram = x @ _turned(x)
        x = QUINTIC[0] * x + (QUINTIC[1] * gram + QUINTIC[2] * gram @ gram) @ x
    return _turned(x) if high else x


def _newton_schulz_along(a: Array, along: Array, steps: int) -> Array:
    step = 1e-30
    return np.asarray(np.imag(_newton_schulz(a + 1j * step * along, steps)) / step)


QUINTIC = (3.4445, -4.7750, 2.0315)
"""The coefficients of Jordan et al. 2024."""
