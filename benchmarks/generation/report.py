"""Set down what a command took: for JSON, and as tables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from benchmarks.generation.running import Measurement, Staged
from benchmarks.generation.stages import FOLLOWING, Cost
from benchmarks.records import rounded
from benchmarks.speed.environment import environment_line

PACKAGES = ("sympy", "jinja2", "typer")
"""Packages whose versions are reported beside those of the environment."""

SLOWEST = 5


def median_cost(costs: Sequence[Cost]) -> Cost:
    """Return the cost in the middle by wall time; of two in the middle the slower."""
    return sorted(costs, key=lambda cost: cost.wall)[len(costs) // 2]


def median_run(runs: Sequence[Staged]) -> Staged:
    """Return the run in the middle by wall time, whose stages belong together."""
    return sorted(runs, key=lambda run: run.total.wall)[len(runs) // 2]


def verdict(seconds: float, goal: float) -> str:
    """Return in words whether the goal (seconds) is met."""
    if seconds <= goal:
        return f"goal {goal:g} s: met"
    return f"goal {goal:g} s: missed by {seconds - goal:.2f} s"


def record(measurement: Measurement, goal: float) -> dict[str, Any]:
    """Return the numbers of a command, for JSON: medians, ranges, and the stages of one run.

    Seconds throughout; ``goal`` is that of the wall time. The stages are those of the run in the
    middle by its wall time, ``derived`` is the number of modules it made, ``slowest`` has those
    that took longest.
    """
    taken, walls = median_cost(measurement.runs), [cost.wall for cost in measurement.runs]
    run = median_run(measurement.staged)
    found = {
        "arguments": measurement.arguments,
        "modules": measurement.modules,
        "runs": len(measurement.runs),
        "wall": taken.wall,
        "range": (min(walls), max(walls)),
        "processor": taken.processor,
        "goal": goal,
        "met": taken.wall <= goal,
        "stages": [{"stage": name, **asdict(cost)} for name, cost in run.stages.items()],
        "process": asdict(run.total),
        "following_apart": run.apart,
        "derived": len(run.each),
        "slowest": slowest(run.each),
    }
    made: dict[str, Any] = rounded(found)
    return made


def report(found: Mapping[str, Any]) -> str:
    """Return a command's numbers beside its goal, then its stages and its slowest modules."""
    noun, (least, most) = "module" if found["modules"] == 1 else "modules", found["range"]
    lines = [
        f"optode {' '.join(found['arguments'])}: {found['modules']} {noun}, "
        f"median of {found['runs']}",
        f"wall {found['wall']:.2f} s ({least:.2f} to {most:.2f}), "
        f"processor {found['processor']:.2f} s; {verdict(found['wall'], found['goal'])}",
        "",
        *stage_lines(found),
        *slowest_lines(found["slowest"], found["derived"]),
    ]
    return "\n".join(lines)


def stage_lines(found: Mapping[str, Any]) -> list[str]:
    """Return the table of the stages of one run."""
    rows = [(each["stage"], _cost(each)) for each in found["stages"]]
    rows += [("sum", total(cost for _, cost in rows)), ("the process", _cost(found["process"]))]
    lines = ["stage                  wall ms  processor ms  modules imported"]
    for name, cost in rows:
        imported = f"{cost.imported:18d}" if cost.imported else ""
        star = " *" if name == FOLLOWING and found["following_apart"] else ""
        label = f"{name}{star}"
        lines.append(f"{label:20}{1e3 * cost.wall:10.1f}{1e3 * cost.processor:14.1f}{imported}")
    note = "* derived after the command, which has no use for it; part of the sum"
    return [*lines, *([note] if found["following_apart"] else ())]


def _cost(found: Mapping[str, Any]) -> Cost:
    return Cost(found["wall"], found["processor"], found["imported"])


def total(costs: Iterable[Cost]) -> Cost:
    """Return the sums of the costs."""
    every = [*costs]
    return Cost(
        sum(cost.wall for cost in every),
        sum(cost.processor for cost in every),
        sum(cost.imported for cost in every),
    )


def slowest(each: Mapping[str, float]) -> dict[str, float]:
    """Return the modules that took longest and their seconds, the slowest first."""
    names = sorted(each, key=lambda name: -each[name])[:SLOWEST]
    return {name: each[name] for name in names}


def slowest_lines(each: Mapping[str, float], derived: int) -> list[str]:
    """Return the table of the slowest of the derived modules; no lines where there is only one."""
    if derived < 2:
        return []
    rows = [f"{name:32}{1e3 * seconds:10.1f}" for name, seconds in each.items()]
    title = f"slowest of {derived}, from rule to text"
    return ["", f"{title:32}{'wall ms':>10}", *rows]


def document_text(document: Mapping[str, Any]) -> str:
    """Return what a run prints, from what it writes as JSON."""
    parts = [words_of(document["environment"]), *map(report, document["commands"])]
    return "\n\n".join(parts) + "\n"


def words_of(where: Mapping[str, Any]) -> str:
    """Return the parts of the environment that the time of generation depends on, as one line."""
    keys = ("date", "cpu", "cores", "threads", "load", "system", "python", "optode", *PACKAGES)
    load = None if where["load"] is None else round(where["load"], 2)
    return environment_line({key: where[key] for key in keys} | {"load": load})
