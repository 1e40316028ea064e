"""Runge-Kutta-Nyström methods, and their reversed steps."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import TYPE_CHECKING, ClassVar, NamedTuple, cast

import torch
from torch import Tensor

from ..bars import Bars
from .combinations import spread
from .step import (
    FORCE,
    Evaluate,
    Evaluated,
    Interval,
    Method,
    Part,
    Problem,
    Stages,
    Step,
    Taken,
)
from .tableaux import NystromTableau
from .transforms import Merged, Transform, Unmerged, merged
from .undamping import Undamped, slopes_of_step, undamped

if TYPE_CHECKING:
    from ..structures import DampedNode


class PulledBack(NamedTuple):
    """The costates at the start of a step, and two more where the method has them.

    ``earlier`` is the costate of the stage that is shared with the step before; ``numbers`` that
    of the numbers which take the damping out, in one row.
    """

    costates: Tensor
    earlier: Tensor | None = None
    numbers: Tensor | None = None


class Nystrom(Method[Transform]):
    """A Runge-Kutta-Nyström method, for h' = m, m' = -c m + F(t, h).

    It steps w = R h without damping (Hairer, Nørsett and Wanner, Solving Ordinary Differential
    Equations I, II.14). In plain numbers its rows are merged with what takes the damping out.
    """

    needs: ClassVar[str] = "DampedNode"
    part: ClassVar[Part] = FORCE
    estimates = True

    def __init__(self, tableau: NystromTableau) -> None:
        self.tableau = tableau
        self.order, self.error_order = tableau.order, tableau.embedded_order + 1
        self.nodes = [float(node) for node in tableau.nodes]
        self.weights = [float(weight) for weight in tableau.velocities]
        self.error_weights = tuple(float(weight) for weight in tableau.velocity_errors)
        self.ends_as_next = self.nodes[-1] == 1 and tableau.positions == (*tableau.rows[-1], 0)
        one, zero = Fraction(1), Fraction(0)
        stages = [(one, node, *row) for node, row in zip(tableau.nodes, tableau.rows)]
        ends = [(one, one, *tableau.positions), (zero, one, *tableau.velocities)]
        errors = [(zero, zero, *e) for e in (tableau.position_errors, tableau.velocity_errors)]
        self.rows = [[float(x) for x in row] for row in (*stages, *ends, *errors)]

    def numbers(self, problem: Problem, steps: Sequence[Interval]) -> Sequence[Transform]:
        """Return the transform of each step."""
        given = undamped(problem, self.nodes, steps)
        pairs = list(zip(steps, given))
        if not problem.plain:
            return [Unmerged(self.rows, d, one) for (_, d), one in pairs]
        learned = cast("DampedNode", problem.node).damping_is_learned
        known: dict[tuple[float, ...], Merged] = {}
        found = []
        for (_, d), one in pairs:
            key = cast("tuple[float, ...]", (d, *one.row))
            if key not in known:
                rows = cast("list[list[float]]", merged(self.rows, d, one))
                known[key] = Merged(rows, one if learned else None)
            found.append(known[key])
        return found

    def slopes(
        self, node: DampedNode, steps: Sequence[Step], learned: Sequence[float]
    ) -> list[list[list[float]]]:
        """Return, for each step, the derivatives of its merged rows by every learned parameter.

        Exact, by a complex step of 1e-100 (Squire and Trapp 1998).
        """
        known: dict[tuple[complex, ...], list[float]] = {}
        found = []
        for step in steps:
            given: Undamped = step.given.undamped
            every = []
            for slopes in slopes_of_step(node, self.nodes, step.start, step.length, given, learned):
                shifted = [complex(x, 1e-100 * slope) for x, slope in zip(given.row, slopes)]
                key = (step.length, *shifted)
                if key not in known:
                    known[key] = self._imaginary(step.length, Undamped.parted(shifted))
                every.append(known[key])
            found.append(every)
        return found

    def _imaginary(self, d: float, shifted: Undamped) -> list[float]:
        """Return the imaginary parts of the merged rows, but for the first, which is fixed."""
        rows = merged(self.rows, d, shifted)[1 : len(self.nodes) + 2]
        return [complex(x).imag * 1e100 for row in rows for x in row]

    def evaluations(self, known: bool, whole: bool) -> int:
        """Return the number of stages that are evaluated."""
        return len(self.nodes) - known

    def stages(self, evaluate: Evaluate, step: Step, first: Evaluated | None = None) -> Stages:
        """Evaluate the stages."""
        given: Transform = step.given
        basis, found, positions = given.basis(*step.states.chunk(2)), [], []
        for i, node in enumerate(self.nodes):
            position, y = given.stage(i, basis)
            if i or first is None:
                first = evaluate(self.part, step.start + node * step.length, y)
            basis.append(given.increment(i, first.rates, position))
            found.append(first)
            positions.append(position)
        return Stages(found, basis, positions)

    def step(self, evaluate: Evaluate, step: Step, first: Evaluated | None = None) -> Taken:
        """Take one step."""
        stages, given = self.stages(evaluate, step, first), cast("Transform", step.given)
        return Taken(given.ends(len(self.nodes), stages.basis), stages)

    def errors(self, evaluate: Evaluate, step: Step, stages: Stages, ends: Tensor) -> Tensor:
        """Return the errors of h and m at the end of a step."""
        given: Transform = step.given
        with torch.no_grad():  # the lengths of steps are held fixed
            return given.ends(len(self.nodes) + 2, stages.basis)

    def seen(self, states: Tensor) -> Tensor:
        """Return the positions."""
        return states.chunk(2)[0]

    def rates(self, problem: Problem, s: float, states: Tensor, found: Evaluated) -> Tensor:
        """Return m and F - c m."""
        _, m = states.chunk(2)
        node = cast("DampedNode", problem.node)
        return torch.cat([m, found.rates - node.damping(s, s, *problem.learned).rate * m])

    def step_back(
        self,
        stages: Stages,
        step: Step,
        costates: Tensor,
        later: Tensor | None,
        bars: Bars,
    ) -> PulledBack:
        """Pull costates back through the merged rows, and add to the bars.

        ``later`` is what the step after returned as ``earlier``.
        """
        given: Merged = step.given  # only a solve in plain numbers goes back by steps
        rows, n, ends = given.rows, len(self.nodes), costates.chunk(2)
        bar: list[Tensor | None] = [None] * (n + 2)
        spread(bar, rows[n], ends[0])
        spread(bar, rows[n + 1], ends[1])
        if later is not None:
            last = bar[-1]
            bar[-1] = later if last is None else last + later
        y_bars: list[Tensor] = []
        shared = step.first is not None
        for i in reversed(range(shared, n)):
            costate, pull = bar[i + 2], stages.found[i].pull
            assert pull is not None  # all but a shared first stage were evaluated for the way back
            pulled, added = pull(torch.zeros_like(ends[0]) if costate is None else costate)
            spread(bar, rows[i], pulled, -1.0)
            bars.add(added)
            y_bars.insert(0, -pulled)
        start = torch.cat([torch.zeros_like(ends[0]) if x is None else x for x in bar[:2]])
        earlier = bar[2] if shared else None
        if given.undamped is None:
            return PulledBack(start, earlier)
        return PulledBack(start, earlier, _row_bars(stages, rows[1:], [*y_bars[1 - n :], *ends]))


def _row_bars(stages: Stages, rows: list[list[float]], bars: list[Tensor]) -> Tensor:
    """Return the costates of the merged rows' numbers, but for the first row, which is fixed."""
    basis = torch.stack(stages.basis).flatten(1)
    pairs = zip(rows, bars)
    return torch.cat([torch.mv(basis[: len(row)], bar.flatten()) for row, bar in pairs])
