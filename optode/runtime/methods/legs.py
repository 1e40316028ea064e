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

    ``nodes`` (legs, n) and ``integrals`` (legs, n, n). Of each leg ``own_integrals`` (n, n) and
    ``own_weights`` (n, values) share no memory with these: a region that is compiled once takes no
    tensor beside a part of it.
    """

    nodes: Tensor
    integrals: Tensor
    own_integrals: list[Tensor]
    own_weights: list[Tensor]


class Sides(NamedTuple):
    """The right sides of the systems of all legs for a group of driven states, and their unit.

    ``starts`` (states, n, sides) are those of the starts alone, and ``responses`` (legs, states, n,
    sides) what a value at a node adds to an integral. The starts come first among the sides, then
    the values at each node in turn.
    """

    starts: Tensor
    responses: Tensor
    unit: Tensor


class Order(NamedTuple):
    """Where the rows of each leg are among the solutions of all groups, one after another.

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
        [tensor(x.integrals) for x in legs],
        [tensor(x.weights) for x in legs],
    )


@constants
def sides(
    legs: Legs, states: int, rests: tuple[int, ...], dtype: torch.dtype, device: torch.device
) -> Sides:
    """Return the right sides for so many states, of which those at given places have a rest."""
    (size, values), count = _sizes(legs), len(rests)
    starts = torch.zeros(states, size, states + values * count, dtype=torch.float64)
    for i in range(states):
        starts[i, :, i] = 1
    responses = starts.new_zeros(len(legs), *starts.shape)
    for k, one in enumerate(legs):
        n, used = len(one.nodes), len(one.weights[0])
        added = starts.new_tensor(one.integrals) @ starts.new_tensor(one.weights)
        for r, i in enumerate(rests):
            responses[k, i, :n, states + r : states + used * count : count] = added
    unit = torch.eye(states * size, dtype=torch.float64)
    return Sides(*(x.to(device, dtype) for x in (starts, responses, unit)))


@constants
def order(
    legs: Legs,
    groups: tuple[tuple[int, ...], ...],
    rests: tuple[int, ...],
    whole: bool,
    device: torch.device,
) -> Order:
    """Return where the rows are: of all nodes of the legs, or of their ends.

    States are in the order of their places, and so are those with a rest.
    """
    (size, values), driven = _sizes(legs), sorted(i for group in groups for i in group)
    sought: list[int] = []
    shapes, begins, begin = [], [], 0
    widths = [len(g) + values * sum(i in rests for i in g) for g in groups]
    for group, width in zip(groups, widths):
        begins.append(begin)
        begin += len(legs) * len(group) * size * width
    for k, one in enumerate(legs):
        nodes, used = [*range(len(one.nodes))], len(one.weights[0])
        nodes = nodes if whole else nodes[-1:]
        shapes.append((len(driven) * len(nodes), len(driven) + used * len(rests)))
        for i in driven:
            g = next(g for g, group in enumerate(groups) if i in group)
            group, width = groups[g], widths[g]
            resting = [j for j in group if j in rests]
            columns = [group.index(j) if j in group else None for j in driven]
            columns += [
                len(group) + v * len(resting) + resting.index(j) if j in resting else None
                for v in range(used)
                for j in rests
            ]
            for a in nodes:
                row = begins[g] + ((k * len(group) + group.index(i)) * size + a) * width
                sought += [begin if c is None else row + c for c in columns]  # or the zero behind
    return Order(torch.tensor(sought, device=device), shapes)


def _sizes(legs: Legs) -> tuple[int, int]:
    """Return the most nodes, and the most values, of any leg."""
    return max(len(x.nodes) for x in legs), max(len(x.weights[0]) for x in legs)


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
