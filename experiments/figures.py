"""Draw the numbers of the studies."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import product

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from experiments.models import MODELS
from optode.study.task import Metric

PANELS = 4
"""The models whose conventions are drawn, a panel for each."""


def epochs(table: pd.DataFrame, metric: Metric) -> Figure:
    """Draw medians over the seeds: test loss, metric, NFE, and the gradient's reach by epoch, and
    the test loss by the processor's seconds.
    """
    panels = (
        ("epoch", "test_loss", "test loss", True),
        ("spent", "test_loss", "test loss", True),
        ("epoch", "test_metric", f"test {metric.name}", metric.best == "low"),
        ("epoch", "nfe_forward", "NFE forward", False),
        ("epoch", "nfe_backward", "NFE backward", False),
        ("epoch", "reach", "|dL/dh| at the start over the end", True),
    )
    drawn = Figure(figsize=(17, 8), layout="constrained")
    axes = drawn.subplots(2, 3).flatten()
    spent = table.groupby(["rule", "seed"])["seconds"].cumsum()
    table = table.assign(spent=spent)
    for every, look in _models(table):
        own = every.groupby("epoch").median(numeric_only=True).reset_index()
        for one, (by, column, *_) in zip(axes, panels, strict=True):
            one.plot(own[by], own[column], **look)
    for one, (by, _, label, wide) in zip(axes, panels, strict=True):
        one.set(xlabel="CPU seconds of training" if by == "spent" else "epoch", ylabel=label)
        one.set_yscale("log" if wide else "linear")
        one.grid(alpha=0.3)
    drawn.legend(*axes[0].get_legend_handles_labels(), loc="outside right center")
    return drawn


def costates(table: pd.DataFrame) -> Figure:
    """Draw the size of dL/dh against the time before the end, a panel for each epoch."""
    epochs = sorted({*table["epoch"]})
    drawn = Figure(figsize=(4.6 * len(epochs) + 3, 4), layout="constrained")
    axes = np.atleast_1d(drawn.subplots(1, len(epochs), sharey=True))
    for one, epoch in zip(axes, epochs, strict=True):
        for own, look in _models(table[table["epoch"] == epoch]):
            one.semilogy(own["back"], own["size"], **look)
        one.set(title=f"epoch {epoch}", xlabel="T - t")
        one.grid(alpha=0.3)
    axes[0].set_ylabel("|dL/dh(t)| over |dL/dh(T)|")
    drawn.legend(*axes[0].get_legend_handles_labels(), loc="outside right center")
    return drawn


def _models(table: pd.DataFrame) -> Iterator[tuple[pd.DataFrame, dict[str, str]]]:
    """Yield the rows of each model, in the order of the report, and the look of its line."""
    for k, model in enumerate(name for name in MODELS if name in {*table["rule"]}):
        look = {"color": f"C{k % 10}", "linestyle": "-" if k < 10 else "--", "label": model}
        yield table[table["rule"] == model], look


def conventions(table: pd.DataFrame) -> Figure:
    """Draw evaluations backward against the tolerance, a line for each convention."""
    models = [*dict.fromkeys(table["model"])][:PANELS]
    drawn = Figure(figsize=(4 * len(models), 3.6), layout="constrained")
    axes = np.atleast_1d(drawn.subplots(1, len(models), sharey=True))
    for one, model in zip(axes, models, strict=True):
        for name, own in table[table["model"] == model].groupby("convention", sort=False):
            one.semilogx(own["tolerance"], own["backward"], "o-", label=name)
        one.set(title=model, xlabel="tolerance")
        one.grid(alpha=0.3)
    axes[0].set_ylabel("NFE backward")
    axes[-1].legend()
    return drawn


def overshoot(table: pd.DataFrame) -> Figure:
    """Draw how far untrained models go: the median and the quartiles of each."""
    return _ranges(table, ("low", "median", "high"), "log10 of the largest entry of h")


def spectrum(table: pd.DataFrame) -> Figure:
    """Draw the range of the propagator's singular values, and its mean by the determinant."""
    columns = ("smallest", "middle", "largest")
    middle = (table["smallest"] + table["largest"]) / 2
    return _ranges(table.assign(middle=middle), columns, "log10 of the singular values")


