"""Go back step by step: the exact gradient of the numerical solution, its steps held fixed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ..bars import Bars
from ..methods.step import Step, Taken
from ..torch_internals import holds, pulled

if TYPE_CHECKING:
    from ..solve import Solve


_SAME = 10.0
"""Roots of the spacing of numbers, relative to all states, by which a step taken again may differ."""


class Record:
    """The accepted steps of a solve, and what was kept of them for the way back."""

    def __init__(self) -> None:
        self.steps: list[Step] = []
        self.kept: dict[int, Taken] = {}

    def keep(self, step: Step, taken: Taken | None) -> None:
        """Add a step, and what it took where there is room for its graph."""
        if taken is not None:
            self.kept[len(self.steps)] = taken
        self.steps.append(step)


def go_back(solve: Solve, path: Tensor, cotangents: Tensor, bars: Bars) -> Tensor:
    """Return the costates at the start; gradients by the sources are added to the bars.

    ``path`` are the stacked states at the marks, and ``cotangents`` the loss's gradient by them.
    A step that was not kept is taken again. Each evaluation of the field costs one vector-Jacobian
    product.
    """
    landings, notices = _landings(solve, cotangents), solve.notices
    reverse = _Graphs(solve, bars, cotangents)
    costates, done = landings.pop(), len(solve.record.steps)
    costates = torch.zeros_like(path[0]) if costates is None else costates
    if solve.intervals:
        notices.costates(solve.intervals[-1], solve.marks[-1], costates)
    while done:
        done, costates = reverse.step_back(done, landings, costates)
        if done:
            step = solve.record.steps[done]
            notices.costates(step.interval, step.start, costates)
    notices.costates(0, solve.marks[0], costates + cotangents[0])
    reverse.finish()
    return costates


def _landings(solve: Solve, cotangents: Tensor) -> list[Tensor | None]:
    """Return the sum of the cotangents at the start of each step and at the end of the last.

    None where the loss does not see the states. The one at the first time is left to the caller,
    those within steps to the graphs of these.
    """
    steps = solve.record.steps
    found: list[Tensor | None] = [None] * (len(steps) + 1)
    place = len(steps)
    inner = len(solve.method.within) if solve.plan.dense else 0
    for mark in range(len(cotangents) - 1, 0, -1 - inner):
        while place and steps[place - 1].row >= mark:
            place -= 1
        known = found[place]
        found[place] = cotangents[mark] if known is None else known + cotangents[mark]
    return found


class _Repeats:
    """Compare the ends of steps that are taken again with their first ends."""

    def __init__(self, steps: Sequence[Step]) -> None:
        self.steps = steps
        self.off: list[Tensor] = []

    def compare(self, place: int, ends: Tensor) -> None:
        """Note how far the end of a step is from the start of the next, if there is one."""
        if place + 1 < len(self.steps):
            known = self.steps[place + 1].states.detach()
            self.off.append((ends.detach() - known).norm() / known.norm())

    def check(self) -> None:
        """Raise RuntimeError where a step ended elsewhere; values are waited for once."""
        if not self.off:
            return
        worst = torch.stack(self.off).amax()
        # nan: no states, or none but 0
        if not holds((worst < _SAME * torch.finfo(worst.dtype).eps ** 0.5) | worst.isnan()):
            raise RuntimeError(
                "a step that the backward pass takes again ends elsewhere than at first: the field "
                "is no function of what it is given, as where it draws random numbers of its own, "
                "or counts its calls"
            )


class _Graphs:
    """Go back through the graphs that autograd made of the steps.

    Consecutive steps whose graphs are kept have one graph, and one call goes through it. Every call
    adds to the sums of the call before. So the order of additions, and with it the last bit of the
    result, does not depend on how many steps were kept. The bars have the gradient by the times
    after those by the sources.
    """

    def __init__(self, solve: Solve, bars: Bars, cotangents: Tensor) -> None:
        self.solve, self.bars, self.record, self.cotangents = solve, bars, solve.record, cotangents
        sources = (*solve.inner, *solve.seen.learned(own=True), *solve.clock.leaves)
        self.places = [k for k, x in enumerate(sources) if x.requires_grad]
        self.learned = [sources[k] for k in self.places]
        self.sums: Sequence[Tensor | None] = [None] * len(self.places)
        self.repeats = _Repeats(solve.record.steps)

    def step_back(
        self, done: int, landings: list[Tensor | None], costates: Tensor
    ) -> tuple[int, Tensor]:
        """Go back from the end of a step; returns the first step gone through, with its costates."""
        first, last = done - 1, self.record.kept.pop(done - 1, None)
        if last is None:
            start, last = self._again(first)
            taken = [last]
        else:
            taken = [last]
            while not (start := self.record.steps[first].states).is_leaf:
                first -= 1
                taken.insert(0, self.record.kept.pop(first))
        seen = [(x, y) for x, y in zip(self.learned, self.sums) if y is not None]
        seen += [
            (start if k == first else self.record.steps[k].states, landing)
            for k in range(first, done)
            if (landing := landings[k]) is not None
        ]
        seen += self._within(first, taken)
        targets, given = zip((last.states, costates), *seen)
        found = pulled(targets, given, (start, *self.learned))
        self.solve.stats.count_backward(
            products=(done - first) * self.solve.replayed.evaluations(False, False)
        )
        self.sums = found[1:]
        assert found[0] is not None  # every step depends on the states at its start
        return first, found[0]

    def _within(self, first: int, taken: Sequence[Taken]) -> list[tuple[Tensor, Tensor]]:
        """Return the states within steps, with the loss's gradients by them."""
        found = []
        for step, each in zip(self.record.steps[first:], taken):
            if each.within is not None:
                begin = step.row + 1
                found.append((each.within, self.cotangents[begin : begin + len(each.within)]))
        return found

    def _again(self, place: int) -> tuple[Tensor, Taken]:
        """Return the states at the start of a step, and what it took, with the graph between."""
        solve, step = self.solve, self.record.steps[place]
        step = step._replace(states=step.states.detach().requires_grad_())
        evaluate = solve.evaluation.within(step.interval)
        with torch.enable_grad():
            found = solve.replayed.step(evaluate, step)
        self.repeats.compare(place, found.states)
        return step.states, found

    def finish(self) -> None:
        """Hand the gradients over; the graphs reach every source."""
        for place, total in zip(self.places, self.sums):
            self.bars.found[place] = total
        self.repeats.check()
