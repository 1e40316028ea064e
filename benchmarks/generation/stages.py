"""The stages of a command, and a clock that charges time to each."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

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


def clock_stages(functions: Mapping[str, Sequence[str]], clock: Clock) -> None:
    """Wrap the functions of every stage, wherever optode has imported them by name."""
    import sys

    ours = [vars(module) for name, module in sys.modules.items() if name.startswith("optode.")]
    for stage, paths in functions.items():
        for path in paths:
            module, _, name = path.partition(":")
            original = vars(sys.modules[f"optode.{module}"])[name]
            replacement = clock.timed(stage, original)
            for names in ours:
                names.update({key: replacement for key in names if names[key] is original})


def note_derivations(derivations: list[tuple[float, Any]], finished: list[float]) -> None:
    """Let the compiler note when each derivation began, with what came out, and when all ended."""
    from time import perf_counter

    from optode import compiler

    derive, modules = compiler.derive, compiler.modules

    def noted_derive(*positional: Any, **named: Any) -> Any:
        start = perf_counter()
        derivations.append((start, derive(*positional, **named)))
        return derivations[-1][1]

    def noted_modules(*positional: Any, **named: Any) -> Any:
        texts = modules(*positional, **named)
        finished.append(perf_counter())
        return texts

    vars(compiler).update(derive=noted_derive, modules=noted_modules)


def drive(functions: Mapping[str, Sequence[str]], arguments: Sequence[str]) -> None:
    """Run the command with a clock at every stage, and print the times as JSON."""
    import sys
    from time import perf_counter, process_time

    clock = Clock(lambda: [perf_counter(), process_time(), len(sys.modules)])
    first = clock.since

    import sympy  # noqa: F401

    clock.tick("imports: sympy")
    from optode.cli.main import main

    for module in {path.partition(":")[0] for paths in functions.values() for path in paths}:
        __import__(f"optode.{module}")
    clock.tick("imports: the rest")

    derivations: list[tuple[float, Any]] = []
    finished: list[float] = []
    clock_stages(functions, clock)
    note_derivations(derivations, finished)
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


PROGRAM = (Clock, clock_stages, note_derivations, drive)
"""What runs by its source in a fresh interpreter, hence the imports inside."""
