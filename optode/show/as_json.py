"""Write a derivation as JSON, with expressions in the spec's own syntax.

The keys ``name``, ``time``, ``limit``, ``model`` and ``adjoint`` and what they hold are a promise:
later versions may add keys and take none away.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import singledispatch
from typing import Any, TypeAlias

import sympy as sp

from optode.adjoint.adjoint import AdjointSystem
from optode.adjoint.volume import Volume, volume
from optode.language.text import to_text
from optode.limit.limit import ContinuousLimit
from optode.model.following import Following
from optode.model.model import Initial, LearnedParameter, NeuralODE
from optode.rule.rule import UpdateRule
from optode.show.dialect import PlainText
from optode.show.equations import Stage, step_lines

Json: TypeAlias = dict[str, Any]


def as_json(name: str, stages: Iterable[Stage]) -> Json:
    """Return the stages as nested dictionaries of texts, numbers and lists, ready for ``json.dumps``.

    ``time`` comes with the limit: ``t = (k + offset)*step``; step is None for a model given as an
    ODE. ``second_order`` is x'' in t, x and x', the last written ``x_dot``, or None.
    """
    document: Json = {"name": name}
    for stage in stages:
        document |= _entries(stage)
    return document


@singledispatch
def _entries(stage: Stage) -> Json:
    raise TypeError(f"{type(stage).__name__} is not the result of a stage")


@_entries.register
def _entries_of_rule(rule: UpdateRule) -> Json:
    return {
        "rule": {
            "step_size": to_text(rule.step_size),
            "states": _names(rule.states),
            "parameters": _texts(rule.formulas),
            "update": dict(step_lines(rule, PlainText())),
            "start": _texts(rule.start),
        }
    }


@_entries.register
def _entries_of_limit(limit: ContinuousLimit) -> Json:
    step = None if limit.step is None else to_text(limit.step)
    scales = limit.scales or (sp.S.One,) * len(limit.states)
    return {
        "time": {"step": step, "offset": to_text(limit.offset)},
        "limit": {
            "states": _names(limit.states),
            "equations": _system(limit.states, limit.equations),
            "initial": _system(limit.states, limit.initial),
            "singular_times": [to_text(time) for time in limit.singular_times],
            "notes": list(limit.notes),
            "scales": _system(limit.states, scales),
            "second_order": None if limit.second_order is None else to_text(limit.second_order),
            "fast_states": _texts(limit.manifold),
        },
    }


@_entries.register
def _entries_of_model(model: NeuralODE) -> Json:
    starts = zip(model.states, model.initial, strict=True)
    return {
        "model": {
            "class": model.class_name,
            "states": _names(model.states),
            "equations": _system(model.states, model.equations),
            "parameters": {str(p.symbol): _parameter(p) for p in model.parameters},
            "initial": {str(state): _start(initial) for state, initial in starts},
            "span": list(model.span),
            "singular_times": [to_text(time) for time in model.singular_times],
            "operators": list(model.operators),
            "notes": list(model.notes),
        }
    }


@_entries.register
def _entries_of_adjoint(system: AdjointSystem) -> Json:
    flow = volume(system.model)
    return {
        "adjoint": {
            "states": _names(system.costates),
            "equations": _system(system.costates, system.equations),
            "quadratures": _texts(system.quadratures),
            "volume": None if flow is None else _volume(flow),
        }
    }


@_entries.register
def _entries_of_following(following: Following) -> Json:
    states = following.model.states
    linear = zip(states, following.linear_part, strict=True)
    return {
        "following": {
            "followers": [_names(group) for group in following.followers],
            "followers_see_f": following.followers_see_f,
            "rests": _names(following.rests),
            "linear_part": {str(z): _system(states, row) for z, row in linear},
            "relative_degree": following.relative_degree,
        }
    }


def _volume(flow: Volume) -> Json:
    determinant = None if flow.determinant is None else to_text(flow.determinant)
    return {"trace": to_text(flow.trace), "determinant": determinant}


def _names(symbols: tuple[sp.Symbol, ...]) -> list[str]:
    return [str(symbol) for symbol in symbols]


def _texts(pairs: Iterable[tuple[sp.Expr, sp.Expr]]) -> dict[str, str]:
    return {to_text(left): to_text(right) for left, right in pairs}


def _system(states: tuple[sp.Symbol, ...], values: tuple[sp.Expr, ...]) -> dict[str, str]:
    return _texts(zip(states, values, strict=True))


def _parameter(parameter: LearnedParameter) -> Json:
    if not parameter.is_learned:
        return {"value": parameter.value}
    per = {"per": "feature"} if parameter.per_feature else {}
    return {"init": parameter.init, "transform": parameter.transform, **per}


def _start(initial: Initial) -> str:
    return initial.kind if initial.expression is None else to_text(initial.expression)
