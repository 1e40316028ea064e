"""Say what is true of the papers' claims, from the numbers of the studies."""

from __future__ import annotations

from typing import NamedTuple

import pandas as pd
from scipy.stats import wilcoxon

LEVEL, FEW = 0.05, 6
"""The level of the signed-rank test, and the number of seeds from which it can reach that."""

METRIC = "test_metric"
HEAVY_BALL, ADAM = "Xia et al. 2021", "Cho et al. 2022"


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


CLAIMS = (
    Claim(HEAVY_BALL, "fewer evaluations forward", "HBNODE", "NODE", "nfe_forward"),
    Claim(HEAVY_BALL, "fewer evaluations forward", "HBNODE", "ANODE", "nfe_forward"),
    Claim(HEAVY_BALL, "fewer evaluations backward", "HBNODE", "NODE", "nfe_backward"),
    Claim(HEAVY_BALL, "fewer evaluations backward", "HBNODE", "ANODE", "nfe_backward"),
    Claim(HEAVY_BALL, "more accurate", "HBNODE", "NODE", METRIC),
    Claim(HEAVY_BALL, "more accurate", "HBNODE", "ANODE", METRIC),
    Claim(HEAVY_BALL, "more accurate", "HBNODE", "SONODE", METRIC),
    Claim(HEAVY_BALL, "gradients reach further back", "HBNODE", "NODE", "reach", low=False),
    Claim(HEAVY_BALL, "stays smaller", "GHBNODE", "HBNODE", "largest_h"),
    Claim(ADAM, "lower training loss", "AdamNODE", "HBNODE", "train_loss"),
    Claim(ADAM, "lower training loss", "AdamNODE", "GHBNODE", "train_loss"),
    Claim(ADAM, "fewer evaluations forward", "AdamNODE", "HBNODE", "nfe_forward"),
    Claim(ADAM, "stays smaller", "AdamNODE", "HBNODE", "largest_h"),
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
        words = f"{claim.better}: {claim.words} than {claim.other}"
        words = words.replace("stays smaller than", "largest h smaller than that of")
        words = words.replace("further back than", "further back than those of")
        verdicts = (verdict(table, claim, best) for table, best in runs.values())
        found.append((words, claim.source, *verdicts))
    return found
