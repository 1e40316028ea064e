"""Compute learned values once for a solve, and lend them to its evaluations.

Without that, each evaluation of the equations would make gamma = sigmoid(raw_gamma) again, and each
backward pass go through it as often.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class _Lent(threading.local):
    """The values that hold in this thread, by the node's identity and the parameter's name."""

    values: Mapping[tuple[int, str], Tensor] = {}


_LENT = _Lent()


@contextmanager
def lent(node: nn.Module, values: Mapping[str, Tensor]) -> Iterator[None]:
    """Let the learned parameters of a node have these values meanwhile, in this thread."""
    if torch.compiler.is_compiling():  # a trace has each value once, anyway
        yield
        return
    before = _LENT.values
    _LENT.values = {**before, **{(id(node), name): x for name, x in values.items()}}
    try:
        yield
    finally:
        _LENT.values = before


def lent_value(node: nn.Module, name: str) -> Tensor | None:
    """Return the value that a solve lends, None outside of one."""
    if torch.compiler.is_compiling():
        return None
    return _LENT.values.get((id(node), name))
