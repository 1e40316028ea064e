"""Set down the trainings and the claims: as tables, in words, and for JSON."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from benchmarks.records import Report, rounded
from benchmarks.training_grid.claims import Claim, claims
from benchmarks.training_grid.training import Run

if TYPE_CHECKING:
    from benchmarks.speed.cases import Problem

OUTCOMES = {True: "holds", False: "does not hold", None: "is undecided"}
COLUMNS = (
    "contender",
    "seconds",
    "over grid auto",
    "worst error",
    "entry",
    "accurate",
    "steps",
    "NFE",
    "refined",
    "changes",
)


def table(runs: Sequence[Run]) -> str:
    """Return a table of all contenders, fastest first, and below it the failures."""
    from benchmarks.speed.tables import aligned

    autos = {run.contender.gradient: run for run in runs if run.contender.kind == "auto"}
    lines = [COLUMNS]
    for run in sorted(runs, key=lambda run: (bool(run.failure), run.total)):
        auto = autos[run.contender.gradient]
        lines.append(
            (
                run.contender.name,
                f"{run.total:.2f}",
                "-" if run.failure or auto.failure else f"{run.total / auto.total:.2f}",
                f"{run.error:.2g}",
                f"{run.entry:.2g}",
                "yes" if run.accurate else "no",
                f"{run.mean('accepted'):.2f}",
                f"{run.mean('forward_nfe'):.1f} / {run.mean('backward_nfe'):.1f}",
                f"{sum(stats.repeated for stats in run.work)}",
                f"{len(run.changes)}",
            )
        )
    failures = [f"{run.contender.name} failed: {run.failure}" for run in runs if run.failure]
    return "\n".join((aligned(lines), *failures))


def claim_lines(claim: Claim) -> str:
    """Return the outcome of a claim in words, and the numbers behind it."""
    auto = claim.auto
    counts = [(0, stats.accepted) for stats in auto.work[:1]] + auto.changes
    rivals = [f"{name} {each.times:.3f} ({each.error:.3f})" for name, each in claim.ratios.items()]
    coarse = [f"{run.contender.name} {run.error:.2g}" for run in claim.coarse]
    return "\n  ".join(
        (
            f"{auto.contender.name}: the claim {OUTCOMES[claim.holds]}",
            f"worst error of h in tolerances, of {len(auto.samples)} samples: {auto.error:.2g}",
            f"steps, and since which training step: {', '.join(f'{n} {i}' for i, n in counts)}",
            f"times as long (standard error): {', '.join(rivals) or '-'}",
            f"too coarse, with their worst errors: {', '.join(coarse) or '-'}",
        )
    )


def document(runs: Sequence[Run]) -> dict[str, Any]:
    """Return the records of all contenders and the claims, for JSON."""
    return {
        "contenders": [record(run) for run in runs],
        "claims": [
            {
                "contender": claim.auto.contender.name,
                "holds": claim.holds,
                "times_as_long": rounded(
                    {name: each._asdict() for name, each in claim.ratios.items()}
                ),
                "too_coarse": [run.contender.name for run in claim.coarse],
            }
            for claim in claims(runs)
        ],
    }


def record(run: Run) -> dict[str, Any]:
    """Return the numbers of one training: sums, means over the training steps, and the samples."""
    found = {
        "contender": run.contender.name,
        "kind": run.contender.kind,
        "gradient": run.contender.gradient,
        "seconds": run.total,
        "losses": [*run.losses[:1], *run.losses[-1:]],
        "error": run.error,
        "entry": run.entry,
        "accurate": run.accurate,
        "failure": run.failure,
        "steps": run.mean("accepted"),
        "rejected": run.mean("rejected"),
        "refined": sum(stats.repeated for stats in run.work),
        "forward_nfe": run.mean("forward_nfe"),
        "backward_nfe": run.mean("backward_nfe"),
        "changes": run.changes,
        "samples": run.samples,
    }
    made: dict[str, Any] = rounded(found)
    return made


def report_problem(given: Problem, runs: Sequence[Run], report: Report) -> None:
    losses = next((run.losses for run in runs if run.losses), [math.nan])
    report(f"\n{given}, float32, loss {losses[0]:.3g} to {losses[-1]:.3g}\n")
    report(table(runs))
    for claim in claims(runs):
        report("\n" + claim_lines(claim))
