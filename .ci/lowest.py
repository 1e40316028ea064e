"""Print the lower bounds of pyproject.toml as constraints: what optode needs, at its oldest.

python .ci/lowest.py [EXTRA ...] > constraints.txt
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

PYPROJECT = Path(__file__).parents[1] / "pyproject.toml"
TOOLS = ("build", "import-linter", "mypy", "ruff", "setuptools", "types-PyYAML")
"""What tests are run with, and not what is tested: at its newest."""

_BOUND = re.compile(r'"([\w-]+)(?:\[[\w,-]+\])?>=([\w.]+)[^"]*"')


def bounds(text: str) -> dict[str, str]:
    """Return every package with its lower bound, the highest where there are several."""
    found: dict[str, str] = {}
    for name, version in _BOUND.findall(text):
        known = found.get(name, "0")
        found[name] = max(known, version, key=lambda v: [int(part) for part in v.split(".")])
    return {name: version for name, version in found.items() if name not in TOOLS}


def main() -> None:
    for name, version in bounds(PYPROJECT.read_text(encoding="utf-8")).items():
        sys.stdout.write(f"{name}=={version}\n")


if __name__ == "__main__":
    main()
