"""Write findings as Markdown: a table for the records, and the page of the optimizers asked for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from benchmarks.corpus.finding import LONGEST, Finding, verdict
from benchmarks.corpus.rows import Row

Pair = tuple[Row, Finding]
FAIR = ("right", "refused")


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table in Markdown."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def same(finding: Finding) -> str:
    return "" if finding.apart is None else f"{finding.apart:.0e}"


def orders(finding: Finding) -> tuple[str, str]:
    """Return the predicted and the measured order as text."""
    if finding.measured is None or finding.predicted is None:
        return "", ""
    return f"{finding.predicted:g}", f"{finding.measured:.2f}"


def comparison_table(pairs: Sequence[Pair]) -> str:
    """Return what a comparison found of each row: iterates apart, orders, steps and their errors."""
    rows = [
        (
            pair.package,
            pair.optimizer,
            f"`{pair.spec}`",
            same(pair),
            *orders(pair),
            " ".join(
                f"{1 / step:.0f}: {e:.1e}" for step, e in zip(pair.steps, pair.errors, strict=True)
            ),
            pair.unmeasured or pair.remark or pair.refusal.partition(":")[0],
        )
        for _, pair in pairs
        if pair.apart is not None
    ]
    header = ("package", "class", "rule", "apart", "predicted", "measured", "steps: error", "note")
    return table(header, rows)


def totals(pairs: Sequence[Pair]) -> str:
    """Return in a sentence how many classes have the rule's iterates, and the predicted order."""
    lines = []
    for package in dict.fromkeys(row.package for row, f in pairs if f.apart is not None):
        of = [(row, f) for row, f in pairs if row.package == package]
        exact = {row.optimizer for row, f in of if f.apart is not None and f.apart <= 1e-12}
        ordered = {row.optimizer for row, f in of if f.is_same_rule(row) and f.has_its_order}
        lines.append(
            f"{package}: {len(exact)} of {len({row.optimizer for row, _ in of})} classes have the "
            f"iterates of the rule to 1e-12, {len(ordered)} approach the derived equations with the "
            "predicted order."
        )
    return "\n".join(lines)


def page(pairs: Sequence[Pair], out_of_scope: dict[str, dict[str, str]], versions: str) -> str:
    """Return the page of all optimizers that were asked for."""
    parts = [HEAD.format(versions=versions, longest=LONGEST), summary(pairs, out_of_scope)]
    for package in dict.fromkeys(row.package for row, _ in pairs):
        of = [(row, f) for row, f in pairs if row.package == package]
        parts += [f"## {package}", table(COLUMNS, map(page_row, of))]
        parts.append("Out of scope:")
        left_out = out_of_scope[package]
        reasons = dict.fromkeys(left_out.values())
        names = {r: ", ".join(n for n, why in left_out.items() if why == r) for r in reasons}
        parts.append("\n".join(f"- {names[reason]}: {reason}." for reason in reasons))
    return "\n\n".join(parts) + "\n"


COLUMNS = ("optimizer", "rule", "verdict", "iterates apart", "order, predicted", "measured", "s")
HEAD = """# Optimizers asked for

Each optimizer of three packages: what optode makes of its rule. Made by
`python -m benchmarks.corpus --page docs/reference/optimizers.md`, with {versions}.

- **right**: the class of the package has the iterates of the rule over 50 steps, and it approaches the derived
  equations with the predicted order (to 0.1) at three or more ever smaller steps. Where no class is run (optax),
  the rule as it is written approaches the equations: the check that `optode derive` makes.
- **refused**: the rule has no limit, and optode says why, with the error that was expected.
- The other verdicts are faults: a limit that is refused, an order that is not the predicted one.

The first table counts optimizers, by the worst of their rules. "Iterates apart" is the largest difference in 50
steps in float64. "s" is the time of deriving and checking the limit on one core; the goal is {longest:g} s. The
rules are in [benchmarks/corpus/rules](../../benchmarks/corpus/rules) or ship with optode
([catalogue](catalogue.md)). The steps and errors behind the orders are in
[benchmarks/results](../../benchmarks/results/corpus.md)."""


def summary(pairs: Sequence[Pair], out_of_scope: dict[str, dict[str, str]]) -> str:
    """Return the table of totals: how many optimizers of each package have each verdict."""
    said = {row.package: Counter[str]() for row, _ in pairs}
    for (package, _), each in verdicts(pairs).items():
        said[package][each] += 1
    every = sum(said.values(), Counter[str]())
    others = [name for name in every if name not in FAIR]
    rows = [
        (
            package,
            str(counts.total()),
            *(str(counts[name]) for name in (*FAIR, *others)),
            str(len(out_of_scope.get(package, {}))),
        )
        for package, counts in said.items()
    ]
    outside = str(sum(len(out_of_scope[package]) for package in said))
    last = ("all", str(every.total()), *(str(every[n]) for n in (*FAIR, *others)), outside)
    slow = [f"`{f.spec}` {f.seconds:.1f} s" for _, f in pairs if f.seconds > LONGEST]
    header = ("package", "optimizers", *FAIR, *others, "out of scope")
    late = f"Longer than {LONGEST:g} s: {', '.join(dict.fromkeys(slow)) or 'none'}."
    return f"{table(header, [*rows, last])}\n\n{late}"


def verdicts(pairs: Sequence[Pair]) -> dict[tuple[str, str], str]:
    """Return the verdict on each optimizer of a package: of several rules, the worst."""
    found: dict[tuple[str, str], str] = {}
    for row, finding in pairs:
        key, each = (row.package, row.optimizer), verdict(row, finding)
        found[key] = max(found.get(key, each), each, key=severity)
    return found


def severity(said: str) -> int:
    return FAIR.index(said) if said in FAIR else len(FAIR)


def page_row(pair: Pair) -> tuple[str, ...]:
    row, finding = pair
    said = verdict(row, finding)
    notes = (row.remark, finding.remark and f"the order is that {finding.remark}")
    reason = finding.refusal or finding.unmeasured or finding.unchecked
    reason = reason or "; ".join(filter(None, notes))
    words = f"{said}: {reason}" if reason else said
    return (
        finding.optimizer,
        f"`{finding.spec}`",
        words.replace("|", "\\|"),
        same(finding),
        *orders(finding),
        f"{finding.seconds:.1f}",
    )
