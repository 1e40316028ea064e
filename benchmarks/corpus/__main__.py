"""Compare the classes of optimizer packages with their rules and the equations derived from them.

    pip install -e ".[corpus]"
    python -m benchmarks.corpus [--json FILE] [--text FILE] [--page FILE] [--only NAME ...]

Prints a Markdown table. Without the package pytorch_optimizer its rules are derived and not run.
"""

from __future__ import annotations

import argparse
import platform
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

from benchmarks.corpus import optax_rules, third_party, torch_optim
from benchmarks.corpus.finding import Finding, found
from benchmarks.corpus.rows import Row
from benchmarks.corpus.scope import OUT_OF_SCOPE
from benchmarks.corpus.tables import comparison_table, page, totals
from benchmarks.records import rounded, write_document
from optode.version import __version__

ROWS = (*torch_optim.ROWS, *third_party.ROWS, *optax_rules.ROWS)


def finding_of(number: int) -> Finding:
    """Find out what becomes of a row, by its place among all rows: rows hold functions of torch."""
    row = ROWS[number]
    finding = found(row, with_class=is_run(row))
    print(f"  {row.title}: {finding.seconds:.1f} s", flush=True)
    return finding


def is_run(row: Row) -> bool:
    """Return whether the package of the row is there to be run."""
    return row.package != "optax" and find_spec(row.package.partition(".")[0]) is not None


def versions() -> str:
    """Return the versions of what was compared, as words."""
    names = ("torch", "pytorch_optimizer", "numpy", "sympy")
    parts = [f"optode {__version__}", f"Python {platform.python_version()}"]
    for name in names:
        try:
            parts.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            parts.append(f"no {name}")
    return ", ".join(parts)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.corpus", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument(
        "--only", nargs="+", metavar="NAME", help="classes or rules with it in the name"
    )
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--text", type=Path, metavar="FILE", help="what is printed, too")
    parser.add_argument("--page", type=Path, metavar="FILE", help="the page of all optimizers")
    return parser.parse_args()


def chosen(only: Sequence[str] | None) -> list[int]:
    """Return the places of the rows that are asked for."""
    return [i for i, row in enumerate(ROWS) if not only or any(o in row.title for o in only)]


def main() -> None:
    asked = arguments()
    numbers = chosen(asked.only)
    with ProcessPoolExecutor(asked.workers) as pool:
        findings = list(pool.map(finding_of, numbers))
    pairs = [(ROWS[i], finding) for i, finding in zip(numbers, findings, strict=True)]
    text = f"{versions()}\n\n{comparison_table(pairs)}\n\n{totals(pairs)}\n"
    print(f"\n{text}")
    if asked.text:
        asked.text.write_text(text)
    if asked.json:
        records = [rounded(finding.record) for finding in findings]
        write_document(asked.json, {"versions": versions(), "findings": records})
    if asked.page:
        asked.page.write_text(page(pairs, OUT_OF_SCOPE, versions()))


if __name__ == "__main__":
    main()
