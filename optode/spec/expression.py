"""Translate expressions to SymPy by an allow-list walk over Python's syntax tree.

No text is evaluated: every node is looked up in a scope or refused, with a caret under it.
"""

from __future__ import annotations

import ast
import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

import sympy as sp

from optode.diagnostics import Located, Reporter, Span, did_you_mean, quoted
from optode.language.elementwise import by_formula
from optode.language.functions import IN_SPECS
from optode.language.matrices import matmul, transposed
from optode.language.numbers import MAX_BITS, bits_of, has_floats, is_real
from optode.language.symbols import COUNTER, At
from optode.language.text import MAX_INTEGER
from optode.spec.conditions import is_condition, read_condition
from optode.spec.tokens import check_tokens

Function: TypeAlias = tuple[Callable[..., sp.Expr], "int | tuple[int, ...] | None"]
"""What a name calls, and how many arguments it takes; None: any number from 1."""

LARGEST_DECIMAL = 1e300
MAX_EXPONENT = 64
MAX_OFFSET = 16

FUNCTIONS: Mapping[str, Function] = {
    name: (record.make, record.arguments if len(record.arguments) > 1 else record.arguments[0])
    for name, record in IN_SPECS.items()
}

_DOMAINS = {
    "nonnegative": "numbers from 0 on",
    "positive": "numbers above 0",
    "above -1": "numbers above -1",
}

_OPERATORS: Mapping[type[ast.operator], Callable[[sp.Expr, sp.Expr], sp.Expr]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Pow: operator.pow,
    ast.MatMult: matmul,
}


@dataclass(frozen=True, slots=True)
class Scope:
    """The meaning of the names in an expression.

    ``symbols``: plain names. ``indexed``: sequences; ``z`` and ``z[k]`` are the symbol, ``z[k+j]``
    is ``At(z, j)``. ``functions``: what can be called; one that raises ValueError has its message
    reported at the call. ``counter``: what k is, or None where there is no iteration. ``shifted``:
    the sequences whose index k is the end of the step, so that ``z[k-1]`` is the symbol.
    """

    symbols: Mapping[str, sp.Expr]
    indexed: Mapping[str, sp.Symbol]
    functions: Mapping[str, Function]
    counter: sp.Expr | None
    shifted: frozenset[str] = frozenset()

    def names(self) -> tuple[str, ...]:
        """Return every name that means something here."""
        return (*self.indexed, *self.symbols, *self.functions, *(["k"] if self.counter else []))


def parse_expression(located: Located, scope: Scope, reporter: Reporter) -> sp.Expr | None:
    """Return the expression a text denotes, or None once its errors (all of them) have been reported.

    Decimal numbers become exact rationals: 0.9 is 9/10.
    """
    if not check_tokens(located, reporter):
        return None
    flat = re.sub(r"\s", " ", located.text)
    try:
        tree = ast.parse(f"({flat})", mode="eval")
    except SyntaxError:  # an integer like 007: all else has been found in the tokens
        reporter.error("E201", f"{quoted(flat)} is not an expression", located.span)
        return None
    return _Walk(located, flat, scope, reporter).value(tree.body)


