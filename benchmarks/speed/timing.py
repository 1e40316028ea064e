"""Time calls in turn."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

# A timing lasts at least this long, of as many calls as it takes (seconds).
SHORTEST = 5e-3
# At least and at most.
ROUNDS = (5, 101)

Calls = dict[str, Callable[[], Any]]
Clock = Callable[[], float]
# What passes for everyone; and what one process uses, on all its threads, which other processes on
# the same cores disturb less. Theirs would be charged to long steps only: short ones fit into a
# time slice.
CLOCKS: dict[str, Clock] = {"wall": time.perf_counter, "cpu": time.process_time}


def wait() -> None:
    """Wait for what was started on a GPU."""
    if torch.cuda.is_initialized():
        torch.cuda.synchronize()


@contextmanager
def no_collection() -> Iterator[None]:
    """Suspend garbage collection."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def interleaved(
    calls: Calls,
    budget: float,
    rounds: tuple[int, int] = ROUNDS,
    clock: Clock = time.perf_counter,
) -> dict[str, Any]:
    """Return the seconds of each call, an array over rounds that time all calls in turning order.

    As many rounds as fit into the budget (seconds), within bounds. Short calls are repeated, after
    a run that is not timed, since whoever came before has left its data in the caches.
    """
    repeats = {}
    for name, call in calls.items():
        call()  # may have to be compiled
        seconds = timed(call, 1)
        if seconds < 10 * SHORTEST:
            # the best of a few: a hiccup here would leave a short call unrepeated
            seconds = min(seconds, *(timed(call, 1) for _ in range(3)))
        repeats[name] = max(1, round(SHORTEST / seconds))
    names, begun = list(calls), time.perf_counter()
    times: dict[str, list[float]] = {name: [] for name in calls}
    least, most = rounds
    with no_collection():
        for i in range(most):
            if i >= least and time.perf_counter() - begun > budget:
                break
            turn = i % len(names)
            for name in names[turn:] + names[:turn]:
                times[name].append(timed(calls[name], repeats[name], clock))
            gc.collect()
    return {name: np.array(each) for name, each in times.items()}


def timed(call: Callable[[], Any], repeats: int, clock: Clock = time.perf_counter) -> float:
    """Return the seconds of a call, the mean over so many repeats."""
    if repeats > 1:
        call()
    wait()
    begun = clock()
    for _ in range(repeats):
        call()
    wait()
    return (clock() - begun) / repeats
