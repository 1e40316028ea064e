"""Split an ``update:`` or ``ode:`` block into assignments."""

from __future__ import annotations

import re

from optode.diagnostics import Located, Reporter, Span, did_you_mean, quoted
from optode.spec.declarations import Assignment, Kind
from optode.spec.names import check_name
from optode.spec.yaml_source import Scalar

MAX_STATEMENTS = 200
_MAX_OPEN = 5000  # longer than any expression may be

_COMMENT = re.compile("#[^\n]*")
_ASSIGNS = re.compile("(?<![<>=!])=(?!=)")
_OPERATOR = re.compile(r"(?P<before>[-+*/%@&|^<>!:~]*)=(?P<after>=?)")
_TARGET = re.compile(
    r"(?P<name>[^\s\[\]'′″(),=]+)\s*(?:\[(?P<index>[^\[\]]*)\]|(?P<primes>['′]+|″))?"
)
_KINDS: dict[str | None, Kind] = {None: "define", "k": "current", "k+1": "next"}
_FORMS = "a line is `x[k+1] = ...` for a state or `y = ...` for an intermediate quantity"
_ODE_FORMS = "a line is `x' = ...` for a state or `y = ...` for an intermediate quantity"


def read_statements(block: Scalar, is_ode: bool, reporter: Reporter) -> tuple[Assignment, ...]:
    """Return the assignments of a block, one a line; a bracket left open continues on the next line.

    Comments run from ``#`` to the end of the line. Lines that are no assignment are reported.
    """
    statements = _statements(block)
    if not statements:
        reporter.error(
            "E109", "the block has no line", block.span, _ODE_FORMS if is_ode else _FORMS
        )
    if len(statements) > MAX_STATEMENTS:
        reporter.error("E120", f"more than {MAX_STATEMENTS} lines", statements[MAX_STATEMENTS].span)
        return ()
    found = (_assignment(statement, is_ode, reporter) for statement in statements)
    return tuple(assignment for assignment in found if assignment is not None)


def _statements(block: Scalar) -> list[Located]:
    """Return the statements without comments, blank lines and the blanks around them."""
    statements: list[Located] = []
    is_open = False
    for line in block.lines or _lines(block.located):
        text = _COMMENT.sub(lambda comment: " " * len(comment[0]), line.text)
        if not text.strip():
            continue
        statement = Located(text, line.span)
        if is_open and not _ASSIGNS.search(text):  # else a statement: the bracket was forgotten
            statement = _join(statements.pop(), statement)
        statements.append(statement.part(0, len(statement.text)))
        is_open = len(statement.text) < _MAX_OPEN and _has_open_bracket(statement.text)
    return statements


def _has_open_bracket(text: str) -> bool:
    return len(re.findall(r"[(\[]", text)) > len(re.findall(r"[)\]]", text))


def _lines(located: Located) -> list[Located]:
    """Return the lines of a text that is not a literal block."""
    if not located.exact:
        return [Located(line, located.span) for line in located.text.split("\n")]
    starts = [0, *(match.end() for match in re.finditer("\n", located.text))]
    ends = [*(start - 1 for start in starts[1:]), len(located.text)]
    return [Located(located.text[i:j], located.at(i, j)) for i, j in zip(starts, ends, strict=True)]


def _join(first: Located, second: Located) -> Located:
    """Join two lines, with a blank for each character between them in the file."""
    if not (first.exact and second.exact):
        return Located(f"{first.text} {second.text}", first.span)
    gap = second.span.start - first.span.end
    span = Span(first.span.source, first.span.start, second.span.end)
    return Located(first.text + " " * gap + second.text, span)


def _assignment(statement: Located, is_ode: bool, reporter: Reporter) -> Assignment | None:
    operator = _OPERATOR.search(statement.text)
    if operator is None:
        forms = _ODE_FORMS if is_ode else _FORMS
        reporter.error("E120", "this line assigns nothing: it has no `=`", statement.span, forms)
        return None
    if operator["before"] or operator["after"]:
        hint = _operator_hint(statement.text[: operator.start()].strip(), operator, is_ode)
        span = statement.at(operator.start(), operator.end())
        reporter.error("E121", f"`{operator[0]}` does not assign", span, hint)
        return None
    target = _target(statement.part(0, operator.start()), is_ode, reporter)
    expression = statement.part(operator.end(), len(statement.text))
    if not expression.text:
        span = statement.at(operator.start(), operator.end())
        reporter.error("E120", "there is nothing after `=`", span)
        return None
    return Assignment(*target, expression) if target else None


