"""What optode knows of each function of the language, in one record.

The reader of specs, the printers of text, LaTeX and PyTorch, the sizes and series of a limit, and
the checks by numbers take it from here. To add a function is to write its record, and its SymPy
class (``elementwise.py``) unless others make it up, as they do ``max``; a spec may call it once its name
is in ``function_names.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import sympy as sp

from optode.language.elementwise import (
    Elementwise,
    expm1,
    gelu,
    hardtanh,
    log1p,
    logsigmoid,
    maximum,
    minimum,
    reaches,
    relu,
    sigmoid,
    silu,
    softplus,
    step,
)
from optode.language.function_names import FUNCTION_NAMES
from optode.language.record import Domain, Function, Shorthand, Smoothness
from optode.language.symbols import dot, norm, total


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


def _erf(u: Any) -> Any:
    from scipy.special import erf  # half a second, for those that need it

    return erf(u)


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
    _elementwise(
        sigmoid,
        "torch.sigmoid({})",
        floats=None,
        arrays=lambda np, u: 1 / (1 + np.exp(-u)),
        at_zero=0,
        at_infinity=0,
    ),
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
    _elementwise(
        silu,
        "functional.silu({})",
        floats=None,
        arrays=lambda np, u: u / (1 + np.exp(-u)),
        at_zero=1,
        at_infinity=1,
    ),
    _elementwise(
        gelu,
        "functional.gelu({})",
        floats=None,
        arrays=lambda np, u: u * (1 + _erf(u / np.sqrt(2))) / 2,
        at_zero=1,
        at_infinity=1,
    ),
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
        stem="clipped",
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
        log1p,
        "torch.log1p({})",
        domain="positive",
        floats="math.log1p({})",
        arrays=lambda np, u: np.log1p(u),
        at_zero=1,
        at_infinity=None,
    ),
    _elementwise(
        logsigmoid,
        "functional.logsigmoid({})",
        floats=None,
        arrays=lambda np, u: (
            np.where(np.real(u) < 0, u, 0) - np.log1p(np.exp(-u * np.sign(np.real(u))))
        ),
        at_zero=0,
        at_infinity=None,
    ),
    _elementwise(
        sp.cosh, "torch.cosh({})", floats="math.cosh({})", latex=None, at_zero=0, at_infinity=None
    ),
    _elementwise(
        sp.erf,
        "torch.erf({})",
        floats="math.erf({})",
        latex=None,
        arrays=lambda np, u: _erf(u),
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


def bends(expression: sp.Expr, *variables: sp.Symbol) -> bool:
    """Whether a function with a kink or a jump has one of the variables: no slope tells all of it."""
    calls = expression.atoms(*kinds("kink", "jump", "contact"))
    return any(call.has(*variables) for call in calls)


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
