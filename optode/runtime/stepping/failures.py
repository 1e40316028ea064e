"""Say why a stepper cannot go on."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from torch import Tensor

from ..reasons import GROWS
from ..reductions import largest

if TYPE_CHECKING:
    from .stepper import Stepper


def not_finite(stepper: Stepper, name: str, s: float, states: Tensor) -> FloatingPointError:
    """Return the error of a derivative that is not finite where the steps begin."""
    why = stepper.solve.reason(stepper.interval, s, states, GROWS)
    where = stepper.solve.clock.grid.words(s)
    return FloatingPointError(f"{name}' is not finite at {where}: {why}")


def no_short_step(
    stepper: Stepper, s: float, states: Tensor, length: float, culprit: str, error: float
) -> FloatingPointError:
    """Return the error of a step that was rejected, and cannot be shorter."""
    why = "the field jumps there (give jump_t), or rtol and atol ask for more than numbers hold"
    assert stepper.first is not None  # of the step that was rejected
    rates = stepper.method.rates(stepper.solve, s, states, stepper.first)
    if error == math.inf or (length * largest(rates) > 0.01 * largest(states)).item():
        why = GROWS
    why = stepper.solve.reason(stepper.interval, s, states, why)
    return FloatingPointError(
        f"no step at {stepper.solve.clock.grid.words(s)} is short enough for {culprit} (the last "
        f"was {length:.3g}): {why}"
    )


def too_many_steps(stepper: Stepper, s: float, states: Tensor) -> RuntimeError:
    """Return the error of more steps than ``max_steps``."""
    solve, most = stepper.solve, stepper.options.max_steps
    why = (
        f"steps have become as short as {stepper.length or 0.0:.3g}, since the field changes "
        "fast: loosen rtol and atol, set min_step, or raise max_steps"
    )
    intervals = len(solve.clock.knots) - 1
    if stepper.fixed or 2 * intervals > most:
        why = f"each of the {intervals + 1} times ends a step: raise max_steps"
    why = solve.reason(stepper.interval, s, states, why)
    return RuntimeError(f"more than max_steps = {most} steps at {solve.clock.grid.words(s)}: {why}")
