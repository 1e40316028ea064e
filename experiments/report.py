"""Write the tables and figures of the studies from the committed numbers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from scipy.stats import wilcoxon

from experiments import authors, claims, figures
from experiments.models import MODELS
from optode.codegen.files import replace
from optode.picture.canvas import encoded
from optode.study.finding import find_task
from optode.study.record import StudyError

PRESETS = ("paper", "standard", "quick")
BASE = "HBNODE"
"""The model that others are compared with, seed by seed."""

_HEAD = """\
# Studies

The models of the literature, controls, and rules that no paper has tried, trained under equal
conditions: the same data, schedule and start, as many parameters to within 1 %, an equal error of
the solves ([how](../guide/compare.md)). Tables are written by `python -m experiments report` from
the numbers in [experiments/results](../../experiments/results), which `python -m experiments run
TASK --preset standard` prints and keeps.

- Numbers are medians over the seeds, with quartiles in brackets, after the last epoch.
- *chosen* is the metric in the epoch that the validation set chooses. No epoch is chosen on the
  test set.
- *NFE*: evaluations of f forward / vector-Jacobian products backward of a solve, with
  `method="auto"` and the discrete gradient. In a sequence a step ends at every row: numbers that
  many models have in common are one step from row to row.
- *ANODE* has as many zeros beside h as other models have velocities. The network around the ODE
  sees h alone, and begins all other states at zero.
- *largest h*: the largest size of an entry of h on the test set, in all epochs.
- *against HBNODE*: the median of the differences of the metric, seed by seed, and p of Wilcoxon's
  signed-rank test, where there are six seeds or more.
