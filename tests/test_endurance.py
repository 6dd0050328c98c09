"""The endurance run, too briefly to judge by: that it works."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.servers import NGINX, ROOT, missing

pytestmark = pytest.mark.xdist_group("nginx")


def test_a_load_is_held_and_a_fault_survived(tmp_path: Path) -> None:
    """Tables on stdout, progress on stderr, all of it in the file; nothing lost, nothing wrong."""
    if NGINX is None:
        missing("nginx")
    file = tmp_path / "found.json"
    brief = ("--quick", "--users", "10", "--rate", "50", "--seconds", "1", "--only", "load", "nginx-reloaded")
    command = [sys.executable, "-m", "benchmarks.endurance", *brief, "--json", str(file)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"^\| 1 +\| \d\d +\| 0 +\| 0 +\| ", done.stdout, re.MULTILINE)
    assert re.search(r"^\| process 2 +\| \d+ +\| ", done.stdout, re.MULTILINE)
    assert re.search(r"^\| nginx reloaded +\| \d+ +\| 0 +\| 0 +\| 0 ", done.stdout, re.MULTILINE)
    assert "nginx-reloaded: delivery was back after" in done.stderr
    found = json.loads(file.read_text())
    assert sum(found["load"]["sockets"].values()) == 20
    assert found["load"]["sockets_lost"] == 0
    assert set(found["load"]["all"]["verdicts"]) == {"right"}
    assert [fault["name"] for fault in found["faults"]] == ["nginx-reloaded"]
