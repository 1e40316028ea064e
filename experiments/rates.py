"""Train at several learning rates: which models stand large ones."""

from __future__ import annotations

import pandas as pd

from experiments.models import entrants
from optode.study.admission import equal_sizes
from optode.study.finding import find_task
from optode.study.fit import Job, Settings
from optode.study.running import carried_out

RATES = (1e-3, 3e-3, 1e-2, 3e-2, 1e-1, 3e-1)
EPOCHS, SEEDS = 10, 5


def measure(names: list[str], jobs: int = 2, seeds: int = SEEDS) -> pd.DataFrame:
    """Return the median of the final training loss on the spheres, and the runs that diverged."""
    task, models, rows = find_task("spheres"), entrants(names), []
    sizes = equal_sizes(models, task)
    for rate in RATES:
        settings = Settings(EPOCHS, task.batch, rate)
        todo = [
            Job(m, "spheres", seed, sizes[m.name], settings)
            for m in models
            for seed in range(seeds)
        ]
        runs = carried_out(todo, processes=jobs)
        for label, model in zip(names, models, strict=True):
            own = [run for run in runs if run.rule == model.name]
            ended = [run for run in own if run.outcome["ended"]]
            losses = pd.Series([run.rows[-1]["train_loss"] for run in ended], dtype=float)
            rows.append(
                {
                    "model": label,
                    "rate": rate,
                    "train_loss": losses.median(),
                    "largest_h": pd.Series([r.rows[-1]["largest_h"] for r in ended]).median(),
                    "diverged": len(own) - len(ended),
                    "runs": len(own),
                }
            )
    return pd.DataFrame(rows)
