"""Socket.IO on Node: installed by npm when a run wants it."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from tests.servers import ROOT, Server, running

FOLDER = Path(__file__).parent / "socketio"
SERVER = "server.mjs"
LOCK = FOLDER / "package-lock.json"
INSTALLED = FOLDER / "node_modules" / ".package-lock.json"  # what npm writes when it has installed all
INSTALL = ("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel", "error")
INSTALL_TIMEOUT = 300.0  # seconds


@contextmanager
def socketio(
    env: Mapping[str, str], application: str = SERVER, *arguments: str, home: Path = FOLDER
) -> Iterator[Server]:
    command = ["node", *arguments, application]
    with running(command, r"Listening on port (\d+)", {**env, "NODE_ENV": "production"}, home) as server:
        yield server


@cache
def why_missing() -> str | None:
    """Install what is not there, and say why that can't be done. None: all is there."""
    for program in ("node", "npm"):
        if shutil.which(program) is None:
            return f"{program} is not installed"
    if reason := why_too_old():
        return reason
    if INSTALLED.exists() and INSTALLED.stat().st_mtime >= LOCK.stat().st_mtime:
        return None
    print(f"{' '.join(INSTALL)} in {FOLDER.relative_to(ROOT)}", file=sys.stderr, flush=True)
    try:
        done = subprocess.run(INSTALL, cwd=FOLDER, capture_output=True, text=True, timeout=INSTALL_TIMEOUT)
    except subprocess.TimeoutExpired:
        return f"npm ci took more than {INSTALL_TIMEOUT:.0f} s"
    return f"npm ci failed: {' '.join(done.stderr.split())}" if done.returncode else None


def why_too_old() -> str | None:
    version, wanted = node_version(), package()["engines"]["node"]
    if version is None:
        return "node --version fails"
    least = int(wanted.removeprefix(">="))
    return f"node is {version}, not {wanted}" if int(version.partition(".")[0]) < least else None


def versions() -> dict[str, str]:
    """Of Node, where there is one, and of the packages that the peer asks for."""
    packages: dict[str, str] = package()["dependencies"]
    if version := node_version():
        packages["node"] = version
    return packages


def package() -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = json.loads((FOLDER / "package.json").read_text())
    return found


def node_version() -> str | None:
    """None where there is none that runs."""
    try:
        found = subprocess.run(("node", "--version"), capture_output=True, text=True)
    except OSError:
        return None
    match = re.match(r"v(\d+\.\S+)", found.stdout)
    return match[1] if match and not found.returncode else None
