"""Turn results into the Markdown tables of the documents."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby

from benchmarks.speed.cases import CASES
from benchmarks.speed.equations import MODELS
from benchmarks.speed.growth import curves_of
from benchmarks.speed.store import by_device, environment_lines, of_kind
from benchmarks.speed.tables import KINDS, Record, decimals
from benchmarks.speed.tasks.contenders import AUTHORS
from benchmarks.speed.tasks.task import TASKS

PEERS = ("torchdiffeq odeint_adjoint", "torchdiffeq odeint", "torchode", "diffrax")
# Goals for a compiled step: the time of each of PEERS divided by optode's, by the network. Those of
# an eager step are half as high.
GOALS = {
    "MLP 2-20-20-2, batch 50": (15.0, 10.0, 8.0, 1.3),
    "MLP 24-48-48-24, batch 256": (12.0, 8.0, 6.0, 4.0),
    "MLP 64-256-256-64, batch 1024": (8.0, 5.0, 5.0, 6.0),
    "convolution on 28x28 5-49-49-5, batch 32": (8.0, 6.0, 5.0, 8.0),
}
FORMS = {"optode": 0.5, "optode compiled": 1.0}
USUAL = 1e-4
"""The goal of the error for which the ratios of times are shown."""


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
                cells.append(f"**{times:.2f}**" if met else decimals(times))
            rows.append([model, case, form.partition(" ")[2] or "eager", *cells])
    return rows


def met_rows(problems: Iterable[Record]) -> list[list[str]]:
    """Return how many goals each model meets, of those for the libraries that were measured."""
    met: Counter[tuple[str, str, str]] = Counter()
    every: Counter[tuple[str, str, str]] = Counter()
    for problem in problems:
        model, case = parted(problem["problem"])
        for kind in KINDS:
            for form, part in FORMS.items():
                row = problem["times_faster"][kind].get(form, {})
                for peer, goal in zip(PEERS, GOALS[case], strict=True):
                    if peer in row:
                        place = (model.partition(" ")[0], form, kind)
                        every[place] += 1
                        met[place] += row[peer] >= part * goal
    rows = [["model", "form", *KINDS.values()]]
    for model, form in dict.fromkeys((model, form) for model, form, _ in every):
        counts = [(met[model, form, kind], every[model, form, kind]) for kind in KINDS]
        words = form.partition(" ")[2] or "eager"
        rows.append([model, words, *(f"{found} of {all_}" for found, all_ in counts)])
    return rows


def goal_rows() -> list[list[str]]:
    """Return the goals of a compiled step: the time of each other library divided by optode's."""
    rows = [["network and batch", *PEERS]]
    return rows + [[case, *(f"{goal:g}" for goal in goals)] for case, goals in GOALS.items()]


def step_rows(problems: Iterable[Record]) -> list[list[str]]:
    """Return the numbers of each library's fastest contender of a training step."""
    head = ["model", "network and batch", "contender", "setting", "ms", "quartiles", "over floor"]
    rows = [[*head, "over least", "NFE", "error", "MiB", "compile s", "load"]]
    for problem in problems:
        model, case = parted(problem["problem"])
        loads = [x for x in problem.get("load", ()) if x is not None]
        for entry in fastest(problem["entries"], "training"):
            work, training = entry["work"], entry["training"]
            memory = entry["peak_bytes"]
            low, high = (1e3 * x for x in training["quartiles"])
            rows.append(
                [
                    model,
                    case,
                    entry["contender"],
                    entry["setting"],
                    f"{1e3 * training['seconds']:.2f}",
                    f"{low:.2f} to {high:.2f}",
                    f"{training['over_floor']:.2f}",
                    decimals(training.get("over_least")),
                    f"{work['forward']} / {work['backward']}",
                    f"{entry['error']:.0e}",
                    decimals(None if memory is None else memory / 2**20),
                    decimals(entry["compile_seconds"], 0),
                    decimals(max(loads, default=None), 1),
                ]
            )
    return rows


