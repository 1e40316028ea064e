"""Define the command ``optode compare``."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

import typer

from optode.cli.options import Specs
from optode.cli.terminal import errors_reported

if TYPE_CHECKING:
    from optode.study.compare import Comparison

NEEDED = ("joblib", "matplotlib", "pandas")


class Backend(str, Enum):
    """Where runs are carried out, in joblib's names."""

    loky = "loky"
    dask = "dask"
    ray = "ray"


TaskName: TypeAlias = Annotated[
    str,
    typer.Option(
        "--task",
        metavar="TASK",
        help="spheres, spirals, pendulum, copy_memory; with --data mnist14, mnist, cifar, "
        "plane_vibration, silverbox, walker2d; or FILE.py:NAME for one's own.",
    ),
]


def compare(
    rules: Specs,
    task: TaskName = "spheres",
    seeds: Annotated[int, typer.Option(min=1, help="Train each rule from so many seeds.")] = 5,
    epochs: Annotated[
        int | None, typer.Option(min=1, help="Train for so many epochs, by default the task's.")
    ] = None,
    error: Annotated[
        float, typer.Option(help="Hold every model's outputs to this relative error.")
    ] = 1e-3,
    jobs: Annotated[int, typer.Option(min=1, help="Train in so many processes.")] = 2,
    backend: Annotated[
        Backend, typer.Option(help="Use this backend of joblib; dask sets up a local cluster.")
    ] = Backend.loky,
    data: Annotated[
        Path | None,
        typer.Option(
            "--data", metavar="DIR", envvar="OPTODE_DATA", help="Find recorded data here."
        ),
    ] = None,
    output: Annotated[
        Path,
        typer.Option(
            "--output", "-o", metavar="DIR", help="Record runs, tables and pictures here."
        ),
    ] = Path("comparison"),
) -> None:
    """Train the models of several rules on a task, and compare them.

    Every rule has the same data, schedule and number of parameters, and an equal error. A run that
    was stopped goes on where it was.
    """
    _check_installed()
    from optode.study.record import StudyError

    settings = {"seeds": seeds, "epochs": epochs, "error": error, "jobs": jobs, "data": data}
    with errors_reported():
        try:
            found = _with_bar(rules, task, output, backend=backend.value, **settings)
        except StudyError as problem:
            for line in str(problem).splitlines():
                typer.echo(f"error: {line}", err=True)
            raise typer.Exit(1) from None
    _print(found, output)


def _check_installed() -> None:
    """End the command where a package is missing that the compiler does without."""
    from importlib.util import find_spec

    if missing := [name for name in NEEDED if find_spec(name) is None]:
        words = f"optode compare needs {', '.join(missing)}: pip install 'optode[compare]'"
        typer.echo(f"error: {words}", err=True)
        raise typer.Exit(1)


def _with_bar(rules: list[str], task: str, output: Path, **settings: Any) -> Comparison:
    """Compare behind a progress bar, above which are runs that diverged.

    Where the output is no terminal it says each run's end.
    """
    from rich.console import Console

    from optode.cli.progress import Watched
    from optode.study.compare import compare as compared
    from optode.study.fit import Run

    console = Console(stderr=True, highlight=False)
    with Watched(console, output) as watched:

        def told(run: Run) -> None:
            if console.is_terminal:
                watched.ended()
            if not (console.is_terminal and run.outcome["ended"]):
                console.print(f"{run.rule}, seed {run.seed}: {_end(run)}")

        return compared(rules, task, output=output, told=told, planned=watched.planned, **settings)


def _end(run: Any) -> str:
    if not run.outcome["ended"]:
        return f"diverged in epoch {run.outcome['epoch']}: {run.outcome['reason']}"
    last = run.rows[-1]
    return f"test loss {last['test_loss']:.4g}, metric {last['test_metric']:.4g}"


def _print(found: Comparison, output: Path) -> None:
    """Print the summary: medians, and the quartiles of what rules are compared by."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    counts = found.summary["parameters"]
    least, most = f"{counts.min():,}", f"{counts.max():,}"
    table = Table(
        title=f"{found.task}: {found.words}",
        caption="medians over the seeds, and below them quartiles; |h|: its largest entry\n"
        "NFE: evaluations of f / vector-Jacobian products of a solve, last epoch\n"
        f"parameters: {least if least == most else f'{least} to {most}'}",
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        pad_edge=False,
    )
    table.add_column("rule", overflow="fold")
    for head in ("test loss", found.metric.name, "NFE", "seconds", "|h|", "diverged"):
        table.add_column(head, justify="right", no_wrap=True)
    for rule, row in found.summary.iterrows():
        table.add_row(
            str(rule),
            *(_spread(row, name) for name in ("test_loss", "test_metric")),
            f"{row['nfe_forward']:.0f}/{row['nfe_backward']:.0f}",
            f"{row['seconds']:.1f}",
            f"{row['largest_h']:.3g}",
            f"{row['diverged']}/{row['runs']}",
        )
    Console(highlight=False).print(table)
    if found.missed:
        words = (
            f"above {found.settings.error:g} at the smallest tolerance: {', '.join(found.missed)}"
        )
        typer.echo(f"warning: the error of the outputs stayed {words}", err=True)
    typer.echo(f"Tables and pictures: {output}")


def _spread(row: Any, name: str) -> str:
    """Return a median, and below it the quartiles."""
    return f"{row[name]:.3g}\n{row[name + '_low']:.3g}..{row[name + '_high']:.3g}"
