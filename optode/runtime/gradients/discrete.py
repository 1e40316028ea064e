"""Go back step by step: the exact gradient of the numerical solution, its steps held fixed."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor

from ..aliases import Bars
from ..methods.nystrom import Nystrom
from ..methods.step import AnyMethod, PulledBack, Stages, Step
from ..methods.undamping import values_of
from ..torch_internals import add_to

if TYPE_CHECKING:
    from ..solve import Solve
    from ..structures import DampedNode


class Record:
    """The accepted steps of a solve, and the stages whose pullbacks were kept."""

    def __init__(self) -> None:
        self.steps: list[Step] = []
        self.kept: dict[int, Stages] = {}

    def keep(self, step: Step, stages: Stages | None) -> None:
        """Add a step, and its stages where all of them can be pulled back through."""
        if stages and all(found.pull is not None for found in stages.found):
            self.kept[len(self.steps)] = stages
        self.steps.append(step)


def go_back(solve: Solve, path: Tensor, cotangents: Tensor, bars: Bars) -> Tensor:
    """Return the costates at the start; gradients by the parameters are added to the bars.

    ``path`` are the stacked states at the knots, and ``cotangents`` the loss's gradient by them.
    The backward pass reverses one step at a time. Each evaluation of the field costs one
    vector-Jacobian product.
    """
    method, record = solve.replayed, solve.record
    costates, later = torch.zeros_like(path[0]), None
    steps, rows = list(record.steps), []
    for i in reversed(range(len(path) - 1)):
        costates = costates + cotangents[i + 1]
        while steps and steps[-1].interval == i:
            stages = record.kept.pop(len(steps) - 1, None)
            back = _step_back(solve, steps.pop(), stages, costates, later, bars)
            costates, later = back.costates, back.earlier
            rows.append(back.numbers)
    _add_slopes(solve, method, record.steps[::-1], rows, bars)
    return costates


def _step_back(
    solve: Solve,
    step: Step,
    stages: Stages | None,
    costates: Tensor,
    later: Tensor | None,
    bars: Bars,
) -> PulledBack:
    """Pull costates back through one step, whose stages are evaluated again if not kept."""
    if stages is None:
        evaluate = partial(solve.evaluation.linearized, step.interval)
        stages = solve.replayed.again(evaluate, step)
    return solve.replayed.step_back(stages, step, costates, later, bars)


def _add_slopes(
    solve: Solve,
    method: AnyMethod,
    steps: list[Step],
    rows: list[Tensor | None],
    bars: Bars,
) -> None:
    """Add the gradients by learned parameters of the damping, which enter through the rows."""
    found = [row for row in rows if row is not None]
    if not found or not isinstance(method, Nystrom):
        return
    node, values = cast("DampedNode", solve.node), values_of(solve.learned)
    slopes = method.slopes(node, steps, values)
    products = torch.stack(found)[:, None] * found[0].new_tensor(slopes)
    add_to(bars, products.sum((0, 2)).unbind())
