"""Run a command in processes of its own, without and with a clock at every stage."""

from __future__ import annotations

import inspect
import json
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter

from benchmarks.generation.stages import FUNCTIONS, PROGRAM, STAGES, Cost
from benchmarks.provenance import ROOT


@dataclass(frozen=True)
class Process:
    """A process that has ended.

    ``start`` and ``end`` are seconds of a clock that all processes share, ``processor`` is its
    processor time in seconds, ``output`` what it printed, ``modules`` how many modules it wrote.
    """

    start: float
    end: float
    processor: float
    output: str
    modules: int

    @property
    def cost(self) -> Cost:
        return Cost(self.end - self.start, self.processor)


@dataclass(frozen=True)
class Staged:
    """One run with a clock at every stage.

    ``each`` has the wall seconds of every module, from the start of its derivation to its text;
    ``apart`` says that the command derives no following, and that it was derived after it.
    """

    total: Cost
    stages: dict[str, Cost]
    each: dict[str, float]
    apart: bool


@dataclass(frozen=True)
class Measurement:
    """The runs of a command, and those with a clock at every stage."""

    arguments: tuple[str, ...]
    modules: int
    runs: tuple[Cost, ...]
    staged: tuple[Staged, ...]


def process(command: Sequence[str]) -> Process:
    """Run a command of the optode beside this file, in an empty folder.

    Raises RuntimeError with its errors where it fails.
    """
    variables = dict(os.environ)
    variables.pop("PYTHONDONTWRITEBYTECODE", None)  # the first run compiles for all
    path = os.pathsep.join(filter(None, (str(ROOT), variables.get("PYTHONPATH"))))
    with TemporaryDirectory() as folder:
        before = _processor_of_children()
        start = perf_counter()
        done = subprocess.run(
            command,
            cwd=folder,
            env={**variables, "PYTHONPATH": path},
            capture_output=True,
            text=True,
            check=False,
        )
        end = perf_counter()
        processor = _processor_of_children() - before
        modules = len([*Path(folder, "generated").glob("*.py")])
    if done.returncode:
        raise RuntimeError(f"the command failed:\n{done.stderr}")
    return Process(start, end, processor, done.stdout, modules)


def _processor_of_children() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def command(arguments: Sequence[str]) -> Process:
    """Run the ``optode`` that is installed beside this Python, with these arguments."""
    script = shutil.which("optode", path=str(Path(sys.executable).parent))
    start = (script,) if script else (sys.executable, "-m", "optode.cli.main")
    return process((*start, *arguments))


def staged(arguments: Sequence[str]) -> Staged:
    """Run the command with a clock at every stage, in an interpreter that has imported nothing."""
    sources = [inspect.getsource(part) for part in PROGRAM]
    call = f"drive({FUNCTIONS!r}, {[*arguments]!r})"
    code = "\n".join(("from __future__ import annotations", *sources, call))
    done = process((sys.executable, "-c", code))
    read = json.loads(done.output.splitlines()[-1])
    costs = {stage: Cost(*cost) for stage, cost in read["spent"].items()}
    (first, start, imported), (last, end, _) = read["first"], read["last"]
    costs["interpreter start"] = Cost(first - done.start, start, imported)
    costs["interpreter end"] = Cost(done.end - last, max(0.0, done.processor - end))
    stages = {stage: costs.pop(stage, Cost(0.0, 0.0)) for stage in STAGES}
    assert not costs, f"stages that no table has: {', '.join(costs)}"
    return Staged(done.cost, stages, read["each"], read["apart"])


def measured(arguments: tuple[str, ...], runs: int) -> Measurement:
    """Run the command, without and with clocks in turn, so many times each.

    One run before these compiles the bytecode, and is not counted.
    """
    done = command(arguments)
    pairs = [(command(arguments).cost, staged(arguments)) for _ in range(runs)]
    return Measurement(arguments, done.modules, *zip(*pairs, strict=True))
