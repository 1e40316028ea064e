"""Train the models on a task at a preset, and keep the numbers as CSV."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import pandas as pd

from experiments.models import MODELS, entrants
from experiments.presets import PRESETS
from optode.codegen.files import replace
from optode.study.admission import equal_sizes
from optode.study.compare import Comparison
from optode.study.finding import find_task
from optode.study.fit import Fit, Job, Run, Settings
from optode.study.paths import reach_of
from optode.study.record import StudyError
from optode.study.running import carried_out, one_thread
from optode.study.task import Task

KEPT = (
    *("epoch", "train_loss", "valid_metric", "test_loss", "test_metric", "nfe_forward"),
    *("nfe_backward", "seconds", "largest_h", "reach", "gradient_norm", "tolerance", "error"),
)
"""The columns of epochs that are kept."""

_TIMED = 20


def run(asked: argparse.Namespace) -> None:
    """Run a task, or all of a preset."""
    names = [*PRESETS[asked.preset]] if asked.task == "all" else [asked.task]
    for name in names:
        if asked.task == "all" and asked.data is None and find_task(name).files:
            print(f"{name} is left out: it needs --data or OPTODE_DATA")
            continue
        _task(name, asked)


def _task(name: str, asked: argparse.Namespace) -> None:
    task, preset = find_task(name), PRESETS[asked.preset][name]
    settings = Settings(preset.epochs, task.batch, task.rate)
    seeds = range(asked.seeds or preset.seeds)
    names = fitting(asked.models, task, asked.data)
    models = entrants(names)
    sizes = equal_sizes(models, task)
    jobs = [
        Job(m, name, seed, sizes[m.name], settings, asked.data) for m in models for seed in seeds
    ]
    _within_budget(jobs, asked)
    labels = dict(zip((m.name for m in models), names, strict=True))
    begun = time.perf_counter()

    def done(one: Run) -> None:
        words = one.outcome["reason"] or f"{task.metric.name} {one.rows[-1]['test_metric']:.4g}"
        spent = (time.perf_counter() - begun) / 60
        print(f"{spent:6.1f} min  {name}, {labels[one.rule]}, seed {one.seed}: {words}", flush=True)

    runs = carried_out(jobs, asked.runs / asked.preset, asked.jobs, done=done)
    found = Comparison(name, task.words, task.metric, settings, runs)
    batches = -(-len(task.load(asked.data, 0).train) // task.batch)
    keep(found, labels, asked.results / asked.preset / name, batches)


def fitting(names: list[str], task: Task, data: Path | None) -> list[str]:
    """Return the models that go with a task: brief ones have one unit of time, and no sequences."""
    start, end = task.span
    long = end - start > 1 or task.load(data, 0).train.times is not None
    return [name for name in names if not (long and MODELS[name].brief)]


def _within_budget(jobs: list[Job], asked: argparse.Namespace) -> None:
    """Raise StudyError where the first steps say that jobs would take too long."""
    if asked.budget == float("inf"):
        return
    todo = [
        job for job in jobs if not (asked.runs / asked.preset / job.place / "done.json").exists()
    ]
    first = {job.entrant.name: job for job in reversed(todo)}
    seconds = {name: _seconds(job) for name, job in first.items()}
    minutes = sum(seconds[job.entrant.name] for job in todo) / 60 / asked.jobs
    if minutes > asked.budget:
        raise StudyError(
            f"this takes about {minutes:.2g} minutes, and {asked.budget:g} are allowed"
        )


def _seconds(job: Job) -> float:
    """Return how long a run takes, by its first training steps."""
    with one_thread():
        current = Fit(job)
        current.accuracy.settle()
        batches = -(-len(current.sets.train) // job.settings.batch)
        few = min(_TIMED, batches)
        current.sets = current.sets._replace(
            train=current.sets.train.take(slice(few * job.settings.batch))
        )
        begun = time.perf_counter()
        current.train()
        return (time.perf_counter() - begun) / few * batches * job.settings.epochs


def keep(found: Comparison, labels: dict[str, str], folder: Path, batches: int) -> None:
    """Write the tables of a study as CSV, with five digits.

    ``batches`` is the number of training steps of an epoch.

    Seconds are those of the processor: runs are made side by side, perhaps beside other work.
    """
    runs, epochs = found.runs.copy(), found.epochs.copy()
    for table in (runs, epochs):
        table["rule"] = table["rule"].map(labels)
    kinds = {name: model.kind for name, model in MODELS.items()}
    runs["kind"] = runs["rule"].map(kinds)
    runs["steps"] = runs["epochs"] * batches
    runs["reach"] = [reach_of(run.paths) for run in found.every]
    runs["seconds"] = [sum(row["cpu_seconds"] for row in run.rows) for run in found.every]
    epochs["seconds"] = epochs["cpu_seconds"]
    epochs = epochs[["rule", "seed", *(name for name in KEPT if name in epochs)]]
    tables = {"runs": runs, "epochs": epochs, "costates": costates(found.every, labels)}
    replace(
        {folder / f"{n}.csv": rounded(table).to_csv(index=False) for n, table in tables.items()}
    )


def costates(runs: list[Run], labels: dict[str, str]) -> pd.DataFrame:
    """Return the sizes of dL/dh after the first, the middle and the last epoch, medians over seeds.

    ``back`` is the time before the end of the path; sizes are shares of that at the end.
    """
    parts = []
    for run in runs:
        if not run.paths:
            continue
        every, times = run.paths["a_epochs"], run.paths["a_time"]
        for epoch in sorted({1, (len(every) + 1) // 2, len(every)}):
            sizes = every[epoch - 1]
            back = np.linspace(0.0, times[0] - times[-1], len(sizes))
            one = pd.DataFrame({"place": range(len(sizes)), "back": back, "size": sizes / sizes[0]})
            parts.append(one.assign(rule=labels[run.rule], epoch=epoch))
    columns = ["rule", "epoch", "back", "size"]
    if not parts:
        return pd.DataFrame(columns=columns)
    medians = pd.concat(parts).groupby(["rule", "epoch", "place"], sort=False).median()
    return medians.reset_index()[columns]


def rounded(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table whose numbers have five digits."""

    def short(x: object) -> object:
        return float(f"{x:.5g}") if isinstance(x, float) and np.isfinite(x) else x

    return table.map(short)
