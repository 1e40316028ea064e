"""Split an expression into tokens, and report the errors that need no syntax tree.

Python's own parser does the parsing, but its messages change from version to version and stop at
the first error; what it would refuse is found here, with a message about the language of specs.
"""

from __future__ import annotations

import keyword
import re
from dataclasses import dataclass

from optode.diagnostics import Located, Reporter, quoted

MAX_LENGTH = 2000
MAX_NESTING = 50
MAX_OPERATORS = 200

_TOKEN = re.compile(
    r"""(?P<number>(?:[0-9][0-9_]*(?:\.[0-9_]*)?|\.[0-9][0-9_]*)(?:[eE][-+]?[0-9]+)?)
    |(?P<name>[A-Za-z_\u0370-\u03ff][0-9A-Za-z_\u0370-\u03ff]*)
    |(?P<operator>\*\*|[<>=!]=|[-+*%@]|/(?!/)|<(?!<)|>(?!>))
    |(?P<open>[(\[])
    |(?P<close>[)\]])
    |(?P<comma>,)
    |(?P<turned>\.T\b)
    |(?P<space>\s+)
    |(?P<other>//|\.\.+|:=|<<|>>|&&|\|\||(?<=[\w)\]])'|"[^"]*"?|'[^']*'?|.)""",
    re.VERBOSE | re.DOTALL,
)
_INSTEAD = {
    "^": "a power is `**`",
    "//": "division is `/`",
    "\u2212": "minus is `-`",
    "\u2013": "minus is `-`",
    "\u00b5": "this is the micro sign: write the letter `\u03bc`",
    "\u00d7": "multiplication is `*`",
    "\u00b7": "multiplication is `*`",
    "\u22c5": "multiplication is `*`",
    "\u2299": "products are elementwise: write `*`",
    "\u00f7": "division is `/`",
    "\u221a": "write `sqrt(...)`",
    "\u00b2": "write `**2`",
    "\u00b3": "write `**3`",
    ".": "write the function alone: `exp(x)`, not `torch.exp(x)`",
    "=": "one assignment a line; equality is `==`",
    "{": "group with `(` and `)`",
    "}": "group with `(` and `)`",
    "|": "write `abs(...)`, or `or` between conditions",
    "||": "write `or`",
    "&": "write `and`",
    "&&": "write `and`",
    "!": "write `not`",
    "'": "derivatives stand on the left of `=` only",
}
_LOGIC = {"and": "operator", "or": "operator", "not": "prefix"}
_CONDITIONS = ("if", "else", "is", "in", "True", "False")
_PAIRS = {")": "(", "]": "["}


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    start: int

    @property
    def end(self) -> int:
        return self.start + len(self.text)


def check_tokens(located: Located, reporter: Reporter) -> bool:
    """Report the errors of a text's tokens and brackets; returns True if there are none.

    E201 structure, E202 what the language does not have, E208 keywords as names, E210 bounds.
    """
    if len(located.text) > MAX_LENGTH:
        message = f"an expression has at most {MAX_LENGTH} characters"
        reporter.error("E210", message, located.span, "name parts of it on lines of their own")
        return False
    tokens = [
        _Token(_LOGIC.get(match[0], str(match.lastgroup)), match[0], match.start())
        for match in _TOKEN.finditer(located.text)
        if match.lastgroup != "space"
    ]
    foreign = [_report_foreign(token, located, reporter) for token in tokens]
    if any(foreign) or not _within_bounds(tokens, located, reporter):
        return False
    return _Structure(located, reporter).check(tokens)


def _report_foreign(token: _Token, located: Located, reporter: Reporter) -> bool:
    span = located.at(token.start, token.end)
    if token.kind == "other":
        reporter.error(
            "E202",
            f"{quoted(token.text)} cannot stand in an expression",
            span,
            _INSTEAD.get(token.text),
        )
    elif token.kind == "name" and keyword.iskeyword(token.text):
        hint = f"call it `{token.text}_`"
        hint = "a choice is `where(u > 0, a, b)`" if token.text in _CONDITIONS else hint
        hint = "call it `lam` or `lambda_`" if token.text == "lambda" else hint
        reporter.error("E208", f"{quoted(token.text)} is a keyword of Python", span, hint)
    else:
        return False
    return True


