"""Say why a stepper cannot go on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ..learned_values import extreme_text
from ..reasons import GROWS

if TYPE_CHECKING:
    from .stepper import Stepper


def not_finite(stepper: Stepper, name: str, s: float, states: Tensor) -> FloatingPointError:
    """Return the error of a derivative that is not finite where the steps begin."""
    why = stepper.solve.reason(stepper.interval, s, states, GROWS)
    where = stepper.solve.clock.grid.words(s)
    return FloatingPointError(f"{name}' is not finite at {where}: {why}")


def no_short_step(
    stepper: Stepper, s: float, states: Tensor, length: float, culprit: str, grows: bool
) -> FloatingPointError:
    """Return the error of a step that was rejected, and cannot be shorter."""
    why = "the field jumps there (give jump_t), or rtol and atol ask for more than numbers hold"
    why = stepper.solve.reason(stepper.interval, s, states, GROWS if grows else why)
    return FloatingPointError(
        f"no step at {stepper.solve.clock.grid.words(s)} is short enough for {culprit} (the last "
        f"was {length:.3g}): {why}"
    )


def changes_much(begun: Tensor, states: Tensor, ends: Tensor) -> bool:
    """Return whether one step changes a state by a part of its size, there and at the beginning.

    The shortest of steps does so only where the state grows without bound.
    """
    pair = (x.abs().reshape(len(x), -1).amax(1) for x in (ends - states, states, begun))
    changes, sizes, before = pair
    return not bool((changes < 1e-3 * torch.maximum(sizes, before)).all())


def too_many_steps(stepper: Stepper, s: float, states: Tensor) -> RuntimeError | ValueError:
    """Return the error of more steps than ``max_steps``: ValueError where a learned value is why."""
    solve, most = stepper.solve, stepper.options.max_steps
    many = f"more than max_steps = {most} steps at {solve.clock.grid.words(s)}"
    if extreme := extreme_text(solve.node):
        return ValueError(f"{extreme}, for which the equations are too stiff: {many}")
    why = (
        f"steps have become as short as {stepper.length or 0.0:.3g}, since the field changes "
        "fast: loosen rtol and atol, set min_step, or raise max_steps"
    )
    intervals = len(solve.clock.knots) - 1
    if stepper.fixed or 2 * intervals > most:
        why = f"each of the {intervals + 1} times ends a step: raise max_steps"
    why = solve.reason(stepper.interval, s, states, why)
    return RuntimeError(f"{many}: {why}")
