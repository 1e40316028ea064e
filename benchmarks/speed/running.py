"""Run the benchmark once threads are pinned: the tables, or the growth."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from benchmarks.speed import growth, jax_contenders, plot, tables
from benchmarks.speed.cases import CASES, Problem, problem
from benchmarks.speed.contender import Contender
from benchmarks.speed.contenders import CONTENDERS, QUICK
from benchmarks.speed.equations import MODELS
from benchmarks.speed.measure import measure
from benchmarks.speed.qualification import Entry, Point, Refused, qualify
from benchmarks.speed.reference import reference
from benchmarks.speed.timing import CLOCKS

# Goals below this are for double precision (error of the gradient, relative).
DOUBLE = 1e-5
# Settings that the work-precision plot shows beyond the goal.
BEYOND = 3


class Report:
    """Prints, and writes what it prints into a file if there is one."""

    def __init__(self, path: Path | None) -> None:
        self.path = path
        if path:
            path.write_text("")

    def __call__(self, text: str) -> None:
        print(text, flush=True)
        if self.path:
            with self.path.open("a") as file:
                file.write(text + "\n")


@dataclass(frozen=True)
class Found:
    """The contenders of one problem, measured or not, and every setting that was tried."""

    title: str
    precision: str
    goal: float
    entries: Sequence[Entry]
    refused: Sequence[Refused]
    points: dict[str, list[Point]]


def run_tables(asked: argparse.Namespace, report: Report) -> dict[str, Any]:
    """Measure every model and case that is asked for, then compare the times of all."""
    goal = asked.tolerance_goal
    dtype = torch.float64 if goal < DOUBLE else torch.float32
    contenders = [c for c in CONTENDERS if not asked.quick or c.name in QUICK]
    contenders = [c for c in contenders if asked.only in c.name]
    jitted = [c for c in contenders if c.form == "jit" and not c.missing()]
    if jitted and not jax_contenders.configure(dtype == torch.float64, asked.device):
        report(f"JAX does not see a {asked.device} here: diffrax is left out")
        contenders = [c for c in contenders if c not in jitted]
    first = 1 if asked.quick else None
    every: list[Found] = []
    problems: list[tables.Record] = []
    for model in asked.models or [*MODELS][:first]:
        for case in asked.cases or [*CASES][:first]:
            given = problem(model, CASES[case]).to(dtype, asked.device)
            every.append(run_problem(given, contenders, asked))
            problems.append(problem_record(every[-1]))
            report("\n" + tables.problem_text(problems[-1]))
    report("\n" + tables.comparison_text(problems))
    if asked.plot:
        peers = {c.name: c.peer for c in contenders}
        plot.work_precision({found.title: found.points for found in every}, peers, asked.plot)
    return {"problems": problems}


def run_problem(
    given: Problem, contenders: Sequence[Contender], asked: argparse.Namespace
) -> Found:
    """Find the setting of each contender, then time all of them together."""
    print(f"# {given}", file=sys.stderr)
    torch.compiler.reset()
    wanted = reference(given)
    entries: list[Entry] = []
    refused: list[Refused] = []
    points: dict[str, list[Point]] = {}
    for contender in contenders:
        beyond = BEYOND if asked.plot else 0
        begun = time.perf_counter()
        outcome, seen = qualify(contender, given, wanted, asked.tolerance_goal, beyond)
        waited = f"{time.perf_counter() - begun:.0f} s"
        print(f"# {contender.name}: {len(seen)} settings tried, {waited}", file=sys.stderr)
        if isinstance(outcome, Entry):
            entries.append(outcome)
        else:
            refused.append(outcome)
        points[contender.name] = seen
    measure(given, entries, asked.budget, CLOCKS[asked.clock])
    precision = str(given.dtype).removeprefix("torch.")
    return Found(str(given), precision, asked.tolerance_goal, entries, refused, points)


def problem_record(found: Found) -> tables.Record:
    """Return what is reported of a problem."""
    return tables.problem_record(
        found.title, found.precision, found.goal, found.entries, found.refused
    )


def run_growth(asked: argparse.Namespace, report: Report) -> dict[str, Any]:
    """Measure how the cost grows along every axis."""
    curves = {}
    for axis in growth.AXES:
        curves[axis.name] = growth.grow(axis, asked.device, asked.budget / 10, CLOCKS[asked.clock])
        report("\n" + growth.growth_text(axis.name, curves[axis.name]))
    if asked.plot:
        plot.growth(curves, asked.plot)
    return {"growth": {name: [asdict(curve) for curve in each] for name, each in curves.items()}}
