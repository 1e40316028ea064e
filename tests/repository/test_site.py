"""The documentation site: it builds without a warning, typesets and highlights, and fetches nothing."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SPECS = ("adam", "second_order")


class Page(HTMLParser):
    """What a page loads, links and has as targets."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.loaded: list[str] = []
        self.links: list[str] = []
        self.targets: set[str] = set()
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name == "id":
                self.targets.add(str(value))
            elif name == "src" or (name == "href" and tag == "link"):
                self.loaded.append(str(value))
            elif name == "href" and tag == "a":
                self.links.append(str(value))


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [Path(sys.executable).parent / "mkdocs", "build", "--strict", "--site-dir", folder],
        cwd=ROOT,
        env={**os.environ, "OPTODE_DOCS_SPECS": " ".join(SPECS), "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr
    return folder


def pages(site: Path) -> dict[Path, Page]:
    return {path.relative_to(site): Page(path) for path in site.rglob("*.html")}


def test_every_page_of_docs_is_there(site: Path) -> None:
    left_out = {"README.md", "package.md"}
    for path in (ROOT / "docs").rglob("*.md"):
        name = path.relative_to(ROOT / "docs")
        assert (site / name.with_suffix(".html")).exists() or name.name in left_out, name
    for name in SPECS:
        assert (site / "catalogue" / f"{name}.html").exists()
    for name in ("contributing", "citing", "changes", "examples/own_optimizer"):
        assert (site / f"{name}.html").exists(), name


def test_nothing_is_fetched(site: Path) -> None:
    for path, page in pages(site).items():
        outside = [url for url in page.loaded if re.match(r"(https?:)?//", url)]
        assert not outside, f"{path} loads {outside}"


def test_links_lead_to_pages_and_their_headings(site: Path) -> None:
    found = pages(site)
    for path, page in found.items():
        if path.name == "404.html":
            continue
        for link in page.links:
            if "://" in link or link.startswith("mailto:"):
                continue
            name, _, anchor = link.partition("#")
            target = Path(os.path.normpath(path.parent / name)) if name else path
            assert (site / target).exists(), f"{path} links to {link}"
            if anchor and target in found:
                assert anchor in found[target].targets, f"{path} links to {link}"


def test_equations_are_typeset(site: Path) -> None:
    for name in ("guide/paper-to-module.html", "guide/limits.html", "catalogue/adam.html"):
        text = (site / name).read_text(encoding="utf-8")
        body = re.sub(r"<(pre|svg|style|script).*?</\1>|<code.*?</code>", "", text, flags=re.S)
        assert "<math" in body, name
        assert "arithmatex" not in body and r"\(" not in body and r"\frac" not in body, name


def test_code_is_highlighted(site: Path) -> None:
    for name in ("index.html", "guide/modules.html", "catalogue/adam.html"):
        assert re.search(r'<span class="(k|kn|nt|n)">', (site / name).read_text("utf-8")), name


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (1280, "dark"), (420, "light")])
def test_pictures_of_pages(site: Path, tmp_path: Path, width: int, scheme: str) -> None:
    """In a browser, where Playwright finds one: equations have a size, and no page is too wide."""
    api = pytest.importorskip("playwright.sync_api")
    browser_path = os.environ.get("OPTODE_BROWSER") or shutil.which("chromium")
    if browser_path is None:
        pytest.skip("no browser: name one in OPTODE_BROWSER")
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=browser_path, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
        failed: list[str] = []
        page.on("requestfailed", lambda request: failed.append(request.url))
        for name in ("index.html", "guide/limits.html", "catalogue/adam.html"):
            page.goto((site / name).as_uri())
            page.screenshot(path=str(tmp_path / "page.png"))
            wide = page.evaluate("document.documentElement.scrollWidth")
            assert wide <= width, f"{name} is {wide} wide"
            sizes = page.evaluate(
                "[...document.querySelectorAll('math')].map(m => m.getBoundingClientRect().height)"
            )
            assert all(size > 5 for size in sizes if size), name
        assert not failed
        browser.close()
