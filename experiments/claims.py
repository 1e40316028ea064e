"""Say what is true of the papers' claims, from the numbers of the studies."""

from __future__ import annotations

from typing import NamedTuple

import pandas as pd
from scipy.stats import wilcoxon

from experiments.models import MODELS, UNTRIED

LEVEL, FEW = 0.05, 6
"""The level of the signed-rank test, and the number of seeds from which it can reach that."""

METRIC = "test_metric"
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
    Claim(ADAM, _LOSS, "AdamNODE", "HBNODE", "train_loss"),
    Claim(ADAM, _LOSS, "AdamNODE", "GHBNODE", "train_loss"),
    Claim(ADAM, _FORWARD, "AdamNODE", "HBNODE", "nfe_forward"),
    Claim(ADAM, _SMALLER, "AdamNODE", "HBNODE", "largest_h"),
)


def verdict(runs: pd.DataFrame, claim: Claim, best: str) -> str:
    """Return whether a claim holds in the runs of a task, where ``best`` is "high" or "low".

    It holds where the signed-rank test over the seeds says so. Few seeds cannot show that: where all
    agree, the verdict says how many they are.
    """
    ended = runs[~runs["diverged"].astype(bool)]
    if claim.column not in ended:
        return "-"
    wide = ended.pivot_table(index="seed", columns="rule", values=claim.column)
    if not {claim.better, claim.other} <= {*wide}:
        return "-"
    change = (wide[claim.better] - wide[claim.other]).dropna()
    low = best == "low" if claim.column == METRIC else claim.low
    gain = -change if low else change
    if not len(gain):
        return "-"
    decided = _decided(gain)
    word = "undecided" if not decided else "holds" if gain.median() > 0 else "**opposite**"
    if decided and len(gain) < FEW:
        word += f" in all {len(gain)}"
    return f"{word} ({change.median():+.2g})"


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
        found.append((claim.sentence, claim.source, *verdicts))
    return found


def summary(runs: dict[str, tuple[pd.DataFrame, str]]) -> list[str]:
    """Return a line for each claim: on which tasks it holds, and on which the opposite is true."""
    lines = []
    for claim in CLAIMS:
        told = {name: verdict(table, claim, best) for name, (table, best) in runs.items()}
        words = [
            f"{said} on {', '.join(on)}"
            for start, said in (("holds", "holds"), ("**", "**the opposite**"), ("un", "undecided"))
            if (on := [_where(*each) for each in told.items() if each[1].startswith(start)])
        ]
        if words:
            lines.append(f"- {claim.sentence}: {'; '.join(words)}.")
    return [*lines, *_untried(runs)]


def _where(task: str, found: str) -> str:
    """Return a task's name, and how many seeds agree where they are few."""
    _, few, rest = found.partition(" in all ")
    return f"{task} (all {rest.split()[0]} seeds)" if few else task


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
