"""Sums over the features of states, broadcast back, as dot and norm of a spec; and sizes."""

from __future__ import annotations

from torch import Tensor


def dot(x: Tensor, y: Tensor) -> Tensor:
    """Return the inner product over all dimensions but the batch, of shape (n, 1, ...)."""
    return total(x * y)


def total(x: Tensor) -> Tensor:
    """Return the sum over all dimensions but the batch, of shape (n, 1, ...)."""
    return x.sum(dim=tuple(range(min(1, x.ndim - 1), x.ndim)), keepdim=True)


def largest(x: Tensor) -> Tensor:
    """Return the largest absolute value, 0 where there is none."""
    return x.abs().amax() if x.numel() else x.new_zeros(())
