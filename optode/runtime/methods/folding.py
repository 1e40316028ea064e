"""Fold states at several times into one batch, in which every sample is there once for each time."""

from __future__ import annotations

from torch import Tensor


def fold(x: Tensor) -> Tensor:
    """Return states at several times, the times first, as one batch.

    A state without a batch becomes one of a batch of times.
    """
    if x.ndim > 2:
        return x.flatten(0, 1)
    return x if x.ndim == 2 else x[:, None]


def unfold(x: Tensor, count: int, like: Tensor) -> Tensor:
    """Return states folded from so many times with these as the first dimension again."""
    return x.reshape(count, *like.shape)


def spread_times(time: Tensor, like: Tensor, count: int) -> Tensor:
    """Return times, the first dimension of a tensor, so that they broadcast with folded states."""
    samples = len(like) // count
    if time.ndim > 1:  # each sample's own; a sample may be a number
        return (time.flatten(0, 1) if time.ndim > 2 else time).to(like.dtype)
    column = time.reshape(count, -1).expand(count, samples).reshape(-1, *[1] * (like.ndim - 1))
    return column.to(like.dtype)
