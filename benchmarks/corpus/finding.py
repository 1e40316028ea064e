"""Find out what becomes of a row: its derivation, its iterates beside the class, and their order."""

from __future__ import annotations

import time
import warnings
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass

import sympy as sp

from benchmarks.corpus.comparison import largest_difference, order
from benchmarks.corpus.rows import Row
from optode.compiler import derive
from optode.diagnostics import SpecError
from optode.trial.starts import NoSolution

LONGEST = 5.0
"""Seconds of one core that deriving and checking a limit may take."""
AGREE = "class and equations agree to round-off: there is no error to measure"
TOLERANCE = 0.1
"""By how much a measured order may differ from the predicted one."""


@dataclass(frozen=True)
class Finding:
    """What became of a row.

    ``seconds`` is the processor time of the derivation and its check. ``refusal`` is the first
    error, its code first, or "". ``apart`` is the largest difference of 50 iterates, None where the
    class was not run; ``measured`` is None where no order was measured, for the reason in
    ``unmeasured``. ``unchecked`` says why a derivation could not check its limit, ``remark`` where the
    order was measured, if not from the start.
    """

    package: str
    optimizer: str
    spec: str
    seconds: float
    refusal: str = ""
    apart: float | None = None
    predicted: float | None = None
    measured: float | None = None
    unmeasured: str = ""
    steps: tuple[float, ...] = ()
    errors: tuple[float, ...] = ()
    unchecked: str = ""
    remark: str = ""

    @property
    def record(self) -> dict[str, object]:
        return asdict(self)

    def is_same_rule(self, row: Row) -> bool:
        """Return whether the iterates are those of the class."""
        return self.apart is not None and self.apart <= row.tolerance

    @property
    def has_its_order(self) -> bool:
        """Whether the class approaches the equations with the predicted order."""
        if self.measured is None or self.predicted is None:
            return False
        return len(self.steps) >= 3 and abs(self.measured - self.predicted) <= TOLERANCE


def found(row: Row, with_class: bool) -> Finding:
    """Derive the limit of a row, and compare it with the class if that can be run."""
    finding = derived(row)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # packages warn of options that are meant
        if with_class:
            with suppress(SpecError):  # a rule that is refused as such has no iterates
                finding["apart"] = largest_difference(row)
        if with_class and not finding["refusal"]:
            finding |= measured(row)
    return Finding(row.package, row.optimizer, row.spec, **finding)  # type: ignore[arg-type]


def derived(row: Row) -> dict[str, object]:
    """Derive a limit and check it; return the seconds, the first error, and why it is unchecked."""
    sp.core.cache.clear_cache()
    start, refusal, unchecked = time.process_time(), "", ""
    try:
        derivation = derive(row.path)
        _ = derivation.limit
        unchecked = derivation.check_limit()
    except SpecError as error:
        first = error.diagnostics[0]
        refusal = f"{first.code}: {first.message}"
    seconds = time.process_time() - start
    return {"seconds": seconds, "refusal": refusal, "unchecked": unchecked}


def measured(row: Row) -> Mapping[str, object]:
    """Return the predicted and the measured order of the class, or why there is none."""
    try:
        result = order(row)
    except NoSolution as error:
        return {"unmeasured": str(error)}
    if result.observed is None:
        return {"unmeasured": AGREE}
    return {
        "predicted": float(result.expected.order),
        "measured": result.observed,
        "steps": result.steps,
        "errors": result.errors,
        "remark": result.remark,
    }


def verdict(row: Row, finding: Finding) -> str:
    """Return in a word or two what is to be said of a row."""
    if finding.refusal:
        expected = row.refused and finding.refusal.startswith(row.refused)
        return "refused" if expected else "refused, has a limit"
    if row.refused:
        return "derived, has no limit"
    if finding.apart is None:
        return "not proven" if finding.unchecked else "right"
    if not finding.is_same_rule(row):
        return "another rule"
    return "right" if finding.has_its_order or finding.unmeasured == AGREE else "not proven"
