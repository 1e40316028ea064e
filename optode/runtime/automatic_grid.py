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
from .options import Options
from .plan import Plan, method_name
from .reasons import refuse
from .rungs import COUNTS, Rung, ladder
from .solve import Errors, Found
from .times import Clock, Grid
from .torch_internals import has_saving_hooks, holds

if TYPE_CHECKING:
    from .node import Node

FIRST_NODES = 5
"""The nodes of the first solve."""

EASY = 0.5
"""A solve is easy if the next coarser grid would have an error below this part of the tolerance."""

RUN = 10
"""After so many easy solves in a row, the next takes the coarser grid."""


UNEVEN = 1.25
"""Steps are spread anew where one needs so many times the mean of all. Else they stay."""


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

    ``steps`` is their number, ``nodes`` that of an interpolation where the method is left free. The
    density says how they are spread, so that each has as much of the error as any other; where steps
    end at cuts they are equal. All is saved with the node, so that a resumed run takes the same.
    """

    def __init__(self) -> None:
        super().__init__()
        self.steps, self.nodes = 1, FIRST_NODES
        self.easy_solves = 0
        self.density = EVEN

    def get_extra_state(self) -> Tensor:
        """Return what the solves so far have taught: a tensor, as all that is saved with it."""
        known = [self.steps, self.nodes, self.easy_solves, *self.density]
        return torch.tensor(known, dtype=torch.float64, device="cpu")

    def set_extra_state(self, state: Sequence[Any]) -> None:
        """Take what the solves of a saved node have taught; a version before had an index alone."""
        known = [float(x) for x in state]
        if len(known) == 2:
            known = [COUNTS[int(known[0])], FIRST_NODES, known[1], *EVEN]
        self.steps, self.nodes, self.easy_solves = map(int, known[:3])
        self.density = tuple(known[3:])

    def _save_to_state_dict(self, destination: Any, prefix: str, keep_vars: bool) -> None:
        if (self.steps, self.nodes, self.easy_solves) != (
            1,
            FIRST_NODES,
            0,
        ):  # a node without a grid saves its parameters alone
            super()._save_to_state_dict(destination, prefix, keep_vars)

    def _load_from_state_dict(self, state_dict: Any, prefix: str, *others: Any) -> None:
        state_dict.setdefault(f"{prefix}_extra_state", (0, 0))
        super()._load_from_state_dict(state_dict, prefix, *others)

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
        if has_saving_hooks() and torch.is_grad_enabled():
            # a checkpoint solves again and has to save as much: nothing of solves that are repeated
            with torch.no_grad():
                self._fitting(node, grid, states, inputs, dense)
        return self._fitting(node, grid, states, inputs, dense)

    def _fitting(
        self, node: Node, grid: Grid, states: Tensors, inputs: Inputs, dense: bool
    ) -> Found:
        evaluations, tries, seconds = 0, 0, 0.0
        clock, options = Clock(grid, states[0]), Options.of(node.options)
        rungs = ladder(method_name(node, clock, dense), node.method == "auto")
        place = self._place(rungs, grid, options)
        while True:
            rung = rungs[place]
            plan = Plan(rung.steps, dense, rung.method, parts=self._parts(rung, grid, options))
            found = solve_with(node, grid, states, inputs, plan)
            path, errors, stats = found.path, found.errors, found.stats
            evaluations += stats.forward_nfe
            seconds += stats.compile_seconds
            stats.forward_nfe, stats.repeated, stats.compile_seconds = evaluations, tries, seconds
            if not errors:
                return found
            seen = _seen(path, errors, rung.steps)
            if seen.largest <= 1:
                if not has_saving_hooks():  # within a checkpoint the grid stays as it is
                    self._remember(rungs, place, seen.largest)
                    if _is_uneven(rung, seen):
                        self._spread(rung, grid, seen)
                return found
            if seen.largest == math.inf:  # of a step too long, if not from the start on
                refuse(node, clock, inputs, torch.stack([x[:1] for x in path], 1))
            tries += 1
            place = _finer(rungs, place, seen, options, again=tries > 1)
            self._take(rungs[place] if place < len(rungs) else None)
            self._spread(rung, grid, seen)
            if place == len(rungs):
                raise RuntimeError(_too_many(node, grid, seen, options))

    def _place(self, rungs: Sequence[Rung], grid: Grid, options: Options) -> int:
        """Return the rung that the solves before have found, or a lower one if there are more times."""
        place = next(k for k, rung in enumerate(rungs) if rung.is_from(self.steps, self.nodes))
        first, last = grid.knots[0], grid.knots[-1]
        ends = {*grid.knots, *(t for t in options.cuts() if first < t < last)}
        while place and rungs[place].steps * (len(ends) - 1) > options.max_steps:
            place -= 1
        return place

    def _take(self, rung: Rung | None) -> None:
        """Let the next solve take a rung, by default the first."""
        self.steps = rung.steps if rung else 1
        self.nodes = (rung and rung.nodes) or FIRST_NODES

    def _parts(self, rung: Rung, grid: Grid, options: Options) -> Sequence[Sequence[float]]:
        """Return where the steps of each interval end, as parts of it; nothing for equal steps."""
        if rung.steps == 1 or options.cuts():
            return ()
        return parts_of(self.density, grid.knots, rung.steps)

    def _spread(self, rung: Rung, grid: Grid, seen: _Seen) -> None:
        """Spread the steps of the next solve by the errors of this one's."""
        if len(seen.sizes) > 1 and max(seen.sizes) < math.inf:
            start, length = grid.knots[0], grid.knots[-1] - grid.knots[0]
            ends = [*((s - start) / length for s in seen.starts), 1.0]
            self.density = density_of(ends, [x ** (1 / rung.order) for x in seen.sizes])

    def _remember(self, rungs: Sequence[Rung], place: int, largest: float) -> None:
        """Take the coarser grid in the next solve, after a run of easy ones."""
        rung, coarser = rungs[place], rungs[max(place - 1, 0)]
        easy = place > 0 and coarser.foreseen(rung, largest) < EASY
        self.easy_solves = self.easy_solves + 1 if easy else 0
        self._take(rung)
        if self.easy_solves == RUN:
            self._take(coarser)
            self.easy_solves = 0


