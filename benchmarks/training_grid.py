"""Measure a training with grid="auto": whether h is accurate throughout, and whether it is fastest.

    python -m benchmarks.training_grid [--quick] [--help]

The task is a regression whose target the network reaches only with larger weights: one solver step
is enough at first, and several are needed in the end. The contenders are grid="auto", the adaptive
solve, both with method="auto", adaptive dopri5, and interpolations in equal steps. All train with
Adam from equal weights. They take their training steps in turns, so that noise is shared. Seconds
are the sum over all training steps: gradients to zero, forward, loss, backward, optimizer's step.

The error of h is taken at the first, every 25th and the last training step, outside of the timed
part. The reference is h at equal weights in double precision: the equations by hand, torchdiffeq's
dopri8 with rtol = atol = 1e-10. The error of an entry is

    (h - h_exact) / (atol + rtol |h_exact|),    rtol = atol = --tolerance.

The error of h is the root mean square of these over all entries of the batch, which is the modules'
norm of a state. It is within the tolerance where it is at most 1. The largest entry is reported
beside it. A contender is accurate throughout if it is within the tolerance at every sample, each on
the weights that it trained itself.

The methods hold another error to the tolerance: what one step adds, by its estimate, in h and in m,
over atol + rtol times the larger of both ends of the step. Such errors add up, the equations let
them grow or shrink, and the estimate is of the lower order of a pair. So neither grid="auto" nor an
adaptive solve promises an h within the tolerance; this program measures whether it is.

The claim, for each gradient: grid="auto" is accurate throughout, and takes less time than both
adaptive solves, accurate or not, and than every fixed grid that is accurate throughout. Which fixed
grids these are is known only after the training. The claim is undecided where a ratio of times is
within two standard errors of 1; the standard error comes from the spread over parts of the run.
"""

from __future__ import annotations

import argparse
import gc
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from statistics import stdev
from typing import TYPE_CHECKING, Any, NamedTuple

from benchmarks.records import Report, rounded, write_document
from benchmarks.speed.environment import environment, environment_line, pin

# What brings a numerical library is imported where it is used: once the threads are pinned.
if TYPE_CHECKING:
    from torch import Tensor

    from benchmarks.speed.cases import Problem
    from benchmarks.speed.contender import Setting
    from benchmarks.speed.torch_contenders import Optode

METHOD = "auto"
# Of benchmarks/speed.
MODELS = ("HBNODE", "GHBNODE", "AdamNODE", "NesterovNODE")
CASES = ("small", "medium")
GRADIENTS = ("autograd", "discrete")
FIXED = (
    *(("interpolation5", n) for n in (1, 2, 3, 4, 6, 8)),
    *(("interpolation8", n) for n in (1, 2, 3, 4, 6)),
)
# Of Adam: PyTorch's own.
RATE = 1e-3
# The target is h at the start with its features in reverse, times this: far from where weights as
# PyTorch draws them lead.
STRETCH = -3.0
EXACT = 1e-10
STEPS, QUICK_STEPS = 500, 150
EVERY = 25
# Of the run, each with every seventh training step: prime to the numbers of contenders, whose turns
# would come back. And how many standard errors a ratio has to be away from 1.
PARTS, DOUBT = 7, 2.0
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
# Training steps of weights that are thrown away, not timed: libraries set up at their first calls.
REHEARSED = 3


@dataclass(frozen=True)
class Contender:
    """A module's method and gradient, at a setting; kind is auto, adaptive, dopri5 or fixed."""

    kind: str
    gradient: str
    module: Optode
    setting: Setting

    @property
    def name(self) -> str:
        """The name of the module's setting; for a fixed grid with the number of steps."""
        name = self.module.name.removeprefix("optode ")
        return f"{name} {self.setting}" if self.kind == "fixed" else name


def contenders(gradient: str, tolerance: float) -> list[Contender]:
    """grid="auto" and its rivals."""
    from benchmarks.speed.contender import Setting
    from benchmarks.speed.torch_contenders import Optode

    asked = Setting("tolerance", tolerance)
    return [
        Contender("auto", gradient, Optode(gradient, METHOD, grid="auto"), asked),
        Contender("adaptive", gradient, Optode(gradient, METHOD), asked),
        Contender("dopri5", gradient, Optode(gradient, "dopri5"), asked),
        *(
            Contender("fixed", gradient, Optode(gradient, method, steps=True), Setting("steps", n))
            for method, n in FIXED
        ),
    ]


class Sample(NamedTuple):
    """The error of h after a training step's solve, in tolerances, and its largest entry."""

    step: int
    error: float
    entry: float


