"""Find constants that are used and not declared: offer the line that declares them, or assume it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from optode.diagnostics import Diagnostic, Located, did_you_mean
from optode.language.function_names import FUNCTION_NAMES
from optode.spec.declarations import ParameterSpec, Spec
from optode.spec.names import name_problem

_NO_QUANTITY = {None, *(did_you_mean(name, [name]) for name in (*FUNCTION_NAMES, "grad", "f", "k"))}
"""The hints that name no other quantity."""


def undeclared(errors: Iterable[Diagnostic]) -> tuple[Located, ...]:
    """Return the names, each once, that are unknown and could be constants."""
    found: dict[str, Located] = {}
    for error in errors:
        if name := _constant(error):
            found.setdefault(name.text, name)
    return tuple(found.values())


def _constant(error: Diagnostic) -> Located | None:
    """Return the name that an error is about, where it could be a constant: not ``y[k]``."""
    if error.code != "E203" or error.span is None or not error.message.startswith("unknown name"):
        return None
    text, end = error.span.source.text, error.span.end
    name = Located(text[error.span.start : end], error.span)
    is_sequence = text[end:].lstrip(" ").startswith("[")
    return None if is_sequence or name_problem(name.text) else name


def offered(errors: Iterable[Diagnostic], section: str, entry: str) -> tuple[Diagnostic, ...]:
    """Return errors with the line that declares all unknown constants for a hint.

    ``entry`` is what a declaration says, as ``fixed``. A name that is close to that of another
    quantity may be misspelt: its own line alone is offered beside the other name.
    """
    errors = tuple(errors)
    plain = undeclared(e for e in errors if e.hint in _NO_QUANTITY)
    line = ", ".join(f"{name.text}: {entry}" for name in plain)
    found = []
    for error in errors:
        name = _constant(error)
        if name is not None:
            own = line if error.hint in _NO_QUANTITY else f"{name.text}: {entry}"
            hint = f"add to {section}: {own}"
            error = replace(error, hint=hint if error.hint is None else f"{error.hint} or {hint}")
        found.append(error)
    return tuple(found)


def with_assumed(spec: Spec, names: Iterable[Located]) -> Spec:
    """Return the spec with constants of these names."""
    assumed = tuple(ParameterSpec(name, None, is_assumed=True) for name in names)
    return replace(spec, parameters=(*spec.parameters, *assumed))
