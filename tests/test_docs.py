"""The pages hang together: every link of every Markdown file leads somewhere, and the site can be made of them."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from pkgutil import resolve_name
from urllib.parse import urlsplit

import pytest
from markdown_it import MarkdownIt
from markdown_it.token import Token

from .servers import ROOT

LISTED = subprocess.run(
    ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.md"],
    cwd=ROOT,
    check=True,
    capture_output=True,
    text=True,
)
PAGES = [name for name in LISTED.stdout.splitlines() if (ROOT / name).exists()]


def tokens(page: Path) -> list[Token]:
    return MarkdownIt().enable("table").parse(page.read_text())


def targets(page: Path) -> Iterator[str]:
    """Where the links and pictures of a page lead. As HTML the site would not find them."""
    for token in tokens(page):
        for part in (token, *(token.children or [])):
            assert not (part.type.startswith("html") and re.search(r"<(?:a|img|picture)\b", part.content)), part.content
            yield from (str(part.attrs[name]) for name in ("href", "src") if name in part.attrs)


def anchors(page: Path) -> set[str]:
    """The names that GitHub gives the headings of a page, and myst-parser too."""
    found = tokens(page)
    titles = [found[at + 1].content for at, token in enumerate(found) if token.type == "heading_open"]
    assert len(titles) == len(set(titles)), f"two headings of {page.name} are the same"
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("name", PAGES)
def test_links_lead_somewhere(name: str) -> None:
    """To a file that is there, and to a heading in it. Elsewhere is not asked: `make docs-links` does that."""
    page = ROOT / name
    for target in targets(page):
        parts = urlsplit(target)
        if parts.scheme:
            assert parts.scheme in ("http", "https"), target
            assert parts.hostname, target
            continue
        file = (page.parent / parts.path).resolve() if parts.path else page
        assert file.is_file(), target
        assert file.is_relative_to(ROOT), target
        if parts.fragment:
            assert parts.fragment in anchors(file), target


def test_the_design_names_what_there_is() -> None:
    """Each name in its table of places is one of a module of ours."""
    table = (ROOT / "docs/design.md").read_text().partition("## Where it lives")[2].partition("\n## ")[0]
    names = re.findall(r"`([\w.]+)`", table)
    assert len(names) > 30
    for name in names:
        assert resolve_name(f"realtime.{name}"), name


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `make docs` makes. A warning is an error there."""
    folder = tmp_path_factory.mktemp("site")
    (flags,) = re.findall(r"-m sphinx (.+) docs build/docs$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    command = [sys.executable, "-m", "sphinx", *flags.split(), "-d", f"{folder}/doctrees", "docs", f"{folder}/html"]
    made = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert made.returncode == 0, made.stdout + made.stderr
    return folder / "html"


@pytest.mark.xdist_group("site")
def test_the_site_begins_with_the_readme_and_leads_to_every_page(site: Path) -> None:
    first = (site / "index.html").read_text()
    assert "A minute to a delivered envelope" in first
    pages = {path.stem for path in (ROOT / "docs").glob("*.md")} - {"index"}
    assert pages <= set(re.findall(r'href="(\w+)\.html"', first))


@pytest.mark.xdist_group("site")
def test_the_site_loads_nothing_from_elsewhere(site: Path) -> None:
    for page in site.glob("*.html"):
        loaded = re.findall(r'<(?:script|link|img|source|iframe)\b[^>]*?(?:src|href)="([^"]+)"', page.read_text())
        assert loaded
        assert [target for target in loaded if urlsplit(target).netloc] == []
    for style in site.rglob("*.css"):
        assert re.findall(r"(?:url\(|@import )[\"']?(?:https?:)?//", style.read_text()) == []
