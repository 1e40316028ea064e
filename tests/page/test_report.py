"""The report on a spec: one page of HTML that needs no other file."""

from __future__ import annotations

import re
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest
from typer.testing import CliRunner

import optode
from optode.cli.main import app
from optode.compiler import derive
from optode.page.mathematics import equations

OPEN_TAGS = {"meta", "br", "img", "link", "hr", "path", "use", "circle", "rect", "col", "input"}


class Reader(HTMLParser):
    """Collects headings, links and ids, and holds every tag against its end."""

    def __init__(self) -> None:
        super().__init__()
        self.stack: list[str] = []
        self.headings: list[str] = []
        self.fetched: list[str] = []
        self.targets: set[str] = set()
        self.links: list[str] = []
        self.tags: dict[str, int] = {}

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] = self.tags.get(tag, 0) + 1
        if tag not in OPEN_TAGS:
            self.stack.append(tag)
        for name, value in attrs:
            if name == "id":
                self.targets.add(f"#{value}")
            if name == "href" and tag == "a":
                self.links.append(str(value))
            elif name in ("src", "href") and not str(value).startswith(("#", "data:")):
                self.fetched.append(str(value))

    def handle_endtag(self, tag: str) -> None:
        if tag not in OPEN_TAGS:
            assert self.stack.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.stack and self.stack[-1] == "h2":
            self.headings.append(data)


@pytest.fixture(scope="module")
def page() -> str:
    return optode.report("heavy_ball")


@pytest.fixture(scope="module")
def read(page: str) -> Reader:
    reader = Reader()
    reader.feed(page)
    assert reader.stack == []
    return reader


def run(*arguments: object, code: int = 0) -> str:
    done = CliRunner().invoke(app, ["report", *map(str, arguments)])
    assert done.exit_code == code, done.output
    return done.output


def test_the_page_has_all_stages(read: Reader) -> None:
    assert read.headings == [
        "Spec",
        "Update rule",
        "Scalings with a limit",
        "Limit",
        "Limit with the terms of next order",
        "Neural ODE",
        "Adjoint system",
        "Claims on the adjoint",
        "Orders of convergence",
        "A small example",
        "Module",
    ]
    assert read.tags["svg"] == 2 and read.tags["math"] > 10


def test_nothing_is_fetched_and_all_links_lead_somewhere(read: Reader) -> None:
    assert read.fetched == []
    assert set(read.links) <= read.targets and read.links


def test_nothing_is_missing(page: str) -> None:
    assert "Not shown" not in page


def test_equations_are_typeset(page: str) -> None:
    text = re.sub(r"<svg.*?</svg>|<style>.*?</style>|<pre.*?</pre>", "", page, flags=re.S)
    assert "\\" not in text
    dot = r"<mover>\s*<mrow>\s*<mi>v</mi>\s*</mrow>\s*<mo[^>]*>&#x002D9;</mo>\s*</mover>"
    assert re.search(dot, page)


def test_the_module_is_the_one_that_generate_writes(page: str) -> None:
    last = page[page.index('id="module"') :]
    code = re.search(r'<pre class="code">(.*?)</pre>', last, re.S)
    assert code is not None
    shown = re.sub(r"<[^>]+>", "", code[1])
    for entity, letter in (("&lt;", "<"), ("&gt;", ">"), ("&quot;", '"'), ("&#39;", "'")):
        shown = shown.replace(entity, letter)
    assert shown.replace("&amp;", "&").strip() == derive("heavy_ball").module_text.strip()


@pytest.mark.parametrize("name", ["second_order", "amsgrad", "muon"])
def test_words_beside_equations_are_not_escaped(name: str) -> None:
    derivation = derive(name)
    found = "".join(text for stage in derivation.stages() for _, text in equations(stage))
    assert "\\" not in found and "&</mi>" not in found


def test_a_user_text_stays_text(tmp_path: Path) -> None:
    spec = tmp_path / "a.yaml"
    spec.write_text(
        'name: a\ntitle: "<script>alert(1)</script> & more"\nstep_size: s\nstate: [x]\n'
        "update: |\n  x[k+1] = x[k] - s*grad(x[k])  # <b>\n"
    )
    page = optode.report(str(spec))
    assert "<script" not in page and "<b>" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt; &amp; more" in page


def test_what_takes_too_long_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    from optode.diagnostics import Diagnostic, SpecError
    from optode.page import sections

    def late(derivation: object) -> None:
        raise SpecError([Diagnostic("E901", "it took too long")])

    monkeypatch.setattr(sections, "_claims", late)
    assert "Not shown: it took too long." in optode.report("heavy_ball")


def test_the_command_writes_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert run("second_order") == "second_order.html\n"
    assert (tmp_path / "second_order.html").read_text().startswith("<!DOCTYPE html>")


@pytest.mark.parametrize(
    ("module", "words"),
    [("matplotlib", "optode[plot]"), ("latex2mathml.converter", "optode[report]")],
)
def test_a_missing_package_is_named_before_any_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: str, words: str
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    monkeypatch.setattr("optode.compiler.derive", None)
    message = run("adam", "-o", tmp_path / "x.html", code=1)
    assert "error E605" in message and words in message


def test_errors_leave_no_half_page(tmp_path: Path) -> None:
    spec = tmp_path / "bad.yaml"
    spec.write_text("name: bad\nstep_size: s\nstate: [x]\nupdate: |\n  x[k+1] = x[k] - q*grad(y)\n")
    assert "error E203" in run(spec, "-o", tmp_path / "x.html", code=1)
    assert "error E603" in run("adam", "-o", tmp_path / "no" / "x.html", code=1)
    assert [*tmp_path.iterdir()] == [spec]
