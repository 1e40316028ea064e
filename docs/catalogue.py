"""Make the pages of the optimizers that ship, each once for a state of the code.

They are the sections of ``optode report``. What was made is kept in ``.docs_cache``.
"""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

ROOT = Path(__file__).parents[1]
CACHE = ROOT / ".docs_cache"
SECONDS = 60.0
"""A section that takes longer is left out, and the page says so."""

_APART = ("runtime", "study", "cli")
"""Packages that say nothing on these pages."""


def pages(names: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield each name with its page, in Markdown; those that are missing are made on all cores."""
    code = _code_hash()
    kept = {name: _kept(name, code) for name in names}
    missing = [name for name, file in kept.items() if not file.exists()]
    if missing:
        CACHE.mkdir(exist_ok=True)
        if str(ROOT) not in sys.path:  # the processes find this module by it
            sys.path.insert(0, str(ROOT))
        few = min(len(missing), os.cpu_count() or 1)
        with ProcessPoolExecutor(few, get_context("spawn")) as pool:
            for name, text in zip(missing, pool.map(page, missing), strict=True):
                kept[name].write_text(text, encoding="utf-8")
    for name, file in kept.items():
        yield name, file.read_text(encoding="utf-8")


def page(name: str) -> str:
    """Return the page of an optimizer that ships."""
    from optode.page.report import fragment

    title, body = fragment(name, SECONDS)
    return f'# {title}\n\n<div markdown="0">\n{body}\n</div>\n'


def _kept(name: str, code: bytes) -> Path:
    from optode.spec.shipped import find_spec

    digest = hashlib.sha256(Path(find_spec(name)).read_bytes() + code).hexdigest()[:16]
    return CACHE / f"{name}-{digest}.md"


def _code_hash() -> bytes:
    paths = sorted([*(ROOT / "optode").rglob("*.py"), *(ROOT / "templates").glob("*.jinja")])
    kept = (path for path in paths if not {*path.parts} & {*_APART})
    return hashlib.sha256(b"".join(path.read_bytes() for path in kept)).digest()
