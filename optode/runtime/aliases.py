"""Names for the types that signatures of this package share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from torch import Tensor

Tensors: TypeAlias = tuple[Tensor, ...]
"""One tensor for each state, or for each of several parameters."""

Times: TypeAlias = Tensor | Sequence[float] | None
"""Observation times: a vector, a matrix with a row for each sample, or the span's two ends."""

Inputs: TypeAlias = Tensor | tuple[Tensor, ...] | Callable[[Tensor], Any] | None
"""What the field takes as its last argument: tensors, or a function of time that returns them."""

Pull: TypeAlias = Callable[[Tensors], tuple[Tensors, Sequence[Tensor | None]]]
"""From the costates to their time derivatives and the gradients of the learned parameters."""

Gradients: TypeAlias = Sequence[Tensor | None]
"""One gradient for each learned parameter; None where the parameter has no part."""

Operator: TypeAlias = Callable[..., Tensor]
"""A function that equations call besides the network, as a projection: of tensors like the states."""

Field: TypeAlias = Callable[..., Tensor]
"""The network f, called with the time, the states it reads and, where given, the inputs."""

Rates: TypeAlias = tuple[float | Tensor, ...]
"""Numbers that states are multiplied by in the rate of one of them, one for each state."""

Rests: TypeAlias = tuple[Tensor | None, ...]
"""What is left of the rates without these products, one for each state; None where nothing is."""
