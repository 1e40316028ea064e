"""What optode knows of each function of the language, in one record.

The reader of specs, the printers of text, LaTeX and PyTorch, the sizes and series of a limit, and
the checks by numbers take it from here. To add a function is to write its record, its SymPy class
(``elementwise.py``) unless others make it up, and its name in ``function_names.py``.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import sympy as sp

from optode.language.conditions import remainder, where
from optode.language.elementwise import (
    atan2,
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
    soft_threshold,
    softplus,
    step,
)
from optode.language.function_names import FUNCTION_NAMES
from optode.language.matrix_records import MATRIX_RECORDS
from optode.language.record import Function, Shorthand, Smoothness, elementwise, over_features
from optode.language.symbols import count, dot, highest, lowest, mean, norm, total


def _erf(u: Any) -> Any:
    from scipy.special import erf  # half a second, for those that need it

    return erf(u)


_OF_NUMPY = ((sp.tanh, 1, 0), (sp.cosh, 0, None), (sp.cos, 0, None), (sp.sin, 1, None))


def _of_numpy(kind: type[sp.Function], near: int, far: int | None) -> Function:
    torch, floats = (f"{home}.{kind.__name__}({{}})" for home in ("torch", "math"))
    return elementwise(kind, torch, floats=floats, latex=None, at_zero=near, at_infinity=far)


_RECORDS: tuple[Function | Shorthand, ...] = (
    Shorthand(name="sqrt", arguments=(1,), domain="nonnegative", make=sp.sqrt),
    elementwise(
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
    elementwise(
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
    elementwise(
        sp.exp,
        "torch.exp({})",
        floats="math.exp({})",
        latex=None,
        at_zero=0,
        at_infinity=None,
        stem="exponential",
    ),
    elementwise(
        sp.log,
        "torch.log({})",
        domain="positive",
        floats="math.log({})",
        latex=None,
        at_zero=None,
        at_infinity=None,
        stem="logarithm",
    ),
    *(_of_numpy(*row) for row in _OF_NUMPY),
    elementwise(
        sigmoid,
        "torch.sigmoid({})",
        floats=None,
        arrays=lambda np, u: 1 / (1 + np.exp(-u)),
        at_zero=0,
        at_infinity=0,
    ),
    elementwise(
        softplus,
        "functional.softplus({})",
        floats=None,
        arrays=lambda np, u: (
            np.where(np.real(u) > 0, u, 0) + np.log1p(np.exp(-u * np.sign(np.real(u))))
        ),
        at_zero=0,
        at_infinity=1,
    ),
    elementwise(
        silu,
        "functional.silu({})",
        floats=None,
        arrays=lambda np, u: u / (1 + np.exp(-u)),
        at_zero=1,
        at_infinity=1,
    ),
    elementwise(
        gelu,
        "functional.gelu({})",
        floats=None,
        arrays=lambda np, u: u * (1 + _erf(u / np.sqrt(2))) / 2,
        at_zero=1,
        at_infinity=1,
    ),
    elementwise(
        relu,
        "torch.relu({})",
        floats="max({}, 0.0)",
        arrays=lambda np, u: np.where(np.real(u) > 0, u, 0),
        degree=1,
        at_zero=1,
        at_infinity=1,
        smoothness="kink",
    ),
    elementwise(
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
    Shorthand(name="clip", arguments=(3,), domain="real", make=hardtanh),
    Shorthand(name="soft_threshold", arguments=(2,), domain="real", make=soft_threshold),
    Shorthand(name="norm", arguments=(1, 2), domain="real", make=norm),
    over_features(dot, "dot({}, {})", "product", arguments=2),
    over_features(total, "total({})", "summed"),
    over_features(mean, "mean({})", "mean"),
    over_features(highest, "maximum({})", "highest", name="maximum", smoothness="kink"),
    over_features(lowest, "minimum({})", "lowest", name="minimum", smoothness="kink"),
    Shorthand(name="count", arguments=(1,), domain="real", make=count),
    *MATRIX_RECORDS,
    elementwise(
        where,
        "torch.where({}, {}, {})",
        arguments=(3,),
        floats=None,
        latex=None,
        arrays=lambda np, c, a, b: np.where(np.real(c) > 0.5, a, b),
        at_zero=None,
        at_infinity=None,
        stem="chosen",
    ),
    elementwise(
        remainder,
        "{} % {}",
        arguments=(2,),
        floats="{} % {}",
        latex=None,
        arrays=lambda np, u, n: np.mod(np.real(u), n),
        at_zero=None,
        at_infinity=None,
        smoothness="jump",
    ),
    elementwise(
        atan2,
        "torch.atan2({}, {})",
        arguments=(2,),
        floats="math.atan2({}, {})",
        arrays=lambda np, y, x: (
            np.arctan2(y, x)
            if np.isrealobj(y) and np.isrealobj(x)
            else np.arctan2(y.real, x.real) + 1j * np.imag(y / x) / np.real(1 + (y / x) ** 2)
        ),
        at_zero=1,
        at_infinity=0,
        stem="angle",
    ),
    elementwise(
        expm1,
        "torch.expm1({})",
        floats="math.expm1({})",
        arrays=lambda np, u: np.expm1(u),
        at_zero=1,
        at_infinity=None,
    ),
    elementwise(
        log1p,
        "torch.log1p({})",
        domain="above -1",
        floats="math.log1p({})",
        arrays=lambda np, u: np.log1p(u),
        at_zero=1,
        at_infinity=None,
    ),
    elementwise(
        logsigmoid,
        "functional.logsigmoid({})",
        floats=None,
        arrays=lambda np, u: (
            np.where(np.real(u) < 0, u, 0) - np.log1p(np.exp(-u * np.sign(np.real(u))))
        ),
        at_zero=0,
        at_infinity=None,
    ),
    elementwise(
        sp.erf,
        "torch.erf({})",
        floats="math.erf({})",
        latex=None,
        arrays=lambda np, u: _erf(u),
        at_zero=1,
        at_infinity=0,
    ),
    elementwise(
        step,
        "({positive}).to({like}.dtype)",
        floats="float({} > 0)",
        arrays=lambda np, u: np.where(np.real(u) > 0, 1.0, 0.0),
        degree=0,
        at_zero=0,
        at_infinity=0,
        smoothness="jump",
    ),
    elementwise(
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
    """Return the record of a call of a function; None for anything else."""
    return _BY_KIND.get(type(expression))


def kinds(*smoothness: Smoothness) -> tuple[type[sp.Function], ...]:
    """Return the SymPy classes of the functions that are as smooth as that."""
    return tuple(record.kind for record in FUNCTIONS if record.smoothness in smoothness)


def bends(expression: sp.Expr, *variables: sp.Symbol) -> bool:
    """Return whether a function with a kink or a jump has one of the variables: no slope tells all of it."""
    calls = expression.atoms(*kinds("kink", "jump", "contact"))
    return any(call.has(*variables) for call in calls)


def borders(calls: Iterable[sp.Expr]) -> list[sp.Expr]:
    """What changes its sign where one of these calls has a kink or a jump: u, or u - bound."""
    pairs = ((call.args[0], call.args[1:]) for call in calls)
    return [at for first, bounds in pairs for at in ([first - x for x in bounds] or [first])]


def transformed(raw: sp.Expr, transform: str) -> sp.Expr:
    """Return the value of a parameter that is learned through ``raw``."""
    return raw if transform == "none" else IN_SPECS[transform].make(raw)
