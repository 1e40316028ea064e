"""Solve what moves linearly, by collocation: states under rests that are known at nodes.

Of driven states ``z' = L(t) z + g`` the rest g is interpolated through its values at nodes. At
Radau's nodes collocation asks ``z_a = z_0 + sum_b A_ab (L_b z_b + g_b)``, one small system of
equations for all samples and features. So a state at a node is a sum of the starts and of the
values of g, weighed by numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from .legs import Legs, Tables, order, sides
from .step import Structure

Linear = Sequence[Sequence[Tensor | None]]
"""L at several times, which are the last dimension of its entries; None for those that are 0."""


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
    before these. ``linear`` is L at the nodes of all legs.
    """
    found = [
        _solutions(structure, legs, numbers, length, linear, group).flatten(-4).to(like.dtype)
        for group in structure.groups
    ]
    found.append(like.new_zeros(1))
    most = max(x.ndim for x in found)
    samples = next(x.shape[:-1] for x in found if x.ndim == most)
    every = torch.cat([x.expand(*samples, -1) for x in found], -1)
    places, shapes = order(legs, structure.groups, structure.resting, whole, like.device)
    rows = every.index_select(-1, places).split_with_sizes([m * n for m, n in shapes], -1)
    return [x.view(*samples, *shape) for x, shape in zip(rows, shapes)]


def _solutions(
    structure: Structure,
    legs: Legs,
    numbers: Tables,
    length: Any,
    linear: Linear,
    group: tuple[int, ...],
) -> Tensor:
    """Return how far a group goes for each right side, of shape (legs, states, nodes, sides)."""
    dtype, device = numbers.nodes.dtype, numbers.nodes.device
    rests = tuple(group.index(i) for i in group if i in structure.resting)
    starts, responses, unit = sides(legs, len(group), rests, dtype, device)
    added = length * responses
    coupled = [linear[i][j] for i in group for j in group]
    if not any(x is not None for x in coupled):
        return added
    return _solved(coupled, length * numbers.integrals, starts + added, unit) - starts


def _solved(
    coupled: Sequence[Tensor | None], integrals: Tensor, right: Tensor, unit: Tensor
) -> Tensor:
    """Solve the systems of all legs, one for each sample where these have times of their own.

    ``coupled`` are the entries of L at the nodes of all legs, ``right`` (legs, states, nodes, right
    sides).
    """
    legs, size, most, _ = right.shape
    there = next(x for x in coupled if x is not None)
    zero = torch.zeros_like(there)
    entries = torch.stack([zero if x is None else x for x in coupled], -1)
    samples = entries.shape[:-2]
    table = entries.view(*samples, legs, most, size, size).movedim(-3, -1)
    moved = integrals[:, None, :, None, :] * table[..., :, None, :, :]
    system = unit - moved.reshape(*samples, legs, size * most, size * most)
    found = torch.linalg.solve_ex(system, right.flatten(1, 2).expand(*samples, -1, -1, -1))[0]
    return found.view(*samples, *right.shape)
