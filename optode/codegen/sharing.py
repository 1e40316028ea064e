"""Give a name to what one method computes more than once: roots and functions, and their sums.

``sqrt(v) + eps`` in a vector field and three times in its pullback becomes ``root_v`` and
``divisor``, computed once. What the forward statements need is named among them, what only the
pullback needs within it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial
from typing import TypeAlias

import sympy as sp

from optode.language.conditions import value_nodes
from optode.language.functions import function_of
from optode.language.program import Assign, Statement, Total, defines, uses
from optode.language.symbols import TIME, dot, symbol

Block: TypeAlias = tuple[Statement, ...]

_HALF = sp.Rational(1, 2)


def share(
    forward: Sequence[Statement],
    backward: Sequence[Statement],
    outputs: Iterable[sp.Symbol],
    reserved: Iterable[str],
) -> tuple[Block, Block]:
    """Return the forward and the backward statements with names for what occurs twice in them.

    New names are none of the reserved ones; what an output is keeps a name of its own.
    """
    blocks, outputs = (tuple(forward), tuple(backward)), set(outputs)
    taken = {n.name for block in blocks for s in block for n in (*uses(s), *defines(s))}
    taken.update(reserved)
    made: set[sp.Symbol] = set()
    for candidates in (_functions, partial(_sums, made)):
        while repeated := _repeated(blocks, candidates):
            value = min(repeated, key=lambda e: (sp.count_ops(e), sp.default_sort_key(e)))
            name = _known(value, blocks, outputs)
            blocks = _with_name(blocks, name or symbol(_name(value, blocks, taken)), value)
            made |= {
                name for block in blocks for s in block if _is(s, value) for name in defines(s)
            }
            taken |= {name.name for name in made}
    return blocks


def _is(statement: Statement, value: sp.Expr) -> bool:
    """Return whether a statement assigns this value."""
    return isinstance(statement, Assign) and bool(statement.value == value)


def _known(
    value: sp.Expr, blocks: tuple[Block, Block], outputs: set[sp.Symbol]
) -> sp.Symbol | None:
    """Return the name that the first statement with the value in it gives to it, if that is no output."""
    for statement in (*blocks[0], *blocks[1]):
        if isinstance(statement, (Assign, Total)) and _in_names(value, statement.value):
            return (
                None if not _is(statement, value) or statement.name in outputs else statement.name
            )
    return None


def _in_names(value: sp.Expr, expression: sp.Expr) -> bool:
    return bool(expression.xreplace(_meanings(sp.Dummy(), value)) != expression)


def _repeated(
    blocks: tuple[Block, Block], candidates: Callable[[sp.Expr], Iterable[sp.Expr]]
) -> list[sp.Expr]:
    """Return the candidates that occur more than once, apart from the statement that names them."""
    found: Counter[sp.Expr] = Counter()
    for statement in (*blocks[0], *blocks[1]):
        if isinstance(statement, (Assign, Total)):
            found.update(candidates(statement.value))
    return [e for e, times in found.items() if times > 1]


def _functions(value: sp.Expr) -> Iterable[sp.Expr]:
    """Yield each occurrence of a root or a function; 1/sqrt(v) is one of sqrt(v)."""
    for node in value_nodes(value):
        if isinstance(node, sp.Pow) and abs(node.exp) == _HALF and not node.base.is_number:
            yield sp.sqrt(node.base)
        elif function_of(node) and not isinstance(node, dot):
            yield node


def _sums(made: set[sp.Symbol], value: sp.Expr) -> Iterable[sp.Expr]:
    """Yield each occurrence of a sum with the name of a root, a function or another sum in it."""
    for node in value_nodes(value):
        if isinstance(node, sp.Add) and made & node.free_symbols:
            yield node


def _name(value: sp.Expr, blocks: tuple[Block, Block], taken: set[str]) -> str:
    """Return ``root_v`` for a function of one symbol, else the function's name, and a number."""
    if isinstance(value, sp.Add):
        stem = "divisor" if _divides(value, blocks) else "offset"
    else:
        record = function_of(value)
        stem = record.stem if record else "root"
        arguments = [s for s in value.free_symbols if s not in (TIME, symbol("length"))]
        stem += f"_{arguments[0]}" if len(arguments) == 1 else ""
    names = (stem, *(f"{stem}{i}" for i in range(2, 100)))
    return next(name for name in names if name not in taken)


def _divides(value: sp.Expr, blocks: tuple[Block, Block]) -> bool:
    """Return whether a sum only occurs in denominators."""
    below = sp.Symbol("below")
    for statement in (*blocks[0], *blocks[1]):
        if isinstance(statement, (Assign, Total)) and statement.value.has(value):
            rest = statement.value.replace(
                lambda e: isinstance(e, sp.Pow) and e.base == value and e.exp.is_negative,
                lambda e: below,
            )
            if rest.has(value):
                return False
    return True


def _with_name(blocks: tuple[Block, Block], name: sp.Symbol, value: sp.Expr) -> tuple[Block, Block]:
    """Return the statements with the value named where it is first needed."""
    found: list[Block] = []
    named = False
    for block in blocks:
        statements: list[Statement] = []
        for statement in block:
            if isinstance(statement, (Assign, Total)):
                if statement.name == name:
                    statements.append(statement)
                    named = True
                    continue
                short = statement.value.xreplace(_meanings(name, value))
                if short != statement.value and not named:
                    statements.append(Assign(name, value))
                    named = True
                statement = replace(statement, value=short)
            statements.append(statement)
        found.append(tuple(statements))
    return found[0], found[1]


def _meanings(name: sp.Symbol, value: sp.Expr) -> dict[sp.Expr, sp.Expr]:
    """What the name stands for: of a root, its inverse too; of a sum, its powers."""
    if isinstance(value, sp.Pow):
        return {value: name, 1 / value: 1 / name}
    return {value: name}
