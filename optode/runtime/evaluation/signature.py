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

    A module that is compiled, scripted or wrapped is asked for the module inside. Where nothing is
    known, as of functions of PyTorch, any number is possible; where an argument has to be named,
    none is.
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
    if any(p.kind is p.KEYWORD_ONLY and p.default is p.empty for p in parameters):
        return math.inf, 0
    positional = [p for p in parameters if p.kind in _POSITIONAL]
    needed = sum(p.default is p.empty for p in positional)
    open_ended = any(p.kind is p.VAR_POSITIONAL for p in parameters)
    return needed, math.inf if open_ended else len(positional)


def _inner(field: Any) -> nn.Module | None:
    """Return the module inside a wrapper that hands any arguments on, None for no wrapper.

    ``torch.compile`` keeps it as ``_orig_mod``, parallel and averaged modules as ``module``.
    """
    if not isinstance(field, nn.Module):
        return None
    inner = getattr(field, "_orig_mod", None) or getattr(field, "module", None)
    if not isinstance(inner, nn.Module):
        return None
    kinds = [p.kind for p in inspect.signature(field.forward).parameters.values()]
    return inner if inspect.Parameter.VAR_POSITIONAL in kinds else None


def is_timeless(field: Callable[..., Any]) -> bool:
    """Return whether a field is a function of the state alone, as nn.Sequential is: f(h)."""
    needed, most = arguments_of(field)
    return needed == 1 and most < math.inf


def takes(field: Callable[..., Any], count: int) -> bool:
    """Return whether a field is known to take so many arguments."""
    needed, most = arguments_of(field)
    return needed <= count <= most and (needed, most) != _ANY
