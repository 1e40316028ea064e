"""Solve what moves linearly, by collocation: states under rests that are known at nodes.

Of driven states ``z' = L(t) z + g`` the rest g is interpolated through its values at nodes. At
Radau's nodes collocation asks ``z_a = z_0 + sum_b A_ab (L_b z_b + g_b)``, one small system of
equations for all samples and features. So a state at a node is a sum of the starts and of the
values of g, weighed by numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from .legs import Leg, mixed_rows, tables
from .step import Step

if TYPE_CHECKING:
    from ..evaluation.following import Following

Linear = Sequence[Sequence[Tensor | None]]
"""L at several times, which are the last dimension of its entries; None for those that are 0."""


class Group(NamedTuple):
    """Driven states that move each other: which, those with a rest, and the rows of every leg.

    ``rows`` (legs, states, nodes, starts and values of g) have dimensions of the samples before
    these where samples have times of their own. Values of g are in the order of the nodes.
    """

    states: list[int]
    rests: list[int]
    rows: Tensor

    def of(self, k: int, nodes: int, values: int, whole: bool) -> Tensor:
        """Return the rows of one leg for all of its nodes, or for the last; states come first."""
        columns = len(self.states) + values * len(self.rests)
        found = self.rows[..., k, :, :nodes, :columns]
        return (found if whole else found[..., -1:, :]).flatten(-3, -2)

    def path(self, rows: Tensor, basis: Sequence[Tensor]) -> Tensor:
        """Return the states at nodes, of shape (states, nodes, ...)."""
        found = mixed_rows(rows, torch.stack(tuple(basis)))
        return found.unflatten(0, (len(self.states), -1))


def groups(follow: Following, step: Step, legs: tuple[Leg, ...], linear: Linear) -> list[Group]:
    """Return the groups of driven states, with L at the nodes of all legs."""
    exact = follow.evaluation.clock.times
    return [_group(follow, step, legs, linear, states, exact) for states in follow.groups]


def _group(
    follow: Following,
    step: Step,
    legs: tuple[Leg, ...],
    linear: Linear,
    states: list[int],
    like: Tensor,
) -> Group:
    """Return one group: the solution of its system with all starts and values as right sides."""
    nodes, integrals, responses = tables(legs, like)
    rests = [i for i in states if i in follow.resting]
    size, (count, most, values) = len(states), responses.shape
    unit = torch.eye(size, dtype=like.dtype, device=like.device)
    starts = unit[:, None, :].expand(size, most, size).expand(count, size, most, size)
    inner = unit[:, [states.index(i) for i in rests]]
    added = step.length * responses[:, None, :, :, None] * inner[:, None, None, :]
    right = torch.cat([starts, added.flatten(-2)], -1)
    coupled = [[linear[i][j] for j in states] for i in states]
    present = [x for row in coupled for x in row if x is not None]
    if not present:
        return Group(states, rests, right.to(step.states.dtype))
    zero = torch.zeros_like(present[0])
    table = torch.stack([x if x is not None else zero for row in coupled for x in row], -2)
    table = table.unflatten(-1, (count, most)).movedim(-2, -3).unflatten(-2, (size, size))
    system = (step.length * integrals)[:, None, :, None, :] * table[..., :, None, :, :]
    system = torch.eye(size * most, dtype=like.dtype, device=like.device) - system.flatten(
        -2
    ).flatten(-3, -2)
    sides = right.flatten(1, 2)
    if system.ndim > 3:  # each sample's own
        sides = sides.expand(*system.shape[:-2], -1, -1)
    rows = torch.linalg.solve_ex(system, sides)[0].unflatten(-2, (size, most))
    return Group(states, rests, rows.to(step.states.dtype))
