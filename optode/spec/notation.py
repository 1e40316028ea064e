"""Turn the notations of papers into the one that the other stages read.

``m[k] = b*m[k-1] + ...``, with every state assigned at k, is a step that ends at k: states and the
counter are read one higher. ``x'' = ...`` in an ODE makes the velocity of x a state.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace

from optode.diagnostics import Located, Reporter
from optode.spec.declarations import Assignment
from optode.spec.names import check_name

Assignments = tuple[Assignment, ...]
States = tuple[Located, ...]

_PRIME = "\u0374"  # a letter to Python, which reads it as U+02B9: the text keeps its length
_AS_READ = "\u02b9"


def of_steps(assignments: Assignments, states: States) -> tuple[Assignments, bool]:
    """Return assignments as those at k+1 and definitions, and whether all states stood at k.

    They do where each is assigned as ``z[k]``, and one of them is read at an earlier index.
    """
    names = {state.text for state in states}
    of_states = [a for a in assignments if a.target.text in names]
    at_k = bool(of_states) and all(a.kind == "current" for a in of_states)
    at_k = at_k and any(_reads_earlier(a, names) for a in assignments)

    def settled(line: Assignment) -> Assignment:
        if line.kind != "current":
            return line
        is_next = at_k and line.target.text in names
        return replace(line, kind="next" if is_next else "define")

    return tuple(map(settled, assignments)), at_k


def _reads_earlier(assignment: Assignment, names: set[str]) -> bool:
    found = re.findall(r"(\w+)\s*\[\s*k\s*-", assignment.expression.text)
    return not names.isdisjoint(found)


def with_velocities(
    assignments: Assignments, states: States, reporter: Reporter
) -> tuple[Assignments, States, tuple[tuple[str, str], ...]]:
    """Return first-order equations in place of ``x'' = ...``, the states, and each velocity's name.

    The velocity is v where there is a line ``x' = v`` with a state v that has no line of its own,
    else a new state ``x_dot`` after x.
    """
    velocities: dict[str, str] = {}
    lines: list[Assignment] = []
    every = list(states)
    for line in assignments:
        if line.kind != "second":
            lines.append(line)
            continue
        position = line.target
        velocity = _velocity(line, assignments, states)
        if velocity is None:
            velocity = Located(f"{position.text}_dot", position.span)
            free = [s.text for s in every if s.text == velocity.text]
            if any(a.target.text == velocity.text for a in assignments):
                message = f"`{velocity.text}` is the velocity of `{position.text}` here"
                reporter.error("E117", message, position.span, "rename the other quantity")
            lines.append(Assignment(position, "derivative", velocity))
            place = next((i for i, s in enumerate(every) if s.text == position.text), None)
            if not free and place is not None and check_name(velocity, reporter):
                every.insert(place + 1, velocity)
        lines.append(
            Assignment(Located(velocity.text, position.span), "derivative", line.expression)
        )
        velocities[position.text] = velocity.text
    return tuple(lines), tuple(every), tuple(velocities.items())


def _velocity(line: Assignment, assignments: Assignments, states: States) -> Located | None:
    """Return the state v of a line ``x' = v`` that no line gives a derivative."""
    moved = {a.target.text for a in assignments}
    free = {state.text for state in states} - moved
    for other in assignments:
        is_of_it = other.kind == "derivative" and other.target.text == line.target.text
        if is_of_it and other.expression.text in free:
            return other.expression
    return None


def primed(expression: Located, velocities: Mapping[str, str]) -> Located:
    """Return an expression with ``x'`` as a name, for each x that has a velocity."""
    if not velocities:
        return expression
    pattern = rf"(?<!\w)({'|'.join(map(re.escape, velocities))})['′]"
    return Located(re.sub(pattern, rf"\1{_PRIME}", expression.text), expression.span)


def name_of_prime(position: str) -> str:
    """Return the name under which an expression has ``x'``."""
    return f"{position}{_AS_READ}"