"""


_CLAIMED = """\
What the papers say of their models, under equal conditions: for every task whether it *holds*, and
in brackets the median over the seeds of the difference, the first model minus the second. It is
decided where Wilcoxon's signed-rank test says so at 5 %, with no correction for the number of
tests. Fewer than six seeds cannot show that; where all agree, it says so with their number.
*Reach* is the root mean square of dL/dh at the start of the path over that at its end, after the
last epoch; in a sequence L is the loss of the last row.
"""

ANALYSES = {
    "conventions": "Backward evaluations by convention. The spheres' models after ten epochs, in "
    "double precision with dopri5: evaluations forward / backward, and in brackets the error of the "
    "gradient by the field's parameters, against autograd through dopri8 at 1e-10. AdamNODE has no "
    "gradient by odeint_adjoint: its last step goes past the start of the span, to times where v is "
    "negative and its root not a number. `python -m experiments conventions`",
    "overshoot": "How far untrained models go: log10 of the largest entry of h over 64 units of time, "
    "quartiles over 200 starts, each with a field of its own. `python -m experiments overshoot`",
    "spectrum": "What becomes of gradients: log10 of the singular values of the adjoint propagator, "
    "from the end of the span to its start, medians over samples of the spheres' models after ten "
    "epochs. *determinant* is log10 of that of the propagator, and *heavy_ball* what Xia et al. say "
    "of it, exp(-N gamma T). `python -m experiments spectrum`",
    "features": "Features of the spheres in training: where sixty test points end, red and blue their "
    "classes, from the first seed. `python -m experiments features`",
    "rates": "Learning rates on the spheres: medians over five seeds after ten epochs. "
    "`python -m experiments rates`",
    "released_spheres": "Nested spheres as the released notebooks train them. Fifty points, 300 steps; "
    "*as released* models with a velocity have a network for its start and other sizes, *equal* all "
    "have the sizes of HBNODE and start at rest. *learned* is the share of "
    "runs that end with a loss below 1e-3, *stuck* counts those above 0.05; "
    "*forward*, *backward*: evaluations of a step by torchdiffeq's adjoint at 1e-7, means over the "
    "training, medians over the seeds. `python -m experiments released_spheres`",
    "released": "The walks as the released code trains them. There NODE foretells a row before it has "
    "seen the one before it, models with a velocity have seen it, and HBNODE is pulled back to the "
    "origin; then all models see the row, and nothing pulls. Test loss, median and quartiles over the "
    "seeds, a third of the walks; *gradient_fault* is how wrong the released gradient by f's "
    "parameters is at the start, since it keeps the length of the last interval for all; "
    "*forward*, *backward*: evaluations of a batch after training, by torchdiffeq's adjoint at 1e-7. "
    "`python -m experiments released --data DIR`",
    "released_vibration": "Plane vibration as the released code trains it. Sixty of its 500 epochs, "
    "the rate lowered after fifty as there; mean squared error of the eight rows ahead on the test "
    "set, the median of the seeds and the range after the last epoch, *chosen* in the epoch that "
    "validation chooses. *error* is the solver's, relative. The record repeats nearly nine times, "
    "and its last quarter is the test set: a linear map of the last 16 rows is the measure of what "
    "an ODE adds. The start of every model is a linear map of all rows that are shown. "
    "`python -m experiments released_vibration --data DIR`",
    "released_mnist": "MNIST as the released code trains it. 10,000 images seen three times, where it "
    "sees 60,000 forty times. *As released* models with a velocity start from a network of the image, "
    "the others from zeros; *exchanged* it is the other way, with as many parameters to within 2 %. "
    "Medians over the seeds, *low* and *high* are the range; *forward*, *backward*: evaluations of "
    "a solve after training, by torchdiffeq's adjoint at 1e-4. "
    "`python -m experiments released_mnist --data DIR`",
}
"""What is measured beside trainings, in words."""

DRAWN = ("features",)
"""What is drawn alone: its numbers are points."""


def write(results: Path, output: Path) -> None:
    """Write a page with a section for each task that has results, and its figures."""
    tasks = _tasks(results)
    parts = [_HEAD, _verdicts(tasks)]
    parts += [_section(name, preset, results) for name, preset, _ in tasks]
    parts += [_analysis(file, words) for file, words in _analyses(results)]
    replace({output / "studies.md": "\n".join(parts), **_pictures(results, output)})


def draw(results: Path, output: Path) -> None:
    """Draw the figures of all tasks and analyses that have results."""
    replace(_pictures(results, output))


def _pictures(results: Path, output: Path) -> dict[Path, bytes]:
    """Return the figures by their files."""
    found: dict[str, Figure] = {}
    for name, _, folder in _tasks(results):
        epochs = pd.read_csv(folder / "epochs.csv")
        found[name] = figures.epochs(epochs, find_task(name).metric)
        found[f"{name}_costates"] = figures.costates(pd.read_csv(folder / "costates.csv"))
    for file, _ in _analyses(results):
        found[file.stem] = figures.ANALYSES[file.stem](pd.read_csv(file))
    return {output / f"{stem}.png": encoded(f, "png", dpi=100) for stem, f in found.items()}


def _tasks(results: Path) -> list[tuple[str, str, Path]]:
    """Return each task with the most careful preset that it has results of, and their folder."""
    found = []
    for name in sorted({p.parent.name for p in results.glob("*/*/runs.csv")}):
        preset = next(p for p in PRESETS if (results / p / name / "runs.csv").exists())
        found.append((name, preset, results / preset / name))
    if not found:
        raise StudyError(f"{results} has no results: python -m experiments run TASK")
    return found


def _analyses(results: Path) -> Iterator[tuple[Path, str]]:
    """Return the files of the analyses that were made, and what they are in words."""
    for name, words in ANALYSES.items():
        if (file := results / f"{name}.csv").exists():
            yield file, words


def _verdicts(tasks: Sequence[tuple[str, str, Path]]) -> str:
    runs = {
        name: (pd.read_csv(folder / "runs.csv"), find_task(name).metric.best)
        for name, _, folder in tasks
    }
    said = "\n".join(claims.summary(runs))
    return f"\n## What is true of the claims\n\n{said}\n\n{_CLAIMED}\n{table(claims.rows(runs))}"


def _section(name: str, preset: str, results: Path) -> str:
    task, runs = find_task(name), pd.read_csv(results / preset / name / "runs.csv")
    epochs, steps = int(runs["epochs"].max()), int(runs["steps"].max())
    words = (
        f"preset {preset}: {epochs} epochs, {steps} training steps, {runs['seed'].nunique()} seeds"
    )
    head = ("model", "kind", "parameters", task.metric.name, "chosen", "test loss", "NFE")
    rows: list[tuple[str, ...]] = [
        (*head, "CPU seconds", "largest h", "diverged", f"against {BASE}")
    ]
    order = [model for model in MODELS if model in {*runs["rule"]}]
    rows += [_row(runs, model, task.metric.best) for model in order]
    lines = [f"\n## {name}: {task.words}\n", f"{words[0].upper()}{words[1:]}.\n", table(rows)]
    lines += [
        f"\n![test loss, {task.metric.name} and NFE against epochs, and against seconds]({name}.png)\n",
        f"![the size of dL/dh against the time before the end]({name}_costates.png)\n",
    ]
    theirs = authors.sections(name, results, runs)
    lines += [f"{said}\n\n{table(found)}" for said, found in theirs]
    return "\n".join(lines)


def _row(runs: pd.DataFrame, model: str, best: str) -> tuple[str, ...]:
    own = runs[runs["rule"] == model]
    ended = own[~own["diverged"].astype(bool)]
    first = own.iloc[0]
    nfe = f"{ended['nfe_forward'].median():.0f} / {ended['nfe_backward'].median():.0f}"
    return (
        model,
        str(first["kind"]),
        f"{int(first['parameters']):,}",
        spread(ended["test_metric"]),
        spread(ended["test_metric_chosen"]),
        spread(ended["test_loss"]),
        nfe,
        f"{ended['seconds'].median():.1f}",
        f"{ended['largest_h'].median():.3g}",
        f"{int(own['diverged'].sum())} of {len(own)}",
        "" if model == BASE else difference(runs, model),
    )


def spread(values: pd.Series) -> str:
    """Return the median, and the quartiles in brackets."""
    if not len(values):
        return "-"
    low, middle, high = np.quantile(values, [0.25, 0.5, 0.75])
    return f"{middle:.4g} ({low:.4g} to {high:.4g})"


def difference(runs: pd.DataFrame, model: str) -> str:
    """Return the median difference of the metric to that of BASE over common seeds, and p."""
    wide = runs.pivot_table(index="seed", columns="rule", values="test_metric")
    if BASE not in wide or model not in wide:
        return "-"
    change = (wide[model] - wide[BASE]).dropna()
    if not len(change):
        return "-"
    words = f"{change.median():+.3g}"
    if len(change) < 6 or not change.any():
        return words
    return f"{words} (p = {wilcoxon(change).pvalue:.2g})"


def table(rows: Sequence[Sequence[str]]) -> str:
    """Return a table of Markdown, the first row its head."""
    head, *rest = rows
    lines = [head, ["---"] * len(head), *rest]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def _analysis(file: Path, words: str) -> str:
    title, _, rest = words.partition(". ")
    title, _, more = title.partition(":")
    text = f"{(more + '. ' if more else '').lstrip()}{rest}."
    rows = SHOWN.get(file.stem, _cells)
    numbers = "" if file.stem in DRAWN else f"{table(rows(pd.read_csv(file)))}\n"
    return f"\n## {title}\n\n{text}\n\n{numbers}![{title.lower()}]({file.stem}.png)\n"


def _cells(found: pd.DataFrame) -> list[tuple[str, ...]]:
    """Return a table's head and its rows, numbers with four digits."""
    return [tuple(found.columns), *(tuple(map(_cell, row)) for row in found.values)]


def _cell(x: object, form: str = ".4g") -> str:
    if not isinstance(x, float):
        return str(x)
    return "-" if np.isnan(x) else f"{x:{form}}"


def _by_convention(found: pd.DataFrame) -> list[tuple[str, ...]]:
    """Return a row for each model and tolerance, with a column for each convention."""
    names = list(dict.fromkeys(found["convention"]))
    rows: list[tuple[str, ...]] = [("model", "tolerance", *names)]
    for (model, tolerance), group in found.groupby(["model", "tolerance"], sort=False):
        own = group.set_index("convention")
        cells = (
            f"{own.forward[n]} / {own.backward[n]} ({_cell(own.error[n], '.1e')})"
            if n in own.index
            else "-"
            for n in names
        )
        rows.append((model, _cell(tolerance), *cells))
    return rows


SHOWN = {"conventions": _by_convention}
"""How the numbers of an analysis stand in its table, where it is not row by row."""
