"""The site of these pages: `make docs`. Its first page is the README, and its navigation what that lists as pages."""

from __future__ import annotations

import re
from pathlib import Path

from sphinx.application import Sphinx

ROOT = Path(__file__).resolve().parent.parent
FROM_ROOT = {"index": "README.md", "changes": "CHANGELOG.md"}  # pages whose text stands there

project = html_title = "HopeFlow Realtime"
extensions = ["myst_parser"]
myst_heading_anchors = 4  # named as GitHub names them
myst_enable_extensions = {"tasklist"}
nitpicky = True
smartquotes = False
linkcheck_ignore = [r"http://127\.0\.0\.1"]

html_theme = "furo"
html_static_path, html_css_files = ["static"], ["site.css"]
html_copy_source = False
html_show_copyright = False


def setup(app: Sphinx) -> None:
    app.connect("source-read", _read)


def _read(app: Sphinx, docname: str, source: list[str]) -> None:
    """Let links lead to pages of the site, where there is one."""
    text = (ROOT / FROM_ROOT[docname]).read_text() if docname in FROM_ROOT else source[0]
    if docname in FROM_ROOT:
        text = re.sub(r"\]\((?!https?:)", "](../", text).replace("](../docs/", "](")
    for page, file in FROM_ROOT.items():
        text = text.replace(f"](../{file}", f"]({page}.md")
    if docname == app.config.root_doc:
        pages = re.findall(r"\]\((\w+)\.md\)", text.partition("\n## Pages\n")[2])
        text = "\n".join([text, "```{toctree}", ":hidden:", "", *pages, "```"])
    source[0] = text
