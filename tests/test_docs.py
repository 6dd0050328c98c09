"""The pages hang together: every link of every Markdown file leads somewhere, on GitHub as in the site."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
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
    """Where the links and pictures of a page lead."""
    for token in tokens(page):
        for child in token.children or []:
            for name in ("href", "src"):
                if name in child.attrs:
                    yield str(child.attrs[name])


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
