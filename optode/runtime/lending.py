"""Compute learned values once for a solve, and lend them to its evaluations.

Without this, each evaluation of the equations would compute gamma = sigmoid(raw_gamma) again, and
each backward pass would differentiate it as often.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TypeAlias

import torch
from torch import Tensor, nn

Transform: TypeAlias = Callable[[Tensor], Tensor]
"""A function from the raw parameter to its value, as ``torch.sigmoid``."""


class _Lent(threading.local):
    """Hold the values lent in this thread, by the node's identity and the parameter's name."""

    values: Mapping[tuple[int, str], Tensor] = {}


_LENT = _Lent()


@contextmanager
def lent(node: nn.Module, values: Mapping[str, Tensor]) -> Iterator[None]:
    """Lend values to the learned parameters of a node within this context, in this thread."""
    if torch.compiler.is_compiling():  # a trace has each value once, anyway
        yield
        return
    before = _LENT.values
    _LENT.values = {**before, **{(id(node), name): x for name, x in values.items()}}
    try:
        yield
    finally:
        _LENT.values = before


def learned_value(node: nn.Module, name: str, transform: Transform | None = None) -> Tensor:
    """Return the value of a learned parameter: transform(raw), or the parameter given for it."""
    if not torch.compiler.is_compiling():
        value = _LENT.values.get((id(node), name))
        if value is not None:
            return value
    given = node._parameters.get(name)
    if given is not None:
        return given
    raw: Tensor = getattr(node, f"raw_{name}")
    return raw if transform is None else transform(raw)
