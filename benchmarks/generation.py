"""Measure the generation of modules, stage by stage: of one shipped spec, and of all of them.

    python -m benchmarks.generation [--json FILE] [--text FILE]

Every run is a process of its own on one core, timed from its start to its end, in an empty folder.
Nothing that the compiler or SymPy remembers outlives a process, and nothing is remembered on disk.
Python's bytecode is compiled and the files have been read before. The command is timed as users run
it, and once more with a clock at every stage, which reads the time where a stage begins and ends.
What a stage imports while it runs is charged to the stage, and counted.
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

from benchmarks.records import rounded, write_document
from benchmarks.speed.environment import environment, environment_line, pin

ROOT = Path(__file__).resolve().parent.parent
ONE = ("generate", "adam.yaml")
ALL = ("generate", "--all")
GOALS = {ONE: 2.0, ALL: 60.0}
"""The longest wall times that are accepted, in seconds on one core."""

PACKAGES = ("sympy", "jinja2", "typer")
"""Packages whose versions are reported beside those of the environment."""

SLOWEST = 5
FOLLOWING = "following"

FUNCTIONS = {
    "reading, validation": (
        "spec.shipped:find_spec",
        "spec.reader:read_spec",
        "rule.from_spec:build_rule",
        "limit.from_spec:given_limit",
        "model.from_spec:read_architecture",
    ),
    "limit": ("limit.balance:scalings", "limit.limit:continuous_limit"),
    "model": ("model.model:neural_ode",),
    "adjoint": ("adjoint.adjoint:adjoint_system",),
    FOLLOWING: ("model.following:derive_following",),
    "rendering": ("codegen.module:render", "codegen.files:sealed"),
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
"""All stages in the order of the table; ``command line`` has what belongs to no other stage."""


@dataclass(frozen=True)
class Cost:
    """Seconds of wall time and of processor time, and the number of modules imported meanwhile."""

    wall: float
    processor: float
    imported: int = 0


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


class Clock:
    """Charge time to the stage that runs; a stage that calls another one pauses meanwhile.

    ``now`` reads the wall time and the processor time in seconds and the number of modules;
    ``spent`` has what of them each stage took.
    """

    def __init__(self, now: Callable[[], list[float]]) -> None:
        self.now = now
        self.since = now()
        self.spent: dict[str, list[float]] = {}
        self.running: list[str] = []

    def tick(self, stage: str) -> None:
        """Charge what has passed since the last tick to the stage."""
        now = self.now()
        passed = [b - a for a, b in zip(self.since, now, strict=True)]
        before = self.spent.get(stage, [0.0, 0.0, 0])
        self.spent[stage] = [a + b for a, b in zip(before, passed, strict=True)]
        self.since = now

    def timed(self, stage: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return the function, wrapped so that its time is charged to the stage."""

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
    """Run the command with a clock at every stage, and print the times as JSON.

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

    derivations: list[tuple[float, Any]] = []
    finished: list[float] = []
    derive, modules = compiler.derive, compiler.modules

    def marked_derive(*positional: Any, **named: Any) -> Any:
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
    apart = "following" not in clock.spent  # a name of this file is not known in the interpreter
    for _, derivation in derivations if apart else ():
        _ = derivation.following

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
    """Run the ``optode`` that is installed beside this Python, with these arguments."""
    script = shutil.which("optode", path=str(Path(sys.executable).parent))
    start = (script,) if script else (sys.executable, "-m", "optode.cli.main")
    return process((*start, *arguments))


def staged(arguments: Sequence[str]) -> Staged:
    """Run the command with a clock at every stage, in an interpreter that has imported nothing."""
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
    """Run the command, without and with clocks in turn, so many times each.

    One run before these compiles the bytecode, and is not counted.
    """
    done = command(arguments)
    pairs = [(command(arguments).cost, staged(arguments)) for _ in range(runs)]
    return Measurement(arguments, done.modules, *zip(*pairs, strict=True))


def median_cost(costs: Sequence[Cost]) -> Cost:
    """Return the cost in the middle by wall time; of two in the middle the slower."""
    return sorted(costs, key=lambda cost: cost.wall)[len(costs) // 2]


def median_run(runs: Sequence[Staged]) -> Staged:
    """Return the run in the middle by wall time, whose stages belong together."""
    return sorted(runs, key=lambda run: run.total.wall)[len(runs) // 2]


def verdict(seconds: float, goal: float) -> str:
    """Return in words whether the goal (seconds) is met."""
    if seconds <= goal:
        return f"goal {goal:g} s: met"
    return f"goal {goal:g} s: missed by {seconds - goal:.2f} s"


def record(measurement: Measurement, goal: float) -> dict[str, Any]:
    """Return the numbers of a command, for JSON: medians, ranges, and the stages of one run.

    Seconds throughout; ``goal`` is that of the wall time. The stages are those of the run in the
    middle by its wall time, ``derived`` is the number of modules it made, ``slowest`` has those
    that took longest.
    """
    taken, walls = median_cost(measurement.runs), [cost.wall for cost in measurement.runs]
    run = median_run(measurement.staged)
    found = {
        "arguments": measurement.arguments,
        "modules": measurement.modules,
        "runs": len(measurement.runs),
        "wall": taken.wall,
        "range": (min(walls), max(walls)),
        "processor": taken.processor,
        "goal": goal,
        "met": taken.wall <= goal,
        "stages": [{"stage": name, **asdict(cost)} for name, cost in run.stages.items()],
        "process": asdict(run.total),
        "following_apart": run.apart,
        "derived": len(run.each),
        "slowest": slowest(run.each),
    }
    made: dict[str, Any] = rounded(found)
    return made


def report(found: Mapping[str, Any]) -> str:
    """Return a command's numbers beside its goal, then its stages and its slowest modules."""
    noun, (least, most) = "module" if found["modules"] == 1 else "modules", found["range"]
    lines = [
        f"optode {' '.join(found['arguments'])}: {found['modules']} {noun}, "
        f"median of {found['runs']}",
        f"wall {found['wall']:.2f} s ({least:.2f} to {most:.2f}), "
        f"processor {found['processor']:.2f} s; {verdict(found['wall'], found['goal'])}",
        "",
        *stage_lines(found),
        *slowest_lines(found["slowest"], found["derived"]),
    ]
    return "\n".join(lines)


