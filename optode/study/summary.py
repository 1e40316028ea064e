"""Sum up runs: a row for each rule, with medians and quartiles over the seeds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from optode.study.fit import Run
from optode.study.task import Metric


def epochs_table(runs: Sequence[Run]) -> pd.DataFrame:
    """Return the rows of all epochs of all runs."""
    rows = [
        {"rule": r.rule, "model": r.model, "seed": r.seed} | row for r in runs for row in r.rows
    ]
    return pd.DataFrame(rows)


def runs_table(runs: Sequence[Run], metric: Metric) -> pd.DataFrame:
    """Return a row for each run: its last epoch, the one with the best validation, and its end.

    NFE are means over the solves of the last epoch; seconds are those of all training.
    """
    return pd.DataFrame([_run(run, metric) for run in runs])


def _run(run: Run, metric: Metric) -> dict[str, Any]:
    found: dict[str, Any] = {
        "rule": run.rule,
        "model": run.model,
        "seed": run.seed,
        "parameters": run.parameters,
        "epochs": len(run.rows),
        "diverged": not run.outcome["ended"],
        "reason": run.outcome["reason"],
    }
    if not run.rows or not run.outcome["ended"]:
        return found
    last, sign = run.rows[-1], 1 if metric.best == "high" else -1
    chosen = max(run.rows, key=lambda row: sign * row["valid_metric"])
    names = ("train_loss", "test_loss", "nfe_forward", "nfe_backward", "tolerance", "error")
    return found | {
        "test_metric": last["test_metric"],
        "test_metric_chosen": chosen["test_metric"],
        **{name: last[name] for name in names},
        "seconds": sum(row["seconds"] for row in run.rows),
        "largest_h": max(row["largest_h"] for row in run.rows),
    }


SUMMED = {
    "test_loss": "test loss",
    "test_metric": "test",
    "test_metric_chosen": "chosen",
    "nfe_forward": "NFE forward",
    "nfe_backward": "NFE backward",
    "seconds": "seconds",
    "largest_h": "largest h",
}
"""The columns that are summed up, by their names in a table of runs."""


def summary_table(runs: pd.DataFrame) -> pd.DataFrame:
    """Return a row for each rule, in the order of the runs: median, lower and upper quartile.

    Runs that diverged are counted, and have no part in the others' numbers.
    """
    rows = []
    for rule, group in runs.groupby("rule", sort=False):
        row: dict[str, Any] = {
            "rule": rule,
            "model": group["model"].iloc[0],
            "parameters": int(group["parameters"].iloc[0]),
            "runs": len(group),
            "diverged": int(group["diverged"].sum()),
        }
        for name in SUMMED:
            values = group[name].dropna() if name in group else pd.Series(dtype=float)
            quartiles = values.quantile([0.5, 0.25, 0.75])
            for key, value in zip(("", "_low", "_high"), quartiles, strict=True):
                row[name + key] = float(value)
        rows.append(row)
    return pd.DataFrame(rows).set_index("rule")
