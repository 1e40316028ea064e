"""Compare rules on a task: derive them, train them under equal conditions, sum up."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from optode.codegen.files import folder_problem, replace
from optode.derivation import AnySpec
from optode.diagnostics import Diagnostic, SpecError
from optode.picture.canvas import encoded
from optode.study.admission import equal_sizes, loaded, tried
from optode.study.entrants import Entrant
from optode.study.finding import find_task
from optode.study.fit import Job, Run, Settings
from optode.study.record import Record, StudyError, as_csv, whole_number
from optode.study.running import carried_out, cluster
from optode.study.task import Metric, Task

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

Told = Callable[[Run], None]
Planned = Callable[[Sequence[Job]], None]


@dataclass(frozen=True)
class Comparison:
    """The runs of several rules on a task. ``summary``, ``runs`` and ``epochs`` are pandas tables."""

    task: str
    words: str
    metric: Metric
    settings: Settings
    every: list[Run]

    @cached_property
    def epochs(self) -> pd.DataFrame:
        """A row for each epoch of each run."""
        from optode.study.summary import epochs_table

        return epochs_table(self.every)

    @cached_property
    def runs(self) -> pd.DataFrame:
        """A row for each run."""
        from optode.study.summary import runs_table

        return runs_table(self.every, self.metric)

    @cached_property
    def summary(self) -> pd.DataFrame:
        """A row for each rule: medians over the seeds, and quartiles."""
        from optode.study.summary import summary_table

        return summary_table(self.runs)

    @property
    def missed(self) -> list[str]:
        """The rules with a run whose error stayed above the goal at the smallest tolerance."""
        above = {
            r.rule: 0 for r in self.every if any(x["error"] > self.settings.error for x in r.rows)
        }
        return [*above]

    @cached_property
    def figures(self) -> dict[str, Figure]:
        """Figures of matplotlib by name: loss, metric, nfe, sizes, and in a plane flow and phase."""
        from optode.study.pictures import pictures

        return pictures(self.every, self.metric)

    def save(self, folder: str | Path) -> list[Path]:
        """Write the tables as CSV, the summary as JSON, and the figures as PNG; returns the files.

        All are written or none; SpecError (E603) says which file cannot be.
        """
        contents: dict[str, str | bytes] = {}
        for name in ("summary", "runs", "epochs"):
            table = getattr(self, name)
            rows = (table.reset_index() if name == "summary" else table).to_dict("records")
            contents[f"{name}.csv"] = as_csv(rows)
        document = {
            "task": self.task,
            "metric": self.metric.name,
            "settings": asdict(self.settings),
            "rules": json.loads(self.summary.reset_index().to_json(orient="records")),
        }
        contents["summary.json"] = json.dumps(document, indent=2) + "\n"
        for name, figure in self.figures.items():
            contents[f"{name}.png"] = encoded(figure, "png", dpi=120)
        files = {Path(folder) / name: content for name, content in contents.items()}
        replace(files)
        return [*files]

    def _repr_html_(self) -> str:
        return str(self.summary.to_html())


def compare(
    rules: AnySpec | Iterable[AnySpec],
    task: str | Task = "spheres",
    *,
    seeds: int | Sequence[int] = 5,
    epochs: int | None = None,
    batch: int | None = None,
    rate: float | None = None,
    error: float = 1e-3,
    jobs: int = 1,
    backend: str = "loky",
    data: str | Path | None = None,
    output: str | Path | None = None,
    told: Told = lambda run: None,
    planned: Planned = lambda jobs: None,
) -> Comparison:
    """Train the models of several rules on one task under equal conditions.

    All have the same data, batches, schedule and start of the network for each seed, as many
    parameters, and tolerances at which the outputs are within ``error`` of an exact solve.

    Args:
        rules: as ``optode.derive`` takes them, several or one.
        task: the name of a task that ships, ``"FILE.py:NAME"``, or a ``Task``.
        seeds: so many, from 0 on, or the seeds themselves.
        epochs: train for so many, by default the task's number.
        batch: the size of a batch, by default the task's.
        rate: the learning rate, by default the task's.
        jobs: train in so many processes.
        backend: joblib's backend: "loky", or "dask" or "ray" for a cluster.
        data: the folder of the data of tasks that need files.
        output: a folder to record the runs in, where they go on if they were stopped.
        told: is called with each run as it ends.
        planned: is called with all jobs before the first is carried out.

    Raises:
        SpecError: for a rule that cannot be derived, a folder that cannot be written.
        StudyError: for a task, a rule, a setting or a folder of runs that does not fit.
    """
    found = task if isinstance(task, Task) else find_task(task)
    settings = _settings(found, error, epochs=epochs, batch=batch, rate=rate)
    todo = _jobs(entrants_of(rules), task, seeds, settings, data)
    place = _checked_folder(output, todo)
    planned(todo)
    with cluster(backend, jobs):
        runs = carried_out(todo, place, jobs, backend, told)
    result = Comparison(found.name, found.words, found.metric, settings, runs)
    if place is not None:
        result.save(place)
    return result


def _checked_folder(output: str | Path | None, jobs: Sequence[Job]) -> Path | None:
    """Return the folder of runs.

    Raises SpecError where nothing can be written there, StudyError where it has runs of another
    configuration.
    """
    place = None if output is None else Path(output)
    if place is not None:
        if problem := folder_problem(place):
            raise SpecError([problem])
        for job in jobs:
            Record(place / job.place, job.config()).check()
    return place


def _settings(task: Task, error: float, **given: float | None) -> Settings:
    """Return how all rules are trained: as given, else as the task says."""
    own: dict[str, Any] = {n: getattr(task, n) if x is None else x for n, x in given.items()}
    return Settings(**own, error=error)


def _jobs(
    entrants: Sequence[Entrant],
    task: str | Task,
    seeds: int | Sequence[int],
    settings: Settings,
    data: str | Path | None,
) -> list[Job]:
    """Return a job for each entrant and seed. Raises StudyError for what could not be trained."""
    found = task if isinstance(task, Task) else find_task(task)
    numbers, folder = _numbers(seeds), None if data is None else Path(data)
    sets = loaded(found, folder, numbers[0])
    tried(entrants, found, sets)
    sizes, on = equal_sizes(entrants, found), _for_any_process(task)
    return [
        Job(each, on, seed, sizes[each.name], settings, folder)
        for each in entrants
        for seed in numbers
    ]


def _numbers(seeds: int | Sequence[int]) -> list[int]:
    """Return the seeds. Raises StudyError where there is none, or one twice."""
    if not isinstance(seeds, Iterable):
        return [*range(whole_number("seeds", seeds))]
    found = [whole_number("a seed", seed, 0) for seed in seeds]
    if not found or len({*found}) < len(found):
        raise StudyError(f"seeds = {seeds!r} must be different numbers, one at least")
    return found


def _for_any_process(task: str | Task) -> str | Task:
    """Return a task as any process can find it: a file by its whole path."""
    if isinstance(task, str) and ":" in task:
        file, _, name = task.rpartition(":")
        return f"{Path(file).absolute()}:{name}"
    return task


def entrants_of(rules: AnySpec | Iterable[AnySpec]) -> list[Entrant]:
    """Derive rules, or one, all of them before any error is raised: SpecError has all errors."""
    from optode.compiler import derive

    found: list[Entrant] = []
    errors: list[Diagnostic] = []
    several = rules if isinstance(rules, Iterable) and not isinstance(rules, str) else (rules,)
    for rule in several:
        try:
            derivation = derive(rule)
            text, name = derivation.module_text, derivation.model.class_name
            found.append(Entrant(derivation.file_name, name, text))
        except SpecError as error:
            errors += error.diagnostics
    if errors:
        raise SpecError(errors)
    names = [each.name for each in found]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise StudyError(f"rules need names of their own: {', '.join(twice)} is given twice")
    if not found:
        raise StudyError("a comparison needs one rule at least")
    return found
