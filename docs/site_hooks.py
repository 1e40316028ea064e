"""What the site is made of beside docs/: pages of the catalogue, notebooks, files that pages link.

Hooks of mkdocs, which ``mkdocs.yml`` names. Equations become MathML, so that readers fetch nothing.
"""

from __future__ import annotations

import html
import os
import re
import sys
from collections.abc import Iterable
from pathlib import Path
from posixpath import normpath, relpath
from typing import Any

from mkdocs.plugins import event_priority
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))  # for what is beside this file

from docs import catalogue  # noqa: E402

AT_ROOT = {"contributing.md": "CONTRIBUTING.md", "changes.md": "CHANGELOG.md"}
"""Pages that are files at the root of the repository."""
OUTSIDE = "files"
"""Where files of the repository stand that pages link and that are no pages."""
SPECS = "OPTODE_DOCS_SPECS"
"""The variable that names the specs whose pages are made, all without it."""

_LINK = re.compile(r"(?<!!)(\[[^\]]*\])\(([^)\s#]+)(#[^)\s]*)?\)")
_CODE = re.compile(r"(```.*?```|`[^`\n]*`)", re.S)
_FORMULA = re.compile(r'<(span|div) class="arithmatex">\\[(\[](.*?)\\[)\]]</\1>', re.S)


@event_priority(100)
def on_files(files: Files, config: Any) -> Files:
    """Add the files that do not lie in docs/."""
    for page, source in AT_ROOT.items():
        text = _from_root((ROOT / source).read_text(encoding="utf-8"))
        files.append(File.generated(config, page, content=text))
    files.append(File.generated(config, "citing.md", content=_citing()))
    for path in sorted((ROOT / "examples").glob("*.ipynb")):
        name = path.relative_to(ROOT).as_posix()
        files.append(File(name, str(ROOT), config.site_dir, config.use_directory_urls))
    for name, text in catalogue.pages(chosen_specs()):
        files.append(File.generated(config, f"catalogue/{name}.md", content=text))
    for path in sorted(_linked(files)):
        target = f"{OUTSIDE}/{path.relative_to(ROOT).as_posix()}.txt"
        files.append(File.generated(config, target, abs_src_path=str(path)))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:
    """Rewrite links to files of the repository, and link the pages of the catalogue."""
    here = page.file.src_uri
    if here == "reference/catalogue.md":
        for name in chosen_specs():
            row = f"| `{name}`:"
            markdown = markdown.replace(row, f"| [`{name}`](../catalogue/{name}.md):")
    if here in AT_ROOT:
        return markdown
    return _outside_code(markdown, lambda text: _LINK.sub(lambda m: _relinked(m, here), text))


def on_page_content(html: str, page: Any, config: Any, files: Files) -> str:
    """Typeset formulas."""
    return _FORMULA.sub(lambda m: formula(m[2], is_block=m[1] == "div"), html)


def formula(latex: str, *, is_block: bool) -> str:
    """Return a formula in LaTeX as MathML; the rows of ``aligned`` stand below each other."""
    from optode.page.mathematics import aligned, mathml

    latex = html.unescape(latex).strip()
    rows = re.fullmatch(r"\\begin\{aligned\}(.*)\\end\{aligned\}", latex, re.S)
    if rows is None:
        return mathml(latex, is_block=is_block)
    parts = (row.split("&=", 1) for row in re.split(r"\\\\", rows[1]) if row.strip())
    return aligned((left.strip(), right.strip()) for left, right in parts)


def chosen_specs() -> list[str]:
    """Return the specs whose pages are made."""
    from optode.spec.shipped import shipped_specs

    named = os.environ.get(SPECS)
    return [*shipped_specs()] if named is None else named.split()


def _citing() -> str:
    text = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    words = (
        "Cite the authors of the models first: each generated class names them in its docstring, "
        "and the [catalogue](reference/catalogue.md) lists them. To cite optode itself:"
    )
    return f"# Citing\n\n{words}\n\n```yaml\n{text}```\n"


def _from_root(text: str) -> str:
    """Return a page at the root of the repository with its links as seen from docs/."""
    return _outside_code(text, lambda t: _LINK.sub(_from_root_link, t))


def _from_root_link(match: re.Match[str]) -> str:
    words, target, anchor = match[1], match[2], match[3] or ""
    if "://" in target:
        return match[0]
    if target.startswith("docs/") and target.endswith(".md"):
        return f"{words}({target.removeprefix('docs/')}{anchor})"
    return f"`{words[1:-1].strip('`')}`"


def _linked(files: Iterable[File]) -> set[Path]:
    """Return the files of the repository outside of docs/ that pages link."""
    found = set()
    for file in files:
        if file.src_uri.endswith(".md") and file.src_uri.startswith(
            ("guide", "reference", "speed", "studies")
        ):
            text = _CODE.sub("", file.content_string)
            targets = (match[2] for match in _LINK.finditer(text))
            found |= {
                path for t in targets if (path := _in_repository(file.src_uri, t)) is not None
            }
    return {path for path in found if path.is_file()}


def _in_repository(page: str, target: str) -> Path | None:
    """Return what a page links, where it lies in the repository and not in docs/."""
    if "://" in target:
        return None
    place = normpath(f"docs/{page}/../{target}")
    return None if place.startswith(("docs/", "..")) else ROOT / place


def _relinked(match: re.Match[str], page: str) -> str:
    """Return a link as the site has it: to a copy of the file, or the words alone of a folder."""
    path = _in_repository(page, match[2])
    if path is None:
        return match[0]
    if path == ROOT / "README.md":
        return f"{match[1]}({relpath('index.md', Path(page).parent.as_posix())})"
    if not path.is_file():
        return match[1][1:-1]
    name = f"{OUTSIDE}/{path.relative_to(ROOT).as_posix()}.txt"
    return f"{match[1]}({relpath(name, Path(page).parent.as_posix())})"


def _outside_code(text: str, change: Any) -> str:
    """Change a text, but for its code."""
    parts = _CODE.split(text)
    return "".join(part if k % 2 else change(part) for k, part in enumerate(parts))
