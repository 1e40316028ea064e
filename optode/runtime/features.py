"""Give each feature of the states values of its own."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from .node import Node


class FeatureNode(Node):
    """A node with learned values for each feature: dimension 1 of a batch, or a vector's only one.

    Args:
        features: the number of features; needed by learned parameters with a value for each, and
            where the caller gives the first state alone.
        others: those of ``Node``.
    """

    def __init__(self, *settings: Any, features: int | None = None, **others: Any) -> None:
        super().__init__(*settings, **others)
        self.features = features

    def each_feature(self, values: Tensor, position: Tensor) -> Tensor:
        """Return values of shape (features,) in the shape that broadcasts with the states."""
        axis = self.feature_axis(position)
        return values.view(-1, *[1] * (position.ndim - 1 - axis))

    def feature_sum(self, x: Tensor) -> Tensor:
        """Return the sum over all elements of each feature, of shape (features,)."""
        columns = x.movedim(self.feature_axis(x), -1)
        return columns.reshape(-1, columns.shape[-1]).sum(0)

    def linear_start(self, layer: nn.Linear | None, position: Tensor) -> Tensor:
        """Return a linear map of the features of the position."""
        axis = self.feature_axis(position)
        assert layer is not None  # it is there wherever features are
        start: Tensor = layer(position.movedim(axis, -1))
        return start.movedim(-1, axis)

    def learned_start(self, start: Tensor | None, position: Tensor) -> Tensor:
        """Return a value for each feature, in the shape of the position."""
        self.feature_axis(position)
        assert start is not None  # it is there wherever features are
        return self.each_feature(start, position).expand_as(position)

    def feature_axis(self, position: Tensor) -> int:
        """Return the dimension of the features; ValueError where it has another size."""
        axis = min(1, position.ndim - 1)
        found = position.shape[axis]
        if found != self.features:
            raise ValueError(f"expected features={self.features}, got {found}")
        return axis
