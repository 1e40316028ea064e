"""Set the learned parameters, the constants and the operators of equations.

A learned parameter gamma is ``transform(raw_gamma)``, and raw_gamma an ``nn.Parameter``: so gamma
stays in its range while raw_gamma is trained. These functions also serve nodes written by hand.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable
from difflib import get_close_matches
from inspect import signature
from numbers import Real
from typing import NamedTuple, TypeAlias, TypeGuard

import torch
from torch import Tensor, nn
from torch.nn import functional

from .aliases import Operator
from .lending import Transform

Value: TypeAlias = float | Tensor | None
"""A value that learning begins from, an ``nn.Parameter`` that is the value, or None: the spec's."""

Learn: TypeAlias = bool | str | Collection[str]
"""Whether values are learned, or the names of those that are."""


class _Range(NamedTuple):
    """The open interval of a transform's values, and the inverse on it, in float64."""

    low: float
    high: float
    inverse: Transform

    def __str__(self) -> str:
        return f"({self.low:g}, {self.high:g})"


def _inverse_softplus(x: Tensor) -> Tensor:
    """Return log(exp(x) - 1); PyTorch's softplus is x itself above 20."""
    return torch.where(x > 20, x, x + torch.log(-torch.expm1(-x)))


_REALS = _Range(-math.inf, math.inf, torch.clone)
_RANGES: dict[Transform | None, _Range] = {
    torch.sigmoid: _Range(0.0, 1.0, torch.logit),
    functional.softplus: _Range(0.0, math.inf, _inverse_softplus),
    torch.exp: _Range(0.0, math.inf, torch.log),
}


def set_learned(
    node: nn.Module,
    name: str,
    value: Value,
    transform: Transform | None,
    init: float,
    learn: Learn = True,
    shape: tuple[int | None, ...] = (),
) -> None:
    """Give a node the learned parameter of this name.

    Args:
        value: None to learn raw from ``init`` on; a number or a tensor of the shape to learn raw
            from where the parameter has this value; or an ``nn.Parameter``, which is registered
            under ``name`` and is the value itself, without transform.
        transform: torch.sigmoid, functional.softplus or torch.exp; None for raw itself.
        learn: False, or a collection without the name, makes raw a buffer: the value is fixed.
        shape: (), or (features,) for a value for each feature.

    Raises:
        ValueError: where the value is of another kind or shape, or out of the transform's range.
    """
    learned = _is_learned(node, name, learn)
    if None in shape:
        raise ValueError(f"give features: {name} has a value for each")
    size = tuple(n for n in shape if n is not None)
    if isinstance(value, nn.Parameter):
        _check_parameter(name, value, size, learned)
        node.register_parameter(name, value)
        return
    raw = torch.full(size, init)
    if value is not None:
        raw.copy_(_raw_of(name, value, transform, raw))
    if learned:
        node.register_parameter(f"raw_{name}", nn.Parameter(raw))
    else:
        node.register_buffer(f"raw_{name}", raw)


def set_constant(node: nn.Module, name: str, value: float) -> None:
    """Give a node a constant: a finite number, which no gradient reaches."""
    if not _is_number(value) or not math.isfinite(value):
        raise ValueError(f"{name} must be a finite number, got {_words(value)}")
    setattr(node, name, float(value))


def set_operator(node: nn.Module, name: str, operator: Operator) -> None:
    """Give a node an operator: a function of tensors, or a module, which its equations call.

    Raises TypeError for anything else, as where it was left out of the arguments.
    """
    if not callable(operator) or isinstance(operator, type):
        raise TypeError(
            f"{type(node).__name__}: {name} must be a function of a tensor, or a module, got "
            f"{_words(operator)}"
        )
    setattr(node, name, operator)


def unknown_argument(node: nn.Module, names: Iterable[str]) -> TypeError:
    """Return the error of arguments that a node's class does not take, with the nearest known."""
    kind = type(node)
    known = {
        name
        for base in kind.__mro__
        if "__init__" in vars(base) and base is not nn.Module
        for name in signature(vars(base)["__init__"]).parameters
    }
    name = next(iter(names))
    hint = _hint(name, sorted(known - {"self", "settings", "tolerances", "others", "unknown"}))
    return TypeError(f"{kind.__name__}() got an unexpected keyword argument {name!r}{hint}")


def _is_learned(node: nn.Module, name: str, learn: Learn) -> bool:
    """Return whether a parameter is learned; ValueError where learn names none of the node's."""
    if isinstance(learn, bool):
        return learn
    if not isinstance(learn, Collection):
        raise ValueError(f"learn must be True, False or names, got {learn!r}")
    names = [learn] if isinstance(learn, str) else [*learn]
    known = [str(known) for known in getattr(node, "learned_names", ())]
    for other in names:
        if other not in known:
            raise ValueError(f"learn must name some of {known}, got {other!r}{_hint(other, known)}")
    return name in names


def _check_parameter(name: str, value: Tensor, size: tuple[int, ...], learned: bool) -> None:
    """Refuse an ``nn.Parameter`` of another shape, or that ``learn`` leaves out: ValueError."""
    if not learned:
        raise ValueError(
            f"{name} is an nn.Parameter, which learn does not fix: give its value, or set its "
            "requires_grad"
        )
    if tuple(value.shape) != size or not value.is_floating_point():
        raise ValueError(f"{name} must be floats of shape {size}, got {_words(value)}")


def _raw_of(name: str, value: Value, transform: Transform | None, like: Tensor) -> Tensor:
    """Return raw, for which the parameter has this value in the numbers of a tensor."""
    shape, reach = tuple(like.shape), _RANGES.get(transform, _REALS)
    if isinstance(value, Tensor):
        if value.requires_grad:
            raise ValueError(f"{name} requires a gradient: make it an nn.Parameter")
        fits = value.ndim == 0 or tuple(value.shape) == shape
        if not fits or value.dtype == torch.bool or value.is_complex() or value.is_meta:
            raise ValueError(f"{name} must be real numbers of shape {shape}, got {_words(value)}")
        number = value.to("cpu", torch.float64)
    elif _is_number(value):
        number = torch.tensor(float(value), dtype=torch.float64, device="cpu")
    else:
        kinds = "a number, a tensor or an nn.Parameter"
        raise ValueError(f"{name} must be {kinds}, got {_words(value)}")
    for x in number.flatten().tolist():
        if not reach.low < x < reach.high:
            raise ValueError(f"{name} must lie in {reach}, got {x:g}")
    raw = reach.inverse(number).to(like.dtype)
    for x, kept in zip(number.flatten().tolist(), _transformed(raw, transform)):
        if not reach.low < kept < reach.high:
            raise ValueError(f"{name} = {x:g} is {kept:g} in {like.dtype}: it must lie in {reach}")
    return raw


def _transformed(raw: Tensor, transform: Transform | None) -> list[float]:
    values: list[float] = (raw if transform is None else transform(raw)).flatten().tolist()
    return values


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, Real) and not isinstance(value, bool)


def _words(value: object) -> str:
    if isinstance(value, Tensor):
        return f"{tuple(value.shape)}, {value.dtype}"
    return repr(value) if isinstance(value, (Real, complex, str)) else type(value).__name__


def _hint(name: object, known: Iterable[str]) -> str:
    close = get_close_matches(str(name), known, 1)
    return f": did you mean {close[0]!r}?" if close else ""