def _finer(rungs: Sequence[Rung], place: int, seen: _Seen, options: Options, again: bool) -> int:
    """Return the first rung that promises to be enough; past the last where none is left.

    The next one at least, unless it may be enough to spread the steps.
    """
    rung, error = rungs[place], seen.largest
    if not options.cuts() and error < math.inf:
        most = max(map(sum, _needs(rung, seen)))
        error = ((1 + SHARE) * most) ** rung.order * rung.steps ** (0.5 - rung.order)
    least = place + (again or rung.steps == 1 or bool(options.cuts()))
    intervals = len(seen.sizes) // rung.steps
    for k in range(least, len(rungs)):
        if rungs[k].steps * intervals > options.max_steps:
            break
        if rungs[k].foreseen(rung, error) <= 1:
            return k
    return len(rungs)


def _needs(rung: Rung, seen: _Seen) -> list[list[float]]:
    """Return the roots of the errors of all steps, from one time to the next."""
    needs, n = [x ** (1 / rung.order) for x in seen.sizes], rung.steps
    return [needs[k : k + n] for k in range(0, len(needs), n)]


def _is_uneven(rung: Rung, seen: _Seen) -> bool:
    """Return whether a step between two times needs clearly more than the mean of these steps."""
    return any(max(x) > UNEVEN * sum(x) / len(x) for x in _needs(rung, seen))


def _too_many(node: Node, grid: Grid, seen: _Seen, options: Options) -> str:
    """Say that more steps are asked for than there may be."""
    worst = seen.sizes.index(max(seen.sizes))
    return (
        f"more than max_steps = {options.max_steps} steps: with {len(seen.sizes)} the error is "
        f"{seen.largest:.3g} times the tolerance, most of it the error of "
        f"{node.state_names[seen.states[worst]]} at {grid.words(seen.starts[worst])}: loosen rtol "
        "and atol, raise max_steps, or take fitted steps"
    )
