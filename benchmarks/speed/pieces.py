"""Say what is measured: pieces, each with a result of its own."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import torch

from benchmarks.speed import growth, jax_contenders, tables
from benchmarks.speed.cases import CASES, Problem, problem
from benchmarks.speed.contender import Contender
from benchmarks.speed.contenders import QUICK, contenders
from benchmarks.speed.environment import load
from benchmarks.speed.equations import MODELS, OF_TASKS
from benchmarks.speed.measure import measure
from benchmarks.speed.qualification import (
    Candidate,
    Entry,
    Goal,
    Known,
    Point,
    Refused,
    candidate,
    gradient_goal,
    prepared,
    shortlisted,
)
from benchmarks.speed.tasks.contenders import Authors, equal_error, on_tasks
from benchmarks.speed.tasks.data import NoData
from benchmarks.speed.tasks.task import TASKS, Task, task_problem
from benchmarks.speed.timing import CLOCKS

# Goals below this are for double precision (error of the gradient, relative).
DOUBLE = 1e-5
# Settings that the work-precision plot shows beyond the goal.
BEYOND = 3

Record = dict[str, Any]
Done = Callable[[str], None]


@dataclass(frozen=True)
class Piece:
    """What is measured in one go.

    name: of its file. kind: "problem", "task" or "growth". settings: what beside the machine and
    the code its numbers depend on. modules: those of generated/ that it runs. parts: how often
    ``measure`` says that a part of it is done.
    """

    name: str
    kind: str
    settings: Record
    modules: tuple[str, ...]
    parts: int
    measure: Callable[[Done], Record] = field(repr=False)


def settings_of(asked: Namespace) -> Record:
    """Return the settings that all pieces have."""
    names = ("budget", "only", "quick")
    return {name: getattr(asked, name) for name in names}


def problem_pieces(asked: Namespace) -> list[Piece]:
    """Return a piece for each case, model and goal that is asked for."""
    found = []
    for goal in sorted(asked.goals, reverse=True):  # single precision first
        for case in asked.cases:
            for model in asked.models:
                if case in CASES and model in MODELS:
                    found.append(_problem_piece(asked, case, model, goal))
    return found


def _problem_piece(asked: Namespace, case: str, model: str, goal: float) -> Piece:
    chosen = chosen_contenders(asked)

    def measured(done: Done) -> Record:
        dtype = torch.float64 if goal < DOUBLE else torch.float32
        given = problem(model, CASES[case]).to(dtype, asked.device)
        able = with_device(chosen, dtype, asked.device)
        return measured_problem(given, able, gradient_goal(given, goal), asked, done)

    name = f"{model.lower()}_{case}" + (f"_{goal:.0e}" if goal != asked.usual_goal else "")
    name += "_cuda" * (asked.device == "cuda")
    settings = {**settings_of(asked), "goal": goal, "beyond": BEYOND * bool(asked.plot)}
    return Piece(name, "problem", settings, (MODELS[model].module,), len(chosen) + 1, measured)


def chosen_contenders(asked: Namespace) -> list[Contender]:
    """Return the contenders that are asked for."""
    found = [c for c in contenders() if not asked.quick or c.name in QUICK]
    return [c for c in found if asked.only in c.name]


def with_device(
    chosen: Sequence[Contender], dtype: torch.dtype, device: str
) -> Sequence[Contender | Refused]:
    """Set JAX up; where it does not see the device, its contenders are refused."""
    jitted = [c for c in chosen if c.form == "jit" and not c.missing()]
    if not jitted or jax_contenders.configure(dtype == torch.float64, device):
        return chosen
    return [Refused(c, f"JAX sees no {device}") if c in jitted else c for c in chosen]


def measured_problem(
    given: Problem,
    chosen: Sequence[Contender | Refused],
    goal: Goal,
    asked: Namespace,
    done: Done,
) -> Record:
    """Find the setting of each contender, then time all of them together."""
    torch.compiler.reset()
    known: Known = {}
    candidates: list[Candidate] = []
    refused: list[Refused] = []
    for contender in chosen:
        found: Candidate | Refused = (
            contender
            if isinstance(contender, Refused)
            else candidate(contender, given, goal, known, BEYOND * bool(asked.plot))
        )
        (refused if isinstance(found, Refused) else candidates).append(found)
        done(f"{given.model}: {found.contender.name}")
    candidates, left = shortlisted(candidates)
    entries: list[Entry] = []
    for each in candidates:
        outcome = prepared(each, given, goal)
        (entries if isinstance(outcome, Entry) else left).append(outcome)
    before = load()
    measure(given, entries, asked.budget, CLOCKS[asked.clock])
    done(f"{given}: timed")
    precision = str(given.dtype).removeprefix("torch.")
    found = tables.problem_record(
        str(given), precision, goal.limit, entries, [*refused, *left], (before, load())
    )
    return found | {"points": points_of(candidates) if asked.plot else []}


def points_of(candidates: Sequence[Candidate]) -> list[Record]:
    """Return the errors and times of all settings that contenders were tried at."""

    def finite(point: Point) -> bool:
        return 0 < point.error < float("inf")

    return [
        {
            "contender": each.contender.name,
            "peer": each.contender.peer,
            "errors": [point.error for point in each.points if finite(point)],
            "seconds": [point.seconds for point in each.points if finite(point)],
        }
        for each in candidates
    ]


def task_pieces(asked: Namespace) -> list[Piece]:
    """Return a piece for each task and model that is asked for.

    Raises NoData where a task that is asked for by name lacks its files; others are left out.
    """
    found = []
    for name in asked.cases:
        if name not in TASKS:
            continue
        try:
            TASKS[name].load(asked.data, 1)
        except NoData:
            if asked.by_name:
                raise
            continue
        found += [
            _task_piece(asked, TASKS[name], m) for m in TASKS[name].models if m in asked.models
        ]
    return found


def _task_piece(asked: Namespace, task: Task, model: str) -> Piece:
    chosen = [Authors(task.tolerance), *(c for c in on_tasks() if asked.only in c.name)]

    def measured(done: Done) -> Record:
        given = task_problem(model, task, asked.data).to(torch.float32, asked.device)
        goal = equal_error(given, chosen[0])
        found = measured_problem(given, chosen, goal, asked, done)
        return found | {"task": task.name, "model": model, "error": "error of h"}

    name = f"{task.name}_{model.lower()}" + "_cuda" * (asked.device == "cuda")
    modules = (OF_TASKS[model].module,)
    return Piece(name, "task", settings_of(asked), modules, len(chosen) + 1, measured)


def growth_pieces(asked: Namespace) -> list[Piece]:
    """Return a piece for each axis along which the cost grows."""

    def piece(axis: growth.Axis) -> Piece:
        def measured(done: Done) -> Record:
            clock = CLOCKS[asked.clock]
            curves = growth.grow(axis, asked.device, asked.budget / 10, clock, done)
            return {"axis": axis.name, "curves": [asdict(curve) for curve in curves]}

        name = f"growth_{axis.name.replace(' ', '_')}" + "_cuda" * (asked.device == "cuda")
        return Piece(
            name, "growth", settings_of(asked), ("heavy_ball",), len(axis.values), measured
        )

    return [piece(axis) for axis in growth.AXES]


def every_piece(asked: Namespace) -> list[Piece]:
    """Return all pieces that are asked for, the tasks after the problems."""
    if asked.growth:
        return growth_pieces(asked)
    return [*problem_pieces(asked), *task_pieces(asked)]
