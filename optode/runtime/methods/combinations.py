"""Weighed sums of tensors, and their transpose."""

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


def moved(x: Tensor, rates: Tensor, length: float | Tensor) -> Tensor:
    """Return x after it moved at some rates for a length."""
    if isinstance(length, Tensor):
        return x + length * rates
    return torch.add(x, rates, alpha=length)


def spread(bars: list[Tensor | None], row: Sequence[float], bar: Tensor, sign: float = 1.0) -> None:
    """Pull the costate of a sum made by ``mixed`` back to the costates of its terms, in place."""
    for j, weight in enumerate(row):
        if weight:
            known = bars[j]
            if known is None:
                bars[j] = sign * weight * bar
            else:
                known.add_(bar, alpha=sign * weight)


def joined(tensors: Sequence[Tensor]) -> Tensor:
    """Stack tensors; one alone is only viewed."""
    return tensors[0][None] if len(tensors) == 1 else torch.stack(tuple(tensors))
