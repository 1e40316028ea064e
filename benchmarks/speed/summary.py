"""Print tables of results as Markdown: python -m benchmarks.speed.summary FILE.json ..."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Sequence
from pathlib import Path

from benchmarks.speed.environment import environment_line
from benchmarks.speed.equations import MODELS
from benchmarks.speed.tables import KINDS, Record

PEERS = ("torchdiffeq odeint_adjoint", "torchdiffeq odeint", "torchode", "diffrax")
# Goals for a compiled step: the time of each of PEERS divided by optode's, by the network. Those of
# an eager step are half as high.
GOALS = {
    "MLP 2-20-20-2, batch 50": (10.0, 5.0, 5.0, 1.5),
    "MLP 24-48-48-24, batch 256": (10.0, 5.0, 5.0, 2.0),
    "MLP 64-256-256-64, batch 1024": (5.0, 3.0, 3.0, 2.0),
    "convolution on 28x28 5-49-49-5, batch 32": (2.5, 2.0, 2.0, 1.0),
}
FORMS = {"optode": 0.5, "optode compiled": 1.0}


def ratio_rows(problems: Iterable[Record], kind: str) -> list[list[str]]:
    """Return times of the other libraries divided by optode's, in bold where the goal is met.

    Each library is at its fastest setting; kind is training or forward.
    """
    rows = [["model", "network and batch", "form", *PEERS]]
    for problem in problems:
        model, case = parted(problem["problem"])
        for form, part in FORMS.items():
            row = problem["times_faster"][kind].get(form)
            if row is None:
                continue
            cells = []
            for peer, goal in zip(PEERS, GOALS[case], strict=True):
                times = row.get(peer)
                met = times is not None and times >= part * goal
                cell = "-" if times is None else f"{times:.2f}"
                cells.append(f"**{cell}**" if met else cell)
            rows.append([model, case, form.partition(" ")[2] or "eager", *cells])
    return rows


def goal_rows() -> list[list[str]]:
    """Return the goals of a compiled step: the time of each other library divided by optode's."""
    rows = [["network and batch", *PEERS]]
    return rows + [[case, *(f"{goal:g}" for goal in goals)] for case, goals in GOALS.items()]


def step_rows(problems: Iterable[Record]) -> list[list[str]]:
    """Return the numbers of each library's fastest contender of a training step."""
    head = ["model", "network and batch", "contender", "setting", "ms", "over floor", "NFE"]
    rows = [[*head, "error", "MiB", "compile s"]]
    for problem in problems:
        model, case = parted(problem["problem"])
        for entry in fastest(problem["entries"], "training"):
            work, training = entry["work"], entry["training"]
            memory, compiling = entry["peak_bytes"], entry["compile_seconds"]
            rows.append(
                [
                    model,
                    case,
                    entry["contender"],
                    entry["setting"],
                    f"{1e3 * training['seconds']:.2f}",
                    f"{training['over_floor']:.2f}",
                    f"{work['forward']} / {work['backward']}",
                    f"{entry['error']:.0e}",
                    "-" if memory is None else f"{memory / 2**20:.2f}",
                    "-" if compiling is None else f"{compiling:.0f}",
                ]
            )
    return rows


def fastest(entries: Sequence[Record], kind: str) -> list[Record]:
    """Return the fastest contender of each library, quickest first."""
    ordered = sorted(entries, key=lambda entry: entry[kind]["seconds"])
    best: dict[str, Record] = {}
    for entry in ordered:
        best.setdefault(entry["peer"], entry)
    return [*best.values()]


def parted(title: str) -> tuple[str, str]:
    """Split a title into the model with its span, and the network with its batch."""
    model, _, case = title.partition("], ")
    return model + "]", case


def markdown(rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table; the first row is its head."""
    head, *body = rows
    rule = ["---"] * len(head)
    return "\n".join("| " + " | ".join(row) + " |" for row in (head, rule, *body))


def environments(documents: Iterable[Record]) -> str:
    """Return hardware, versions and date: one line for runs that differ in load only."""
    found = {}
    for document in documents:
        where = {key: x for key, x in document["environment"].items() if key != "load"}
        found[tuple(where.items())] = environment_line(where)
    return "\n\n".join(found.values())


def tables(files: Iterable[Path], model: str = "") -> dict[str, str]:
    """Return all tables by name, of the models whose names begin with the given text."""
    documents = [json.loads(file.read_text()) for file in files]
    problems = [
        problem
        for document in documents
        for problem in document.get("problems", ())
        if problem["problem"].startswith(model)
    ]
    # in the order of the models and networks, whichever file they are in
    order = [f"{name} on" for name in MODELS]
    problems.sort(
        key=lambda problem: (
            [problem["problem"].startswith(name) for name in order].index(True),
            [*GOALS].index(parted(problem["problem"])[1]),
        )
    )
    found = {kind: markdown(ratio_rows(problems, kind)) for kind in KINDS}
    found["steps"] = markdown(step_rows(problems))
    found["goals"] = markdown(goal_rows())
    found["environment"] = environments(documents)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.speed.summary", description=__doc__)
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE.json")
    parser.add_argument("--model", default="", metavar="NAME", help="of models that begin so")
    parser.add_argument("--table", choices=[*KINDS, "steps", "goals", "environment"])
    asked = parser.parse_args()
    for name, text in tables(asked.files, asked.model).items():
        if asked.table in (None, name):
            print(text + "\n" * (asked.table is None))


if __name__ == "__main__":
    main()
