"""Write equations as MathML, which browsers typeset by themselves."""

from __future__ import annotations

import re
from collections.abc import Iterable
from html import escape

from optode.diagnostics import Diagnostic, SpecError
from optode.show.dialect import Latex
from optode.show.equations import Group, Stage, describe
from optode.show.words import Line

Groups = list[tuple[str, str]]
"""Headings, and below each its equations in MathML, or its notes."""


class _Words(Latex):
    """LaTeX as latex2mathml reads it: text has no characters that are escaped."""

    def words(self, text: str) -> str:
        plain = text.translate(str.maketrans("{}", "()"))
        return rf"\text{{{plain}}}"


_MATH = re.compile(r"<math[^>]*>(.*)</math>", re.S)


def check_installed() -> None:
    """Raise SpecError (E605) where latex2mathml is missing."""
    try:
        import latex2mathml.converter  # noqa: F401
    except ImportError:
        message = (
            "a report needs latex2mathml, which is not installed: `pip install 'optode[report]'`"
        )
        raise SpecError([Diagnostic("E605", message)]) from None


def equations(stage: Stage) -> Groups:
    """Return the equations of a stage under headings in words."""
    groups = (group for group in describe(stage, _Words()) if group.lines)
    return [(group.words, _body(group)) for group in groups]


def _body(group: Group) -> str:
    """Return the equations of a group, or its notes as a list."""
    if not group.notes:
        return aligned(group.lines)
    return f"<ul>{''.join(f'<li>{escape(note)}</li>' for note in group.notes)}</ul>"


def aligned(lines: Iterable[Line]) -> str:
    """Return equations as one ``math`` element, below each other at their equals signs."""
    rows = "".join(f"<mtr>{_cell(left)}{_cell('=')}{_cell(right)}</mtr>" for left, right in lines)
    return f'<math display="block"><mtable displaystyle="true">{rows}</mtable></math>'


def mathml(latex: str, *, is_block: bool = False) -> str:
    """Return a formula in LaTeX as a ``math`` element, in a line of its own where it is a block."""
    from latex2mathml.converter import convert

    return str(convert(latex, display="block" if is_block else "inline"))


def _cell(latex: str) -> str:
    """Return a piece of an equation, in LaTeX, as a cell of the table."""
    found = _MATH.fullmatch(mathml(latex))
    assert found is not None  # one math element
    return f"<mtd>{found[1]}</mtd>"
