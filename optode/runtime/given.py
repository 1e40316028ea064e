"""Refuse states and inputs that do not fit."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from .aliases import Tensors
from .torch_internals import holds

if TYPE_CHECKING:
    from .node import Node


def check_states(node: Node, states: Tensors) -> None:
    """Refuse states that are not one tensor for each name, alike and finite: ValueError."""
    names = node.state_names
    if not isinstance(states, (tuple, list)) or not all(isinstance(x, Tensor) for x in states):
        kind = type(states).__name__
        raise ValueError(f"states must be the tensor {names[0]}, or a tuple {names}, got {kind}")
    if len(states) != len(names):
        raise ValueError(f"expected states {names}, got {len(states)}")
    kinds = [(tuple(x.shape), x.dtype, x.device) for x in states]
    alike = all(kind == kinds[0] for kind in kinds)
    if not alike or not states[0].is_floating_point():
        raise ValueError(
            f"states {names} must be floating-point tensors of one shape, dtype and device, got "
            f"{kinds}"
        )
    if states[0].layout is not torch.strided or not _has_values(states[0]):
        raise ValueError(f"states {names} must be dense and have values, got {states[0]}")
    for name, x in zip(names, states):
        if not holds(x.isfinite().all()):
            raise ValueError(f"{name} is not finite at the start")
    _check_constants(node, states[0])


def _check_constants(node: Node, like: Tensor) -> None:
    """Refuse constants that the numbers of the states cannot hold."""
    for name in node.constant_names:
        value, kind = getattr(node, name), torch.finfo(like.dtype)
        if value and not kind.tiny * kind.eps <= abs(value) <= kind.max:
            there = like.new_tensor(value).item()
            raise ValueError(f"{name} = {value} is {there} in {like.dtype}")


def _has_values(x: Tensor) -> bool:
    """Return whether tensors on a device hold numbers; those on "meta" do not."""
    if not x.is_meta:
        return True
    try:
        x.new_zeros(()).item()
    except (RuntimeError, NotImplementedError):
        return False
    return True


def check_inputs(inputs: object) -> None:
    """Refuse inputs that are no tensors and no function of time: ValueError."""
    tensors = inputs if isinstance(inputs, tuple) else (inputs,)
    if inputs is None or callable(inputs) or all(isinstance(x, Tensor) for x in tensors):
        return
    raise ValueError(
        "inputs must be a tensor, a tuple of tensors, or a function of time that returns them, got "
        f"{type(inputs).__name__}"
    )
