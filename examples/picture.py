"""The demo's picture: loss curves, and beside them what the trained models say."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from tasks import RATE, STRIDE, Examples, Task
from training import Result, evaluate

COLOURS = ("tab:blue", "tab:orange", "tab:green")
CHANNEL = 1


def draw(task: Task, results: Sequence[Result], path: Path) -> None:
    """Write the picture as PNG: losses, then the forecasts or one map of the plane for each model."""
    if task.strip:
        figure = Figure(figsize=(13, 4.4), layout="constrained")
        losses, forecast = figure.subplots(1, 2, width_ratios=(1, 2))
        _draw_forecast(forecast, task, results)
    else:
        figure = Figure(figsize=(4.6 * (1 + len(results)), 4.4), layout="constrained")
        losses, *maps = figure.subplots(1, 1 + len(results))
        for axes, result in zip(maps, results, strict=True):
            _draw_map(axes, task, result)
    _draw_losses(losses, task, results)
    figure.savefig(path, dpi=120)


def _draw_losses(axes: Axes, task: Task, results: Sequence[Result]) -> None:
    for result, colour in zip(results, COLOURS, strict=False):
        epochs = range(1, len(result.test_curve) + 1)
        axes.plot(epochs, result.test_curve, color=colour, label=f"{result.name}, test")
        axes.plot(epochs, result.train_curve, ":", color=colour, label=f"{result.name}, training")
    for (name, loss), style in zip(task.baselines, ("--", "-.", ":"), strict=False):
        axes.axhline(loss, color="grey", linestyle=style, linewidth=1, label=name)
    axes.set(yscale="log", xlabel="epoch", ylabel="mean squared error", title=task.name)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8, loc="upper right", bbox_to_anchor=(1.0, 0.8))


def _draw_forecast(axes: Axes, task: Task, results: Sequence[Result]) -> None:
    """Forecasts laid end to end; each starts afresh from the measurements before it."""
    index = torch.tensor(task.strip)
    measured = task.test.targets[index]
    step = 1000 * STRIDE / RATE
    milliseconds = step * torch.arange(1, measured.shape[0] * measured.shape[1] + 1)
    axes.plot(milliseconds, measured[..., CHANNEL].flatten(), color="black", label="measured")
    for result, colour in zip(results, COLOURS, strict=False):
        forecast = result.prediction[index, :, CHANNEL].flatten()
        axes.plot(milliseconds, forecast, "--", color=colour, label=result.name)
    for start in range(len(index)):
        axes.axvline(start * measured.shape[1] * step, color="grey", linewidth=0.6, alpha=0.6)
    axes.set(
        xlabel="time (ms)",
        ylabel=f"acceleration {CHANNEL + 1} (standard deviations)",
        title="held-out block; a new forecast starts at each vertical line",
    )
    axes.margins(x=0)
    axes.legend(fontsize=8, loc="upper right")


def _draw_map(axes: Axes, task: Task, result: Result) -> None:
    """The output over the plane, its zero line, and the test points on top."""
    line = torch.linspace(-1.7, 1.7, 81)
    x, y = torch.meshgrid(line, line, indexing="xy")
    points = torch.stack((x.flatten(), y.flatten()), 1)
    nothing = torch.zeros(len(points), 0)
    grid = Examples(points, nothing, torch.zeros(len(points), 1, 1))
    output = evaluate(result.network, grid)[0].reshape(x.shape)
    colours = axes.contourf(
        x, y, output, levels=torch.linspace(-1.5, 1.5, 13), cmap="coolwarm", extend="both"
    )
    axes.contour(x, y, output, levels=[0.0], colors="black", linewidths=1.2)
    labels = task.test.targets[:, 0, 0]
    for label, marker in ((-1.0, "o"), (1.0, "^")):
        x0, x1 = task.test.inputs[labels == label].T
        axes.scatter(
            x0, x1, s=9, marker=marker, color="black", alpha=0.6, label=f"label {label:+.0f}"
        )
    axes.set(xlabel="x", ylabel="y", title=f"{result.name}: output, zero line", aspect="equal")
    axes.legend(fontsize=8, loc="upper right")
    axes.figure.colorbar(colours, ax=axes, shrink=0.8)
