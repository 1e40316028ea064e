"""Hold the options of a solve, with their defaults."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from numbers import Integral, Real
from typing import Any, NamedTuple

from torch import Tensor

from .aliases import Tensors
from .times import number_of_steps


def is_number(x: object) -> bool:
    """Return whether x is a real number, which a truth value is not."""
    return isinstance(x, Real) and not isinstance(x, bool)


def _positive(x: Any) -> bool:
    return is_number(x) and x > 0


def _whole(x: Any) -> bool:
    return isinstance(x, Integral) and _positive(x)


def _times(x: Any) -> bool:
    try:
        return not isinstance(x, Mapping | set) and all(math.isfinite(float(t)) for t in x)
    except (TypeError, ValueError):
        return False


class Fitting(NamedTuple):
    """State which values an option may have, as a test and in words."""

    fits: Callable[[Any], bool]
    words: str


FITTING = {
    "steps": Fitting(_whole, "a whole number from 1 on"),
    "step_size": Fitting(lambda x: _positive(x) and x < math.inf, "a finite number above 0"),
    "first_step": Fitting(lambda x: _positive(x) and x < math.inf, "a finite number above 0"),
    "min_step": Fitting(lambda x: is_number(x) and 0 <= x < math.inf, "a finite number from 0 on"),
    "max_step": Fitting(_positive, "a number above 0"),
    "max_steps": Fitting(_whole, "a whole number from 1 on"),
    "keep": Fitting(lambda x: is_number(x) and x >= 0, "a number of bytes from 0 on"),
    "step_t": Fitting(_times, "a list of finite times"),
    "jump_t": Fitting(_times, "a list of finite times"),
    "norm": Fitting(
        lambda x: callable(x) or x == "sample", 'a function of a tuple of tensors, or "sample"'
    ),
    "adjoint_norm": Fitting(lambda x: x == "torchdiffeq", '"torchdiffeq"'),
    "safety": Fitting(lambda x: _positive(x) and x <= 1, "a number above 0 and up to 1"),
    "ifactor": Fitting(lambda x: is_number(x) and 1 < x < math.inf, "a finite number above 1"),
    "dfactor": Fitting(lambda x: _positive(x) and x < 1, "a number between 0 and 1"),
}
"""The values that each option may have; options for torchdiffeq's own methods are among them."""


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
    norm: Callable[[Tensors], Tensor] | str | None = None
    adjoint_norm: str | None = None
    safety: float = 0.9
    ifactor: float = 10.0
    dfactor: float = 0.2

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> Options:
        """Return the given options; those that only solvers of others have are left out."""
        return cls(**{name: value for name, value in given.items() if name in cls._fields})

    def sized(self) -> bool:
        """Return whether the options ask for steps of equal size."""
        return bool(self.steps or self.step_size)

    def count_over(self, length: float) -> int:
        """Return the number of equal steps over a length."""
        return number_of_steps(self.steps, self.step_size, length)

    def cuts(self) -> list[float]:
        """Return the times where steps end besides the observations."""
        return sorted(float(t) for t in (*self.step_t, *self.jump_t))
