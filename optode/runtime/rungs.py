"""List grids from coarse to fine: first more nodes of one step, then more steps."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

from .methods.catalogue import METHODS

COUNTS: tuple[int, ...] = (
    *(1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512),
    *(768, 1024, 1536, 2048, 3072, 4096, 6144, 8192),
)
"""The numbers of steps from one time to the next."""

NODES = (3, 5, 6, 8)
"""The numbers of nodes at which one step of an interpolation is tried, where the method is free."""

_FALLS, _GROWS = 4.0, 10.0
"""By how much the error of a step falls at least with one node more, and grows at most with one less.

They decide what is tried next, and not what is returned.
"""


class Rung(NamedTuple):
    """A method, and the number of its steps; ``nodes`` is that of an interpolation left free, or 0."""

    method: str
    steps: int
    nodes: int = 0

    @property
    def order(self) -> int:
        """The power of its length with which the error of a step shrinks."""
        return METHODS[self.method].error_order

    def is_from(self, steps: int, nodes: int) -> bool:
        """Return whether this is the rung of so many steps and nodes, or a higher one."""
        return (self.steps, self.nodes or nodes) >= (steps, nodes)

    def foreseen(self, known: Rung, error: float) -> float:
        """Return the error to expect where a known rung's is so large, its steps spread."""
        change = self.nodes - known.nodes
        error *= _FALLS**-change if change > 0 else _GROWS**-change
        if math.isinf(error):  # steps eight times shorter may be finite
            return 0.0 if self.steps >= 8 * known.steps else error
        one = min(error, 1e9**known.order) * known.steps ** (known.order - 0.5)
        return one * self.steps ** (0.5 - self.order)


@cache
def ladder(method: str, free: bool) -> Sequence[Rung]:
    """Return the rungs of a method; of an interpolation that was left free, those of all nodes."""
    if not (free and METHODS[method].follows):
        return [Rung(method, n) for n in COUNTS]
    single = [Rung(f"interpolation{n}", 1, n) for n in NODES]
    return [*single, *(Rung(single[-1].method, n, NODES[-1]) for n in COUNTS[1:])]
