"""The benchmark of generation: its stages, its sums, and what it says of a goal."""

from __future__ import annotations

import re
import sys

import pytest

from benchmarks.generation.report import median_cost, record, report, slowest, slowest_lines
from benchmarks.generation.running import Measurement, Staged, process, staged
from benchmarks.generation.stages import FUNCTIONS, STAGES, Clock, Cost

SPECS = ("gradient_descent", "heavy_ball")
ROW = re.compile(r"(\S.*?)(?: \*)? {2,}(\d+\.\d) +(\d+\.\d)(?: +\d+)?")


@pytest.fixture(scope="module")
def run() -> Staged:
    return staged(("generate", *SPECS))


def printed(run: Staged, goal: float = 60.0) -> str:
    made = Measurement(("generate", *SPECS), len(SPECS), (run.total,), (run,))
    return report(record(made, goal))


def test_every_stage_is_printed_and_was_clocked(run: Staged) -> None:
    labels = [line[:20].rstrip(" *") for line in printed(run).splitlines()]
    first = labels.index(STAGES[0])
    assert tuple(labels[first : first + len(STAGES)]) == STAGES
    for stage in ("interpreter start", "imports: sympy", "imports: the rest", *FUNCTIONS):
        assert run.stages[stage].wall > 0, stage
    assert run.stages["imports: sympy"].imported > 0


def test_the_stages_sum_to_no_more_than_the_process(run: Staged) -> None:
    assert all(cost.wall >= 0 and cost.processor >= 0 for cost in run.stages.values())
    rows = [found.groups() for line in printed(run).splitlines() if (found := ROW.fullmatch(line))]
    walls = {name: float(wall) for name, wall, _ in rows}
    assert sum(walls[stage] for stage in STAGES) == pytest.approx(walls["sum"], abs=1.0)
    assert sum(cost.wall for cost in run.stages.values()) <= run.total.wall
    assert walls["sum"] <= walls["the process"]


def test_a_stage_that_calls_another_pauses_meanwhile() -> None:
    reading = [0.0, 0.0, 0]

    def passes(seconds: float) -> None:
        reading[:] = [reading[0] + seconds, reading[1] + seconds / 2, reading[2] + 1]

    def outer() -> None:
        passes(1.0)
        inner()
        passes(4.0)

    clock = Clock(lambda: [*reading])
    inner = clock.timed("inner", lambda: passes(2.0))
    passes(100.0)  # between stages
    clock.timed("outer", outer)()
    inner()
    assert clock.spent == {"outer": [5.0, 2.5, 2], "inner": [4.0, 2.0, 2]}


def test_the_modules_are_the_slowest_first(run: Staged) -> None:
    assert set(run.each) == set(SPECS)
    assert all(seconds > 0 for seconds in run.each.values())
    ordered = slowest({"quick": 0.1, "slow": 0.9, "middling": 0.5})
    rows = slowest_lines(ordered, 3)[2:]
    assert [row.split()[0] for row in rows] == ["slow", "middling", "quick"]
    assert slowest_lines({"alone": 0.1}, 1) == []


@pytest.mark.parametrize(("goal", "words"), [(60.0, "met"), (2.0, "missed by 1.00 s")])
def test_a_goal_is_met_or_missed(run: Staged, goal: float, words: str) -> None:
    costs = (Cost(9.0, 1.0), Cost(3.0, 1.0), Cost(1.0, 1.0))
    measurement = Measurement(("generate", *SPECS), len(SPECS), costs, (run,))
    found = record(measurement, goal)
    assert f"; goal {goal:g} s: {words}\n" in report(found)
    assert found["met"] == (words == "met")


def test_the_median_is_that_of_the_wall_time() -> None:
    assert median_cost([Cost(3.0, 0.1), Cost(1.0, 0.3), Cost(2.0, 0.2)]) == Cost(2.0, 0.2)


def test_a_command_that_fails_is_no_measurement() -> None:
    with pytest.raises(RuntimeError, match="no such thing"):
        process((sys.executable, "-c", "raise SystemExit('no such thing')"))
