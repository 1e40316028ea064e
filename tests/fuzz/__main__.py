"""Try random texts for as long as one likes, and print the faults with their smallest examples.

``python -m tests.fuzz --minutes 10 [--seed N] [--only NAME]``
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from tests.fuzz import properties
from tests.fuzz.strategies import NEARLY_VALID, damaged, expressions, odes, rules

CALLS = ("f(t, {})",)
EXPRESSIONS = expressions(properties.NAMES, CALLS)
PROPERTIES: dict[str, tuple[st.SearchStrategy[Any], Callable[[Any], object]]] = {
    "expressions": (st.one_of(EXPRESSIONS, damaged(EXPRESSIONS)), properties.check_expression),
    "nearly valid specs": (NEARLY_VALID, properties.check_spec),
    "odes": (odes(), properties.check_ode),
    "rules": (rules(), properties.check_rule),
}
BATCH = 60


def run(name: str, number: int, counts: Counter[str]) -> BaseException | None:
    """Try a batch of one property; return its smallest fault."""
    strategy, check = PROPERTIES[name]
    slow: list[BaseException] = []

    @seed(number)
    @settings(
        max_examples=BATCH,
        database=None,
        deadline=None,
        report_multiple_bugs=False,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy)
    def trial(example: Any) -> None:
        counts[name] += 1
        try:
            check(example)
        except properties.TooSlow as fault:
            slow.append(fault)

    try:
        trial()
    except Exception as fault:
        return fault
    return slow[0] if slow else None


def main() -> int:
    """Run the properties in turn until the time is over; return 1 if there was a fault."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", choices=[*PROPERTIES], default=None)
    given_options = parser.parse_args()
    begun, number = time.monotonic(), given_options.seed
    counts: Counter[str] = Counter()
    faults: dict[str, str] = {}
    names = [given_options.only] if given_options.only else [*PROPERTIES]
    while time.monotonic() - begun < 60 * given_options.minutes:
        for name in names:
            fault = run(name, number, counts)
            text = "" if fault is None else _described(fault)
            if text and faults.setdefault(text, name) == name:
                print(f"fault in {name}, seed {number}\n{text}\n", flush=True)
        number += 1
    minutes = (time.monotonic() - begun) / 60
    tried = ", ".join(f"{counts[name]} {name}" for name in names)
    print(f"{tried} in {minutes:.1f} minutes: {len(faults)} faults")
    return 1 if faults else 0


def _described(fault: BaseException) -> str:
    notes = "\n".join(getattr(fault, "__notes__", ()))
    return f"{type(fault).__name__}: {fault}\n{notes}"


if __name__ == "__main__":
    sys.exit(main())
