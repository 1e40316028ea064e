"""Look at the values of learned parameters in a solve, and say what they are in its errors."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

EXTREME = 1e8
"""A learned value above this, or below its inverse, is named as the cause of a stiff solve."""


def check_learned(node: nn.Module, values: Sequence[Tensor]) -> None:
    """Refuse learned values that are not finite, or where the equations have no finite derivative.

    To be called once for each solve, with the values of ``learned_names`` in this order. On the CPU
    it costs about a microsecond for each value. On other devices only those values are waited for
    that have an entry in the node's ``singular_values``. Traced and batched values pass.

    Raises:
        ValueError: with the name and both values: "raw_mu = -1000 makes mu = 0, ...".
    """
    if torch.compiler.is_compiling():
        return
    names: Sequence[str] = getattr(node, "learned_names", ())
    singular: Sequence[tuple[str, float]] = getattr(node, "singular_values", ())
    for name, value in zip(names, values):
        poles = [pole for known, pole in singular if known == name] if singular else []
        if not poles and not value.is_cpu:
            continue
        near = min(torch.finfo(value.dtype).tiny ** 0.5, 1e-12) if poles else 0.0
        for i, x in enumerate(_numbers(value)):
            if not math.isfinite(x) or (poles and min(abs(x - pole) for pole in poles) < near):
                raise ValueError(_refusal(node, name, i, x))


def extreme_text(node: nn.Module) -> str:
    """Return the first learned value beyond ``EXTREME`` or below its inverse, "" if there is none.

    In the words of an error: "raw_c = -30 makes c = 9.35762e-14".
    """
    for name in getattr(node, "learned_names", ()):
        for i, x in enumerate(_numbers(getattr(node, name).detach())):
            if x and not 1 / EXTREME <= abs(x) <= EXTREME:
                return _made(node, name, i, x)
    return ""


def learned_text(node: nn.Module) -> str:
    """Return the learned values in words for an error: "gamma = 0.5 (raw_gamma = 0)"."""
    shown = []
    for name in getattr(node, "learned_names", ()):
        raw, given = getattr(node, f"raw_{name}", None), _span(getattr(node, name))
        shown.append(f"{name} = {given}" + ("" if raw is None else f" (raw_{name} = {_span(raw)})"))
    return ", ".join(shown)


def _span(value: Tensor) -> str:
    """Return the number, or the smallest and the largest of several."""
    numbers = _numbers(value.detach()) or [math.nan]
    low, high = min(numbers), max(numbers)
    return f"{low:g}" if low == high or len(numbers) == 1 else f"{low:g} to {high:g}"


def _numbers(value: Tensor) -> list[float]:
    """Return the elements as numbers, none where they are traced or batched."""
    try:
        return [value.item()] if value.ndim == 0 else value.flatten().tolist()
    except RuntimeError:
        return []


def _refusal(node: nn.Module, name: str, i: int, x: float) -> str:
    """Say which raw value makes a value what it is, and what is wrong with it."""
    made = _made(node, name, i, x)
    if not math.isfinite(x):
        return f"{made}: it must be finite"
    return f"{made}, where the equations have no finite derivative"


def _made(node: nn.Module, name: str, i: int, x: float) -> str:
    raw = getattr(node, f"raw_{name}", None)
    value = f"{name} = {x:g}"
    return value if raw is None else f"raw_{name} = {_numbers(raw)[i]:g} makes {value}"
