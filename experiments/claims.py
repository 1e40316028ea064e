"""Say what is true of the papers' claims, from the numbers of the studies."""

from __future__ import annotations

from typing import NamedTuple

import pandas as pd
from scipy.stats import wilcoxon

from experiments.models import MODELS, UNTRIED

LEVEL, FEW = 0.05, 6
"""The level of the signed-rank test, and the number of seeds from which it can reach that."""

METRIC = "test_metric"
HOLDS, OPPOSITE, UNDECIDED = "holds", "**the opposite**", "undecided"
HEAVY_BALL, ADAM, NESTEROV = "Xia et al. 2021", "Cho et al. 2022", "Nguyen et al. 2022"


class Claim(NamedTuple):
    """That one model is better than another in a number of its runs, and who says so.

    ``low`` says whether smaller is better; for the metric that is the task's.
    """

    source: str
    words: str
    better: str
    other: str
    column: str
    low: bool = True

    @property
    def sentence(self) -> str:
        """The claim, in a line."""
        return f"{self.better}: {self.words} {self.other}"


_FORWARD, _BACKWARD = "fewer evaluations forward than", "fewer evaluations backward than"
_ACCURATE, _LOSS = "more accurate than", "lower training loss than"
_REACH, _SMALLER = "gradients reach further back than those of", "largest h smaller than that of"

CLAIMS = (
    Claim(HEAVY_BALL, _FORWARD, "HBNODE", "NODE", "nfe_forward"),
    Claim(HEAVY_BALL, _FORWARD, "HBNODE", "ANODE", "nfe_forward"),
    Claim(HEAVY_BALL, _FORWARD, "HBNODE", "SONODE", "nfe_forward"),
    Claim(HEAVY_BALL, _BACKWARD, "HBNODE", "NODE", "nfe_backward"),
    Claim(HEAVY_BALL, _BACKWARD, "HBNODE", "ANODE", "nfe_backward"),
    Claim(HEAVY_BALL, _BACKWARD, "HBNODE", "SONODE", "nfe_backward"),
    Claim(HEAVY_BALL, _ACCURATE, "HBNODE", "NODE", METRIC),
    Claim(HEAVY_BALL, _ACCURATE, "HBNODE", "ANODE", METRIC),
    Claim(HEAVY_BALL, _ACCURATE, "HBNODE", "SONODE", METRIC),
    Claim(HEAVY_BALL, _REACH, "HBNODE", "NODE", "reach", low=False),
    Claim(HEAVY_BALL, _SMALLER, "GHBNODE", "HBNODE", "largest_h"),
    Claim(NESTEROV, _FORWARD, "NesterovNODE", "HBNODE", "nfe_forward"),
    Claim(NESTEROV, _BACKWARD, "NesterovNODE", "HBNODE", "nfe_backward"),
    Claim(NESTEROV, _ACCURATE, "NesterovNODE", "HBNODE", METRIC),
    *(
        claim
        for adam in ("AdamNODE", "GuardedAdamNODE")  # of the text, and of the released code
        for claim in (
            Claim(ADAM, _LOSS, adam, "HBNODE", "train_loss"),
            Claim(ADAM, _LOSS, adam, "GHBNODE", "train_loss"),
            Claim(ADAM, _FORWARD, adam, "HBNODE", "nfe_forward"),
            Claim(ADAM, _SMALLER, adam, "HBNODE", "largest_h"),
        )
    ),
)


class Verdict(NamedTuple):
    """What is true of a claim on one task.

    ``change`` is the median over the seeds of the difference, the first model minus the second.
    ``agreeing`` is the number of seeds where they are too few for a test and all say so, else 0.
    """

    word: str
    change: float
    agreeing: int

    def __str__(self) -> str:
        few = f" in all {self.agreeing}" if self.agreeing else ""
        return f"{self.word}{few} ({self.change:+.2g})"


def verdict(runs: pd.DataFrame, claim: Claim, best: str) -> Verdict | None:
    """Return whether a claim holds in the runs of a task, where ``best`` is "high" or "low".

    It holds where the signed-rank test over the seeds says so. Few seeds cannot show that: there all
    have to agree. None without runs of both models.
    """
    ended = runs[~runs["diverged"].astype(bool)]
    if claim.column not in ended:
        return None
    wide = ended.pivot_table(index="seed", columns="rule", values=claim.column)
    if not {claim.better, claim.other} <= {*wide}:
        return None
    change = (wide[claim.better] - wide[claim.other]).dropna()
    if not len(change):
        return None
    low = best == "low" if claim.column == METRIC else claim.low
    gain = -change if low else change
    if not _decided(gain):
        return Verdict(UNDECIDED, change.median(), 0)
    word = HOLDS if gain.median() > 0 else OPPOSITE
    return Verdict(word, change.median(), len(gain) if len(gain) < FEW else 0)


def _decided(gain: pd.Series) -> bool:
    if not gain.any():
        return False
    if len(gain) >= FEW:
        return bool(wilcoxon(gain).pvalue < LEVEL)
    return len(gain) > 1 and ((gain > 0).all() or (gain < 0).all())


def rows(runs: dict[str, tuple[pd.DataFrame, str]]) -> list[tuple[str, ...]]:
    """Return a row for each claim, with its verdict on every task; the first row is the head."""
    found = [("claim", "who", *runs)]
    for claim in CLAIMS:
        verdicts = (verdict(table, claim, best) for table, best in runs.values())
        found.append((claim.sentence, claim.source, *(str(each or "-") for each in verdicts)))
    return found


def summary(runs: dict[str, tuple[pd.DataFrame, str]]) -> list[str]:
    """Return a line for each claim: on which tasks it holds, and on which the opposite is true."""
    lines = []
    for claim in CLAIMS:
        told = {name: verdict(table, claim, best) for name, (table, best) in runs.items()}
        known = [(name, each) for name, each in told.items() if each]
        words = []
        for word in (HOLDS, OPPOSITE, UNDECIDED):
            if on := [_where(name, each) for name, each in known if each.word == word]:
                words.append(f"{word} on {', '.join(on)}")
        if words:
            lines.append(f"- {claim.sentence}: {'; '.join(words)}.")
    return [*lines, *_untried(runs)]


def _where(task: str, found: Verdict) -> str:
    """Return a task's name, and how many seeds agree where they are few."""
    return f"{task} (all {found.agreeing} seeds)" if found.agreeing else task


def _untried(runs: dict[str, tuple[pd.DataFrame, str]]) -> list[str]:
    """Return which of the rules that no paper has tried has the best metric, by the medians."""
    places = []
    for name, (table, best) in runs.items():
        ended = table[~table["diverged"].astype(bool)]
        medians = ended.groupby("rule")[METRIC].median().sort_values(ascending=best == "low")
        new = [rule for rule in medians.index if MODELS[rule].kind == UNTRIED]
        if len(new) > 1:
            place = medians.rank(ascending=best == "low", method="min")[new[0]]
            places.append(f"{new[0]} on {name} (place {place:.0f} of {len(medians)} models)")
    if not places:
        return []
    return [f"- Of the rules that no paper has tried the best are {', '.join(places)}."]