def stage_lines(found: Mapping[str, Any]) -> list[str]:
    """Return the table of the stages of one run."""
    rows = [(each["stage"], _cost(each)) for each in found["stages"]]
    rows += [("sum", total(cost for _, cost in rows)), ("the process", _cost(found["process"]))]
    lines = ["stage                  wall ms  processor ms  modules imported"]
    for name, cost in rows:
        imported = f"{cost.imported:18d}" if cost.imported else ""
        star = " *" if name == FOLLOWING and found["following_apart"] else ""
        label = f"{name}{star}"
        lines.append(f"{label:20}{1e3 * cost.wall:10.1f}{1e3 * cost.processor:14.1f}{imported}")
    note = "* derived after the command, which has no use for it; part of the sum"
    return [*lines, *([note] if found["following_apart"] else ())]


def _cost(found: Mapping[str, Any]) -> Cost:
    return Cost(found["wall"], found["processor"], found["imported"])


def total(costs: Iterable[Cost]) -> Cost:
    """Return the sums of the costs."""
    every = [*costs]
    return Cost(
        sum(cost.wall for cost in every),
        sum(cost.processor for cost in every),
        sum(cost.imported for cost in every),
    )


def slowest(each: Mapping[str, float]) -> dict[str, float]:
    """Return the modules that took longest and their seconds, the slowest first."""
    names = sorted(each, key=lambda name: -each[name])[:SLOWEST]
    return {name: each[name] for name in names}


def slowest_lines(each: Mapping[str, float], derived: int) -> list[str]:
    """Return the table of the slowest of the derived modules; no lines where there is only one."""
    if derived < 2:
        return []
    rows = [f"{name:32}{1e3 * seconds:10.1f}" for name, seconds in each.items()]
    title = f"slowest of {derived}, from rule to text"
    return ["", f"{title:32}{'wall ms':>10}", *rows]


def document_text(document: Mapping[str, Any]) -> str:
    """Return what a run prints, from what it writes as JSON."""
    parts = [words_of(document["environment"]), *map(report, document["commands"])]
    return "\n\n".join(parts) + "\n"


def words_of(where: Mapping[str, Any]) -> str:
    """Return the parts of the environment that the time of generation depends on, as one line."""
    keys = ("date", "cpu", "cores", "threads", "load", "system", "python", "optode", *PACKAGES)
    load = None if where["load"] is None else round(where["load"], 2)
    return environment_line({key: where[key] for key in keys} | {"load": load})


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--runs", type=int, default=11, help="of one spec")
    parser.add_argument("--runs-all", type=int, default=3, metavar="RUNS", help="of all specs")
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--text", type=Path, metavar="FILE", help="what is printed, too")
    asked = parser.parse_args()
    pin(1)
    where = environment("cpu") | {name: version(name) for name in PACKAGES}
    texts = [words_of(where)]
    print(texts[0], flush=True)
    records = []
    for arguments, runs in ((ONE, asked.runs), (ALL, asked.runs_all)):
        records.append(record(measured(arguments, runs), GOALS[arguments]))
        texts.append(report(records[-1]))
        print(f"\n{texts[-1]}", flush=True)
    if asked.text:
        asked.text.write_text("\n\n".join(texts) + "\n")
    if asked.json:
        write_document(asked.json, {"environment": where, "commands": records})


if __name__ == "__main__":
    main()
