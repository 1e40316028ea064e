"""Find out with how many arguments a field can be called."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
_ANY = (0.0, math.inf)


def arguments_of(field: Any) -> tuple[float, float]:
    """Return how many positional arguments a field needs, and how many it can take.

    Modules that are compiled, scripted or wrapped count as what is inside them. Where nothing is
    known, as of functions of PyTorch, any number is possible.
    """
    while (inner := _inner(field)) is not None:
        field = inner
    if isinstance(field, torch.jit.ScriptModule | torch.jit.ScriptFunction):
        function: Any = field.forward if isinstance(field, torch.jit.ScriptModule) else field
        arguments = [x for x in function.schema.arguments if x.name != "self"]
        return sum(not x.has_default_value() for x in arguments), len(arguments)
    call = field.forward if isinstance(field, nn.Module) else field
    try:
        parameters = [*inspect.signature(call).parameters.values()]
    except (TypeError, ValueError):
        return _ANY
    positional = [p for p in parameters if p.kind in _POSITIONAL]
    needed = sum(p.default is p.empty for p in positional)
    open_ended = any(p.kind is p.VAR_POSITIONAL for p in parameters)
    return needed, math.inf if open_ended else len(positional)


def _inner(field: Any) -> Callable[..., Any] | None:
    """Return what a compiled or parallel module wraps, None where it wraps nothing."""
    if isinstance(field, nn.Module):
        for name in ("_orig_mod", "module"):
            inner = getattr(field, name, None)
            parallel = isinstance(field, nn.DataParallel | nn.parallel.DistributedDataParallel)
            if isinstance(inner, nn.Module) and (name == "_orig_mod" or parallel):
                return inner
    return None


def is_timeless(field: Callable[..., Any]) -> bool:
    """Return whether a field is a function of the state alone, as nn.Sequential is: f(h)."""
    needed, most = arguments_of(field)
    return needed == 1 and most < math.inf


def takes(field: Callable[..., Any], count: int) -> bool:
    """Return whether a field can be called with so many arguments."""
    needed, most = arguments_of(field)
    return needed <= count <= most
