"""Compose exact flows of the position alone and of the other states alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from .combinations import moved
from .step import (
    DRIFT,
    KICK,
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
from .tableaux import SplittingTableau


class Splitting(Method[None]):
    """Exact flows in turn, each a step of Euler's method with its part's mean rates."""

    needs: ClassVar[str] = "SeparableNode"
    part: ClassVar[Part] = KICK

    def __init__(self, tableau: SplittingTableau) -> None:
        self.order = tableau.order
        self.turns = [(DRIFT, tableau.drifts[0])]
        for drift, kick in zip(tableau.drifts[1:], tableau.kicks):
            self.turns += [(KICK, kick), (DRIFT, drift)]

    def numbers(self, problem: Problem, steps: Sequence[Interval]) -> Sequence[None]:
        """Return nothing for each step."""
        return [None] * len(steps)

    def evaluations(self, known: bool, whole: bool) -> int:
        """Return the number of kicks, each with one evaluation."""
        return len(self.turns) // 2

    def step(self, evaluate: Evaluate, step: Step, first: Evaluated | None = None) -> Taken:
        """Take one step: the time moves with the position, and is held with it."""
        s, states, found = step.start, step.states, []
        for part, weight in self.turns:
            d = weight * step.length
            found.append(evaluate(part, s, states, d))
            states = moved(states, found[-1].rates, d)
            s = s + d if part is DRIFT else s
        return Taken(states, Stages(found, [], []))