class _Walk:
    """One expression's translation; a method returns None for a part with an error in it."""

    def __init__(self, located: Located, flat: str, scope: Scope, reporter: Reporter) -> None:
        self._located = located
        self._encoded = f"({flat})".encode()
        self._scope = scope
        self._reporter = reporter

    def value(self, node: ast.expr) -> sp.Expr | None:
        match node:
            case ast.Constant(value=int(number)):
                return self._integer(number, node)
            case ast.Constant(value=float(number)):
                return self._decimal(number, node)
            case ast.Name():
                return self._name(node)
            case ast.UnaryOp(op=ast.UAdd() | ast.USub() as sign, operand=operand):
                value = self.value(operand)
                return -value if value is not None and isinstance(sign, ast.USub) else value
            case ast.BinOp() if type(node.op) in _OPERATORS:
                return self._binary(node)
            case ast.BinOp(op=ast.Mod()):
                hint = "like `where(k % 5 == 0, a, b)`"
                return self._refuse("E214", "a remainder stands in a condition only", node, hint)
            case ast.Attribute(attr="T", value=inner):
                matrix = self.value(inner)
                return None if matrix is None else transposed(matrix)
            case ast.Call(func=ast.Name() as name, keywords=[]):
                return self._call(node, name)
            case ast.Subscript(value=ast.Name() as name):
                return self._element(node, name)
        if is_condition(node):
            hint = "`where(u > 0, 1, 0)` is 1 where it holds, else 0"
            return self._refuse("E212", "a condition stands in `where` only", node, hint)
        return self._refuse("E202", "this cannot stand in an expression", node)

    def _span(self, node: ast.expr) -> Span:
        """Convert byte offsets in the bracketed text to characters of the author's text."""
        start, end = node.col_offset, node.end_col_offset or node.col_offset
        i, j = (len(self._encoded[:offset].decode()) - 1 for offset in (start, end))
        return self._located.at(i, j)

    def _refuse(
        self, code: str, message: str, node: ast.expr, hint: str | None = None
    ) -> sp.Expr | None:
        self._reporter.error(code, message, self._span(node), hint)
        return None

    def _text(self, node: ast.expr) -> str:
        return self._encoded[node.col_offset : node.end_col_offset].decode()

    def _integer(self, number: int, node: ast.Constant) -> sp.Expr | None:
        if number <= MAX_INTEGER:
            return sp.Integer(number)
        digits = str(number)
        hint = f"as a decimal number: `{digits[0]}.{digits[1]}e+{len(digits) - 1}`"
        return self._refuse("E207", f"an integer is at most {MAX_INTEGER:.0e}", node, hint)

    def _decimal(self, number: float, node: ast.Constant) -> sp.Expr | None:
        """Return the shortest decimal that is this float, as an exact rational."""
        underflow = number == 0 and re.match(r"[0._]*[1-9]", self._text(node))
        in_range = 1 / LARGEST_DECIMAL <= number <= LARGEST_DECIMAL
        if underflow or not (number == 0 or in_range):
            message = f"a number lies between {1 / LARGEST_DECIMAL} and {LARGEST_DECIMAL}"
            return self._refuse("E207", message, node)
        return sp.Rational(repr(number))

    def _name(self, node: ast.Name) -> sp.Expr | None:
        scope = self._scope
        if node.id in scope.shifted:
            hint = f"`{node.id}[k-1]` is its value before the step, `{node.id}[k]` the new one"
            return self._refuse("E211", f"{quoted(node.id)} needs an index here", node, hint)
        if node.id in scope.indexed:
            return scope.indexed[node.id]
        if node.id in scope.symbols:
            return scope.symbols[node.id]
        if node.id == "k" and scope.counter is not None:
            return scope.counter
        if node.id in scope.functions:
            message = f"{quoted(node.id)} is a function"
            return self._refuse("E204", message, node, f"write `{node.id}(...)`")
        return self._unknown(node)

    def _unknown(self, name: ast.Name) -> sp.Expr | None:
        if name.id == "k":
            return self._refuse("E203", "there is no iteration counter `k` here", name)
        hint = did_you_mean(name.id, self._scope.names())
        return self._refuse("E203", f"unknown name {quoted(name.id)}", name, hint)

    def _binary(self, node: ast.BinOp) -> sp.Expr | None:
        left, right = self.value(node.left), self.value(node.right)
        if left is None or right is None:
            return None
        if isinstance(node.op, ast.Div) and right.is_zero:
            return self._refuse("E209", "division by zero", node.right)
        if isinstance(node.op, ast.Pow) and not self._power_is_modest(left, right, node):
            return None
        return self._checked(_OPERATORS[type(node.op)](left, right), node)

    def _power_is_modest(self, base: sp.Expr, exponent: sp.Expr, node: ast.BinOp) -> bool:
        """Refuse powers that SymPy would multiply out into enormous numbers."""
        if base.is_zero and exponent.is_negative:
            self._refuse("E209", "division by zero", node)
        elif exponent.is_comparable and not abs(exponent) <= MAX_EXPONENT:
            message = f"a number in an exponent is at most {MAX_EXPONENT} in size"
            self._refuse("E206", message, node.right)
        elif base.is_nonpositive and exponent.free_symbols - {COUNTER}:
            hint = "the base is no positive number"
            self._refuse("E209", "this has no real value for every exponent", node, hint)
        elif base.is_Rational and exponent.is_Rational and bits_of(base) * abs(exponent) > MAX_BITS:
            self._refuse("E207", "this number has too many digits", node)
        else:
            return True
        return False

    def _call(self, node: ast.Call, name: ast.Name) -> sp.Expr | None:
        arguments = [self._argument(name.id, i, each) for i, each in enumerate(node.args)]
        if name.id not in self._scope.functions:
            return self._not_callable(name)
        function, count = self._scope.functions[name.id]
        counts = (count,) if isinstance(count, int) else count
        if not arguments or (counts is not None and len(arguments) not in counts):
            expected = " or ".join(map(str, counts)) if counts else "at least 1"
            plural = "" if expected in ("1", "at least 1") else "s"
            message = f"{quoted(name.id)} takes {expected} argument{plural}, not {len(arguments)}"
            over = {"max": "maximum", "min": "minimum"}.get(name.id)
            is_meant = over is not None and len(arguments) == 1
            hint = f"`{over}(...)` is taken over the values of each sample" if is_meant else None
            return self._refuse("E205", message, node, hint)
        values = [value for value in arguments if value is not None]
        if len(values) < len(arguments):
            return None
        try:
            return self._checked(function(*values), node, _domain_of(name.id))
        except ValueError as error:
            return self._refuse("E205", str(error), node)

    def _argument(self, function: str, index: int, node: ast.expr) -> sp.Expr | None:
        """Read an argument: the first of `where` is a condition, the second of `norm` may be inf."""
        if (function, index) == ("where", 0):
            return read_condition(node, self.value, self._refuse)
        if (function, index) == ("norm", 1) and isinstance(node, ast.Name) and node.id == "inf":
            return sp.oo
        return self.value(node)

    def _not_callable(self, name: ast.Name) -> sp.Expr | None:
        if name.id in (*self._scope.symbols, *self._scope.indexed, "k"):
            product = f"a product is written out: `{name.id}*(...)`"
            product = "rename the quantity, which hides the loss" if name.id == "loss" else product
            return self._refuse("E204", f"{quoted(name.id)} is not a function", name, product)
        hint = did_you_mean(name.id, self._scope.functions)
        hint = hint or f"functions: {', '.join(self._scope.functions)}"
        return self._refuse("E204", f"unknown function {quoted(name.id)}", name, hint)

    def _element(self, node: ast.Subscript, name: ast.Name) -> sp.Expr | None:
        if name.id not in self._scope.indexed:
            if name.id not in self._scope.names():
                return self._unknown(name)
            return self._refuse("E211", f"{quoted(name.id)} takes no index", node)
        if self._scope.counter is None:
            return self._refuse("E211", "there is no iteration counter here", node, f"`{name.id}`")
        symbol = self._scope.indexed[name.id]
        offset = _offset(node.slice)
        if offset is None or abs(offset) > MAX_OFFSET:
            hint = f"like `{name.id}[k]`, `{name.id}[k+1]`, `{name.id}[k-1]`"
            message = f"an index is `k` plus or minus a whole number up to {MAX_OFFSET}"
            return self._refuse("E211", message, node.slice, hint)
        hint = "one step makes the values at k+1 from those at k and before"
        if name.id in self._scope.shifted:
            offset += 1
            hint = f"as states are assigned at k, `{name.id}[k]` is the new value"
        if offset > 1:
            return self._refuse("E305", f"`{self._text(node)}` lies beyond the step", node, hint)
        return At(symbol, sp.Integer(offset)) if offset else symbol

    def _checked(self, value: sp.Expr, node: ast.expr, hint: str | None = None) -> sp.Expr | None:
        """Return the value, unless its constants are complex, infinite or outside the range of floats."""
        if not is_real(value):
            return self._refuse("E209", "this has no real value", node, hint)
        for factor in sp.Mul.make_args(value):
            if factor.is_Pow and factor.exp.is_comparable and not abs(factor.exp) <= MAX_EXPONENT:
                message = f"this is a power of more than {MAX_EXPONENT}"
                return self._refuse("E206", message, node)
        number = by_formula(value).evalf(15) if value.is_number else value
        if number.has(sp.I) or not is_real(number):
            return self._refuse("E209", "this has no real value", node, hint)
        if not (has_floats(number) and has_floats(value)):
            return self._refuse("E207", "this number is outside the range of floats", node)
        return value


def _domain_of(name: str) -> str | None:
    """What a function takes, where that is not every number."""
    record = IN_SPECS.get(name)
    takes = _DOMAINS.get(record.domain) if record else None
    return f"`{name}` takes {takes}" if takes else None


def _offset(index: ast.expr) -> int | None:
    """Return j of the index ``k + j``."""
    match index:
        case ast.Name(id="k"):
            return 0
        case ast.BinOp(left=ast.Name(id="k"), op=ast.Add(), right=ast.Constant(value=int(j))):
            return j
        case ast.BinOp(left=ast.Name(id="k"), op=ast.Sub(), right=ast.Constant(value=int(j))):
            return -j
    return None
