"""Carry out jobs: in this process, in several, or on a cluster."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import BrokenExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import torch

from optode.study.fit import Job, Run, fit
from optode.study.record import StudyError, whole_number

BACKENDS = ("loky", "dask", "ray")
"""The backends of joblib that are known: processes of this machine, and clusters."""


def carried_out(
    jobs: Sequence[Job],
    folder: Path | None = None,
    processes: int = 1,
    backend: str = "loky",
    done: Callable[[Run], None] = lambda run: None,
) -> list[Run]:
    """Return the runs of jobs in their order; ``done`` hears of each as it ends.

    Each has one thread and a process to itself, so that its numbers do not depend on the others.
    ``backend`` is one of joblib's: loky, dask or ray. Raises StudyError where a process is killed.
    """
    if backend not in BACKENDS:
        raise StudyError(f"there is no backend {backend!r}: one of {', '.join(BACKENDS)}")
    if whole_number("jobs", processes) == 1 and backend == "loky":
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
        try:
            for k, run in each:
                found[k] = run
                done(run)
        except BrokenExecutor:
            lost = "a process was killed, perhaps for want of memory"
            kept = "" if folder is None else ": what is done is kept, and the same call goes on"
            raise StudyError(f"{lost}{kept}") from None
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
def cluster(backend: str, workers: int) -> Iterator[None]:
    """Have a cluster for the backends that need one.

    For Dask that is the client that there is, else the scheduler that DASK_SCHEDULER_ADDRESS names,
    else a local cluster of so many workers; for Ray whatever ``ray.init`` finds. Raises StudyError
    where the package is missing.
    """
    try:
        if backend == "ray":
            from ray.util.joblib import register_ray

            register_ray()
        if backend != "dask":
            yield
            return
        from dask import config
        from distributed import Client, LocalCluster, get_client
    except ImportError as error:
        raise StudyError(f"the backend {backend} needs a package: {error}") from None
    with ExitStack() as kept:
        try:
            get_client()
        except ValueError:
            local: Any = config.get("scheduler-address", None)
            if local is None:
                settings = {"n_workers": workers, "threads_per_worker": 1}
                made: Any = LocalCluster
                local = kept.enter_context(made(dashboard_address=None, **settings))
            client: Any = Client
            kept.enter_context(client(local))
        yield
