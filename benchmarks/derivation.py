"""Measure how long derivations take: of every shipped spec, and of a rule with 2 to 12 states.

    python benchmarks/derivation.py

The rule is Adam's with n - 1 averages of the gradient's powers, each with its own rate, all
entering the position; times are the best of three in one process, imports apart.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

import numpy as np
import sympy as sp

from optode.compiler import derive
from optode.language.symbols import At, Gradient, step_symbol, symbol
from optode.limit.balance import scalings
from optode.limit.limit import continuous_limit
from optode.rule.rule import UpdateRule
from optode.rule.update_rule import update_rule
from optode.spec.shipped import shipped_specs

REPEATS = 3


def seconds(action: Callable[[], object]) -> float:
    """Return the seconds of the fastest of three runs."""
    best = float("inf")
    for _ in range(REPEATS):
        sp.core.cache.clear_cache()
        start = time.perf_counter()
        action()
        best = min(best, time.perf_counter() - start)
    return best


def averages(states: int) -> UpdateRule:
    """Return a rule with x and ``states - 1`` averages of the gradient's powers."""
    s, x = step_symbol("s"), symbol("x")
    update: dict[sp.Expr, sp.Expr] = {}
    parameters: dict[sp.Symbol, sp.Expr] = {}
    direction = sp.S.Zero
    for i in range(1, states):
        m, beta, rate = symbol(f"m{i}"), symbol(f"beta{i}"), symbol(f"alpha{i}")
        update[m] = beta * m + (1 - beta) * Gradient(x) ** i
        parameters[beta] = 1 - rate * s
        direction += At(m, 1) / (1 + sp.Abs(At(m, 1)))
    return update_rule("averages", s, [x, *update], {**update, x: x - s * direction}, parameters)


def derive_rule(rule: UpdateRule, order: int) -> None:
    """Derive the scalings of a rule, and its limit with terms up to the order."""
    (scaling,) = scalings(rule)
    continuous_limit(rule, scaling, order)


def derive_spec(name: str) -> None:
    """Derive all stages of a shipped spec; a spec without a model has no adjoint."""
    derivation = derive(name)
    derivation.stages()


def main() -> None:
    times = {name: seconds(partial(derive_spec, name)) for name in shipped_specs()}
    print("spec                              seconds")
    for name, taken in times.items():
        print(f"{name:32}  {taken:7.3f}")
    slowest = max(times, key=lambda name: times[name])
    print(f"{len(times)} specs, slowest {slowest}: {times[slowest]:.3f} s\n")
    sizes = list(range(2, 13, 2))
    for order in (0, 1):
        each = [seconds(partial(derive_rule, averages(n), order)) for n in sizes]
        cells = "  ".join(f"{n}: {t:.3f}" for n, t in zip(sizes, each, strict=True))
        growth = np.polyfit(np.log(sizes), np.log(each), 1)[0]
        print(f"order {order}, seconds by number of states: {cells}; exponent {growth:.2f}")


if __name__ == "__main__":
    main()
