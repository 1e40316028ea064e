"""Read the sections of a spec: from a tree of located text to declarations."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator
from typing import cast

from optode.diagnostics import Located, Reporter, Source, did_you_mean, nearest, quoted
from optode.spec.consistency import check_spec
from optode.spec.declarations import (
    EquationSpec,
    InitialSpec,
    LearnedSpec,
    ModelSpec,
    ParameterSpec,
    Spec,
    Transform,
    VerifySpec,
)
from optode.spec.families import FAMILIES
from optode.spec.keys import (
    FIELDS,
    KINDS,
    LEARNED_KEYS,
    MODEL_KEYS,
    PER,
    SHAPES,
    SHORTHANDS,
    SPEC_KEYS,
    TRANSFORMS,
)
from optode.spec.names import check_class_name, check_file_name, check_name
from optode.spec.notation import of_steps, with_velocities
from optode.spec.statements import read_statements
from optode.spec.values import (
    choice_of,
    entries_of,
    line_of,
    number_of,
    pairs_of,
    text_of,
    year_of,
)
from optode.spec.yaml_source import Mapping, Node, Scalar, Sequence

_RULE_KEYS = ("step_size", "parameters", "scaling", "start", "verify")


def read_sections(tree: Mapping, source: Source, sha256: str, reporter: Reporter) -> Spec:
    """Return the declarations of a tree; they are partial if the reporter has errors."""
    _check_keys(tree, "a spec", SPEC_KEYS, reporter)
    is_ode, block = _block(tree, reporter)
    states = _states(tree, reporter)
    name = _name(tree, "name", check_file_name, reporter)
    assignments = read_statements(block, is_ode, reporter) if block else ()
    assignments, states, velocities = with_velocities(assignments, states, reporter)
    assignments, ends_at_k = of_steps(assignments, states)
    family = choice_of(tree.get("family"), "family", tuple(FAMILIES), reporter)
    spec = Spec(
        name=name,
        title=line_of(tree.get("title"), "title", reporter) or name.text,
        references=_references(tree.get("reference"), reporter),
        step_size=_step_size(tree, is_ode, reporter),
        parameters=tuple(_parameters(tree.get("parameters"), reporter)),
        states=states,
        assignments=assignments,
        scaling=tuple(pairs_of(tree.get("scaling"), "scaling", reporter)),
        start=tuple(pairs_of(tree.get("start"), "start", reporter)),
        verify=tuple(_verify(tree.get("verify"), reporter)),
        model=_model(tree.get("model"), reporter),
        source=source,
        sha256=sha256,
        ends_at_k=ends_at_k,
        velocities=velocities,
        family=family.text if family is not None else None,
        year=year_of(tree.get("year"), reporter),
        is_matrix=choice_of(tree.get("shape"), "shape", SHAPES, reporter) is not None,
    )
    check_spec(spec, is_ode, reporter)
    return spec


def _check_keys(tree: Mapping, owner: str, known: Collection[str], reporter: Reporter) -> None:
    for key, _ in tree.entries:
        if key.text in known:
            continue
        if key.text in SHORTHANDS:
            hint: str | None = "this belongs under `model:` (beside `extends:` it may stand here)"
        elif re.search(r"[()\[\]]", key.text):
            hint = "quote an expression that has a comma in it"
        else:
            hint = did_you_mean(key.text, known) or f"known keys: {', '.join(known)}"
        reporter.error("E107", f"{owner} has no key {quoted(key.text)}", key.span, hint)


def _missing(tree: Mapping, key: str, reporter: Reporter, hint: str | None = None) -> None:
    """Report a missing key, unless it was misspelt: then that has been reported."""
    unknown = [name.text for name, _ in tree.entries if name.text not in SPEC_KEYS | MODEL_KEYS]
    if nearest(key, unknown) is None:
        reporter.error("E108", f"the key `{key}` is missing", tree.span.at(0, 0), hint)


def _references(node: Node | None, reporter: Reporter) -> tuple[str, ...]:
    items = node.items if isinstance(node, Sequence) else (node,)
    lines = (line_of(item, "reference", reporter) for item in items)
    return tuple(line for line in lines if line is not None)


def _name(
    tree: Mapping, key: str, check: Callable[[Located, Reporter], bool], reporter: Reporter
) -> Located:
    node = tree.get(key)
    name = text_of(node, f"`{key}`", reporter) if node is not None else None
    if name is None:
        return Located("", tree.span.at(0, 0))
    check(name, reporter)
    return name


def _block(tree: Mapping, reporter: Reporter) -> tuple[bool, Scalar | None]:
    """Return whether the spec is an ODE, and the text of its rule."""
    update, ode = tree.get("update"), tree.get("ode")
    if update is not None and ode is not None:
        span = next(key.span for key, _ in reversed(tree.entries) if key.text in ("update", "ode"))
        reporter.error("E114", "a spec has `update:` or `ode:`, not both", span)
    if update is None and ode is None:
        _missing(
            tree, "update", reporter, "state the rule under `update: |`, or an ODE under `ode: |`"
        )
    key, node = ("update", update) if update is not None else ("ode", ode)
    if node is None:
        return False, None
    if text_of(node, f"`{key}`", reporter) is None or not isinstance(node, Scalar):
        return key == "ode", None
    return key == "ode", node


def _states(tree: Mapping, reporter: Reporter) -> tuple[Located, ...]:
    node = tree.get("state")
    if node is None:
        _missing(tree, "state", reporter, "`state: [x, v]`: the first is the position")
        return ()
    if not isinstance(node, Sequence) or not node.items:
        reporter.error("E109", "`state` must be a list of names", node.span, "`state: [x, v]`")
        return ()
    names = (text_of(item, "a state", reporter) for item in node.items)
    return tuple(name for name in names if name is not None and check_name(name, reporter))


def _step_size(tree: Mapping, is_ode: bool, reporter: Reporter) -> Located | None:
    if is_ode:
        for key, _ in tree.entries:
            if key.text in _RULE_KEYS:
                hint = (
                    "its constants stand under `model: parameters:`"
                    if key.text == "parameters"
                    else None
                )
                reporter.error("E114", f"an `ode:` has no `{key.text}`", key.span, hint)
        return None
    node = tree.get("step_size")
    if node is None:
        _missing(tree, "step_size", reporter, "name the symbol that goes to zero: `step_size: s`")
        return None
    name = text_of(node, "`step_size`", reporter)
    return name if name is not None and check_name(name, reporter) else None


def _parameters(node: Node | None, reporter: Reporter) -> Iterator[ParameterSpec]:
    for name, value in pairs_of(node, "parameters", reporter):
        if check_name(name, reporter):
            formula = None if value.text in KINDS else value
            yield ParameterSpec(name, formula, *(value.text == word for word in [*KINDS][1:]))


def _verify(node: Node | None, reporter: Reporter) -> Iterator[VerifySpec]:
    """Read the numbers that ``optode verify`` takes: ``r: 3.5``, or ``eps: [0.1, 0]``."""
    for name, value in entries_of(node, "verify", reporter):
        items = value.items if isinstance(value, Sequence) and value.items else (value,)
        numbers = [number_of(item, quoted(name.text), reporter) for item in items]
        yield VerifySpec(name, tuple(number for number in numbers if number is not None))


def _model(node: Node | None, reporter: Reporter) -> ModelSpec | None:
    if node is None:
        return None
    if not isinstance(node, Mapping):
        entries_of(node, "model", reporter)
        return None
    _check_keys(node, "a model", MODEL_KEYS, reporter)
    if node.get("class") is None:
        _missing(node, "class", reporter, "name the class to be emitted: `class: HBNODE`")
    class_name = _name(node, "class", check_class_name, reporter)
    pairs = {
        key: tuple(pairs_of(node.get(key), key, reporter))
        for key in ("rename", "initial", "equations")
    }
    for _, name in pairs["rename"]:
        check_name(name, reporter)
    smooth = node.get("smooth")
    return ModelSpec(
        class_name=class_name,
        field=choice_of(node.get("field"), "field", FIELDS, reporter)
        or Located(FIELDS[0], class_name.span),
        rename=pairs["rename"],
        parameters=tuple(_learned_parameters(node.get("parameters"), reporter)),
        initial=tuple(InitialSpec(*pair) for pair in pairs["initial"]),
        equations=tuple(EquationSpec(*pair) for pair in pairs["equations"]),
        span=_time_span(node.get("span"), reporter),
        smooth=text_of(smooth, "`smooth`", reporter) if smooth is not None else None,
    )


def _learned_parameters(node: Node | None, reporter: Reporter) -> Iterator[LearnedSpec]:
    for name, value in entries_of(node, "parameters", reporter):
        check_name(name, reporter)
        if isinstance(value, Mapping):
            yield from _learned(name, value, reporter)
        else:
            hint = "`{init: -3.0, transform: sigmoid}` is learned, `{value: 0.9}` is not"
            reporter.error("E109", f"{quoted(name.text)} must be a mapping", value.span, hint)


def _learned(name: Located, tree: Mapping, reporter: Reporter) -> Iterator[LearnedSpec]:
    _check_keys(tree, "a parameter", LEARNED_KEYS, reporter)
    given = [key for key in ("init", "value") if tree.get(key) is not None]
    transform = choice_of(tree.get("transform"), "transform", TRANSFORMS, reporter)
    per = choice_of(tree.get("per"), "per", PER, reporter)
    hint = "`init` is where learning starts, `value` a constant"
    if len(given) != 1:
        message = f"{quoted(name.text)} has {'both' if given else 'neither'} `init` and `value`"
        reporter.error(
            "E115", message.replace("neither `init` and", "neither `init` nor"), name.span, hint
        )
        return
    if given == ["value"] and transform is not None:
        reporter.error("E115", "a constant `value` has no transform", transform.span, hint)
    if given == ["value"] and per is not None:
        reporter.error("E115", "a constant `value` is one number for all", per.span, hint)
    number = number_of(tree.get(given[0]), f"`{given[0]}`", reporter)
    if number is not None:
        init, value = (number, None) if given == ["init"] else (None, number)
        word = cast(Transform, transform.text if transform else "none")
        yield LearnedSpec(name, init, value, word, per is not None)


def _time_span(node: Node | None, reporter: Reporter) -> tuple[float, float]:
    default = (0.0, 1.0)
    if node is None:
        return default
    if not isinstance(node, Sequence) or len(node.items) != 2:
        reporter.error("E109", "`span` must be two times", node.span, "`span: [0.0, 1.0]`")
        return default
    start, end = (number_of(item, "a time", reporter) for item in node.items)
    if start is None or end is None:
        return default
    if start >= end:
        reporter.error("E116", "the end of `span` is not after its start", node.span)
        return default
    return start, end
