"""Sums, means and extremes over the features of states, broadcast back; and sizes.

The features of a sample are all its values: every dimension but the batch, which is the first of
two or more.
"""

from __future__ import annotations

from torch import Tensor


def dot(x: Tensor, y: Tensor) -> Tensor:
    """Return the inner product over all dimensions but the batch, of shape (n, 1, ...)."""
    return total(x * y)


def total(x: Tensor) -> Tensor:
    """Return the sum over all dimensions but the batch, of shape (n, 1, ...)."""
    return x.sum(dim=_features(x), keepdim=True)


def mean(x: Tensor) -> Tensor:
    """Return the mean over all dimensions but the batch, of shape (n, 1, ...)."""
    return x.mean(dim=_features(x), keepdim=True)


def maximum(x: Tensor) -> Tensor:
    """Return the largest value over all dimensions but the batch, of shape (n, 1, ...).

    Values that are equally large share the gradient equally.
    """
    return x.amax(dim=_features(x), keepdim=True)


def minimum(x: Tensor) -> Tensor:
    """Return the smallest value over all dimensions but the batch, as ``maximum`` does."""
    return x.amin(dim=_features(x), keepdim=True)


def count(x: Tensor) -> int:
    """Return the number of features: of the values in all dimensions but the batch."""
    number = 1
    for size in x.shape[min(1, x.ndim - 1) :]:
        number *= size
    return number


def largest(x: Tensor) -> Tensor:
    """Return the largest absolute value, 0 where there is none."""
    return x.abs().amax() if x.numel() else x.new_zeros(())


def _features(x: Tensor) -> tuple[int, ...]:
    return tuple(range(min(1, x.ndim - 1), x.ndim))
