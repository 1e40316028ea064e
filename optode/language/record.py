"""Say what optode knows of a function of the language: the fields of its record."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import sympy as sp

from optode.language.elementwise import Elementwise

Domain: TypeAlias = Literal["real", "nonnegative", "positive", "above -1"]
Smoothness: TypeAlias = Literal["smooth", "kink", "jump", "contact"]
"""What happens at a border. A contact is a jump at which a state comes to rest and stays."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Function:
    """A function with a SymPy class of its own, which gives its derivative.

    In ``torch`` and ``floats``, ``{}`` stands for an argument. ``{positive}`` and ``{nonnegative}``
    are the conditions that it is > 0 or >= 0, and ``{like}`` is a tensor of its dtype.
    """

    kind: type[sp.Function]
    name: str
    """In specs and in text."""
    arguments: tuple[int, ...]
    """The numbers of arguments that a spec may give."""
    domain: Domain
    """Where its value is real."""
    torch: str
    """Its value for tensors."""
    torch_mixed: str | None
    """The same where one bound is a tensor and the other a Python float; None: ``torch``."""
    floats: str | None
    """Its value for Python floats; None: by its formula."""
    latex: str | None
    """Its call, ``{}`` for all arguments; None: as SymPy prints it."""
    arrays: Callable[..., Any] | None
    """``(numpy, *arguments) -> value``, also where a complex step takes the derivative of an array
    of numbers; None: by its formula, or NumPy's and SciPy's own."""
    over_features: bool
    """Whether it mixes the elements of its argument."""
    degree: int | None
    """d where F(a*u) = a**d * F(u) for every a > 0."""
    at_zero: int | None
    """n where F(u) is of the size of u**n as u goes to 0; None: it is no power."""
    at_infinity: int | None
    """n where F(u) is of the size of u**n as u goes to infinity; None: it is no power."""
    smoothness: Smoothness
    """Whether it has a derivative where an argument passes 0, or one of its bounds."""
    stem: str
    """How the name of a local variable begins that holds its value."""

    def __post_init__(self) -> None:
        """Refuse a record that would fail only when it is used."""
        if self.over_features:
            return
        if not self.kind.__module__.startswith("sympy."):
            for needed in ("formula", "fdiff"):
                if not issubclass(self.kind, Elementwise) or needed not in vars(self.kind):
                    raise TypeError(f"{self.name}: its class needs a method {needed}")
        elif self.floats is None:
            raise TypeError(f"{self.name}: without a formula it needs a text for Python floats")
        if not self.arguments or "{" not in self.torch:
            raise TypeError(f"{self.name}: no arguments, or none in its text for tensors")

    @property
    def tells_signs(self) -> bool:
        """Whether its text for tensors holds a condition."""
        return "{like}" in self.torch

    @property
    def make(self) -> Callable[..., sp.Expr]:
        """What a call in a spec becomes."""
        return self.kind


@dataclass(frozen=True, slots=True, kw_only=True)
class Shorthand:
    """A function that is written in terms of others as soon as it is read."""

    name: str
    arguments: tuple[int, ...]
    domain: Domain
    make: Callable[..., sp.Expr]


def elementwise(
    kind: type[sp.Function],
    torch: str,
    *,
    floats: str | None,
    at_zero: int | None,
    at_infinity: int | None,
    name: str = "",
    arguments: tuple[int, ...] = (1,),
    domain: Domain = "real",
    torch_mixed: str | None = None,
    latex: str | None = "",
    arrays: Callable[..., Any] | None = None,
    degree: int | None = None,
    smoothness: Smoothness = "smooth",
    stem: str = "",
) -> Function:
    """Return the record of an elementwise function, smooth and real everywhere unless it says otherwise."""
    name = name or kind.__name__
    return Function(
        kind=kind,
        name=name,
        arguments=arguments,
        domain=domain,
        torch=torch,
        torch_mixed=torch_mixed,
        floats=floats,
        latex=rf"\operatorname{{{name}}}\left({{}}\right)" if latex == "" else latex,
        arrays=arrays,
        over_features=False,
        degree=degree,
        at_zero=at_zero,
        at_infinity=at_infinity,
        smoothness=smoothness,
        stem=stem or name,
    )


def over_features(
    kind: type[sp.Function],
    torch: str,
    stem: str,
    *,
    name: str = "",
    arguments: int = 1,
    smoothness: Smoothness = "smooth",
) -> Function:
    """Return the record of a reduction over the features, homogeneous in each argument; its caller says how."""
    return Function(
        kind=kind,
        name=name or kind.__name__,
        arguments=(arguments,),
        domain="real",
        torch=torch,
        torch_mixed=None,
        floats=None,
        latex=rf"\operatorname{{{name or kind.__name__}}}\left({{}}\right)",
        arrays=None,
        over_features=True,
        degree=1,
        at_zero=1,
        at_infinity=1,
        smoothness=smoothness,
        stem=stem,
    )
