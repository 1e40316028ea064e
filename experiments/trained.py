"""Train models a little, to look at them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from experiments.models import entrants
from optode.study.compare import equal_sizes
from optode.study.finding import find_task
from optode.study.fit import Fit, Job, Settings

EPOCHS = 10


def trained(names: Sequence[str], task_name: str = "spheres") -> Iterator[tuple[str, Fit]]:
    """Yield each model's name and its run of a few epochs, from one seed."""
    task, models = find_task(task_name), entrants([*names])
    sizes = equal_sizes(models, task)
    for label, model in zip(names, models, strict=True):
        job = Job(model, task, 0, sizes[model.name], Settings(EPOCHS, task.batch, task.rate))
        current = Fit(job)
        for _ in range(EPOCHS):
            current.epoch()
        yield label, current