def task_rows(results: Iterable[Record]) -> list[list[str]]:
    """Return the authors' step of each task beside optode's fastest, in bold where the goal is met.

    The ratios are of the times, eager and compiled; the contender is the faster of both.
    """
    head = ["task", "model", "authors' ms", "NFE", "error of h", "optode", "setting", "ms"]
    rows = [[*head, "NFE", "error of h", "eager", "compiled", "goal"]]
    for result in sorted(results, key=lambda each: [*TASKS].index(each["task"])):
        best = fastest(result["entries"], "training")
        (authors,) = (entry for entry in best if entry["peer"] == AUTHORS)
        entry = next((entry for entry in best if entry["peer"] in FORMS), None)
        if entry is None:
            continue
        goal, times = TASKS[result["task"]].goal, result["times_faster"]["training"]
        ratios = (times.get(form, {}).get(AUTHORS) for form in FORMS)
        cells = (f"**{x:.2f}**" if x is not None and x >= goal else decimals(x) for x in ratios)
        rows.append(
            [
                TASKS[result["task"]].words,
                result["model"],
                *numbers_of(authors),
                entry["contender"],
                entry["setting"],
                *numbers_of(entry),
                *cells,
                f"{goal:g}",
            ]
        )
    return rows


def numbers_of(entry: Record) -> tuple[str, str, str]:
    """Return milliseconds, evaluations and the error of a contender."""
    work = entry["work"]
    milliseconds = f"{1e3 * entry['training']['seconds']:.1f}"
    return milliseconds, f"{work['forward']} / {work['backward']}", f"{entry['error']:.0e}"


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


def growth_rows(axes: Sequence[Record]) -> list[list[str]]:
    """Return the fitted exponents of all contenders, a column for each quantity that grows."""
    exponents: dict[str, list[str]] = {}
    for each in axes:
        for curve in curves_of(each):
            exponents.setdefault(curve.contender, []).append(f"{curve.exponent:.2f}")
    head = ["contender", *(each["axis"] for each in axes)]
    return [head, *([name, *own] for name, own in exponents.items())]


def in_order(problems: Iterable[Record]) -> list[Record]:
    """Return problems in the order of the models and networks, whichever files they are in."""
    models, cases = [*MODELS], [str(case) for case in CASES.values()]

    def place(problem: Record) -> tuple[int, int]:
        model, case = parted(problem["problem"])
        return models.index(model.split(" ")[0]), cases.index(case)

    return sorted(problems, key=place)


def speed_tables(documents: Sequence[Record]) -> Mapping[str, str]:
    """Return all tables by name; the names of those from a GPU end with "cuda".

    Those of the fastest contenders are named by the goal of the error, as in "steps 1e-04".
    """
    on_cpu, on_gpu = by_device(documents)
    found = tables_of(on_cpu)
    if on_gpu:
        found |= {f"{name} cuda": table for name, table in tables_of(on_gpu).items()}
    return found


def tables_of(documents: list[Record]) -> dict[str, str]:
    """Return the tables of results from one kind of device."""
    problems = in_order(of_kind(documents, "problem"))
    usual = [problem for problem in problems if problem["goal"] == USUAL]
    found = {kind: markdown(ratio_rows(usual, kind)) for kind in KINDS}
    for model in MODELS:
        own = [problem for problem in usual if problem["problem"].startswith(f"{model} ")]
        found[f"training {model}"] = markdown(ratio_rows(own, "training"))
    by_goal = sorted(problems, key=lambda problem: -problem["goal"])
    for goal, each in groupby(by_goal, key=lambda problem: problem["goal"]):
        found[f"steps {goal:.0e}"] = markdown(step_rows(in_order(each)))
    found["tasks"] = markdown(task_rows(of_kind(documents, "task")))
    found["met"] = markdown(met_rows(usual))
    found["growth"] = markdown(growth_rows(of_kind(documents, "growth")))
    found["goals"] = markdown(goal_rows())
    for name, tasks in (("environment", False), ("environment tasks", True)):
        own = [each for each in documents if (each["kind"] == "task") is tasks]
        found[name] = "\n\n".join(environment_lines(own))
    return found
