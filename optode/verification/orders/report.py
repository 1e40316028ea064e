"""Check every scaling of a rule, and write the orders of convergence as a table."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import TypeAlias

from optode.compiler import derive
from optode.derivation import AnySpec
from optode.diagnostics import SpecError
from optode.language.symbols import Loss
from optode.language.text import to_text
from optode.limit.balance import scalings
from optode.limit.scaling import Scaling
from optode.rule.rule import UpdateRule
from optode.spec.reader import Spec, VerifySpec
from optode.spec.shipped import shipped_specs
from optode.time_limit import time_limit
from optode.trial.operators import with_operators
from optode.trial.smooth_field import SmoothField, field_for
from optode.trial.starts import NoSolution
from optode.trial.trial import Trial, finite_start
from optode.verification.orders.orders import Order, OrderCheck, limit_order, next_order

COLUMNS = ("rule", "scaling", "limit", "expected", "next order", "expected", "remarks")
COMMAND = "optode verify --all --format markdown"
Given: TypeAlias = tuple[tuple[str, float], ...]
"""Hyper-parameters by name, with their numbers."""


def verify(spec: AnySpec, order: int = 1, seconds: float | None = None) -> tuple[OrderCheck, ...]:
    """Measure the orders of convergence of a spec's rule: one check for each scaling.

    The limit is compared on the gradient of a convex function; the equations up to ``order`` (none
    for 0) on a field whose Jacobian J is not symmetric, so that ``J^T u`` in place of ``J u`` would
    show. The spec's ``verify`` section says which numbers the hyper-parameters take; the result is
    empty for a model given as an ODE. Raises SpecError for a spec in error, or where deriving it or
    one check takes more than so many seconds; ValueError for an order other than 0, 1 and 2.
    """
    if type(order) is not int or order not in (0, 1, 2):
        raise ValueError(f"order: 0, 1 or 2, not {order!r}")
    derivation = derive(spec)
    if derivation.spec.is_ode:
        return ()
    with time_limit(seconds):
        rule = with_operators(derivation.rule)
        chosen = _chosen(rule)
    declared = derivation.spec.verify if isinstance(derivation.spec, Spec) else ()
    given = tuple((entry.name.text, entry.numbers[0]) for entry in declared)
    found: list[OrderCheck] = []
    for scaling in chosen:
        regime = _regime(rule, scaling)
        with time_limit(seconds):
            found.append(check_orders(derivation.name, regime, rule, scaling, order, given))
        found += _with_other_numbers(found[-1], rule, scaling, order, declared)
    return tuple(found)


def verify_all(order: int = 1, seconds: float | None = None) -> Iterator[OrderCheck]:
    """Yield the checks of all shipped specs; a spec with errors gives a check that failed."""
    for name in shipped_specs():
        try:
            yield from verify(name, order, seconds)
        except SpecError as error:
            yield OrderCheck(name, "", failures=(error.diagnostics[0].message,))


def check_orders(
    name: str,
    regime: str,
    rule: UpdateRule,
    scaling: Scaling,
    order: int = 1,
    given: Given = (),
) -> OrderCheck:
    """Measure the orders of a rule in one scaling: of its limit, and of the next-order equations.

    ``given`` sets hyper-parameters by name.
    """
    start = finite_start(rule, scaling, field_for(rule), given)
    failures: list[str] = []

    def measured(measure: Callable[[], Order]) -> Order | None:
        try:
            return measure()
        except SpecError as error:
            failures.append(error.diagnostics[0].message)
        except NoSolution as error:
            failures.append(str(error))
        return None

    convex = Trial(rule, scaling, field_for(rule), start, given)
    game = replace(convex, field=_field_for_next_order(rule))
    limit = measured(lambda: limit_order(convex))
    later = measured(lambda: next_order(game, order)) if order and limit is not None else None
    return OrderCheck(name, regime, limit, later, tuple(failures))


def _field_for_next_order(rule: UpdateRule) -> SmoothField:
    """Return a field whose Jacobian is not symmetric; a gradient where the rule reads its loss."""
    return field_for(rule, convex=any(e.has(Loss) for e in rule.step_map))


def _chosen(rule: UpdateRule) -> tuple[Scaling, ...]:
    """Return the distinguished limits; for a single undeclared decay also the limits between them."""
    found = scalings(rule)
    return tuple(s for s in found if s.is_distinguished or len(rule.decays) == 1)


def _regime(rule: UpdateRule, scaling: Scaling) -> str:
    decays = (f"{d} {regime}" for d, regime in zip(rule.decays, scaling.regimes, strict=True))
    return ", ".join([f"t = k*{to_text(scaling.unit)}", *decays])


def _with_other_numbers(
    check: OrderCheck,
    rule: UpdateRule,
    scaling: Scaling,
    order: int,
    declared: tuple[VerifySpec, ...],
) -> Iterator[OrderCheck]:
    """Yield the checks with the further numbers of the spec, where they change the order.

    They are tried where the start is singular: without eps, which keeps a denominator from zero,
    the start of Adam is more singular than with it.
    """
    given = {entry.name.text: entry.numbers[0] for entry in declared}
    others = ((entry.name.text, number) for entry in declared for number in entry.numbers[1:])
    for name, number in others:
        if check.limit is None or not check.limit.is_singular:
            return
        regime = f"{check.regime}, {name} = {number:g}"
        numbers = tuple((given | {name: number}).items())
        other = check_orders(check.name, regime, rule, scaling, order, numbers)
        if other.limit is None or other.limit.expected.order != check.limit.expected.order:
            yield other


def rows(checks: Iterable[OrderCheck]) -> list[tuple[str, ...]]:
    """Return the rows of the table under COLUMNS, as text."""
    return [
        (c.name, c.regime, *_numbers(c.limit), *_numbers(c.next_order), _remarks(c)) for c in checks
    ]


def _numbers(order: Order | None) -> tuple[str, str]:
    if order is None:
        return "", ""
    observed = "exact" if order.observed is None else f"{order.observed:.2f}"
    return (observed if order.passes else f"{observed} (!)"), str(order.expected.order)


def _remarks(check: OrderCheck) -> str:
    parts: list[str] = []
    for title, order in (("limit", check.limit), ("next order", check.next_order)):
        if order is not None:
            said = filter(None, (order.expected.reason, order.remark))
            parts += [f"{title}: {remark}" for remark in said]
    return "; ".join([*parts, *check.failures])


def as_text(checks: Iterable[OrderCheck]) -> str:
    """Return the table in aligned columns."""
    table = [COLUMNS, *rows(checks)]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    lines = ("  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)) for row in table)
    return "".join(f"{line.rstrip()}\n" for line in lines)


def as_markdown(checks: Iterable[OrderCheck]) -> str:
    """Return the table in Markdown."""
    table = [COLUMNS, tuple("---" for _ in COLUMNS), *rows(checks)]
    escaped = ([cell.replace("|", r"\|") for cell in row] for row in table)
    return "".join(f"| {' | '.join(row)} |\n" for row in escaped)


def page(checks: Iterable[OrderCheck]) -> str:
    """Return docs/reference/verification.md: an introduction and the table."""
    return f"{_INTRODUCTION}\n{as_markdown(checks)}"


_INTRODUCTION = f"""\
# Orders of convergence