def _within_bounds(tokens: list[_Token], located: Located, reporter: Reporter) -> bool:
    """Refuse what would be too deep for a recursive reader."""
    depth = 0
    for token in tokens:
        depth += {"open": 1, "close": -1}.get(token.kind, 0)
        if depth > MAX_NESTING:
            message = f"brackets are nested deeper than {MAX_NESTING} levels"
            reporter.error("E210", message, located.at(token.start, token.end))
            return False
    operators = [token for token in tokens if token.kind in ("operator", "prefix")]
    if len(operators) > MAX_OPERATORS:
        span = located.at(operators[MAX_OPERATORS].start, operators[MAX_OPERATORS].end)
        message = f"an expression has at most {MAX_OPERATORS} operators"
        reporter.error("E210", message, span, "name parts of it on lines of their own")
        return False
    return True


class _Structure:
    """Values and operators in turn, brackets in pairs: reads tokens from left to right."""

    def __init__(self, located: Located, reporter: Reporter) -> None:
        self._located = located
        self._reporter = reporter
        self._open: list[
            tuple[_Token, bool]
        ] = []  # brackets, and whether they hold a call's arguments
        self._sound = True

    def check(self, tokens: list[_Token]) -> bool:
        before: _Token | None = None
        for token in tokens:
            if _ends_value(before):
                self._after_value(token, before)
            else:
                self._before_value(token, before)
            before = token
            if not self._sound:  # what follows a structural error is guesswork
                return False
        if not _ends_value(before):
            end = len(self._located.text)
            what = f"after {quoted(before.text)}" if before else "here"
            place = before.start if before else 0
            self._error(f"an expression is missing {what}", place, before.end if before else end)
        elif self._open:
            bracket = self._open[-1][0]
            self._error(f"{quoted(bracket.text)} is never closed", bracket.start, bracket.end)
        return self._sound

    def _error(self, message: str, start: int, end: int, hint: str | None = None) -> None:
        self._sound = False
        self._reporter.error("E201", message, self._located.at(start, end), hint)

    def _before_value(self, token: _Token, before: _Token | None) -> None:
        if token.text == "(":
            self._open.append((token, False))
        elif token.text == ")" and before is not None and before.text == "(" and self._open[-1][1]:
            self._open.pop()  # a call without arguments: their number is checked later
        elif token.kind == "prefix" and before is not None and before.kind == "operator":
            if before.text not in _LOGIC:
                message = f"`not` cannot follow {quoted(before.text)}"
                self._error(message, token.start, token.end, "set it in brackets: `(not ...)`")
        elif token.kind not in ("number", "name", "prefix") and token.text not in ("+", "-"):
            what = f"a value is missing before {quoted(token.text)}"
            self._error(what, token.start, token.end)

    def _after_value(self, token: _Token, before: _Token | None) -> None:
        if before is None or token.kind in ("operator", "turned"):
            return
        if token.kind == "close":
            self._close(token)
        elif token.kind == "comma":
            if not (self._open and self._open[-1][1]):
                message = "a comma can only stand between the arguments of a function"
                self._error(message, token.start, token.end, "a decimal point is `.`")
        elif token.kind == "open" and before.kind == "name":
            self._open.append((token, token.text == "("))
        elif token.text == "[":
            self._error("only a name takes an index", token.start, token.end)
        else:
            self._missing_operator(before, token)

    def _close(self, token: _Token) -> None:
        if not self._open:
            self._error(f"{quoted(token.text)} closes nothing", token.start, token.end)
        elif self._open[-1][0].text != _PAIRS[token.text]:
            opened = self._open[-1][0].text
            self._error(f"{quoted(token.text)} closes {quoted(opened)}", token.start, token.end)
        else:
            self._open.pop()

    def _missing_operator(self, before: _Token, token: _Token) -> None:
        message = f"there is no operator between {quoted(before.text)} and {quoted(token.text)}"
        simple = before.kind in ("number", "name") and token.kind in ("number", "name")
        product = f"{before.text}*{token.text}" if simple else f"{before.text} * {token.text}"
        self._error(message, before.start, token.end, f"a product is written out: `{product}`")


def _ends_value(token: _Token | None) -> bool:
    return token is not None and token.kind in ("number", "name", "close", "turned")
