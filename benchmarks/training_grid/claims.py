"""Say whether grid="auto" is accurate throughout, and takes less time than its rivals."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import stdev
from typing import NamedTuple

from benchmarks.training_grid.training import Run

# Of the run, each with every seventh training step: prime to the numbers of contenders, whose turns
# would come back. And how many standard errors a ratio has to be away from 1.
PARTS, DOUBT = 7, 2.0


class Ratio(NamedTuple):
    """A ratio of total times, and its standard error."""

    times: float
    error: float


def ratio(slower: Sequence[float], faster: Sequence[float]) -> Ratio:
    """Return the ratio of total times, with its error by the spread over parts of the run.

    Each part has training steps from start to end: the first, the eighth, and so on.
    """
    whole, n = math.fsum(slower) / math.fsum(faster), min(PARTS, len(faster))
    parts = [math.fsum(slower[i::n]) / math.fsum(faster[i::n]) for i in range(n)]
    return Ratio(whole, stdev(parts) / math.sqrt(n) if n > 1 else math.inf)


class Claim(NamedTuple):
    """The outcome of the claim for one gradient.

    rivals: whose time is compared, the adaptive solves first and then the fixed grids that are
    accurate throughout. coarse: the other fixed grids.
    """

    auto: Run
    rivals: list[Run]
    coarse: list[Run]

    @property
    def ratios(self) -> dict[str, Ratio]:
        """The time of each rival divided by that of grid="auto"."""
        return {run.contender.name: ratio(run.seconds, self.auto.seconds) for run in self.rivals}

    @property
    def holds(self) -> bool | None:
        """Whether the claim holds; None where it is undecided."""
        margins = [(times - 1, DOUBT * doubt) for times, doubt in self.ratios.values()]
        if not self.auto.accurate or any(margin < -doubt for margin, doubt in margins):
            return False
        return True if all(margin > doubt for margin, doubt in margins) else None


def claims(runs: Sequence[Run]) -> list[Claim]:
    """Compare each grid="auto" among the runs with the other runs of its gradient.

    Of a training that failed there is no time to compare.
    """
    found = []
    for auto in runs:
        if auto.contender.kind == "auto":
            others = [
                run
                for run in runs
                if run.contender.gradient == auto.contender.gradient and run is not auto
            ]
            coarse = [run for run in others if run.contender.kind == "fixed" and not run.accurate]
            ended = [run for run in (auto, *others) if run.failure]
            rivals = [run for run in others if run not in coarse and run not in ended]
            found.append(Claim(auto, [] if auto in ended else rivals, coarse))
    return found
