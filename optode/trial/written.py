"""Carry out a rule as its author wrote it: with lags, intermediate quantities and implicit steps.

Nothing of the normal form is used here, from which limits are derived.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any, TypeAlias

import numpy as np
import sympy as sp

from optode.language.symbols import COUNTER, At, Reduction
from optode.rule.rule import UpdateRule
from optode.trial.numerics import Array, Oracle, numerical, value_of

_SWEEPS = 40
"""Fixed-point iterations of an implicit step."""

Values: TypeAlias = Mapping[str, Array | float]
Past: TypeAlias = Mapping[sp.Symbol, list[Array]]
Now: TypeAlias = dict[sp.Expr, Array]


class WrittenRule:
    """A rule's own assignments, with a field for its gradient."""

    def __init__(self, rule: UpdateRule, field: Oracle) -> None:
        self.states = [t.args[0] for t, _ in rule.written if isinstance(t, At)]
        self.start, self.position, self.field = dict(rule.written_start), rule.position, field
        self.formulas, self.values = rule.formulas, dict[str, Array | float]()
        self.reads, self.functions = dict[sp.Expr, list[sp.Expr]](), dict[sp.Expr, Any]()
        self.order: list[sp.Expr] = []
        self.implicit: list[sp.Expr] = []
        for target, value in rule.written:
            self._compile(target, value)

    def _compile(self, target: sp.Expr, value: sp.Expr) -> None:
        lags = sorted(value.atoms(At), key=sp.default_sort_key)
        slots = {at: sp.Dummy(real=True) for at in lags}
        opened = value.xreplace(slots)
        shaped = {self.position} if value.has(Reduction) else set()
        free = sorted((opened.free_symbols | shaped) - set(slots.values()), key=str)
        self.reads[target] = [*lags, *free]
        inputs = [*slots.values(), *free]
        self.functions[target] = numerical(inputs, [opened], self.field)

    def iterates(self, values: Values, start: Array, steps: int) -> dict[str, Array]:
        """Return each state's values, shape (steps + 1, 2), from a start of the position.

        ``values`` are the numbers of the hyper-parameters that no formula gives.
        """
        self.values = dict(values)
        for name, formula in self.formulas:
            self.values[name.name] = value_of(formula, self.values, self.field)
        known = {**self.values, self.position.name: start}
        past = {z: [np.zeros_like(start)] for z in self.states}
        past[self.position] = [start]
        for state, value in self.start.items():
            number = value_of(value, known, self.field)
            past[state] = [np.broadcast_to(number, start.shape)]
        for k in range(steps):
            for state, value in self._step(k, past).items():
                past[state].append(value)
        return {state.name: np.stack(values) for state, values in past.items()}

    def _step(self, k: int, past: Past) -> dict[sp.Symbol, Array]:
        now: Now = {}
        for target in self.order or self._find_order(k, past):
            now[target] = self._evaluated(target, 0, k, past, now)
        now |= {z: past[z.args[0]][-1] for z in self.implicit if isinstance(z, At)}
        for _ in range(_SWEEPS if self.implicit else 0):
            for target in self.implicit:
                now[target] = self._evaluated(target, 0, k, past, now)
        return {z: now[At(z, 1)] for z in self.states}

    def _find_order(self, k: int, past: Past) -> list[sp.Expr]:
        """Order the assignments by trying which can be carried out; those left over are implicit."""
        now: Now = {}
        waiting, tried = list(self.reads), -1
        while tried != len(waiting):
            tried = len(waiting)
            for target in list(waiting):
                with suppress(KeyError):
                    now[target] = self._evaluated(target, 0, k, past, now)
                    waiting.remove(target)
        self.order = list(now)
        # quantities after the states that they read
        self.implicit = sorted(waiting, key=lambda target: isinstance(target, At))
        return self.order

    def _evaluated(self, target: sp.Expr, offset: int, k: int, past: Past, now: Now) -> Array:
        """Evaluate what is assigned, moved by some iterations."""
        inputs = [self._read(leaf, offset, k, past, now) for leaf in self.reads[target]]
        return np.asarray(self.functions[target](*inputs)[0])

    def _read(self, leaf: sp.Expr, offset: int, k: int, past: Past, now: Now) -> Array | float:
        """Return the value of a name at an iteration; KeyError where it is not there yet."""
        if isinstance(leaf, At):
            return self._read(leaf.args[0], offset + int(leaf.args[1]), k, past, now)
        if leaf in past:
            if offset > 0:
                return now[At(leaf, 1)]
            return past[leaf][max(len(past[leaf]) - 1 + offset, 0)]
        if leaf in self.reads:
            return now[leaf] if offset == 0 else self._evaluated(leaf, offset, k, past, now)
        return float(k + offset) if leaf == COUNTER else self.values[leaf.name]
