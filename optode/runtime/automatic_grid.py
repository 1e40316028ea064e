"""Choose the number of steps, and spread them: finer after an error, coarser after easy solves."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor, nn

from .aliases import Inputs, Tensors
from .compiling import solve_with
from .equidistribution import EVEN, SHARE, density_of, parts_of
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
"""The numbers of steps from one time to the next."""

EASY = 0.5
"""A solve is easy if a coarser grid would have an error below this part of the tolerance."""

RUN = 10
"""After so many easy solves in a row, the next takes the coarser grid."""


class _Seen(NamedTuple):
    """The errors of a solve in tolerances: of every step the start, the worst state, and its error.

    ``largest`` is the largest root of the sum of their squares from one time to the next: errors of
    many steps that are alike add up.
    """

    starts: list[float]
    states: list[int]
    sizes: list[float]
    largest: float


def _seen(path: Tensors, errors: Errors, steps: int) -> _Seen:
    """Return the errors of a solve; the largest is infinite where an end is not finite."""
    ratios = torch.stack([ratio for _, ratio in errors]).nan_to_num(math.inf, math.inf)
    norms = ratios.view(-1, steps, ratios.shape[1]).norm(dim=1)
    sizes, states = ratios.max(1)
    finite = all(holds(x.isfinite().all()) for x in path)
    largest = norms.amax().item() if finite else math.inf
    return _Seen([s for s, _ in errors], states.tolist(), sizes.tolist(), largest)


class AutomaticGrid(nn.Module):
    """The steps that the solves of one node take from one time to the next.

    Their number is an index into COUNTS. The density says how they are spread, so that each has as
    much of the error as any other; where steps end at cuts they are equal. Both are saved with the
    node, so that a resumed run takes the same steps.
    """

    def __init__(self) -> None:
        super().__init__()
        self.index = 0
        self.easy_solves = 0
        self.density = EVEN

    def get_extra_state(self) -> Tensor:
        """Return what the solves so far have taught: a tensor, as all that is saved with it."""
        known = [self.index, self.easy_solves, *self.density]
        return torch.tensor(known, dtype=torch.float64, device="cpu")

    def set_extra_state(self, state: Tensor) -> None:
        """Take what the solves of a saved node have taught; a version before had even steps."""
        index, easy, *density = map(float, state)
        self.index, self.easy_solves = int(index), int(easy)
        self.density = tuple(density) or EVEN

    def _save_to_state_dict(self, destination: Any, prefix: str, keep_vars: bool) -> None:
        if self.index or self.easy_solves:  # a node without a grid saves its parameters alone
            super()._save_to_state_dict(destination, prefix, keep_vars)

    def _load_from_state_dict(self, state_dict: Any, prefix: str, *others: Any) -> None:
        state_dict.setdefault(f"{prefix}_extra_state", (0, 0))
        super()._load_from_state_dict(state_dict, prefix, *others)

    @property
    def steps(self) -> int:
        """The number of steps from one time to the next."""
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
            parts = self._parts(grid, Options.of(node.options))
            plan = Plan(self.steps, dense, parts=parts)
            found = solve_with(node, grid, states, inputs, plan)
            path, errors, stats = found.path, found.errors, found.stats
            evaluations += stats.forward_nfe
            seconds += stats.compile_seconds
            stats.forward_nfe, stats.repeated, stats.compile_seconds = evaluations, tries, seconds
            if not errors:
                return found
            order = METHODS[stats.method].error_order
            seen = _seen(path, errors, self.steps)
            if seen.largest <= 1:
                if not has_saving_hooks():  # within a checkpoint the grid stays as it is
                    self._remember(seen.largest, order)
                    self._spread(grid, seen, order)
                return found
            if seen.largest == math.inf:  # of a step too long, if not from the start on
                refuse(node, Clock(grid, states[0]), inputs, torch.stack([x[:1] for x in path], 1))
            tries += 1
            self._refine(node, grid, seen, order, first=tries == 1)
            self._spread(grid, seen, order)

    def _parts(self, grid: Grid, options: Options) -> Sequence[Sequence[float]]:
        """Return where the steps of each interval end, as parts of it; nothing for equal steps."""
        if self.steps == 1 or options.cuts:
            return ()
        return parts_of(self.density, grid.knots, self.steps)

    def _spread(self, grid: Grid, seen: _Seen, order: int) -> None:
        """Spread the steps of the next solve by the errors of this one's."""
        if len(seen.sizes) > 1 and max(seen.sizes) < math.inf:
            start, length = grid.knots[0], grid.knots[-1] - grid.knots[0]
            ends = [*((s - start) / length for s in seen.starts), 1.0]
            self.density = density_of(ends, [x ** (1 / order) for x in seen.sizes])

    def _fit(self, grid: Grid, options: Options) -> None:
        """Take fewer steps if this grid has more times than the one they were found for."""
        first, last = grid.knots[0], grid.knots[-1]
        ends = {*grid.knots, *(t for t in options.cuts if first < t < last)}
        while self.index and self.steps * (len(ends) - 1) > options.max_steps:
            self.index -= 1

    def _refine(self, node: Node, grid: Grid, seen: _Seen, order: int, first: bool) -> None:
        """Take as many steps as the order promises to be enough, once they are spread.

        After the first try of a solve it is at least the next number.
        """
        options, steps = Options.of(node.options), self.steps
        if options.cuts:  # where steps stay equal
            enough = steps * min(seen.largest, 1e9) ** (1 / (order - 0.5))
        else:
            needs = [min(x, 1e9) ** (1 / order) for x in seen.sizes]
            most = max(sum(needs[k : k + steps]) for k in range(0, len(needs), steps))
            enough = ((1 + SHARE) * most) ** (order / (order - 0.5))
        enough = min(enough, 8.0 * steps) if seen.largest == math.inf else enough
        finer = (i for i, n in enumerate(COUNTS) if n >= enough)
        self.index = max(self.index + (not first or steps == 1), next(finer, len(COUNTS)))
        intervals = len(seen.sizes) // steps
        if self.index < len(COUNTS) and self.steps * intervals <= options.max_steps:
            return
        self.index = 0
        worst = seen.sizes.index(max(seen.sizes))
        raise RuntimeError(
            f"more than max_steps = {options.max_steps} steps: with {len(seen.sizes)} the error is "
            f"{seen.largest:.3g} times the tolerance, most of it the error of "
            f"{node.state_names[seen.states[worst]]} at {grid.words(seen.starts[worst])}: loosen rtol "
            "and atol, raise max_steps, or take fitted steps"
        )

    def _remember(self, largest: float, order: int) -> None:
        """Take the coarser grid in the next solve, after a run of easy ones."""
        coarser = COUNTS[max(self.index - 1, 0)]
        grown = largest * (self.steps / coarser) ** (order - 0.5)
        easy = coarser < self.steps and grown < EASY
        self.easy_solves = self.easy_solves + 1 if easy else 0
        if self.easy_solves == RUN:
            self.index, self.easy_solves = self.index - 1, 0
