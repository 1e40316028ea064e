"""Go back step by step: the exact gradient of the numerical solution, its steps held fixed."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor

from ..bars import Bars
from ..methods.nystrom import Nystrom
from ..methods.step import Stages, Step, Taken
from ..torch_internals import pulled

if TYPE_CHECKING:
    from ..solve import Solve
    from ..structures import DampedNode


class Record:
    """The accepted steps of a solve, and what was kept of them for the way back."""

    def __init__(self) -> None:
        self.steps: list[Step] = []
        self.kept: dict[int, Taken] = {}

    def keep(self, step: Step, taken: Taken | None) -> None:
        """Add a step, and its stages and graph where there is room for them."""
        if taken is not None:
            self.kept[len(self.steps)] = taken
        self.steps.append(step)


def go_back(solve: Solve, path: Tensor, cotangents: Tensor, bars: Bars) -> Tensor:
    """Return the costates at the start; gradients by the sources are added to the bars.

    ``path`` are the stacked states at the marks, and ``cotangents`` the loss's gradient by them.
    The backward pass reverses one step at a time; a step that was not kept is taken again. Each
    evaluation of the field costs one vector-Jacobian product.
    """
    nystrom = isinstance(solve.replayed, Nystrom)
    reverse = _NystromSteps(solve, bars) if nystrom else _Graphs(solve, bars)
    record, steps, costates = solve.record, list(solve.record.steps), torch.zeros_like(path[0])
    for row in reversed(range(len(path) - 1)):
        costates = costates + cotangents[row + 1]
        solve.notices.costates(solve.intervals[row], solve.marks[row + 1], costates)
        while steps and steps[-1].row == row:
            taken = record.kept.pop(len(steps) - 1, None)
            step = steps.pop()
            costates = reverse.step_back(step, taken, costates)
            if steps and steps[-1].row == row:
                solve.notices.costates(step.interval, step.start, costates)
    solve.notices.costates(0, solve.marks[0], costates + cotangents[0])
    reverse.finish(record.steps[::-1])
    return costates


class _Graphs:
    """Goes back through the graph that autograd made of each step.

    Its bars have the gradient by the times after those by the sources.
    """

    def __init__(self, solve: Solve, bars: Bars) -> None:
        self.solve, self.bars = solve, bars
        sources = (*solve.inner, *solve.seen.learned(own=True), *solve.clock.leaves)
        self.places = [k for k, x in enumerate(sources) if x.requires_grad]
        self.learned = [sources[k] for k in self.places]
        self.sums = Bars(len(self.places))

    def step_back(self, step: Step, taken: Taken | None, costates: Tensor) -> Tensor:
        """Return the costates at the start of a step."""
        solve = self.solve
        if taken is None:
            step = step._replace(states=step.states.detach().requires_grad_())
            with torch.enable_grad():
                evaluate = partial(solve.evaluation.plain, step.interval)
                ends = solve.replayed.step(evaluate, step).states
        else:
            ends = taken.states
        found = pulled(ends, costates, (step.states, *self.learned))
        solve.stats.count_backward(products=solve.replayed.evaluations(False, False))
        self.sums.add(found[1:])
        start = found[0]
        assert start is not None  # every step depends on the states at its start
        return start

    def finish(self, steps: Sequence[Step]) -> None:
        """Hand the gradients over; the graphs reach every source."""
        for place, total in zip(self.places, self.sums.found):
            self.bars.found[place] = total


class _NystromSteps:
    """Goes back through the rows of a Nyström method, by the pulls of its stages."""

    def __init__(self, solve: Solve, bars: Bars) -> None:
        self.solve, self.bars = solve, bars
        self.method = cast("Nystrom", solve.replayed)
        self.later: Tensor | None = None
        self.rows: list[Tensor | None] = []

    def step_back(self, step: Step, taken: Taken | None, costates: Tensor) -> Tensor:
        """Return the costates at the start of a step."""
        stages: Stages | None = taken.stages if taken is not None else None
        if self.solve.notices.of_costates:  # which are whole where no stage is shared between steps
            step, stages = step._replace(first=None), None
        if stages is None or any(found.pull is None for found in stages.found):
            evaluate = partial(self.solve.evaluation.linearized, step.interval)
            stages = self.method.again(evaluate, step)
        back = self.method.step_back(stages, step, costates, self.later, self.bars)
        self.later = back.earlier
        self.rows.append(back.numbers)
        return back.costates

    def finish(self, steps: Sequence[Step]) -> None:
        """Add the gradients by learned parameters of the damping, which enter by the rows."""
        found = [row for row in self.rows if row is not None]
        if not found:
            return
        node, values = cast("DampedNode", self.solve.node), self.solve.values
        slopes = self.method.slopes(node, steps, values)
        products = torch.stack(found)[:, None] * found[0].new_tensor(slopes)
        self.bars.add(products.sum((0, 2)).unbind())
