"""Decide whether the graphs of evaluations fit into the bytes that may be kept."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks

from ..aliases import Tensors
from ..torch_internals import storage_of

if TYPE_CHECKING:
    from ..node import Node


class Room:
    """The bytes of graphs that a solve may keep, and those of one evaluation, where known.

    The node knows the bytes of one evaluation by the kind of solve. ``step_calls`` is the number of
    evaluations of a step. ``weight`` is the bytes of one evaluation, None where it has to
    be weighed first, and 0 where nothing is kept.
    """

    def __init__(self, node: Node, room: float, step_calls: int, weight: int = 0) -> None:
        self._node, self._room, self._step_calls = node, room, step_calls
        self._kind: Hashable = None
        self.weight: int | None = weight

    def recall(self, kind: Hashable) -> None:
        """Look up what an evaluation weighs in solves of this kind."""
        self._kind = kind
        self.weight = self._node.graph_bytes.get(kind)

    def holds_another(self) -> bool:
        """Return whether the graphs of one more step fit."""
        return (self.weight or 0) * self._step_calls <= self._room

    def spend(self, evaluations: int) -> None:
        """Take up the room of so many evaluations."""
        self._room -= (self.weight or 0) * evaluations

    def learn(self, saved: dict[int, int], known: Tensors) -> None:
        """Note what an evaluation weighs: the tensors it saved that were not there before."""
        for x in known:
            saved.pop(storage_of(x)[0], None)
        self.weight = self._node.graph_bytes[self._kind] = sum(saved.values())


@contextmanager
def saved_tensors() -> Iterator[dict[int, int]]:
    """Collect the bytes of all tensors that graphs save meanwhile, by their memory."""
    saved: dict[int, int] = {}

    def weigh(x: Tensor) -> Tensor:
        key, size = storage_of(x)
        saved[key] = size
        return x

    with saved_tensors_hooks(weigh, lambda x: x):
        yield saved
