"""Lay one spec over another, for ``extends``: both are trees of located text."""

from __future__ import annotations

from optode.diagnostics import Located, Reporter, quoted
from optode.spec.keys import SHORTHANDS
from optode.spec.yaml_source import Mapping, Node

_MERGED_SECTIONS = ("rename", "parameters", "initial", "equations")


def laid_over(base: Mapping, own: Mapping, reporter: Reporter) -> Mapping:
    """Replace the keys of the base spec by those of the extending spec; ``model`` entry by entry."""
    own = _with_shorthands_in_model(own, reporter)
    if own.get("update") or own.get("ode"):
        base = _without(base, ("update", "ode"))
    model, base_model = own.get("model"), base.get("model")
    merged = _replaced(_without(base, ("extends", "name")), own)
    if not (isinstance(model, Mapping) and isinstance(base_model, Mapping)):
        return merged
    return _replaced(merged, _single("model", _merged_model(base_model, model), own))


def _merged_model(base: Mapping, own: Mapping) -> Mapping:
    merged = _replaced(base, own)
    for section in _MERGED_SECTIONS:
        below, above = base.get(section), own.get(section)
        if isinstance(below, Mapping) and isinstance(above, Mapping):
            merged = _replaced(merged, _single(section, _replaced(below, above), own))
    return merged


def _with_shorthands_in_model(own: Mapping, reporter: Reporter) -> Mapping:
    """Return ``initial`` and ``equations`` at the top of an extending spec, moved under its ``model``."""
    moved = tuple(entry for entry in own.entries if entry[0].text in SHORTHANDS)
    model = own.get("model") or Mapping((), own.span)
    if not moved or not isinstance(model, Mapping):
        return own
    for key, _ in moved:
        if model.get(key.text) is not None:
            reporter.error("E106", f"{quoted(key.text)} occurs here and under `model`", key.span)
    model = Mapping(model.entries + moved, model.span)
    return _replaced(_without(own, SHORTHANDS), _single("model", model, own))


def _replaced(base: Mapping, own: Mapping) -> Mapping:
    """Return the base's entries in its order, those of ``own`` in their place or after them."""
    entries = {key.text: (key, value) for key, value in base.entries}
    entries.update({key.text: (key, value) for key, value in own.entries})
    return Mapping(tuple(entries.values()), own.span)


def _without(tree: Mapping, keys: tuple[str, ...]) -> Mapping:
    return Mapping(tuple(e for e in tree.entries if e[0].text not in keys), tree.span)


def _single(key: str, value: Node, owner: Mapping) -> Mapping:
    located = next(
        (name for name, _ in owner.entries if name.text == key), Located(key, owner.span)
    )
    return Mapping(((located, value),), owner.span)
