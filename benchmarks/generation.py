"""What generating modules costs, and what it is spent on: one shipped spec, and all of them.

    python benchmarks/generation.py [--json FILE] [--text FILE]

Every run is a process of its own on one core, from its start to its end, in an empty folder:
nothing that the compiler or SymPy remembers outlives a process, and nothing is remembered on disk.
Python's bytecode is compiled and the files have been read before. The command is timed as users
run it; then the same command with a clock at every stage, which reads the time where a stage begins
and where it ends. What a stage imports while it runs is charged to it, and counted.
"""

from __future__ import annotations

import argparse
import inspect
import json
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
ONE = ("generate", "adam.yaml")
ALL = ("generate", "--all")
GOALS = {ONE: 2.0, ALL: 60.0}
"""Seconds of wall time on one core."""

SLOWEST = 5
STEPPER = "stepper"

FUNCTIONS = {
    "reading, validation": (
        "spec.shipped:find_spec",
        "spec.reader:read_spec",
        "rule.from_spec:build_rule",
        "rule.from_spec:given_limit",
        "model.from_spec:read_architecture",
    ),
    "limit": ("limit.scaling:scalings", "limit.limit:continuous_limit"),
    "model": ("model.model:neural_ode",),
    "adjoint": ("adjoint.adjoint:adjoint_system",),
    STEPPER: ("model.structure:derive_stepper",),
    "rendering": ("compiler:ode_rnn_text", "codegen.module:render", "codegen.files:sealed"),
    "writing": ("codegen.files:write_modules",),
}
"""The functions of optode that each stage consists of, as ``module:name``."""

STAGES = (
    "interpreter start",
    "imports: sympy",
    "imports: the rest",
    "command line",
    *FUNCTIONS,
    "interpreter end",
)
"""In the order of the table; ``command line`` is all of the command that is no other stage."""


@dataclass(frozen=True)
class Cost:
    """Seconds of wall time and of processor time, and the number of modules imported meanwhile."""

    wall: float
    processor: float
    imported: int = 0


@dataclass(frozen=True)
class Process:
    """One that has ended: its start and end in seconds of a clock that all processes share, its
    processor time in seconds, what it printed and the number of modules it wrote."""

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
    ``apart`` says that the command derives no stepper, and that it was derived after it.
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


