"""Describe specs as a JSON Schema, by which editors complete and check them.

The schema knows keys, words and the kinds of values. Whether formulas are right, and names declared,
says ``optode check``. Keys and words are the reader's own (``keys.py``).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

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
    STARTS,
    TRANSFORMS,
)
from optode.spec.names import MAX_FILE_NAME, MAX_NAME

Schema = dict[str, Any]

_TEXT: Schema = {"type": ["string", "number", "boolean"]}
"""Any plain text: editors read 0.9 as a number and no as a boolean, optode reads their letters."""
_NUMBER: Schema = {
    "type": ["number", "string"],
    "pattern": r"^[-+]?(\d+(\.\d*)?|\.\d+)([eE][-+]?\d+)?$",
}
_NAME: Schema = {"type": "string", "maxLength": MAX_NAME}
_FILE_NAME: Schema = {
    "type": "string",
    "maxLength": MAX_FILE_NAME,
    "pattern": "^[A-Za-z][A-Za-z0-9_]*$",
}
_LINES: Schema = {"type": "string"}


def json_schema() -> Schema:
    """Return the JSON Schema (draft 2020-12) of a spec."""
    top = {key: _SHAPES_OF_KEYS[key] for key in SPEC_KEYS if key != "model"}
    properties = _described(SPEC_KEYS, {**top, "model": _model()})
    shorthands = {key: properties["model"]["properties"][key] for key in SHORTHANDS}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A spec of optode",
        "description": "One step of an optimizer, or an ODE, and the neural ODE to be made of it.",
        "type": "object",
        "properties": {**properties, **shorthands},
        "required": ["name"],
        "additionalProperties": False,
        "not": {"required": ["update", "ode"]},
        "if": {"required": ["extends"]},
        "else": {
            "required": ["state"],
            "anyOf": [{"required": ["update", "step_size"]}, {"required": ["ode"]}],
            "properties": {
                **dict.fromkeys(SHORTHANDS, False),
                "model": {"required": ["class"]},
            },
        },
    }


def _described(keys: Mapping[str, str], shapes: Mapping[str, Schema]) -> dict[str, Schema]:
    """Return a schema for each key, in the order of the keys, with what the key means."""
    return {key: {"description": words, **shapes[key]} for key, words in keys.items()}


def _entries(value: Schema) -> Schema:
    return {"type": "object", "additionalProperties": value}


def _words(words: Mapping[str, str], otherwise: str) -> Schema:
    """Return a schema of a text that may be one of some words, which an editor offers."""
    offered = [{"const": word, "description": meaning} for word, meaning in words.items()]
    return {"anyOf": [*offered, {**_TEXT, "description": otherwise}]}


_SHAPES_OF_KEYS: dict[str, Schema] = {
    "name": _FILE_NAME,
    "title": _TEXT,
    "reference": {"anyOf": [_TEXT, {"type": "array", "items": _TEXT}]},
    "family": {"enum": [*FAMILIES]},
    "year": {"type": "integer", "minimum": 1000, "maximum": 2999},
    "step_size": _NAME,
    "parameters": _entries(_words(KINDS, "A formula in the step size, as 1 - gamma*sqrt(s).")),
    "shape": {"enum": [*SHAPES]},
    "state": {"type": "array", "items": _NAME, "minItems": 1},
    "update": _LINES,
    "ode": _LINES,
    "start": _entries(_TEXT),
    "scaling": _entries(_TEXT),
    "verify": _entries({"anyOf": [_NUMBER, {"type": "array", "items": _NUMBER, "minItems": 1}]}),
    "extends": _TEXT,
}


def _model() -> Schema:
    shapes = {
        "class": _FILE_NAME,
        "field": {"enum": [*FIELDS]},
        "rename": _entries(_NAME),
        "parameters": _entries(_parameter()),
        "initial": _entries(
            _words(STARTS, "An expression in t, the states, f and the parameters.")
        ),
        "equations": _entries(_TEXT),
        "smooth": _TEXT,
        "span": {"type": "array", "items": _NUMBER, "minItems": 2, "maxItems": 2},
    }
    return {
        "type": "object",
        "properties": _described(MODEL_KEYS, shapes),
        "additionalProperties": False,
    }


def _parameter() -> Schema:
    shapes = {
        "init": _NUMBER,
        "value": _NUMBER,
        "transform": {"enum": [*TRANSFORMS]},
        "per": {"enum": [*PER]},
    }
    return {
        "type": "object",
        "properties": _described(LEARNED_KEYS, shapes),
        "additionalProperties": False,
        "oneOf": [{"required": ["init"]}, {"required": ["value"]}],
        "dependentSchemas": {"value": {"properties": {"transform": False, "per": False}}},
    }
