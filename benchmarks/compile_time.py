"""Measure how long torch.compile takes for a training step, and what makes it compile again.

    python -m benchmarks.compile_time [--quick] [--help]

A training step is h at the end of the span, its loss, and the backward pass. It is compiled in two
forms: "module" is compile=True, where the module compiles its own solve; "loss" is torch.compile
with fullgraph=True around the solve and the loss. Each row is one form at one number of equal steps,
with nothing compiled before. It is then called with new times, and with two other batch sizes. The
seconds of a call that compiles are those beyond a call that does not; graphs are what Dynamo
compiled for it. A form that cannot be called so says why.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import TYPE_CHECKING, Any

from benchmarks.provenance import commit
from benchmarks.records import Report, rounded, write_document
from benchmarks.speed.environment import environment, environment_line, pin

# What brings a numerical library is imported where it is used: once the threads are pinned.
if TYPE_CHECKING:
    from torch import Tensor, nn

    from benchmarks.speed.cases import Problem

FORMS = ("module", "loss")
STEPS = (4, 32)
WARM_CALLS = 5
EVENTS = ("first call", "new times", "second batch size", "third batch size")

Record = dict[str, Any]
Step = Callable[["Tensor", "Tensor | None"], "Tensor"]


@dataclass(frozen=True)
class Kind:
    """What is compiled: the model, its network, the method, the form, and the number of steps."""

    model: str
    case: str
    method: str
    form: str
    steps: int


def built(kind: Kind, given: Problem) -> tuple[nn.Module, Step]:
    """Return the module, and the loss of it from h at the start and times."""
    import torch

    from benchmarks.speed.equations import MODELS

    module = import_module(f"generated.{MODELS[kind.model].module}")
    by_module = kind.form == "module"
    node = getattr(module, kind.model)(
        given.field(),
        span=given.span,
        method=kind.method,
        options={"steps": kind.steps},
        gradient="discrete" if by_module else "autograd",
        compile=by_module,
    )

    def loss(h0: Tensor, times: Tensor | None) -> Tensor:
        h = node(h0, times)
        return (h if times is None else h[-1]).square().mean()

    return node, loss if by_module else torch.compile(loss, fullgraph=True)


def measured(kind: Kind, given: Problem) -> Record:
    """Return the seconds and graphs of each event, and the milliseconds of a compiled step."""
    import torch

    from optode.runtime.tracing import graphs_compiled

    torch.compiler.reset()
    node, loss = built(kind, given)
    start, end = given.span
    later = given.h0.new_tensor([start, start + 0.9 * (end - start)])
    batch = len(given.h0)
    # more samples are copies, since what is timed does not depend on them
    sizes = (batch, batch, batch // 2 + 1, 2 * batch)
    events: dict[str, Record] = {}
    usual = []
    for event, size, times in zip(EVENTS, sizes, (None, later, None, None), strict=True):
        h0 = torch.cat([given.h0, given.h0])[:size].requires_grad_()
        known = graphs_compiled()
        try:
            seconds = timed_step(node, loss, h0, times)
        except (RuntimeError, ValueError) as error:
            events[event] = {"failure": str(error).strip().partition("\n")[0]}
            continue
        graphs = graphs_compiled() - known
        usual.append(min(timed_step(node, loss, h0, times) for _ in range(WARM_CALLS)))
        events[event] = {"seconds": max(0.0, seconds - usual[-1]), "graphs": graphs}
    step = {"ms": 1e3 * usual[0] if usual else None}
    return rounded({**vars(kind), "problem": str(given), **step, "events": events})


def timed_step(node: nn.Module, loss: Step, h0: Tensor, times: Tensor | None) -> float:
    """Return the seconds of a training step."""
    node.zero_grad()
    begun = perf_counter()
    loss(h0, times).backward()
    return perf_counter() - begun


def warmed_up() -> None:
    """Compile something small, so that what is imported for it is not counted."""
    import torch

    x = torch.randn(8, 8, requires_grad=True)
    torch.compile(lambda x: torch.tanh(x @ x).sum(), fullgraph=True)(x).backward()


def table(records: Iterable[Record]) -> str:
    """Return a row for each form and number of steps: seconds, and graphs in brackets."""
    from benchmarks.speed.tables import aligned, decimals

    lines: list[Sequence[str]] = [
        ("model", "network", "form", "method", "steps", "step ms", *(f"{e} s" for e in EVENTS))
    ]
    for record in records:
        cells = (
            "fails" if "failure" in event else f"{event['seconds']:.1f} ({event['graphs']})"
            for event in record["events"].values()
        )
        names = (record[name] for name in ("model", "case", "form", "method"))
        lines.append((*names, str(record["steps"]), decimals(record["ms"]), *cells))
    return aligned(lines)


def growth_lines(records: Sequence[Record]) -> str:
    """Return how much longer the most steps compile than the fewest, for each form."""
    found: dict[tuple[str, ...], dict[int, float]] = {}
    for record in records:
        place = tuple(record[name] for name in ("model", "case", "form", "method"))
        seconds = record["events"][EVENTS[0]].get("seconds")
        if seconds:
            found.setdefault(place, {})[record["steps"]] = seconds
    lines = []
    for place, seconds in found.items():
        few, many = min(seconds), max(seconds)
        if few < many:
            times = seconds[many] / seconds[few]
            words = f"{many} steps compile {times:.2f} times as long as {few}"
            lines.append(f"{', '.join(place)}: {words}")
    return "\n".join(lines)


def failure_lines(records: Iterable[Record]) -> str:
    """Return why calls failed, each reason once for a form and an event."""
    lines = {
        f"{record['form']}, {name} fails: {event['failure']}"
        for record in records
        for name, event in record["events"].items()
        if "failure" in event
    }
    return "\n".join(sorted(lines))


def document_text(document: Mapping[str, Any]) -> str:
    """Return what a run prints, from what it writes as JSON."""
    records = document["compile_times"]
    parts = [environment_line(document["environment"]), table(records)]
    parts += [growth_lines(records), failure_lines(records)]
    return "\n\n".join(part for part in parts if part) + "\n"


def arguments(words: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.compile_time",
        description="How long torch.compile takes for a training step, and what makes it compile "
        "again.",
    )
    parser.add_argument("--quick", action="store_true", help="one model, 1 and 2 steps")
    parser.add_argument("--models", nargs="+", metavar="NAME", default=["HBNODE", "AdamNODE"])
    parser.add_argument("--cases", nargs="+", metavar="NAME", default=["small", "medium"])
    parser.add_argument("--methods", nargs="+", metavar="NAME", default=["auto", "tsit5"])
    parser.add_argument("--forms", nargs="+", choices=FORMS, default=FORMS)
    parser.add_argument("--steps", nargs="+", type=int, default=STEPS)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--text", type=Path, metavar="FILE", help="what is printed, too")
    asked = parser.parse_args(words)
    if asked.quick:
        asked.models, asked.cases, asked.methods = ["HBNODE"], ["small"], ["tsit5"]
        asked.steps = (1, 2)
    return asked


def kinds(asked: argparse.Namespace) -> list[Kind]:
    """Return what is to be compiled, one after the other."""
    return [
        Kind(model, case, method, form, steps)
        for model in asked.models
        for case in asked.cases
        for method in asked.methods
        for form in asked.forms
        for steps in asked.steps
    ]


def run(asked: argparse.Namespace) -> Record:
    """Measure everything that is asked for."""
    from benchmarks.progress import progress
    from benchmarks.speed.cases import CASES, problem

    every, records = kinds(asked), []
    where = environment("cpu") | commit()
    with progress("compile", len(every) + 1) as done:
        warmed_up()
        done("warm")
        for kind in every:
            with TemporaryDirectory() as folder:  # nothing was compiled before
                os.environ["TORCHINDUCTOR_CACHE_DIR"] = folder
                records.append(measured(kind, problem(kind.model, CASES[kind.case])))
            done(f"{kind.model} {kind.case} {kind.method} {kind.form} {kind.steps}")
    return {"environment": where, "compile_times": records}


def main() -> None:
    asked = arguments()
    pin(asked.threads)
    import torch

    torch.set_num_threads(asked.threads)
    document = run(asked)
    Report(asked.text)(document_text(document).rstrip("\n"))
    if asked.json:
        write_document(asked.json, document)


if __name__ == "__main__":
    main()