class Clock:
    """Charges all that passes to the stage that runs; one that calls another pauses meanwhile.

    ``now`` reads the wall time and the processor time in seconds and the number of modules;
    ``spent`` has what of them each stage took.
    """

    def __init__(self, now: Callable[[], list[float]]) -> None:
        self.now = now
        self.since = now()
        self.spent: dict[str, list[float]] = {}
        self.running: list[str] = []

    def tick(self, stage: str) -> None:
        """What has passed since the last tick is the stage's."""
        now = self.now()
        passed = [b - a for a, b in zip(self.since, now, strict=True)]
        before = self.spent.get(stage, [0.0, 0.0, 0])
        self.spent[stage] = [a + b for a, b in zip(before, passed, strict=True)]
        self.since = now

    def timed(self, stage: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function as a stage."""

        def wrapper(*positional: Any, **named: Any) -> Any:
            if self.running:
                self.tick(self.running[-1])
            else:
                self.since = self.now()
            self.running.append(stage)
            try:
                return function(*positional, **named)
            finally:
                self.tick(self.running.pop())

        return wrapper


def drive(functions: Mapping[str, Sequence[str]], arguments: Sequence[str]) -> None:
    """The command with a clock at every stage; prints what it read, as JSON.

    It runs by its source in a fresh interpreter, hence the imports inside.
    """
    import sys
    from time import perf_counter, process_time

    clock = Clock(lambda: [perf_counter(), process_time(), len(sys.modules)])
    first = clock.since

    import sympy  # noqa: F401

    clock.tick("imports: sympy")
    from optode import compiler
    from optode.cli.main import main

    for module in {path.partition(":")[0] for paths in functions.values() for path in paths}:
        __import__(f"optode.{module}")
    clock.tick("imports: the rest")

    ours = [vars(module) for name, module in sys.modules.items() if name.startswith("optode.")]
    for stage, paths in functions.items():
        for path in paths:
            module, _, name = path.partition(":")
            original = vars(sys.modules[f"optode.{module}"])[name]
            replacement = clock.timed(stage, original)
            for names in ours:
                names.update({key: replacement for key in names if names[key] is original})

    derivations: list[tuple[float, compiler.Derivation]] = []
    finished: list[float] = []
    derive, modules = compiler.derive, compiler.modules

    def marked_derive(*positional: Any, **named: Any) -> compiler.Derivation:
        start = perf_counter()
        derivations.append((start, derive(*positional, **named)))
        return derivations[-1][1]

    def marked_modules(*positional: Any, **named: Any) -> Any:
        texts = modules(*positional, **named)
        finished.append(perf_counter())
        return texts

    vars(compiler).update(derive=marked_derive, modules=marked_modules)
    sys.argv = ["optode", *arguments]
    try:
        clock.timed("command line", main)()
    except SystemExit as end:
        if end.code:
            raise
    apart = "stepper" not in clock.spent
    for _, derivation in derivations if apart else ():
        _ = derivation.stepper

    import json

    times = [start for start, _ in derivations] + finished
    each = {d.name: times[i + 1] - times[i] for i, (_, d) in enumerate(derivations)}
    read = {"first": first, "spent": clock.spent, "each": each, "apart": apart}
    print(json.dumps({**read, "last": clock.now()}))


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
    """``optode`` with these arguments, as it is installed beside this Python."""
    script = shutil.which("optode", path=str(Path(sys.executable).parent))
    start = (script,) if script else (sys.executable, "-m", "optode.cli.main")
    return process((*start, *arguments))


def staged(arguments: Sequence[str]) -> Staged:
    """The same with a clock at every stage, in an interpreter that has imported nothing."""
    sources = (inspect.getsource(Clock), inspect.getsource(drive))
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
    """So many runs of each kind by turns, after one that compiles bytecode and is not counted."""
    done = command(arguments)
    pairs = [(command(arguments).cost, staged(arguments)) for _ in range(runs)]
    return Measurement(arguments, done.modules, *zip(*pairs, strict=True))


def median_cost(costs: Sequence[Cost]) -> Cost:
    """The one in the middle by its wall time, the slower of two."""
    return sorted(costs, key=lambda cost: cost.wall)[len(costs) // 2]


def median_run(runs: Sequence[Staged]) -> Staged:
    """The one in the middle by its wall time: its stages belong together."""
    return sorted(runs, key=lambda run: run.total.wall)[len(runs) // 2]


def verdict(seconds: float, goal: float) -> str:
    """Whether the goal is met, in words."""
    if seconds <= goal:
        return f"goal {goal:g} s: met"
    return f"goal {goal:g} s: missed by {seconds - goal:.2f} s"


def report(measurement: Measurement, goal: float) -> str:
    """The figures of a command beside its goal in seconds, then its stages, then its modules."""
    costs, modules = measurement.runs, measurement.modules
    taken, walls = median_cost(costs), [cost.wall for cost in costs]
    noun = "module" if modules == 1 else "modules"
    run = median_run(measurement.staged)
    lines = [
        f"optode {' '.join(measurement.arguments)}: {modules} {noun}, median of {len(costs)}",
        f"wall {taken.wall:.2f} s ({min(walls):.2f} to {max(walls):.2f}), "
        f"processor {taken.processor:.2f} s; {verdict(taken.wall, goal)}",
        "",
        *stage_lines(run),
        *slowest_lines(run.each),
    ]
    return "\n".join(lines)


def stage_lines(run: Staged) -> list[str]:
    """The table of the stages of one run."""
    rows = [*run.stages.items()]
    rows += [("sum", total(run.stages.values())), ("the process", run.total)]
    lines = ["stage                  wall ms  processor ms  modules imported"]
    for name, cost in rows:
        imported = f"{cost.imported:18d}" if cost.imported else ""
        star = " *" if name == STEPPER and run.apart else ""
        label = f"{name}{star}"
        lines.append(f"{label:20}{1e3 * cost.wall:10.1f}{1e3 * cost.processor:14.1f}{imported}")
    note = "* derived after the command, which has no use for it; part of the sum"
    return [*lines, *([note] if run.apart else ())]


def total(costs: Iterable[Cost]) -> Cost:
    """All of them together."""
    every = [*costs]
    return Cost(
        sum(cost.wall for cost in every),
        sum(cost.processor for cost in every),
        sum(cost.imported for cost in every),
    )


def slowest_lines(each: Mapping[str, float]) -> list[str]:
    """The modules that took longest, where there are several."""
    if len(each) < 2:
        return []
    slowest = sorted(each, key=lambda name: -each[name])[:SLOWEST]
    rows = [f"{name:32}{1e3 * each[name]:10.1f}" for name in slowest]
    title = f"slowest of {len(each)}, from rule to text"
    return ["", f"{title:32}{'wall ms':>10}", *rows]


def document(measurement: Measurement, goal: float) -> dict[str, Any]:
    """For JSON: all runs, in seconds."""
    seconds = median_cost(measurement.runs).wall
    return {**asdict(measurement), "goal": goal, "median": seconds, "met": seconds <= goal}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--runs", type=int, default=11, help="of one spec")
    parser.add_argument("--runs-all", type=int, default=3, metavar="RUNS", help="of all specs")
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--text", type=Path, metavar="FILE", help="what is printed, too")
    asked = parser.parse_args()
    if not __package__:
        sys.path[0] = str(ROOT)  # run as a file
    from benchmarks.speed.environment import environment, pin

    pin(1)
    where = environment("cpu")
    versions = {name: version(name) for name in ("sympy", "jinja2", "typer")}
    words = {key: where[key] for key in ("date", "cpu", "cores", "threads", "load", "system")}
    words |= {key: where[key] for key in ("python", "optode")} | versions
    words["load"] = None if words["load"] is None else round(words["load"], 2)
    texts = [", ".join(f"{key} {value}" for key, value in words.items())]
    print(texts[0], flush=True)
    documents = []
    for arguments, runs in ((ONE, asked.runs), (ALL, asked.runs_all)):
        found, goal = measured(arguments, runs), GOALS[arguments]
        texts.append(report(found, goal))
        print(f"\n{texts[-1]}", flush=True)
        documents.append(document(found, goal))
    if asked.text:
        asked.text.write_text("\n\n".join(texts) + "\n")
    if asked.json:
        content = {"environment": where | versions, "commands": documents}
        asked.json.write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main()
