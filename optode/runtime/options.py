"""Hold the options of a solve, with their defaults."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from torch import Tensor

from .aliases import Tensors

WHY = (
    "the field or its parameters may have diverged, or the equations be too stiff for the method "
    "(loosen rtol and atol, set min_step, or take smaller steps)"
)
"""The end of every message about a solve that failed."""


class Options(NamedTuple):
    """The options of this package's own steps; ``Node`` says what each means."""

    steps: int | None = None
    step_size: float | None = None
    first_step: float | None = None
    min_step: float = 0.0
    max_step: float = math.inf
    max_steps: int = 10_000
    keep: float = 2**28
    step_t: Sequence[float] = ()
    jump_t: Sequence[float] = ()
    norm: Callable[[Tensors], Tensor] | None = None
    safety: float = 0.9
    ifactor: float = 10.0
    dfactor: float = 0.2

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> Options:
        """Return the given options; those that only solvers of others have are left out."""
        return cls(**{name: value for name, value in given.items() if name in cls._fields})

    @property
    def sized(self) -> bool:
        """Whether the options ask for steps of equal size."""
        return bool(self.steps or self.step_size)

    @property
    def cuts(self) -> list[float]:
        """The times where steps end besides the observations."""
        return sorted(float(t) for t in (*self.step_t, *self.jump_t))
