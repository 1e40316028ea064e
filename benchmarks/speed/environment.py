"""Describe where a run takes place: what its times depend on, beside the code."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

PACKAGES = ("optode", "torch", "torchdiffeq", "torchode", "jax", "diffrax", "equinox", "numpy")


def pin(threads: int) -> None:
    """Limit all numerical libraries to so many cores and threads, before the first is imported.

    JAX has no number of threads to set; it takes the cores that the process may run on.
    """
    os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = str(threads)
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])


def environment(device: str) -> dict[str, Any]:
    """Return the hardware, threads, versions and date."""
    import torch

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    found = {
        "date": datetime.now(timezone.utc).strftime("%Y-%m-%d"),
        "cpu": processor(),
        "cores": cores,
        "threads": torch.get_num_threads(),
        "load": load(),
        "omp_wait_policy": os.environ.get("OMP_WAIT_POLICY", "default"),
        "device": torch.cuda.get_device_name() if device == "cuda" else "cpu",
        "system": platform.system(),
        "python": platform.python_version(),
    }
    return found | {name: _version(name) for name in PACKAGES}


def load() -> float | None:
    """Return the mean number of processes that wanted a core in the last minute."""
    return round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None


def environment_line(where: Mapping[str, Any]) -> str:
    """Return the environment as one line of words, without what is not known or not installed."""
    return ", ".join(f"{key} {value}" for key, value in where.items() if value is not None)


def processor() -> str:
    """Return the name of the CPU."""
    information = Path("/proc/cpuinfo")
    for line in information.read_text().splitlines() if information.is_file() else ():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
