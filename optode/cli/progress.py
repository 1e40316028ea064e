"""Show how far the runs of a comparison are, by what they have recorded."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

if TYPE_CHECKING:
    from optode.study.fit import Job

EVERY = 1.0
"""The seconds between two looks at the records."""


class Watched:
    """A progress bar over the epochs of all runs: how many runs have ended, and the last epoch.

    The runs are processes of their own, maybe on other machines: what they record is read.
    """

    def __init__(self, console: Console, folder: Path) -> None:
        self.folder, self.runs = folder, 0
        self.jobs: Sequence[Job] = ()
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f} %"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[last]}"),
        )
        self.bar = Progress(*columns, console=console, disable=not console.is_terminal)
        self.every: TaskID = self.bar.add_task("runs", total=None, last="")
        self.stopped = threading.Event()
        self.watch = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Watched:
        self.bar.start()
        return self

    def __exit__(self, *failure: object) -> None:
        self.stopped.set()
        if self.watch.ident is not None:
            self.watch.join()
        self.bar.stop()

    def planned(self, jobs: Sequence[Job]) -> None:
        """Begin to watch jobs, where there is a bar."""
        self.jobs = jobs
        if not self.bar.disable:
            self.look()
            self.watch.start()

    def ended(self) -> None:
        """Note that one run more has ended."""
        self.runs += 1
        self.look()

    def look(self) -> None:
        """Read the records, and show how far they are."""
        from optode.study.record import Record

        total, done, latest = 0, 0, (0.0, "")
        for job in self.jobs:
            total += job.settings.epochs
            record = Record(self.folder / job.place, {})
            rows = record.rows()
            done += job.settings.epochs if record.outcome else len(rows)
            if not rows:
                continue
            changed = (record.folder / "epochs.csv").stat().st_mtime
            if changed > latest[0]:
                latest = changed, _words(job, rows[-1])
        words = f"run {self.runs + 1} of {len(self.jobs)}" if self.runs < len(self.jobs) else "runs"
        self.bar.update(self.every, description=words, total=total, completed=done, last=latest[1])

    def _watch(self) -> None:
        while not self.stopped.wait(EVERY):
            self.look()


def _words(job: Job, row: dict[str, str]) -> str:
    loss, nfe = float(row["train_loss"]), float(row["nfe_forward"])
    epoch = f"epoch {float(row['epoch']):.0f} of {job.settings.epochs}"
    return f"{job.entrant.name}, seed {job.seed}, {epoch}: loss {loss:.3g}, NFE {nfe:.0f}"
