"""Carry out jobs: in this process, in several, or on a cluster."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch

from optode.study.fit import Job, Run, fit
from optode.study.record import StudyError


def carried_out(
    jobs: Sequence[Job],
    folder: Path | None = None,
    processes: int = 1,
    backend: str = "loky",
    done: Callable[[Run], None] = lambda run: None,
) -> list[Run]:
    """Return the runs of jobs in their order; ``done`` hears of each as it ends.

    Each has one thread, wherever it is, so that its numbers do not depend on the others. ``backend``
    is one of joblib's: loky, threading, or dask or ray where these are installed and set up.
    """
    if processes == 1 and backend == "loky":
        runs = []
        for job in jobs:
            runs.append(_alone(job, folder))
            done(runs[-1])
        return runs
    from joblib import Parallel, delayed, parallel_config

    found: dict[int, Run] = {}
    with parallel_config(backend=backend, n_jobs=processes):
        each = Parallel(return_as="generator_unordered")(
            delayed(_numbered)(k, job, folder) for k, job in enumerate(jobs)
        )
        for k, run in each:
            found[k] = run
            done(run)
    return [found[k] for k in range(len(jobs))]


def _numbered(k: int, job: Job, folder: Path | None) -> tuple[int, Run]:
    return k, _alone(job, folder)


def _alone(job: Job, folder: Path | None) -> Run:
    """Carry out a job with one thread, and leave random numbers as they were."""
    with one_thread(), torch.random.fork_rng(devices=[]):
        return fit(job, None if folder is None else folder / job.place)


@contextmanager
def one_thread() -> Iterator[None]:
    """Let PyTorch have one thread."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def cluster(backend: str, workers: int) -> Iterator[str]:
    """Set up a local Dask cluster where that is asked for; yields the backend's name."""
    if backend != "dask":
        yield backend
        return
    try:
        from distributed import Client, LocalCluster
    except ImportError:
        raise StudyError("the backend dask needs the package distributed: install it") from None
    settings = {"n_workers": workers, "threads_per_worker": 1, "dashboard_address": None}
    with (
        LocalCluster(**settings) as local,  # type: ignore[no-untyped-call]
        Client(local),  # type: ignore[no-untyped-call]
    ):
        yield backend
