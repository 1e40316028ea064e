"""Check the sections of a spec against each other: names declared once, and known where they are used."""

from __future__ import annotations

from collections.abc import Iterable

from optode.diagnostics import Located, Reporter, did_you_mean, quoted
from optode.spec.declarations import ModelSpec, Spec
from optode.spec.statements import check_assignments


def check_spec(spec: Spec, is_ode: bool, reporter: Reporter) -> None:
    """Report names that are declared twice, and names of states that are none.

    Without valid states nothing can be said about them, and nothing is.
    """
    _check_distinct(_declared(spec), reporter)
    if not spec.states:
        return
    if spec.assignments:
        check_assignments(spec.assignments, spec.states, is_ode, reporter)
    if spec.is_matrix:
        _check_matrix(spec, reporter)
    known = tuple(state.text for state in spec.states)
    _check_known((key for key, _ in spec.scaling), (*known, "time"), known, reporter)
    _check_known((key for key, _ in spec.start), known, known, reporter)
    _check_verify(spec, reporter)
    if spec.model is not None:
        _check_model(spec.model, known, reporter)


def _check_matrix(spec: Spec, reporter: Reporter) -> None:
    """Report values for each feature, of which a position with rows and columns has none (E118)."""
    names = [p.name for p in spec.parameters if p.is_vector]
    if spec.model is not None:
        names += [p.name for p in spec.model.parameters if p.per_feature]
        names += [i.state for i in spec.model.initial if i.value.text in ("linear", "learned")]
    for name in names:
        message = f"{quoted(name.text)} has a value for each feature, and the position is a matrix"
        reporter.error("E118", message, name.span, "make it one number: `fixed`")


def _declared(spec: Spec) -> list[tuple[Located, str]]:
    """Return the declared names with their kinds, in the order of the file."""
    states = {state.text for state in spec.states}
    constants = {p.name.text for p in spec.parameters if p.formula is None}
    learned = spec.model.parameters if spec.model is not None else ()
    defined = {a.target.text: a.target for a in spec.assignments if a.kind == "define"}
    return [
        *([(spec.step_size, "the step size")] if spec.step_size else []),
        *((p.name, "a parameter") for p in spec.parameters),
        *((state, "a state") for state in spec.states),
        *(
            (name, "an intermediate quantity")
            for name in defined.values()
            if name.text not in states
        ),
        *((p.name, "a parameter of the model") for p in learned if p.name.text not in constants),
    ]


def _check_verify(spec: Spec, reporter: Reporter) -> None:
    learned = spec.model.parameters if spec.model is not None else ()
    constants = (p.name for p in spec.parameters if p.formula is None and not p.is_oracle)
    known = tuple(dict.fromkeys(name.text for name in (*constants, *(p.name for p in learned))))
    for entry in spec.verify:
        if entry.name.text not in known:
            hint = did_you_mean(entry.name.text, known)
            message = f"{quoted(entry.name.text)} is no hyper-parameter with a number"
            reporter.error("E203", message, entry.name.span, hint)


def _check_distinct(declared: Iterable[tuple[Located, str]], reporter: Reporter) -> None:
    roles: dict[str, str] = {}
    for name, role in declared:
        if name.text in roles:
            already = roles[name.text]
            message = f"{quoted(name.text)} is {role}, and {already} already"
            message = f"{quoted(name.text)} is declared twice" if role == already else message
            reporter.error("E117", message, name.span)
        roles.setdefault(name.text, role)


def _check_model(model: ModelSpec, states: tuple[str, ...], reporter: Reporter) -> None:
    _check_known((key for key, _ in model.rename), states, states, reporter)
    renamed = {old.text: new.text for old, new in model.rename}
    kept = [state for state in states if state not in renamed]
    taken = dict.fromkeys(kept, "a state") | {p.name.text: "a parameter" for p in model.parameters}
    for _, name in model.rename:
        if name.text in taken:
            message = f"{quoted(name.text)} is the name of {taken[name.text]} already"
            other = f"rename that state, too: `{name.text}: {name.text}_`"
            hint = other if name.text in kept else None
            reporter.error("E117", message, name.span, hint)
        taken.setdefault(name.text, "another state")
    names = tuple(renamed.get(state, state) for state in states)
    names += tuple(new for old, new in renamed.items() if old not in states)
    keys = [*(entry.state for entry in model.initial), *(entry.state for entry in model.equations)]
    _check_known((k for k in keys if k.text not in renamed), names, names, reporter)
    for key in keys:
        if key.text in renamed and key.text not in names:
            hint = f"in the model it is called `{renamed[key.text]}`"
            reporter.error("E126", f"{quoted(key.text)} has been renamed", key.span, hint)


def _check_known(
    keys: Iterable[Located], known: tuple[str, ...], states: tuple[str, ...], reporter: Reporter
) -> None:
    """Report keys that are neither states nor states added by the rule.

    The rule adds differences of lags (``dx``, ``ddx`` of x) and the
    distance ``x_y`` of a sequence y that follows x."""
    for key in keys:
        difference = any(
            key.text.endswith(s) and set(key.text.removesuffix(s)) == {"d"} for s in states
        )
        distance = key.text in {f"{x}_{y}" for x in states[:1] for y in states}
        if key.text not in known and not difference and not distance:
            hint = did_you_mean(key.text, known) or f"known: {', '.join(known)}"
            reporter.error("E126", f"{quoted(key.text)} is not a state", key.span, hint)
