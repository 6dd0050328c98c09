"""What openapi.yaml says is true: schemathesis makes requests of it, valid and not, and looks at the answers."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml
from hypothesis import settings

from tests.clients import bearer, token
from tests.fuzz.conftest import Site
from tests.servers import ROOT

DOCUMENT = ROOT / "realtime/specs/openapi.yaml"


def test_every_answer_is_as_documented(site: Site, tmp_path: Path) -> None:
    """Status, headers, content type and body, with each of its checks: without a token it is a 401, say."""
    profile = settings()
    command = [
        *(sys.executable, "-m", "schemathesis.cli", "run", str(DOCUMENT), "--url", site.servers[0].url),
        *("--header", bearer(token("a publisher")), "--checks", "all", "--continue-on-failure"),
        *("--max-examples", str(2 * profile.max_examples), "--no-color"),
        *(["--generation-deterministic"] if profile.derandomize else ["--generation-database", "none"]),
    ]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)  # it writes a cache where it is
    assert run.returncode == 0, run.stdout + run.stderr
    made = re.search(r"(\d+) generated, \1 passed", run.stdout)
    assert made is not None, run.stdout
    site.sent["documented requests"] += int(made[1])
    assert site.sent["documented requests"] > 200


def test_it_says_of_a_publish_what_the_protocol_says() -> None:
    """Each status, and each error with it."""
    documented: set[tuple[str, str]] = set()
    document: dict[str, Any] = yaml.safe_load(DOCUMENT.read_text())
    for status, response in document["paths"]["/publish"]["post"]["responses"].items():
        if "$ref" in response:
            response = document["components"]["responses"][response["$ref"].rpartition("/")[2]]
        schema = response["content"]["application/json"]["schema"]
        said = schema["allOf"][1]["properties"]["error"] if "allOf" in schema else {"const": ""}
        documented |= {(status, error) for error in said.get("enum", [said.get("const")])}
    table = re.findall(
        r'^\| (\d{3}) `{(?:"error":"([^"]+)")?', (ROOT / "docs" / "protocol.md").read_text(), re.MULTILINE
    )
    assert documented == set(table)
