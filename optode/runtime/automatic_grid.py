"""Choose the number of equal steps: finer after an error, coarser after a run of easy solves."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from .aliases import Inputs, Tensors
from .compiling import solve_with
from .methods.catalogue import METHODS
from .options import Options
from .plan import Plan
from .reasons import refuse
from .solve import Errors, Found
from .times import Clock, Grid
from .torch_internals import has_saving_hooks, holds

if TYPE_CHECKING:
    from .node import Node

COUNTS: tuple[int, ...] = (
    *(1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512),
    *(768, 1024, 1536, 2048, 3072, 4096, 6144, 8192),
)
"""The numbers of equal steps from one time to the next."""

EASY = 0.5
"""A solve is easy if a coarser grid would have an error below this part of the tolerance."""

RUN = 10
"""After so many easy solves in a row, the next takes the coarser grid."""


class AutomaticGrid(nn.Module):
    """The number of equal steps that the solves of one node take, as an index into COUNTS.

    It is saved with the node, so that a resumed run takes the same steps.
    """

    def __init__(self) -> None:
        super().__init__()
        self.index = 0
        self.easy_solves = 0

    def get_extra_state(self) -> Tensor:
        """Return what the solves so far have taught: a tensor, as all that is saved with it."""
        return torch.tensor([self.index, self.easy_solves], device="cpu")

    def set_extra_state(self, state: Tensor) -> None:
        """Take what the solves of a saved node have taught."""
        self.index, self.easy_solves = map(int, state)

    def _save_to_state_dict(self, destination: Any, prefix: str, keep_vars: bool) -> None:
        if self.index or self.easy_solves:  # a node without a grid saves its parameters alone
            super()._save_to_state_dict(destination, prefix, keep_vars)

    def _load_from_state_dict(self, state_dict: Any, prefix: str, *others: Any) -> None:
        state_dict.setdefault(f"{prefix}_extra_state", (0, 0))
        super()._load_from_state_dict(state_dict, prefix, *others)

    @property
    def steps(self) -> int:
        """The number of equal steps from one time to the next."""
        return COUNTS[self.index]

    def solve(
        self, node: Node, grid: Grid, states: Tensors, inputs: Inputs, dense: bool = False
    ) -> Found:
        """Return the trajectories and the work, on a grid that is fine enough.

        An error over the tolerance is answered by the solve on a finer grid. Raises RuntimeError
        where that would need more than max_steps.
        """
        if torch.compiler.is_compiling():
            raise ValueError(
                'grid="auto" looks at errors between solves, which torch.compile cannot trace: '
                "give compile=True instead"
            )
        self._fit(grid, Options.of(node.options))
        if has_saving_hooks() and torch.is_grad_enabled():
            # a checkpoint solves again and has to save as much: nothing of solves that are repeated
            with torch.no_grad():
                self._fitting(node, grid, states, inputs, dense)
        return self._fitting(node, grid, states, inputs, dense)

    def _fitting(
        self, node: Node, grid: Grid, states: Tensors, inputs: Inputs, dense: bool
    ) -> Found:
        evaluations, tries, seconds = 0, 0, 0.0
        while True:
            found = solve_with(node, grid, states, inputs, Plan(self.steps, dense))
            path, errors, stats = found.path, found.errors, found.stats
            evaluations += stats.forward_nfe
            seconds += stats.compile_seconds
            stats.forward_nfe, stats.repeated, stats.compile_seconds = evaluations, tries, seconds
            if not errors:
                return found
            ratios = torch.stack([ratio for _, ratio in errors]).nan_to_num(math.inf, math.inf)
            largest = _largest(path, ratios)
            if largest <= 1:
                if not has_saving_hooks():  # within a checkpoint the grid stays as it is
                    self._remember(largest, METHODS[stats.method].error_order)
                return found
            if largest == math.inf:  # of a step too long, if not from the start on
                refuse(node, Clock(grid, states[0]), inputs, torch.stack([x[:1] for x in path], 1))
            tries += 1
            self._refine(node, grid, errors, ratios, largest, METHODS[stats.method].error_order)

    def _fit(self, grid: Grid, options: Options) -> None:
        """Take fewer steps if this grid has more times than the one they were found for."""
        first, last = grid.knots[0], grid.knots[-1]
        ends = {*grid.knots, *(t for t in options.cuts if first < t < last)}
        while self.index and self.steps * (len(ends) - 1) > options.max_steps:
            self.index -= 1

    def _refine(
        self,
        node: Node,
        grid: Grid,
        errors: Errors,
        ratios: Tensor,
        largest: float,
        order: int,
    ) -> None:
        """Take as many steps as the order promises to be enough, and at least the next number."""
        steps, limit = self.steps, Options.of(node.options).max_steps
        enough = steps * min(largest, 1e9) ** (1 / order)
        enough = min(enough, 8 * steps) if largest == math.inf else enough
        finer = (i for i, n in enumerate(COUNTS) if n >= enough)
        self.index = max(self.index + 1, next(finer, len(COUNTS)))
        intervals = len(errors) // steps
        if self.index < len(COUNTS) and self.steps * intervals <= limit:
            return
        self.index = 0
        worst, state = divmod(int(ratios.argmax()), len(node.state_names))
        raise RuntimeError(
            f"more than max_steps = {limit} steps: with {len(errors)} the error of "
            f"{node.state_names[state]} at {grid.words(errors[worst][0])} is {ratios.max():.3g} "
            "times its tolerance: loosen rtol and atol, raise max_steps, or take fitted steps"
        )

    def _remember(self, largest: float, order: int) -> None:
        """Take the coarser grid in the next solve, after a run of easy ones."""
        coarser = COUNTS[max(self.index - 1, 0)]
        easy = coarser < self.steps and largest * (self.steps / coarser) ** order < EASY
        self.easy_solves = self.easy_solves + 1 if easy else 0
        if self.easy_solves == RUN:
            self.index, self.easy_solves = self.index - 1, 0


def _largest(path: Tensors, ratios: Tensor) -> float:
    """Return the largest error; that of an end which is not finite is infinite."""
    finite = all(holds(x.isfinite().all()) for x in path)
    return ratios.amax().item() if finite else math.inf
