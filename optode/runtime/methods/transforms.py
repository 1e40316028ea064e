"""Steps of w'' = R F + q w, in w itself or with the transform merged into the rows.

A Nyström method has rows that weigh w and d w' at the start of a step and the increments d^2 w''
of its stages: one for each stage, two for the end (w, d w'), and two for the error.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor

from .combinations import mixed
from .undamping import Number, Undamped

Rows = Sequence[Sequence[Number]]


class Transform(ABC):
    """How one step goes from h and m to what the rows weigh, and back."""

    rows: list[list[float]]

    @abstractmethod
    def basis(self, h: Tensor, m: Tensor) -> list[Tensor]:
        """Return the first two tensors that the rows weigh."""

    @abstractmethod
    def stage(self, i: int, basis: list[Tensor]) -> tuple[Tensor, Tensor]:
        """Return the position at a stage as the rows have it, and h there."""

    @abstractmethod
    def increment(self, i: int, force: Tensor, position: Tensor) -> Tensor:
        """Return what a stage adds to the basis."""

    @abstractmethod
    def ends(self, k: int, basis: list[Tensor]) -> Tensor:
        """Return h and m at the end, by the pair of rows from row k on, joined."""


class Merged(Transform):
    """In plain numbers: the rows weigh h, m and F of the stages themselves.

    Where the damping has learned parameters, ``undamped`` are the numbers that the rows depend on.
    """

    def __init__(self, rows: list[list[float]], undamped: Undamped | None) -> None:
        self.rows, self.undamped = rows, undamped

    def basis(self, h: Tensor, m: Tensor) -> list[Tensor]:
        """Return h and m."""
        return [h, m]

    def stage(self, i: int, basis: list[Tensor]) -> tuple[Tensor, Tensor]:
        """Return h at a stage, twice."""
        y = mixed(self.rows[i], basis)
        return y, y

    def increment(self, i: int, force: Tensor, position: Tensor) -> Tensor:
        """Return F."""
        return force

    def ends(self, k: int, basis: list[Tensor]) -> Tensor:
        """Return h and m at the end, or their errors."""
        return torch.cat([mixed(row, basis) for row in self.rows[k : k + 2]])


class Unmerged(Transform):
    """In numbers that may carry gradients: the rows weigh w, d w' and the increments."""

    def __init__(self, rows: list[list[float]], length: float, undamped: Undamped) -> None:
        self.rows = rows
        self.length, self.undamped = length, undamped

    def basis(self, h: Tensor, m: Tensor) -> list[Tensor]:
        """Return w and d w' at the start, where R is 1 and w' = m + c/2 h."""
        return [h, self.length * m + self.undamped.start * h]

    def stage(self, i: int, basis: list[Tensor]) -> tuple[Tensor, Tensor]:
        """Return w at a stage, and h = w/R."""
        position = mixed(self.rows[i], basis)
        return position, position if i == 0 else self.undamped.shrinking[i] * position

    def increment(self, i: int, force: Tensor, position: Tensor) -> Tensor:
        """Return d^2 (R F + q w)."""
        numbers = self.undamped
        return numbers.forces[i] * force + numbers.curvatures[i] * position

    def ends(self, k: int, basis: list[Tensor]) -> Tensor:
        """Return h = w/R and m = w'/R - c/2 h at the end, or their errors."""
        last = self.undamped.shrinking[-1]
        h, dw = (last * mixed(row, basis) for row in self.rows[k : k + 2])
        return torch.cat([h, (dw - self.undamped.end * h) / self.length])


def merged(rows: Rows, d: float, given: Undamped) -> list[list[Number]]:
    """Return rows that weigh h, m and F of the stages, for a step of length d.

    They make h at each stage, then h and m at the end, then the errors of both.
    """
    n, last = len(given.forces), given.shrinking[-1]
    basis: list[list[Number]] = [[1.0, 0.0], [given.start, d]]  # w and d w' by h and m
    found = []
    for i, row in enumerate(rows[:n]):
        w = _combined(row, basis)
        found.append([given.shrinking[i] * x for x in w])
        basis.append([*(given.curvatures[i] * x for x in w), given.forces[i]])
    for w_row, dw_row in zip(rows[n::2], rows[n + 1 :: 2]):
        w = [last * x for x in _combined(w_row, basis)]
        dw = [last * x for x in _combined(dw_row, basis)]
        found += [w, [(y - given.end * x) / d for x, y in zip(w, dw)]]
    return found


def _combined(row: Sequence[Number], basis: Sequence[Sequence[Number]]) -> list[Number]:
    """Return the weighed sum of vectors, of which later ones have more components."""
    total: list[Number] = [0.0] * len(basis[-1])
    for weight, vector in zip(row, basis):
        if weight:
            for k, x in enumerate(vector):
                total[k] += weight * x
    return total
