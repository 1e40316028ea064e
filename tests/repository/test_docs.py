"""Links of the documents resolve, and the specs that they show are read as they say."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path

import pytest

import optode

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
DOCUMENTS = [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]
GUIDE = (DOCS / "guide" / "writing-specs.md").read_text(encoding="utf-8")
RESULTS = ROOT / "benchmarks" / "results"

_CODE = re.compile(r"```.*?```|`[^`\n]*`", re.S)
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_BLOCK = re.compile(r"```(\w+)\n(.*?)```", re.S)


def links(path: Path) -> list[str]:
    """The targets of a document's links to files of the repository."""
    text = _CODE.sub("", path.read_text(encoding="utf-8"))
    return [target for target in _LINK.findall(text) if "://" not in target]


def anchors(path: Path) -> set[str]:
    """The names of a document's headings, as GitHub makes them."""
    text = re.sub(r"```.*?```", "", path.read_text(encoding="utf-8"), flags=re.S)
    headings = re.findall(r"^#+ (.*)$", text, re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_resolve(path: Path) -> None:
    for target in links(path):
        name, _, anchor = target.partition("#")
        file = (path.parent / name).resolve() if name else path
        assert file.exists(), f"{path.relative_to(ROOT)} links to {target}"
        assert file.is_relative_to(ROOT)
        if anchor:
            assert anchor in anchors(file), f"{path.relative_to(ROOT)} links to {target}"


def test_the_front_page_links_every_page() -> None:
    front = DOCS / "README.md"
    linked = {(DOCS / target).resolve() for target in links(front)}
    assert {*DOCS.rglob("*.md")} - {front} <= linked


def test_the_speed_page_links_every_text() -> None:
    page = DOCS / "speed" / "speed.md"
    linked = {(page.parent / target).resolve() for target in links(page)}
    assert {*RESULTS.glob("*.txt")} <= linked


def specs(document: str) -> list[tuple[str, str]]:
    """Every spec in a document, and the block of text after it, if there is one."""
    blocks = [*_BLOCK.findall(document), ("", "")]
    return [
        (text, said if following == "text" else "")
        for (language, text), (following, said) in pairwise(blocks)
        if language == "yaml"
    ]


SPECS = specs(GUIDE)


@pytest.mark.parametrize(("text", "said"), SPECS, ids=[text.split()[1] for text, _ in SPECS])
def test_a_spec_of_the_guide(
    text: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A text after a spec is what optode says of it: its errors, or its limit."""
    monkeypatch.chdir(tmp_path)
    file = Path(f"{text.split()[1]}.yaml")
    file.write_text(text, encoding="utf-8")
    errors = optode.check(file)
    if errors:
        assert said == f"{optode.SpecError(errors)}\n"
    elif said:
        assert said == optode.derive(file).show("limit")


def known_keys(tmp_path: Path) -> list[list[str]]:
    """The keys of a spec, of its model and of a parameter, from the hints on an unknown key."""
    file = tmp_path / "unknown.yaml"
    file.write_text(
        "zzzz: 1\nname: unknown\nstep_size: s\nstate: [x]\nupdate: x[k+1] = x[k] - s*grad(x[k])\n"
        "model: {zzzz: 1, class: Unknown, parameters: {c: {zzzz: 1, value: 1}}}\n"
    )
    hints = [error.hint or "" for error in optode.check(file) if error.code == "E107"]
    return [hint.removeprefix("known keys: ").split(", ") for hint in hints]


def test_the_guide_has_every_key(tmp_path: Path) -> None:
    of_spec, of_model, of_parameter = known_keys(tmp_path)
    assert "update" in of_spec and "rename" in of_model and "transform" in of_parameter
    examples = "\n".join(text for text, _ in SPECS)
    for key in (*of_spec, *of_model):
        assert f"| `{key}` |" in GUIDE
    for key in (*of_spec, *of_model, *of_parameter):
        assert re.search(rf"\b{key}:", examples), f"no example has `{key}`"