def _operator_hint(name: str, operator: re.Match[str], is_ode: bool) -> str:
    bare = name.split("[")[0] or "x"
    sign = operator["before"]
    if operator["after"] == "" and sign and sign in "+-*/" and not is_ode:
        return f"write `{bare}[k+1] = {bare}[k] {sign} ...`"
    return "write `=`"


def _target(target: Located, is_ode: bool, reporter: Reporter) -> tuple[Located, Kind] | None:
    """Return the name on the left and what is assigned to it."""
    match = _TARGET.fullmatch(target.text)
    if match is None:
        message = (
            f"{quoted(target.text)} cannot be assigned to" if target.text else "no name before `=`"
        )
        reporter.error("E120", message, target.span, _ODE_FORMS if is_ode else _FORMS)
        return None
    name = target.part(*match.span("name"))
    if match["primes"]:
        order = 2 if match["primes"] == "″" else len(match["primes"])
        return _derivative(name, order, target, is_ode, reporter)
    index = re.sub(r"\s", "", match["index"]) if match["index"] is not None else None
    if index not in _KINDS:
        span = target.at(*match.span("index"))
        hint = f"a step gives `{name.text}[k+1]` from what is known at k"
        reporter.error("E122", f"`[{index}]` cannot be assigned to", span, hint)
        return None
    if is_ode and index is not None:
        hint = f"write `{name.text}' = ...`"
        reporter.error("E123", "an `ode:` has no iteration counter", target.span, hint)
        return None
    return name, _KINDS[index]


def _derivative(
    name: Located, order: int, target: Located, is_ode: bool, reporter: Reporter
) -> tuple[Located, Kind] | None:
    if not is_ode:
        hint = f"write `{name.text}[k+1] = ...`, or state the ODE under `ode:`"
        reporter.error("E123", "an `update:` has no derivatives", target.span, hint)
        return None
    if order > 2:
        hint = "name a derivative as a state: `v' = ...`"
        reporter.error("E123", "a line gives a first or a second derivative", target.span, hint)
        return None
    return name, "second" if order == 2 else "derivative"


def check_assignments(
    assignments: tuple[Assignment, ...],
    states: tuple[Located, ...],
    is_ode: bool,
    reporter: Reporter,
) -> None:
    """Report states that are not assigned exactly once, and assignments in the wrong form."""
    known = {state.text for state in states}
    is_mixed = any(a.kind == "next" for a in assignments)
    assigned: set[str] = set()
    for assignment in assignments:
        name = assignment.target
        if name.text in assigned:
            reporter.error("E124", f"{quoted(name.text)} is assigned twice", name.span)
        assigned.add(name.text)
        _check_form(assignment, known, is_ode, is_mixed, reporter)
    for state in states:
        if state.text not in assigned:
            form = f"{state.text}'" if is_ode else f"{state.text}[k+1]"
            hint = f"add a line `{form} = ...`"
            reporter.error(
                "E125", f"the state {quoted(state.text)} is never assigned", state.span, hint
            )


def _check_form(
    assignment: Assignment, states: set[str], is_ode: bool, is_mixed: bool, reporter: Reporter
) -> None:
    """Report an assignment whose form is that of another kind; ``is_mixed``: others are at k+1."""
    name = assignment.target
    if name.text in states and assignment.kind == "define":
        hint = f"write `{name.text}' = ...`" if is_ode else f"write `{name.text}[k+1] = ...`"
        if is_mixed and not is_ode:
            hint += f" as for the other states, and `{name.text}[k]` for its value before the step"
        reporter.error("E123", f"{quoted(name.text)} is a state", name.span, hint)
    elif name.text not in states and assignment.kind != "define":
        hint = (
            did_you_mean(name.text, states)
            or f"list it under `state:`, or write `{name.text} = ...`"
        )
        reporter.error("E126", f"{quoted(name.text)} is not a state", name.span, hint)
    elif assignment.kind == "define":
        check_name(name, reporter)
