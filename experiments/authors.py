"""Set the numbers of the papers' authors beside ours, with a verdict on each."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from experiments.models import MODELS, PAPERS

FILE = Path(__file__).with_suffix(".json")

REPRODUCED, ORDER, NOT = "reproduced", "order only", "not reproduced"
AS_RELEASED = "as released"


class Kind(NamedTuple):
    """The columns of a number in the runs and in the results *as released*, and how near is near.

    ``times`` is what ours are multiplied by. ``near`` is a share of theirs, or of a percentage the
    points.
    """

    equal: str | None
    released: str
    times: float = 1.0
    near: float = 0.1


KINDS = {
    "test accuracy, %": Kind("test_metric", "accuracy", 100, 1.0),
    "runs that learned, %": Kind(None, "learned", 100, 10.0),
    "test loss": Kind("test_loss", "test_loss"),
    "NFE forward": Kind("nfe_forward", "forward"),
    "NFE backward": Kind("nfe_backward", "backward"),
}


class Theirs(NamedTuple):
    """The least and the largest of an author's numbers."""

    low: float
    high: float

    @staticmethod
    def read(text: str) -> Theirs:
        """Return the numbers of "96.8 to 97.5", or of "98.4"."""
        low, _, high = text.partition(" to ")
        return Theirs(float(low), float(high or low))

    def has(self, ours: float, kind: str) -> bool:
        """Return whether a number of ours is near."""
        near = KINDS[kind].near
        room = near if kind.endswith("%") else near * self.high
        return self.low - room <= ours <= self.high + room


def verdict(kind: str, model: str, theirs: Mapping[str, Theirs], ours: Mapping[str, float]) -> str:
    """Return whether a number is reproduced, or at least where it stands among the models'.

    The order is that of all pairs with the model whose numbers differ with the authors.
    """
    if model not in ours:
        return "-"
    if theirs[model].has(ours[model], kind):
        return REPRODUCED
    return order(model, theirs, ours)


def order(model: str, theirs: Mapping[str, Theirs], ours: Mapping[str, float]) -> str:
    """Return whether a model stands among the others as it does with the authors."""
    if model not in ours:
        return "-"
    own = theirs[model]
    lower = [n for n in theirs if n in ours and theirs[n].high < own.low]
    higher = [n for n in theirs if n in ours and theirs[n].low > own.high]
    if not lower + higher:
        return NOT  # there is no order
    right = all(ours[n] < ours[model] for n in lower) and all(ours[n] > ours[model] for n in higher)
    return ORDER if right else NOT


def sections(
    task: str, results: Path, runs: pd.DataFrame
) -> Iterator[tuple[str, list[tuple[str, ...]]]]:
    """Yield what the authors say of a task, in words and as the rows of a table beside ours."""
    for log in json.loads(FILE.read_text()):
        if log["task"] == task:
            yield _one(log, results, runs)


def _one(
    log: dict[str, Any], results: Path, runs: pd.DataFrame
) -> tuple[str, list[tuple[str, ...]]]:
    file = results / f"{log['released']}.csv"
    released = _released(pd.read_csv(file)) if log["released"] and file.exists() else None
    head = ("number", "model", "theirs", "ours, as released", "verdict", "under equal conditions")
    rows: list[tuple[str, ...]] = [head]
    named = set[str]()
    for kind, numbers in log["numbers"].items():
        theirs = {model: Theirs.read(text) for model, text in numbers.items()}
        named |= {*numbers}
        ours = _column(released, KINDS[kind].released, "model", KINDS[kind].times)
        equal = _column(runs, KINDS[kind].equal, "rule")
        for model, text in numbers.items():
            number = f"{ours[model]:.4g}" if model in ours else "-"
            said = verdict(kind, model, theirs, ours)
            rows.append((kind, model, text, number, said, order(model, theirs, equal)))
    without = [name for name, each in MODELS.items() if each.kind == PAPERS and name not in named]
    note = f" {log['note']}" if log["note"] else ""
    words = (
        f"\nThe authors' numbers: {log['title']} ({log['evidence']}).{note} No number is given for "
        f"{'; '.join(without)}."
    )
    return words, rows


def _released(found: pd.DataFrame) -> pd.DataFrame:
    return found[found["trained"] == AS_RELEASED] if "trained" in found else found


def _column(
    found: pd.DataFrame | None, column: str | None, key: str, times: float = 1.0
) -> dict[str, float]:
    """Return the median of a column for each model, where there is such a column."""
    if found is None or column not in found:
        return {}
    medians = found.groupby(key)[column].median().dropna()
    return {str(name): times * float(x) for name, x in medians.items()}