@dataclass(eq=False)
class Run:
    """The record of a contender's training: a number for each training step, and the samples.

    work: the stats of each solve. failure: the error that ended it, if one did.
    """

    contender: Contender
    seconds: list[float] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)
    work: list[Any] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)
    failure: str = ""

    @property
    def total(self) -> float:
        return math.fsum(self.seconds)

    @property
    def error(self) -> float:
        return max((sample.error for sample in self.samples), default=math.nan)

    @property
    def entry(self) -> float:
        return max((sample.entry for sample in self.samples), default=math.nan)

    @property
    def accurate(self) -> bool:
        """Whether training went to the end, and h was within the tolerance at every sample."""
        return not self.failure and all(sample.error <= 1 for sample in self.samples)

    @property
    def changes(self) -> list[tuple[int, int]]:
        """Training steps before which the number of solver steps changed, and the new number."""
        counts = [stats.accepted for stats in self.work]
        return [(i, b) for i, (a, b) in enumerate(pairwise(counts), 1) if a != b]

    def mean(self, name: str) -> float:
        """Return the mean of an entry of the stats over all training steps."""
        return math.fsum(getattr(stats, name) for stats in self.work) / max(1, len(self.work))


class Training:
    """A contender with weights of its own."""

    def __init__(self, contender: Contender, given: Problem) -> None:
        from torch.optim import Adam

        self.given, self.run = given, Run(contender)
        self.node: Any = contender.module.build(given, contender.setting)[0]
        self.optimizer = Adam(self.node.parameters(), RATE)

    def step(self) -> None:
        """Take a training step; this is what is timed."""
        self.optimizer.zero_grad()
        solution = self.node.integrate(self.given.h0)
        h = solution.states.h[-1]
        loss: Any = self.given.loss(h)
        loss.backward()
        self.optimizer.step()
        self.h, self.loss, self.stats = h.detach(), loss.detach(), solution.stats

    def advance(self, clock: Callable[[], float]) -> None:
        """Take a training step and note its numbers; do nothing once a step has failed."""
        from benchmarks.speed.timing import timed

        run = self.run
        if run.failure:
            return
        try:
            seconds = timed(self.step, 1, clock)
        except (ArithmeticError, AssertionError, RuntimeError, ValueError) as error:
            what = f"{type(error).__name__}: {error}".partition("\n")[0]
            run.failure = f"training step {len(run.seconds)}: {what}"
            return
        run.seconds.append(seconds)
        run.losses.append(self.loss.item())
        run.work.append(self.stats)

    def weights(self) -> dict[str, Tensor]:
        """Return copies of all parameters: the network's and the model's."""
        return {name: x.detach().clone() for name, x in self.node.named_parameters()}

    def sample(self, weights: Mapping[str, Tensor], tolerance: float) -> None:
        """Note the error of the last step's h, which was solved with these weights."""
        if not self.run.failure:
            found = deviation(self.h, exact(self.given, weights), tolerance)
            self.run.samples.append(Sample(len(self.run.seconds) - 1, *found))


def regression(model: str, case: str) -> Problem:
    """Return the problem of benchmarks/speed with weights as PyTorch draws them.

    The target is one that the network reaches only with larger weights.
    """
    from benchmarks.speed.cases import CASES, problem

    given = problem(model, CASES[case], gain=1.0)
    return replace(given, target=STRETCH * given.h0.flip(1))


def exact(given: Problem, weights: Mapping[str, Tensor]) -> Tensor:
    """Return h at the end in float64, by the equations by hand and none of optode's code."""
    import torch
    from torchdiffeq import odeint

    from benchmarks.speed.equations import MODELS

    wide = given.to(torch.float64)
    model: Any = MODELS[given.model].by_hand(wide.field()).double()
    model.load_state_dict(weights)
    times = torch.tensor(given.span, dtype=torch.float64)
    settings: dict[str, Any] = {"rtol": EXACT, "atol": EXACT, "method": "dopri8"}
    with torch.no_grad():
        # a step that ends at the end of the span: nothing is interpolated
        path: Any = odeint(
            model, model.start(wide.h0), times, **settings, options={"step_t": times[1:]}
        )
    h: Tensor = path[0][-1]
    return h


def deviation(h: Tensor, wanted: Tensor, tolerance: float) -> tuple[float, float]:
    """Return the error in units of atol + rtol |wanted|: root mean square, and largest entry."""
    ratios = (h - wanted) / (tolerance + tolerance * wanted.abs())
    return ratios.square().mean().sqrt().item(), ratios.abs().max().item()


def train(
    given: Problem,
    entrants: Sequence[Contender],
    tolerance: float,
    steps: int,
    every: int = EVERY,
    clock: str = "wall",
) -> list[Run]:
    """Train all contenders, a training step of each in turning order."""
    from benchmarks.speed.timing import CLOCKS, no_collection

    for contender in entrants:
        rehearsal = Training(contender, given)
        for _ in range(REHEARSED):
            rehearsal.advance(CLOCKS[clock])
    trainings = [Training(contender, given) for contender in entrants]
    with no_collection():
        for i in range(steps):
            sampled = i % every == 0 or i == steps - 1
            weights = [training.weights() for training in trainings] if sampled else []
            turn = i % len(trainings)
            for training in trainings[turn:] + trainings[:turn]:
                training.advance(CLOCKS[clock])
            if sampled:
                for training, before in zip(trainings, weights, strict=True):
                    training.sample(before, tolerance)
                gc.collect()
    return [training.run for training in trainings]