def features(table: pd.DataFrame) -> Figure:
    """Draw where points end, a panel for each epoch; two models stand side by side."""
    models, epochs = ([*dict.fromkeys(table[name])] for name in ("model", "epoch"))
    high, wide = -(-len(models) // 2), len(epochs)
    drawn = Figure(figsize=(1.9 * 2 * wide, 1.7 * high), layout="constrained")
    axes = drawn.subplots(high, 2 * wide, squeeze=False)
    for one in axes.flat:
        one.set_axis_off()
    for (k, model), (j, epoch) in product(enumerate(models), enumerate(epochs)):
        own = table[(table["model"] == model) & (table["epoch"] == epoch)]
        one = axes[k % high, k // high * wide + j]
        one.set_axis_on()
        one.scatter(own["x"], own["y"], s=6, c=own["kind"], cmap="coolwarm")
        one.tick_params(labelsize=6)
        one.set_title(f"epoch {epoch}" if k % high == 0 else "", fontsize=9)
        one.set_ylabel("" if j else model.replace(", ", "\n"), fontsize=9)
    return drawn


def rates(table: pd.DataFrame) -> Figure:
    """Draw the training loss against the rate; crosses are rates at which runs diverged."""
    drawn = Figure(figsize=(8, 4.4), layout="constrained")
    axes = drawn.subplots()
    for k, (model, own) in enumerate(table.groupby("model", sort=False)):
        style, color = "-" if k < 10 else "--", f"C{k % 10}"
        axes.loglog(own["rate"], own["train_loss"], style, color=color, label=model)
        lost = own[own["diverged"] > 0]
        axes.loglog(lost["rate"], lost["train_loss"], "x", color=color)
    axes.set(xlabel="rate", ylabel="training loss")
    axes.grid(alpha=0.3)
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    return drawn


def released_spheres(table: pd.DataFrame) -> Figure:
    """Draw evaluations forward and backward of the spheres, for each way of training them."""
    drawn = Figure(figsize=(9, 3.6), layout="constrained")
    axes = np.atleast_1d(drawn.subplots(1, table["trained"].nunique(), sharey=True))
    for one, (way, own) in zip(axes, table.groupby("trained", sort=False), strict=True):
        places = np.arange(len(own))
        one.bar(places - 0.2, own["forward"], 0.4, label="forward")
        one.bar(places + 0.2, own["backward"], 0.4, label="backward")
        one.set_xticks(places, own["model"])
        one.set(title=way)
    axes[0].set_ylabel("NFE of a step")
    axes[-1].legend()
    return drawn


def released(table: pd.DataFrame) -> Figure:
    """Draw the test loss of the walks, for each way of training them."""
    labels = table["model"] + ", " + table["trained"]
    return _ranges(table.assign(model=labels), ("low", "test_loss", "high"), "test loss")


def released_vibration(table: pd.DataFrame) -> Figure:
    """Draw the errors of the forecasts of plane vibration."""
    return _ranges(table, ("low", "test_loss", "high"), "mean squared error of eight rows ahead")


def released_mnist(table: pd.DataFrame) -> Figure:
    """Draw the accuracy on the digits, for each way of training them."""
    labels = table["model"] + ", " + table["trained"]
    return _ranges(table.assign(model=labels), ("low", "accuracy", "high"), "accuracy")


def _ranges(table: pd.DataFrame, columns: tuple[str, str, str], label: str) -> Figure:
    finite = table.replace([np.inf, -np.inf], np.nan)
    low, middle, high = (finite[name].to_numpy(float) for name in columns)
    places = np.arange(len(table))[::-1]
    drawn = Figure(figsize=(7, 0.8 + 0.32 * len(table)), layout="constrained")
    axes = drawn.subplots()
    axes.errorbar(middle, places, xerr=[middle - low, high - middle], fmt="o", capsize=3)
    axes.set_yticks(places, table["model"])
    axes.set(xlabel=label)
    axes.grid(alpha=0.3, axis="x")
    return drawn


ANALYSES: dict[str, Callable[[pd.DataFrame], Figure]] = {
    "conventions": conventions,
    "overshoot": overshoot,
    "spectrum": spectrum,
    "features": features,
    "rates": rates,
    "released_spheres": released_spheres,
    "released": released,
    "released_vibration": released_vibration,
    "released_mnist": released_mnist,
}
"""The figure of each analysis."""
