"""Draw runs: losses, evaluations of f, sizes of states and costates, and flows in a plane."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from optode.picture.figure import Picture
from optode.study.fit import Run
from optode.study.task import Metric

_SIZE = (6.4, 4.2)
_POINTS = 60


def pictures(runs: Sequence[Run], metric: Metric) -> dict[str, Figure]:
    """Return all figures that the runs have something for, by name."""
    rules = by_rule(runs)
    found = {
        "loss": _pair(rules, _losses, "test loss"),
        "metric": _pair(rules, _metrics, f"test {metric.name}"),
        "nfe": _pair(rules, _evaluations, "NFE of a solve", ("forward", "backward")),
        "sizes": _sizes(rules),
    }
    flows = {rule: each for rule, each in rules.items() if "flow" in each[0].paths}
    if flows:
        found |= {"flow": _flows(flows), "phase": _phases(flows)}
    return found


def by_rule(runs: Sequence[Run]) -> dict[str, list[Run]]:
    """Return the runs of each rule."""
    found: dict[str, list[Run]] = {}
    for run in runs:
        found.setdefault(run.rule, []).append(run)
    return found


def _column(run: Run, name: str) -> np.ndarray:
    return np.array([row[name] for row in run.rows])


def _band(axes: Axes, each: Sequence[Run], x: str, y: str, colour: str, label: str) -> None:
    """Draw the median over the seeds, and the quartiles as a band, as far as all runs go."""
    n = min(len(run.rows) for run in each)
    if not n:
        return
    values = np.stack([_column(run, y)[:n] for run in each])
    places = np.median(np.stack([_along(run, x)[:n] for run in each]), 0)
    low, middle, high = np.quantile(values, [0.25, 0.5, 0.75], 0)
    axes.plot(places, middle, color=colour, label=label)
    axes.fill_between(places, low, high, color=colour, alpha=0.2, linewidth=0)


def _along(run: Run, x: str) -> np.ndarray:
    return _column(run, "epoch") if x == "epoch" else np.cumsum(_column(run, "seconds"))


Draw = Callable[[tuple[Axes, Axes], Sequence[Run], str, str], None]


def _pair(
    rules: Mapping[str, Sequence[Run]],
    draw: Draw,
    label: str,
    titles: tuple[str, str] | None = None,
) -> Figure:
    figure = Picture(figsize=(2 * _SIZE[0], _SIZE[1]), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    for k, (rule, each) in enumerate(rules.items()):
        draw((left, right), each, f"C{k}", rule)
    left.set(xlabel="epoch", ylabel=label)
    right.set(xlabel="epoch" if titles else "seconds of training")
    for axes, title in zip((left, right), titles or ("", ""), strict=True):
        axes.set_title(title)
        axes.grid(alpha=0.3)
    if any(run.rows for each in rules.values() for run in each):
        left.legend()
    return figure


def _losses(axes: tuple[Axes, Axes], each: Sequence[Run], colour: str, rule: str) -> None:
    for one, x in zip(axes, ("epoch", "seconds"), strict=True):
        _band(one, each, x, "test_loss", colour, rule)
        one.set_yscale("log")


def _metrics(axes: tuple[Axes, Axes], each: Sequence[Run], colour: str, rule: str) -> None:
    for one, x in zip(axes, ("epoch", "seconds"), strict=True):
        _band(one, each, x, "test_metric", colour, rule)


def _evaluations(axes: tuple[Axes, Axes], each: Sequence[Run], colour: str, rule: str) -> None:
    for one, y in zip(axes, ("nfe_forward", "nfe_backward"), strict=True):
        _band(one, each, "epoch", y, colour, rule)


def _sizes(rules: Mapping[str, Sequence[Run]]) -> Figure:
    """Draw the sizes of h and of dL/dh over time, of the first seed's trained model."""
    figure = Picture(figsize=(2 * _SIZE[0], _SIZE[1]), layout="constrained")
    left, right = figure.subplots(1, 2)
    for k, (rule, (first, *_)) in enumerate(rules.items()):
        for axes, name in ((left, "h"), (right, "a")):
            if f"{name}_time" in first.paths:
                times, sizes = (first.paths[f"{name}_{x}"] for x in ("time", "norm"))
                axes.plot(times, sizes, ".-", color=f"C{k}", label=rule)
    left.set(xlabel="t", ylabel="|h(t)|", title="size of h")
    right.set(xlabel="t", ylabel="|dL/dh(t)|", title="gradient of the loss by h", yscale="log")
    for axes in (left, right):
        axes.grid(alpha=0.3)
    if left.lines:
        left.legend()
    return figure


def _each(rules: Mapping[str, Sequence[Run]]) -> tuple[Figure, list[tuple[Axes, str, Run]]]:
    figure = Picture(figsize=(4.2 * len(rules), 4.2), layout="constrained")
    every = figure.subplots(1, len(rules), squeeze=False)[0]
    return figure, [
        (axes, rule, each[0]) for axes, (rule, each) in zip(every, rules.items(), strict=True)
    ]


def _flows(rules: Mapping[str, Sequence[Run]]) -> Figure:
    """Draw where points of the plane go: dots where they begin, and a line to where they end."""
    figure, every = _each(rules)
    for axes, rule, run in every:
        path, classes = run.paths["flow"], run.paths["flow_class"]
        for k in range(min(_POINTS, path.shape[1])):
            colour = f"C{int(classes[k])}"
            axes.plot(*path[:, k].T, color=colour, linewidth=0.8, alpha=0.7)
            axes.plot(*path[0, k], ".", color=colour, markersize=4)
            axes.plot(*path[-1, k], "x", color=colour, markersize=5)
        axes.set(title=rule, xlabel="$h_1$", ylabel="$h_2$")
        axes.set_aspect("equal", "datalim")
    return figure


def _phases(rules: Mapping[str, Sequence[Run]]) -> Figure:
    """Draw the first feature of h against its rate, by differences of the path."""
    figure, every = _each(rules)
    for axes, rule, run in every:
        path, classes = run.paths["flow"][..., 0], run.paths["flow_class"]
        rates = np.gradient(path, run.paths["flow_time"], axis=0)
        for k in range(min(_POINTS, path.shape[1])):
            axes.plot(
                path[:, k], rates[:, k], color=f"C{int(classes[k])}", linewidth=0.8, alpha=0.7
            )
        axes.set(title=rule, xlabel="$h_1$", ylabel="$h_1'$")
        axes.grid(alpha=0.3)
    return figure
