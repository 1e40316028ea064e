"""What optode knows of each function of the language, in one record.

The reader of specs, the printers of text, LaTeX and PyTorch, the sizes and series of a limit, and
the checks by numbers take it from here. To add a function is to write its record, and its SymPy
class (``symbols.py``) unless others make it up, as they do ``max``; a spec may call it once its name
is in ``function_names.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import sympy as sp

from optode.language.function_names import FUNCTION_NAMES
from optode.language.symbols import (
    Elementwise,
    dot,
    expm1,
    gelu,
    hardtanh,
    maximum,
    minimum,
    norm,
    reaches,
    relu,
    sigmoid,
    silu,
    softplus,
    step,
    total,
)

Domain: TypeAlias = Literal["real", "nonnegative", "positive"]
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


def _elementwise(
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
    """The record of an elementwise function, smooth and real everywhere unless it says otherwise."""
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


def _over_features(kind: type[sp.Function], torch: str, count: int, stem: str) -> Function:
    """The record of a sum over the features, linear in each argument; its caller says how."""
    return Function(
        kind=kind,
        name=kind.__name__,
        arguments=(count,),
        domain="real",
        torch=torch,
        torch_mixed=None,
        floats=None,
        latex=None,
        arrays=None,
        over_features=True,
        degree=1,
        at_zero=1,
        at_infinity=1,
        smoothness="smooth",
        stem=stem,
    )


_RECORDS: tuple[Function | Shorthand, ...] = (
    Shorthand(name="sqrt", arguments=(1,), domain="nonnegative", make=sp.sqrt),
    _elementwise(
        sp.Abs,
        "torch.abs({})",
        name="abs",
        floats="abs({})",
        latex=None,
        arrays=lambda np, u: u * np.sign(np.real(u)),
        degree=1,
        at_zero=1,
        at_infinity=1,
        smoothness="kink",
        stem="size",
    ),
    _elementwise(
        sp.sign,
        "torch.sign({})",
        floats="float(({0} > 0) - ({0} < 0))",
        latex=None,
        arrays=lambda np, u: np.sign(np.real(u)),
        degree=0,
        at_zero=0,
        at_infinity=0,
        smoothness="jump",
    ),
    _elementwise(
        sp.exp,
        "torch.exp({})",
        floats="math.exp({})",
        latex=None,
        at_zero=0,
        at_infinity=None,
        stem="exponential",
    ),
    _elementwise(
        sp.log,
        "torch.log({})",
        domain="positive",
        floats="math.log({})",
        latex=None,
        at_zero=None,
        at_infinity=None,
        stem="logarithm",
    ),
    _elementwise(
        sp.tanh, "torch.tanh({})", floats="math.tanh({})", latex=None, at_zero=1, at_infinity=0
    ),
    _elementwise(sigmoid, "torch.sigmoid({})", floats=None, at_zero=0, at_infinity=0),
    _elementwise(
        softplus,
        "functional.softplus({})",
        floats=None,
        arrays=lambda np, u: (
            np.where(np.real(u) > 0, u, 0) + np.log1p(np.exp(-u * np.sign(np.real(u))))
        ),
        at_zero=0,
        at_infinity=1,
    ),
    _elementwise(silu, "functional.silu({})", floats=None, at_zero=1, at_infinity=1),
    _elementwise(gelu, "functional.gelu({})", floats=None, at_zero=1, at_infinity=1),
    _elementwise(
        relu,
        "torch.relu({})",
        floats="max({}, 0.0)",
        arrays=lambda np, u: np.where(np.real(u) > 0, u, 0),
        degree=1,
        at_zero=1,
        at_infinity=1,
        smoothness="kink",
    ),
    _elementwise(
        hardtanh,
        "torch.clamp({}, {}, {})",
        arguments=(1, 3),
        torch_mixed="torch.clamp(torch.clamp({}, min={}), max={})",
        floats="min(max({}, {}), {})",
        arrays=lambda np, u, low, high: np.where(
            np.real(u) < low, low, np.where(np.real(u) > high, high, u)
        ),
        at_zero=1,
        at_infinity=0,
        smoothness="kink",
    ),
    Shorthand(name="max", arguments=(2,), domain="real", make=maximum),
    Shorthand(name="min", arguments=(2,), domain="real", make=minimum),
    Shorthand(name="norm", arguments=(1,), domain="real", make=norm),
    _over_features(dot, "dot({}, {})", 2, "product"),
    _over_features(total, "total({})", 1, "summed"),
    _elementwise(
        expm1,
        "torch.expm1({})",
        floats="math.expm1({})",
        arrays=lambda np, u: np.expm1(u),
        at_zero=1,
        at_infinity=None,
    ),
    _elementwise(
        sp.erf,
        "torch.erf({})",
        floats="math.erf({})",
        latex=None,
        at_zero=1,
        at_infinity=0,
    ),
    _elementwise(
        step,
        "({positive}).to({like}.dtype)",
        floats="float({} > 0)",
        arrays=lambda np, u: np.where(np.real(u) > 0, 1.0, 0.0),
        degree=0,
        at_zero=0,
        at_infinity=0,
        smoothness="jump",
    ),
    _elementwise(
        reaches,
        "({nonnegative}).to({like}.dtype)",
        floats="float({} >= 0)",
        latex=None,
        # round-off must not lift a state off the floor that it follows
        arrays=lambda np, u: np.where(np.real(u) > -1e-9, 1.0, 0.0),
        degree=0,
        at_zero=0,
        at_infinity=0,
        smoothness="contact",
    ),
)

FUNCTIONS = tuple(record for record in _RECORDS if isinstance(record, Function))
"""The functions that expressions are made of."""

_BY_NAME = {record.name: record for record in _RECORDS}

IN_SPECS = {name: _BY_NAME[name] for name in FUNCTION_NAMES}
"""What a spec may call, by name; the other functions only come up in derivations."""

_BY_KIND = {record.kind: record for record in FUNCTIONS}


def function_of(expression: sp.Expr) -> Function | None:
    """The record of a call of a function; None for anything else."""
    return _BY_KIND.get(type(expression))


def kinds(*smoothness: Smoothness) -> tuple[type[sp.Function], ...]:
    """The SymPy classes of the functions that are as smooth as that."""
    return tuple(record.kind for record in FUNCTIONS if record.smoothness in smoothness)


def borders(calls: Iterable[sp.Expr]) -> list[sp.Expr]:
    """What changes its sign where one of these calls has a kink or a jump: u, or u - bound."""
    found: list[sp.Expr] = []
    for call in calls:
        first, *bounds = call.args
        found += [first - bound for bound in bounds] or [first]
    return found


def transformed(raw: sp.Expr, transform: str) -> sp.Expr:
    """The value of a parameter that is learned through ``raw``."""
    return raw if transform == "none" else IN_SPECS[transform].make(raw)


def by_formula(expression: sp.Expr) -> sp.Expr:
    """The expression with the language's own functions in terms of SymPy's."""
    return expression.replace(
        lambda node: isinstance(node, Elementwise), lambda node: node.formula(*node.args)
    )
