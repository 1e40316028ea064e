"""Hold the numbers with which states follow from values at nodes, from the start of a step on."""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import torch
from torch import Tensor

from ..torch_internals import is_watched
from .collocation import collocation, lagrange, radau

Row = tuple[float, ...]


class Leg(NamedTuple):
    """The way from the start of a step to a node, or to its end, from values at nodes before it.

    In parts of a step: the ``nodes`` of collocation, the last of them the end, and the
    ``integrals`` from the start to each. ``weights`` are those of the values at each.
    """

    nodes: Row
    integrals: tuple[Row, ...]
    weights: tuple[Row, ...]


@cache
def leg(given: Row, end: float, count: int) -> Leg:
    """Return the leg to an end by so many of Radau's nodes, from values at given nodes."""
    nodes = tuple(end * x for x in radau(count))
    integrals = tuple(tuple(end * x for x in row) for row in collocation(count))
    return Leg(nodes, integrals, tuple(lagrange(given, x) for x in nodes))


class Tables(NamedTuple):
    """The numbers of all legs of a step, filled up with zeros to one size.

    ``nodes`` (legs, n), ``integrals`` (legs, n, n), ``weights`` (legs, n, values), and ``responses``
    of their shape: what a value at a node adds to an integral.
    """

    nodes: Tensor
    integrals: Tensor
    weights: Tensor
    responses: Tensor


def tables(legs: tuple[Leg, ...], like: Tensor) -> Tables:
    """Return the numbers of legs with the dtype and the device of a tensor.

    They are made once, but where a mode makes tensors that nobody else may see.
    """
    apart = torch.compiler.is_compiling() or is_watched()
    make = _tables if apart else _known_tables
    return make(legs, like.dtype, like.device)


def _tables(legs: tuple[Leg, ...], dtype: torch.dtype, device: torch.device) -> Tables:
    size, values = (
        max(len(x) for x in row) for row in zip(*((g.nodes, g.weights[0]) for g in legs))
    )
    nodes = [_filled(x.nodes, size) for x in legs]
    integrals = [_square(x.integrals, size, size) for x in legs]
    weights = [_square(x.weights, size, values) for x in legs]
    responses = [_square(_product(x.integrals, x.weights), size, values) for x in legs]
    every = (nodes, integrals, weights, responses)
    return Tables(*(torch.tensor(x, dtype=dtype, device=device) for x in every))


_known_tables = cache(_tables)


def row_tensor(row: Row, like: Tensor) -> Tensor:
    """Return numbers as a tensor like another, made once as ``tables`` are."""
    make = _row if torch.compiler.is_compiling() or is_watched() else _known_row
    return make(row, like.dtype, like.device)


def _row(row: Row, dtype: torch.dtype, device: torch.device) -> Tensor:
    return torch.tensor(row, dtype=dtype, device=device)


_known_row = cache(_row)


def _product(left: tuple[Row, ...], right: tuple[Row, ...]) -> tuple[Row, ...]:
    columns = [*zip(*right)]
    return tuple(tuple(sum(x * y for x, y in zip(row, c)) for c in columns) for row in left)


def _filled(row: Row, size: int) -> Row:
    return (*row, *[0.0] * (size - len(row)))


def _square(rows: tuple[Row, ...], height: int, width: int) -> list[Row]:
    return [_filled(row, width) for row in rows] + [(0.0,) * width] * (height - len(rows))


def mixed_rows(rows: Tensor, x: Tensor) -> Tensor:
    """Return weighed sums over the first dimension of x, one for each row.

    Rows may have dimensions of samples before them.
    """
    if rows.ndim == 2:
        columns = x.flatten(1) if x.ndim > 1 else x[:, None]
        return (rows @ columns).view(len(rows), *x.shape[1:])
    return (rows.movedim((-2, -1), (0, 1)) * x).sum(1)


def scaled_rows(weights: Tensor, x: Tensor) -> Tensor:
    """Return x, each entry of its first dimension times its weight."""
    first = weights.movedim(-1, 0)
    return first.view(*first.shape, *[1] * (x.ndim - first.ndim)) * x
