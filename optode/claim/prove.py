"""Prove or refute claims on an adjoint system, for every costate in several sets of variables.

The verdicts come from elimination alone. What they show is a lemma: where ``x' = A x + B y``, ``y'
= C x + D y`` with J in C alone and A + D a function of t, ``P' = -(A + D) P`` makes ``(a_y,
-a_x)/P`` satisfy the same system with ``J^T`` in forward time; reversed time does where A + D and
the other coefficients are constant.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import combinations, permutations

import sympy as sp

from optode.adjoint.volume import END, flow_determinant, volume
from optode.claim.costates import Costates, Equations
from optode.claim.eigenvalue_pairs import pair_claims
from optode.claim.elimination import Elimination, Flow
from optode.claim.multipliers import named
from optode.claim.operators import NotEliminated, NotLinear, Operators, at_time
from optode.claim.verdicts import (
    CLOCK,
    FACTOR,
    STATUSES,
    Change,
    Claim,
    Equation,
    Status,
    Verdict,
    with_names,
)
from optode.language.symbols import TIME, FieldTransposed, velocity_symbol


def adjoint_claims(costates: Costates) -> tuple[Claim, ...]:
    """Return all claims on a model's adjoint system; their verdicts have no numerical check yet.

    States that are functions of time alone are to be put in before (``costates.without_clocks``).
    With operators of the caller's none is applicable: there is no one J^T.
    """
    if operators := costates.model.operators:
        error = NotEliminated(f"the equations call {' and '.join(operators)}: there is no one J^T")
        return (Claim("forward", (), (_not_applicable(error),), is_linear=False),)
    forward = _forward_claim(costates)
    claims = [forward]
    if not any(verdict.status == "proven" for verdict in forward.verdicts):
        claims += _with_held_states(costates)
    if not forward.is_linear:
        linearised = _linearised_claim(costates)
        claims += [linearised] if linearised.verdicts != forward.verdicts else []
    if len(costates.model.states) == 2:
        claims.append(_second_order_claim(costates))
        claims += pair_claims(costates, claims)
    flow = volume(costates.model)
    if flow is not None and flow.determinant is not None:
        determinant = (flow_determinant(), flow.determinant)
        claims.append(Claim("volume", (determinant,), (Verdict("proven"),)))
    return tuple(claim for claim in claims if claim.verdicts)


def _forward_claim(costates: Costates) -> Claim:
    """Claim that the costates satisfy the forward equation with J^T in place of f."""
    try:
        claimed = costates.forward()
    except NotEliminated as error:
        return Claim("forward", (), (_not_applicable(error),), is_linear=False)
    if not _is_linear(costates, claimed):
        equations = tuple(claimed.items())
        return Claim("forward", equations, (_not_linear(costates),), is_linear=False)
    return _tried(Claim("forward", (), ()), claimed, costates)


def _is_linear(costates: Costates, claimed: Equations) -> bool:
    try:
        for right in claimed.values():
            costates.operators.terms(right)
    except NotLinear:
        return False
    return True


def _not_applicable(error: NotEliminated) -> Verdict:
    return Verdict("not applicable", remark=str(error))


def _not_linear(costates: Costates) -> Verdict:
    """Return the refusal of a nonlinear forward equation: costates of two losses add, its solutions do not."""
    remark = "the adjoint is linear in the loss, the equation is not"
    missed = costates.superposed()
    if missed:
        remark += "; where a solution is doubled"
    else:
        missed = costates.superposed(adds=True)
        remark += "; where two solutions are added"
    return Verdict("refuted", leftover=tuple(missed.items()), remark=remark)


def _with_held_states(costates: Costates) -> Iterator[Claim]:
    """Yield the largest blocks with the position that are linear where the other states are given.

    Beside each, what becomes of its proven verdicts where no costate is dropped.
    """
    others = costates.model.states[1:]
    for size in range(1, len(others) + 1):
        found = list(_blocks(costates, combinations(others, size)))
        for held, claimed in found:
            claim = _tried(Claim("forward", (), (), held=held), claimed, costates)
            yield claim
            yield _tried(replace(claim, is_kept=True), claimed, costates)
        if found:
            return


def _blocks(
    costates: Costates, choices: Iterable[tuple[sp.Symbol, ...]]
) -> Iterator[tuple[tuple[sp.Symbol, ...], Equations]]:
    """Return the choices of held states for which the forward equations are linear, with these equations."""
    for held in choices:
        try:
            claimed = costates.forward(held)
        except NotEliminated:
            continue
        if _is_linear(costates, claimed):
            yield held, claimed


def _linearised_claim(costates: Costates) -> Claim:
    """Claim that the costates satisfy the linearised forward equation with J^T in place of J."""
    try:
        if len(costates.model.states) > 2:
            raise NotEliminated("more than two states are coupled")
        claimed = costates.linearised()
        position = next(iter(claimed.values()))
        if len(claimed) > 1 and position.has(FieldTransposed):
            raise NotEliminated("f stands in the equation of the position")
    except NotEliminated as error:
        return Claim("linearised", (), (_not_applicable(error),))
    return _tried(Claim("linearised", (), ()), claimed, costates)


def _tried(claim: Claim, claimed: Equations, costates: Costates) -> Claim:
    """Return a claim with the verdicts for each costate, those proven first; one where none can be given.

    Where no costate is dropped, the verdicts that were proven are given anew.
    """
    flow, names = named(costates.flow(claimed, () if claim.is_kept else claim.held))
    found: list[Verdict] = []
    if claim.is_kept:
        proven = (v for v in claim.verdicts if v.status == "proven" and v.costate)
        found = [_attempted(flow, v.costate, v.change) for v in proven]
    else:
        for state, costate in costates.of.items():
            if state not in claim.held:
                found += _changes_tried(flow, costate)
    found = sorted(dict.fromkeys(found), key=lambda verdict: STATUSES.index(verdict.status))
    if found and found[0].status == "not applicable":
        found = [replace(found[0], costate=None)]
    tried = replace(claim, equations=tuple(flow.claimed.items()), verdicts=tuple(found))
    return with_names(tried, names)


def _changes_tried(flow: Flow, costate: sp.Symbol) -> Iterator[Verdict]:
    """Yield the tests of a costate: divided by a scalar factor, unchanged, and in reversed time."""
    plain = divided = _attempted(flow, costate, Change())
    try:
        divided = _attempted(flow, costate, Change(rate=flow.factor_rates(costate)[0]))
        if divided.leftover and plain.leftover and flow.excludes_every_factor(costate):
            plain = replace(plain, remark="no scalar factor P(t) removes it")
    except NotEliminated:
        pass  # nor can it be tried as it is
    if divided.status == "proven" and divided.change != plain.change:
        yield divided
    yield plain
    yield _attempted(flow, costate, Change(is_reversed=True))


def _attempted(flow: Flow, costate: sp.Symbol, change: Change) -> Verdict:
    """Return the verdict for one costate in one set of variables, or why there is none."""
    try:
        return _verdict(flow, costate, change)
    except NotEliminated as error:
        return replace(_not_applicable(error), costate=costate)


def _verdict(flow: Flow, costate: sp.Symbol, change: Change) -> Verdict:
    tested = flow.backwards() if change.is_reversed else flow
    found = tested.eliminate(costate, change.rate)
    if found.is_guess and found.size:
        raise NotEliminated("an operator would have to be inverted")
    leftover = _on_clock(_leftover(flow.operators, found, costate, change), change)
    factor = FACTOR if change.factor is None else change.factor
    images = ((b, flow.operators.normal(e / factor)) for b, e in found.images.items())
    remark = ""
    if leftover and change.is_reversed and not flow.backwards(TIME).eliminate(costate).size:
        remark = "proven for the coefficients at T - tau in the place of tau"
    if not leftover and any(flow.operators.switches(image) for image in found.images.values()):
        remark = "between the switches"
    status: Status = "refuted" if leftover else "proven"
    return Verdict(status, costate, change, _on_clock(images, change), leftover, remark)


def _on_clock(equations: Iterable[Equation], change: Change) -> tuple[Equation, ...]:
    """Return the equations with coefficients written in tau, for reversed time."""
    if not change.is_reversed:
        return tuple(equations)
    return tuple((left, at_time(right, END - CLOCK)) for left, right in equations)


def _leftover(
    operators: Operators, found: Elimination, costate: sp.Symbol, change: Change
) -> Iterator[Equation]:
    """Return the terms left over, in the images if these determine the costates, else in the costates."""
    factor = FACTOR if change.factor is None else change.factor
    position, *others = found.images
    costates = {costate: factor * position}
    for image in others:
        terms = operators.terms(found.images[image])
        unknown = [a for a in terms if a.is_Symbol and a != costate]
        if len(unknown) == 1 and sum(vector.has(*unknown) for vector in terms) == 1:
            coefficient = terms.pop(unknown[0])
            rest = sp.Add(*(c * vector for vector, c in terms.items())).xreplace(costates)
            costates[unknown[0]] = (factor * image - rest) / coefficient
    determined = len(costates) == len(found.images)
    for image, terms in found.leftover.items():
        missed = sp.Add(*(c * vector for vector, c in terms.items()))
        if missed != 0:
            missed = missed.xreplace(costates) if determined else missed
            yield image, operators.normal(missed / factor)


def _second_order_claim(costates: Costates) -> Claim:
    """Claim an equation for one costate alone, the other one eliminated."""
    try:
        costates.without_products(costates.model.equations)
    except NotEliminated as error:
        return Claim("second order", (), (_not_applicable(error),))
    flow, names = named(costates.flow({}))
    verdicts = []
    for costate, other in permutations(costates.of.values()):
        try:
            if equation := _alone(flow, costate, other):
                verdicts.append(Verdict("proven", costate, images=(equation,)))
        except NotEliminated as error:
            verdicts.append(replace(_not_applicable(error), costate=costate))
    verdicts.sort(key=lambda verdict: STATUSES.index(verdict.status))
    return with_names(Claim("second order", (), tuple(verdicts)), names)


def _alone(flow: Flow, costate: sp.Symbol, other: sp.Symbol) -> Equation | None:
    """Return the second derivative of a costate without the other costate; None if they are not coupled."""
    terms = flow.operators.terms(flow.rates[costate])
    if not any(vector.has(other) for vector in terms):
        return None
    coupling = terms.pop(other, sp.S.Zero)
    if any(vector.has(other) for vector in terms):
        raise NotEliminated(f"an operator would have to be inverted to eliminate {other}")
    rest = sp.Add(*(c * vector for vector, c in terms.items()))
    moved = flow.operators.rate(flow.rates[costate], flow.rates)
    eliminated = flow.operators.normal((velocity_symbol(costate) - rest) / coupling)
    return costate, flow.operators.normal(moved.xreplace({other: eliminated}))
