"""Weighed sums of tensors, stacks, and parts of stacks."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def mixed(row: Sequence[float], basis: Sequence[Tensor]) -> Tensor:
    """Return the sum of the basis tensors, each times its weight; zero weights cost nothing."""
    weighed = [(weight, x) for weight, x in zip(row, basis) if weight]
    (weight, total), *terms = weighed or [(0.0, basis[0])]
    total = total if weight == 1 else weight * total
    for weight, x in terms:
        total = torch.add(total, x, alpha=weight)
    return total


def joined(tensors: Sequence[Tensor]) -> Tensor:
    """Stack tensors; one alone is only viewed."""
    return tensors[0][None] if len(tensors) == 1 else torch.stack(tuple(tensors))


def picked(tensors: Tensor, places: Sequence[int]) -> Tensor:
    """Return some of the tensors that are stacked, in their order."""
    first = places[0] if places else 0
    if tuple(places) == tuple(range(first, first + len(places))):
        return tensors if len(places) == len(tensors) else tensors[first : first + len(places)]
    return joined([tensors[i] for i in places])