class Ratio(NamedTuple):
    """A ratio of total times, and its standard error."""

    times: float
    error: float


def ratio(slower: Sequence[float], faster: Sequence[float]) -> Ratio:
    """Return the ratio of total times, with its error by the spread over parts of the run.

    Each part has training steps from start to end: the first, the eighth, and so on.
    """
    whole, n = math.fsum(slower) / math.fsum(faster), min(PARTS, len(faster))
    parts = [math.fsum(slower[i::n]) / math.fsum(faster[i::n]) for i in range(n)]
    return Ratio(whole, stdev(parts) / math.sqrt(n) if n > 1 else math.inf)


class Claim(NamedTuple):
    """The outcome of the claim for one gradient.

    rivals: whose time is compared, the adaptive solves first and then the fixed grids that are
    accurate throughout. coarse: the other fixed grids.
    """

    auto: Run
    rivals: list[Run]
    coarse: list[Run]

    @property
    def ratios(self) -> dict[str, Ratio]:
        """The time of each rival divided by that of grid="auto"."""
        return {run.contender.name: ratio(run.seconds, self.auto.seconds) for run in self.rivals}

    @property
    def holds(self) -> bool | None:
        """Whether the claim holds; None where it is undecided."""
        margins = [(times - 1, DOUBT * doubt) for times, doubt in self.ratios.values()]
        if not self.auto.accurate or any(margin < -doubt for margin, doubt in margins):
            return False
        return True if all(margin > doubt for margin, doubt in margins) else None


def claims(runs: Sequence[Run]) -> list[Claim]:
    """Compare each grid="auto" among the runs with the other runs of its gradient.

    Of a training that failed there is no time to compare.
    """
    found = []
    for auto in runs:
        if auto.contender.kind == "auto":
            others = [
                run
                for run in runs
                if run.contender.gradient == auto.contender.gradient and run is not auto
            ]
            coarse = [run for run in others if run.contender.kind == "fixed" and not run.accurate]
            ended = [run for run in (auto, *others) if run.failure]
            rivals = [run for run in others if run not in coarse and run not in ended]
            found.append(Claim(auto, [] if auto in ended else rivals, coarse))
    return found


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


def arguments(words: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.training_grid",
        description='A training run with grid="auto", against adaptive solves and fixed grids.',
    )
    parser.add_argument("--quick", action="store_true", help="one model and case, and fewer steps")
    parser.add_argument("--models", nargs="+", choices=MODELS, default=[])
    parser.add_argument("--cases", nargs="+", choices=CASES, default=[])
    parser.add_argument("--gradients", nargs="+", choices=GRADIENTS, default=GRADIENTS)
    parser.add_argument("--tolerance", type=float, default=1e-4, help="rtol and atol")
    parser.add_argument(
        "--steps", type=int, help=f"training steps, {STEPS} unless told ({QUICK_STEPS} if quick)"
    )
    parser.add_argument(
        "--every", type=int, default=EVERY, help="training steps from sample to sample"
    )
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument(
        "--clock",
        default="wall",
        choices=["wall", "cpu"],
        help="cpu, with --threads 1, on a machine that is not idle",
    )
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--text", type=Path, metavar="FILE", help="what is printed, too")
    return parser.parse_args(words)


def run(asked: argparse.Namespace) -> None:
    """Train on every model and case that is asked for."""
    report, first = Report(asked.text), 1 if asked.quick else None
    settings = {
        "clock": asked.clock,
        "tolerance": asked.tolerance,
        "steps": asked.steps or (QUICK_STEPS if asked.quick else STEPS),
    }
    where = environment("cpu") | settings
    report(environment_line(where))
    problems: list[dict[str, Any]] = []
    for model in asked.models or MODELS[:first]:
        for case in asked.cases or CASES[:first]:
            given = regression(model, case)
            entrants = [
                contender
                for gradient in asked.gradients
                for contender in contenders(gradient, asked.tolerance)
            ]
            runs = train(given, entrants, every=asked.every, **settings)
            report_problem(given, runs, report)
            problems.append({"problem": str(given), **document(runs)})
    if asked.json:
        write_document(asked.json, {"environment": where, "problems": problems})


def report_problem(given: Problem, runs: Sequence[Run], report: Report) -> None:
    losses = next((run.losses for run in runs if run.losses), [math.nan])
    report(f"\n{given}, float32, loss {losses[0]:.3g} to {losses[-1]:.3g}\n")
    report(table(runs))
    for claim in claims(runs):
        report("\n" + claim_lines(claim))


def main() -> None:
    asked = arguments()
    pin(asked.threads)
    import torch

    torch.set_num_threads(asked.threads)
    run(asked)


if __name__ == "__main__":
    main()
