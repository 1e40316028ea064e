"""Decide whether the graphs of evaluations fit into the bytes that may be kept."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks

from ..torch_internals import storage_of

T = TypeVar("T")


class Room:
    """Count the bytes of graphs that a solve may keep.

    ``step_calls`` is the number of evaluations of a step. ``weight`` is the bytes of the graph of
    one evaluation, None until one is weighed. Results do not depend on what is kept: a graph that
    is not kept is made again.
    """

    def __init__(self, room: float, step_calls: int, weight: int | None = None) -> None:
        self._room, self._step_calls = room, step_calls
        self.weight = weight

    def holds_another(self) -> bool:
        """Return whether the graphs of one more step fit."""
        return (self.weight or 0) * self._step_calls <= self._room

    def spend(self) -> None:
        """Take up the room of a step."""
        self._room -= (self.weight or 0) * self._step_calls

    def learn(self, saved: dict[int, int], known: Iterable[Tensor]) -> None:
        """Note what an evaluation weighs: the tensors it saved that were not there before."""
        for x in known:
            saved.pop(storage_of(x)[0], None)
        self.weight = sum(saved.values())


def weighed(evaluate: Callable[[], T]) -> tuple[T, dict[int, int]]:
    """Run an evaluation; return its value, and the bytes that its graph saved.

    Where the evaluation uses transforms of ``torch.func``, which let nobody look on, no room is
    enough for it.
    """
    try:
        with saved_tensors() as saved:
            return evaluate(), saved
    except RuntimeError as error:
        if "saved tensor hooks" not in str(error):
            raise
        return evaluate(), {0: sys.maxsize}


@contextmanager
def saved_tensors() -> Iterator[dict[int, int]]:
    """Collect the bytes of all tensors that graphs save meanwhile, by their memory."""
    saved: dict[int, int] = {}

    def weigh(x: Tensor) -> Tensor:
        key, size = storage_of(x)
        saved[key] = size
        return x.detach()  # of its own graph, x would make a cycle that nobody collects

    with saved_tensors_hooks(weigh, lambda x: x):
        yield saved
