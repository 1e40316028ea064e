"""Hold the numbers with which states follow from values at nodes, from the start of a step on."""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import torch
from torch import Tensor

from ..tracing import constants
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


Legs = tuple[Leg, ...]


@cache
def leg(given: Row, end: float, count: int) -> Leg:
    """Return the leg to an end by so many of Radau's nodes, from values at given nodes."""
    nodes = tuple(end * x for x in radau(count))
    integrals = tuple(tuple(end * x for x in row) for row in collocation(count))
    return Leg(nodes, integrals, tuple(lagrange(given, x) for x in nodes))


class Tables(NamedTuple):
    """The numbers of all legs of a step: together, filled up with zeros to one size, and of each.

    ``nodes`` (legs, n), ``integrals`` (legs, n, n) and the ``unit`` matrix (n, n). Of each leg
    ``own_integrals`` (n, n) and ``own_weights`` (n, values) share no memory with these: a region that
    is compiled once takes no tensor beside a part of it.
    """

    nodes: Tensor
    integrals: Tensor
    unit: Tensor
    own_integrals: list[Tensor]
    own_weights: list[Tensor]


class Sides(NamedTuple):
    """The right sides of the equations of all legs, a tensor for every driven state.

    ``starts`` (1, n, sides) are those of the starts alone, and ``responses`` (legs, n, sides) what a
    value at a node adds to an integral. The starts come first among the sides, then the values at
    each node in turn.
    """

    starts: list[Tensor]
    responses: list[Tensor]


class Resolving(NamedTuple):
    """The partial fractions of ``(1 - x A)^-1`` of every leg, A its integrals.

    ``table`` (legs, n n, n) weighs parts for each eigenvalue of A, ``real`` and ``imaginary`` (legs,
    n): the real part of ``1 / (1 - x a)``, and for the second a of a pair the imaginary one.
    """

    table: Tensor
    real: Tensor
    imaginary: Tensor


class Order(NamedTuple):
    """Where the rows of each leg are among those of all driven states, one after another.

    ``shapes`` are those of the legs' rows: driven states at nodes, starts and values.
    """

    places: Tensor
    shapes: list[tuple[int, int]]


@constants
def tables(legs: Legs, dtype: torch.dtype, device: torch.device) -> Tables:
    """Return the numbers of legs with a dtype and on a device."""
    size, _ = _sizes(legs)

    def tensor(numbers: object) -> Tensor:
        return torch.tensor(numbers, dtype=dtype, device=device)

    return Tables(
        tensor([_filled(x.nodes, size) for x in legs]),
        tensor([_square(x.integrals, size, size) for x in legs]),
        torch.eye(size, dtype=dtype, device=device),
        [tensor(x.integrals) for x in legs],
        [tensor(x.weights) for x in legs],
    )


@constants
def sides(
    legs: Legs, states: int, rests: tuple[int, ...], dtype: torch.dtype, device: torch.device
) -> Sides:
    """Return the right sides for so many driven states, of which those at given places have a rest."""
    (size, values), count = _sizes(legs), len(rests)
    starts = torch.zeros(states, 1, size, states + values * count, dtype=torch.float64)
    for i in range(states):
        starts[i, ..., i] = 1
    responses = starts.new_zeros(states, len(legs), *starts.shape[2:])
    for k, one in enumerate(legs):
        n, used = len(one.nodes), len(one.weights[0])
        added = starts.new_tensor(one.integrals) @ starts.new_tensor(one.weights)
        for r, i in enumerate(rests):
            responses[i, k, :n, states + r : states + used * count : count] = added
    return Sides(*([x.to(device, dtype, copy=True) for x in each] for each in (starts, responses)))


@constants
def resolving(legs: Legs, dtype: torch.dtype, device: torch.device) -> Resolving:
    """Return the partial fractions of the legs' resolvents."""
    size, _ = _sizes(legs)
    table = torch.zeros(len(legs), size, size, size, dtype=torch.float64)
    real, imaginary = (table.new_zeros(len(legs), size) for _ in range(2))
    for k, one in enumerate(legs):
        n = len(one.nodes)
        values, vectors = torch.linalg.eig(table.new_tensor(one.integrals))
        weights = torch.einsum("ap,pb->abp", vectors, torch.linalg.inv(vectors))
        # w z + w' z* of a pair, whose places are side by side, has both errors of the two weights
        other = weights[..., torch.arange(n) + values.imag.sign().long()]
        of_pair = torch.where(values.imag < 0, (other - weights).imag, (other + weights).real)
        weighed = torch.where(values.imag == 0, weights.real, of_pair)
        table[k, :n, :n, :n] = weighed
        real[k, :n], imaginary[k, :n] = values.real, values.imag
    return Resolving(*(x.to(device, dtype) for x in (table.flatten(1, 2), real, imaginary)))


@constants
def order(
    legs: Legs, states: int, rests: tuple[int, ...], whole: bool, device: torch.device
) -> Order:
    """Return where the rows are: of all nodes of the legs, or of their ends."""
    size, values = _sizes(legs)
    width = states + values * len(rests)
    sought: list[int] = []
    shapes = []
    for k, one in enumerate(legs):
        nodes, used = [*range(len(one.nodes))], states + len(one.weights[0]) * len(rests)
        nodes = nodes if whole else nodes[-1:]
        shapes.append((states * len(nodes), used))
        for i in range(states):
            for a in nodes:
                row = ((i * len(legs) + k) * size + a) * width
                sought += range(row, row + used)
    return Order(torch.tensor(sought, device=device), shapes)


def _sizes(legs: Legs) -> tuple[int, int]:
    """Return the most nodes, and the most values, of any leg."""
    return max(len(x.nodes) for x in legs), max(len(x.weights[0]) for x in legs)


def _filled(row: Row, size: int) -> Row:
    return (*row, *[0.0] * (size - len(row)))


def _square(rows: tuple[Row, ...], height: int, width: int) -> list[Row]:
    return [_filled(row, width) for row in rows] + [(0.0,) * width] * (height - len(rows))


_FEW = 4
"""Up to so many rows of each sample, sums of products take less time than a product of matrices."""


def mixed_rows(rows: Tensor, x: Tensor) -> Tensor:
    """Return weighed sums over the first dimension of x, one for each row.

    Rows may be those of each sample, whose dimensions come last, and first in x.
    """
    if rows.ndim == 2:
        columns = x.flatten(1) if x.ndim > 1 else x[:, None]
        return (rows @ columns).view(len(rows), *x.shape[1:])
    samples = rows.ndim - 2
    if len(rows) <= _FEW:
        return (rows.view(*rows.shape, *[1] * (x.ndim - 1 - samples)) * x).sum(1)
    columns = x.movedim(0, samples)
    columns = columns.flatten(samples + 1) if x.ndim > samples + 1 else columns[..., None]
    found = rows.movedim((0, 1), (-2, -1)) @ columns
    return found.movedim(samples, 0).reshape(len(rows), *x.shape[1:])


def scaled_rows(weights: Tensor, x: Tensor) -> Tensor:
    """Return x, each entry of its first dimension times its weight, or a weight of each sample."""
    return weights.view(*weights.shape, *[1] * (x.ndim - weights.ndim)) * x
