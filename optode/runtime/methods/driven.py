"""Solve linear states by collocation, under rests that are known at nodes.

Of driven states ``z' = L(t) z + g`` the rest g is interpolated through its values at nodes. At
Radau's nodes collocation asks ``z_a = z_0 + sum_b A_ab (L_b z_b + g_b)``. So a state at a node is a
sum of the starts and of the values of g, weighed by numbers. States that move each other are solved
for together, after those that move them alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from .legs import Legs, Tables, order, resolving, sides
from .step import Structure

Linear = Sequence[Sequence[Tensor | None]]
"""L at several times, which are the first dimension of its entries; None for those that are 0."""


def leg_rows(
    structure: Structure,
    legs: Legs,
    numbers: Tables,
    length: Any,
    linear: Linear,
    like: Tensor,
    whole: bool,
) -> list[Tensor]:
    """Return the rows of every leg: how far driven states go from their starts.

    Of shape (driven states and nodes, starts and values of rests), with the dtype of ``like``. The
    columns have the values in the order of the nodes. With ``whole`` there are rows of all nodes,
    and not of the ends alone. Where samples have times of their own, dimensions of the samples come
    last. ``linear`` is L at the nodes of all legs.
    """
    if not structure.driven:
        return [like.new_zeros(0, 0) for _ in legs]
    driven = Driven(structure, legs, numbers, length, linear)
    for group in structure.groups:
        driven.add(group)
    every = [driven.found[i].to(like.dtype) for i in structure.driven]
    resting = tuple(structure.driven.index(i) for i in structure.resting)
    places, shapes = order(legs, len(every), resting, whole, like.device)
    rows = driven.stacked(every).flatten(0, 3).index_select(0, places)
    parts = rows.split_with_sizes([m * n for m, n in shapes])
    return [x.view(*shape, *x.shape[1:]) for x, shape in zip(parts, shapes)]


class Driven:
    """Hold how far driven states go for each right side.

    Tensors of shape (legs, nodes, sides), with dimensions of the samples after these where samples
    have times of their own.
    """

    def __init__(
        self, structure: Structure, legs: Legs, numbers: Tables, length: Any, linear: Linear
    ) -> None:
        self.structure, self.legs, self.numbers = structure, legs, numbers
        self.length = length
        self.linear = [
            [None if x is None else x.reshape(*numbers.nodes.shape, *x.shape[1:]) for x in row]
            for row in linear
        ]
        entries = [x for row in self.linear for x in row if x is not None]
        self.samples = max(x.ndim for x in entries) - 2 if entries else 0
        rests = tuple(structure.driven.index(i) for i in structure.resting)
        dtype, device = numbers.nodes.dtype, numbers.nodes.device
        self.sides = sides(legs, len(structure.driven), rests, dtype, device)
        self.found: dict[int, Tensor] = {}

    def wide(self, x: Tensor) -> Tensor:
        """Return numbers of all samples as those of each."""
        missing = 3 + self.samples - x.ndim
        return x.view(*x.shape, *[1] * missing) if missing else x

    def stacked(self, tensors: Sequence[Tensor], dim: int = 0) -> Tensor:
        """Stack tensors; with one of each sample among them, all are."""
        if not self.samples:
            return torch.stack(tuple(tensors), dim)
        wide = [self.wide(x) for x in tensors]
        shape = torch.broadcast_shapes(*(x.shape for x in wide))  # type: ignore[no-untyped-call]
        return torch.stack([x.expand(shape) for x in wide], dim)

    def add(self, group: tuple[int, ...]) -> None:
        """Find how far a group goes, after those that move it."""
        if len(group) == 1:
            (i,) = group
            self.found[i] = self._alone(i, self.linear[i][i])
            return
        places = [self.structure.driven.index(i) for i in group]
        own, pushed = [self.sides.starts[p] for p in places], [self._pushed(i) for i in group]
        coupled = [self.linear[i][j] for i in group for j in group]
        self._solve(group, coupled, own, pushed)

    def _alone(self, i: int, rate: Tensor | None) -> Tensor:
        """Return how far a state goes that is a group by itself."""
        own, pushed = self.sides.starts[self.structure.driven.index(i)], self._pushed(i)
        if rate is None:
            return pushed
        if by_parts(rate, i in self.structure.steady):
            table = resolvents(self.legs, self.numbers, self.length * rate[:, 0])
            return applied(table, own, pushed) - self.wide(own)
        if self.samples:
            self._solve((i,), [rate], [own], [pushed])
            return self.found[i]
        integrals = self.length * self.numbers.integrals
        system = self.numbers.unit - integrals * rate[:, None]
        solved: Tensor = torch.linalg.solve_ex(system, own + pushed)[0]
        return solved - own

    def _pushed(self, i: int) -> Tensor:
        """Return how far others, and its rest, move a state."""
        total = self.sides.responses[self.structure.driven.index(i)]
        for j, before in self.found.items():
            if (factor := self.linear[i][j]) is not None:
                start = self.sides.starts[self.structure.driven.index(j)]
                moved = factor[:, :, None] * (self.wide(before) + self.wide(start))
                total = self.wide(total) + integrated(self.numbers.integrals, moved)
        return self.length * total

    def _solve(
        self,
        group: tuple[int, ...],
        coupled: Sequence[Tensor | None],
        own: Sequence[Tensor],
        pushed: Sequence[Tensor],
    ) -> None:
        """Solve the systems of all legs, one for each sample where these have times of their own."""
        size, samples = len(group), self.samples
        there = next(x for x in coupled if x is not None)
        zero = torch.zeros_like(there)
        entries = torch.stack([zero if x is None else x for x in coupled]).movedim(
            (0, 1, 2), (-1, -3, -2)
        )
        legs, most = there.shape[:2]
        table = entries.view(*entries.shape[:-1], size, size).movedim(-3, -1)
        integrals = self.length * self.numbers.integrals
        moved = integrals[:, None, :, None, :] * table[..., :, None, :, :]
        unit = torch.eye(size * most, dtype=moved.dtype, device=moved.device)
        system = unit - moved.reshape(*moved.shape[:samples], legs, size * most, size * most)
        right = self.stacked([self.wide(x) + self.wide(y) for x, y in zip(own, pushed)], 1)
        right = right.movedim((0, 1, 2, 3), (-4, -3, -2, -1)).flatten(-3, -2)
        right = right.expand(*system.shape[:-2], *right.shape[-2:])
        solved = torch.linalg.solve_ex(system, right)[0].view(*right.shape[:-2], size, most, -1)
        solved = solved.movedim((-4, -3, -2, -1), (0, 1, 2, 3))
        self.found.update((i, x - self.wide(y)) for i, x, y in zip(group, solved.unbind(1), own))


def integrated(integrals: Tensor, x: Tensor) -> Tensor:
    """Return the integrals, from the start to each node, of values at the nodes."""
    return integrals @ x if x.ndim == 3 else (integrals @ x.flatten(2)).view_as(x)


def by_parts(rate: Tensor | None, steady: bool) -> bool:
    """Return whether what relaxes at a rate, of shape (legs, nodes), is solved by partial fractions.

    Those of samples are, where the rate does not change and has the digits: the parts nearly cancel.
    """
    return steady and rate is not None and rate.ndim > 2 and rate.dtype == torch.float64


def resolvents(legs: Legs, numbers: Tables, rate: Tensor) -> Tensor:
    """Return ``(1 - rate A)^-1`` of every leg, with rates that do not change, one for each sample.

    By partial fractions, since a system of equations for each sample takes long. ``rate`` (legs) is
    in units of a step; so is ``A``, the integrals of a leg. The result is of shape (legs, nodes,
    nodes), with dimensions of the samples last, as in the rate.
    """
    table, real, imaginary = resolving(legs, rate.dtype, rate.device)
    shape, size = rate.shape[1:], real.shape[-1]
    x = rate.flatten(1)[:, None]
    below, turned = 1 - x * real[..., None], x * imaginary[..., None]
    parts = torch.where(imaginary[..., None] < 0, turned, below) / (
        below.square() + turned.square()
    )
    found = (table @ parts).view(len(rate), size, size, x.shape[-1])
    # the parts nearly cancel; of M = 1 + x A M the right side is the more exact where x is small
    one, x = numbers.unit[..., None], x[..., None, :]
    is_small, better = x.abs() < 1, found
    small = torch.where(is_small, x, 0.0)  # of others powers could overflow, and spoil the gradient
    for _ in range(2):
        better = one + small * integrated(numbers.integrals, better)
    return torch.where(is_small, better, found).view(len(rate), size, size, *shape)


def applied(table: Tensor, start: Tensor, pushed: Tensor) -> Tensor:
    """Return the products of tables of each sample (legs, nodes, nodes) with right sides."""
    if pushed.ndim == 3:  # the same for all samples
        return torch.einsum("lab...,lbc->lac...", table, start + pushed)
    start = start.view(*start.shape, *[1] * (pushed.ndim - 3))
    return torch.einsum("lab...,lbc...->lac...", table, start + pushed)
