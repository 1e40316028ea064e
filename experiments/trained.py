"""Train models for an analysis: a little, to look at them, or all the way."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from hashlib import sha256
from inspect import getfile
from pathlib import Path
from typing import Any

import torch

from experiments.models import entrants
from optode.study.admission import equal_sizes
from optode.study.finding import find_task
from optode.study.fit import Fit, Job, Settings

EPOCHS = 10


def fits(
    names: Sequence[str], task_name: str = "spheres", epochs: int = EPOCHS
) -> Iterator[tuple[str, Fit]]:
    """Yield each model's name and its run of so many epochs from the first seed, not yet begun."""
    task, models = find_task(task_name), entrants([*names])
    sizes = equal_sizes(models, task)
    for label, model in zip(names, models, strict=True):
        yield (
            label,
            Fit(Job(model, task, 0, sizes[model.name], Settings(epochs, task.batch, task.rate))),
        )


def trained(names: Sequence[str], task_name: str = "spheres") -> Iterator[tuple[str, Fit]]:
    """Yield each model's name and its run of a few epochs, from the first seed."""
    for label, current in fits(names, task_name):
        for _ in range(EPOCHS):
            current.epoch()
        yield label, current


def remembered(
    call: Callable[..., dict[str, float]], every: Sequence[tuple[Any, ...]], runs: Path, jobs: int
) -> list[dict[str, float]]:
    """Return what a function finds for each tuple of arguments, in several processes.

    Each result is kept in a folder as it is there, so that a killed study goes on; what another
    text of the function's module found is not taken.
    """
    from joblib import Memory, Parallel, delayed

    text = Path(getfile(call)).read_bytes() + torch.__version__.encode()
    kept = Memory(runs / sha256(text).hexdigest()[:16], verbose=0).cache(call)
    found: list[dict[str, float]] = Parallel(n_jobs=jobs)(delayed(kept)(*each) for each in every)
    return found
