"""Solve what moves linearly, by collocation: states under rests that are known at nodes.

Of driven states ``z' = L(t) z + g`` the rest g is interpolated through its values at nodes. At
Radau's nodes collocation asks ``z_a = z_0 + sum_b A_ab (L_b z_b + g_b)``, one small system of
equations for all samples and features. So a state at a node is a sum of the starts and of the
values of g, weighed by numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from .legs import Leg, mixed_rows, tables
from .step import Follow, Step

Linear = Sequence[Sequence[Tensor | None]]
"""L at several times, which are the last dimension of its entries; None for those that are 0."""


class Group(NamedTuple):
    """Driven states that move each other: which, those with a rest, and the rows of every leg.

    ``rows`` (legs, states, nodes, starts and values of g) weigh how far the states go from their
    starts. Where samples have times of their own, dimensions of the samples come before these.
    Values of g are in the order of the nodes.
    """

    states: list[int]
    rests: list[int]
    rows: Tensor

    def of(self, k: int, nodes: int, values: int, whole: bool) -> Tensor:
        """Return the rows of one leg for all of its nodes, or for the last; states come first."""
        columns = len(self.states) + values * len(self.rests)
        found = self.rows[..., k, :, :nodes, :columns]
        return (found if whole else found[..., -1:, :]).flatten(-3, -2)

    def moved(self, rows: Tensor, basis: Sequence[Tensor]) -> Tensor:
        """Return how far the states have gone at nodes, of shape (states, nodes, ...)."""
        found = mixed_rows(rows, torch.stack(tuple(basis)))
        count = len(self.states)
        return found.view(count, len(found) // count, *found.shape[1:])


def groups(follow: Follow, step: Step, legs: tuple[Leg, ...], linear: Linear) -> list[Group]:
    """Return the groups of driven states, with L at the nodes of all legs."""
    exact = follow.exact
    return [_group(follow, step, legs, linear, states, exact) for states in follow.structure.groups]


def _group(
    follow: Follow,
    step: Step,
    legs: tuple[Leg, ...],
    linear: Linear,
    states: list[int],
    like: Tensor,
) -> Group:
    """Return one group: the solution of its system with all starts and values as right sides."""
    _, integrals, _, responses = tables(legs, like)
    rests = [i for i in states if i in follow.structure.resting]
    count, most, _ = responses.shape
    unit = torch.eye(len(states), dtype=like.dtype, device=like.device)
    starts = unit[:, None, :].expand(count, -1, most, -1)
    inner = torch.stack([unit[states.index(i)] for i in rests], 1) if rests else unit[:, :0]
    added = step.length * responses[:, None, :, :, None] * inner[:, None, None, :]
    rows = torch.cat([starts, added.flatten(-2)], -1)
    coupled = [linear[i][j] for i in states for j in states]
    if any(x is not None for x in coupled):
        rows = _solved(coupled, step.length * integrals, rows)
    rows = torch.cat([rows[..., : len(states)] - starts, rows[..., len(states) :]], -1)
    return Group(states, rests, rows.to(step.states.dtype))


def _solved(coupled: Sequence[Tensor | None], integrals: Tensor, right: Tensor) -> Tensor:
    """Solve the systems of all legs, one for each sample where these have times of their own.

    ``coupled`` are the entries of L at the nodes of all legs, ``right`` (legs, states, nodes, right
    sides).
    """
    legs, size, most, _ = right.shape
    there = next(x for x in coupled if x is not None)
    entries = torch.stack([torch.zeros_like(there) if x is None else x for x in coupled], -1)
    samples = entries.shape[:-2]
    table = entries.view(*samples, legs, most, size, size).movedim(-3, -1)
    moved = integrals[:, None, :, None, :] * table[..., :, None, :, :]
    unit = torch.eye(size * most, dtype=right.dtype, device=right.device)
    system = unit - moved.reshape(*samples, legs, size * most, size * most)
    sides = right.flatten(1, 2).expand(*samples, -1, -1, -1)
    return torch.linalg.solve_ex(system, sides)[0].view(*samples, *right.shape)