This page compares every shipped rule with the equations derived from it: the rule runs at
decreasing steps, the equations are solved to high accuracy. It is made by
`{COMMAND}`. `optode verify SPEC --plot FILE.png` plots the errors of one rule.

- *limit* is the observed order of convergence of the rule to its continuous limit: the error at
  t = 1, over all states of the limit, against the continuous step. *next order* is the observed
  order for the equations with the next-order terms and the derived start.
- *expected* follows from the equations alone. It is 1 for the limit and 2 for next order, unless
  the increments have powers of the step between the whole ones, there are no next-order terms, or
  the correction cannot be integrated from a singular start. Observed and expected order agree
  within 0.1; an entry marked (!) does not.
- The limit is tested on the gradient of log cosh(x + y/2) + x^4/10 + x^2/10 + y^2/2 + xy/5, next
  order on a field in two variables whose Jacobian is not symmetric. A rule that reads the loss is
  tested on that convex function in both columns: no other field has a loss.
  Matrices have 2 rows and 2 columns, and a convex function and a field of their own.
- Hyper-parameters are generic: rates in (0.5, 1.5), fixed momenta in (0.3, 0.9), or the numbers of
  the spec's `verify` section. Where that section also lists 0 for the eps of a denominator, a
  second row shows eps = 0 if the order changes. Operators given by the caller are tanh.
- The final time is a whole number of steps. Four steps are used, each half the one before, small
  enough that the slope between neighbours no longer changes. Where it still changes at the
  finest step it is extrapolated, and next order is measured over a shorter time, which is said.
- From a singular start the equations follow the branch that has a power series in sqrt(t), found by
  collocation. At next order, rule and equations are compared from a quarter of the time on, both
  from the state of the rule.
"""
