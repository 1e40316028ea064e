"""Find the equations in which two derivations differ."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import zip_longest
from typing import TypeAlias

from optode.adjoint.adjoint import AdjointSystem
from optode.limit.limit import ContinuousLimit
from optode.model.following import Following
from optode.model.model import NeuralODE
from optode.rule.rule import UpdateRule
from optode.show.dialect import PlainText
from optode.show.equations import Group, Stage, describe
from optode.show.words import Line

_HEADINGS: dict[type, str] = {
    UpdateRule: "Update rule",
    ContinuousLimit: "Continuous limit",
    NeuralODE: "Neural ODE",
    AdjointSystem: "Adjoint system",
    Following: "How the states follow",
}
Lines: TypeAlias = tuple[Line, ...]


def differences(first: Iterable[Stage], second: Iterable[Stage]) -> Iterator[str]:
    """Yield the lines of a comparison: ``- v' = ...`` is of the first alone, ``+`` of the second.

    Equations are compared as they are written, under their headings; a heading without a difference
    is left out. Nothing is yielded where all equations are equal.
    """
    stages = ({type(stage): stage for stage in side} for side in (first, second))
    one, other = stages
    for kind, heading in _HEADINGS.items():
        found = [*_of_stage(one.get(kind), other.get(kind))]
        if found:
            yield heading
            yield from found


def _of_stage(first: Stage | None, second: Stage | None) -> Iterator[str]:
    """Yield the differences of a stage, each group of equations below its own heading."""
    one, other = _groups(first), _groups(second)
    for words in dict.fromkeys([*one, *other]):
        lines = [*_of_lines(one.get(words, ()), other.get(words, ()))]
        if lines and words:
            yield f"  {words}"
        yield from (f"{line[0]} {'    ' if words else '  '}{line[1:]}" for line in lines)


def _groups(stage: Stage | None) -> dict[str, Lines]:
    """Return a stage's equations by their headings, the first of which has none."""
    if stage is None:
        return {}
    groups: list[Group] = [*describe(stage, PlainText())]
    return {group.words if k else "": group.lines for k, group in enumerate(groups)}


def _of_lines(first: Lines, second: Lines) -> Iterator[str]:
    """Yield lines of one side alone, those with equal left-hand sides below each other."""
    for left in dict.fromkeys(left for left, _ in (*first, *second)):
        one, other = ([right for name, right in side if name == left] for side in (first, second))
        for before, after in zip_longest(one, other):
            if before != after:
                yield from (f"-{left} = {right}" for right in (before,) if right is not None)
                yield from (f"+{left} = {right}" for right in (after,) if right is not None)
