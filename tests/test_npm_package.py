"""The package for npm: what is packed, how large it is, and that it works in Node and in TypeScript."""

from __future__ import annotations

import asyncio
import gzip
import json
import os
import re
import shutil
import subprocess
import tarfile
import tomllib
from asyncio.subprocess import PIPE
from pathlib import Path

import pytest

from tests.clients import PATIENCE, answered, service_of, token
from tests.servers import ROOT, environment, missing, realtime_server, unable

NPM = ROOT / "npm"
MODULES = NPM / "node_modules"
SOURCE = ROOT / "realtime/static/realtime/realtime.js"
CLIENTS = (ROOT / "docs/clients.md").read_text()
LARGEST = 4096  # bytes, minified and gzipped; docs/clients.md says so

pytestmark = pytest.mark.xdist_group("npm")


def run(*command: str | Path, folder: Path) -> str:
    """What a command prints. One that fails fails the test, with all that it said."""
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def tools() -> Path:
    """Where the commands of the development dependencies are."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        missing("nodejs npm")
    if not MODULES.exists():
        unable("npm/node_modules is missing: npm ci --prefix npm")
    return MODULES / ".bin"


@pytest.fixture(scope="module")
def project(tools: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project that has installed the packed package, and "ws"."""
    folder = tmp_path_factory.mktemp("project")
    run("npm", "pack", "--pack-destination", folder, folder=NPM)
    (archive,) = folder.glob("*.tgz")
    with tarfile.open(archive) as packed:
        packed.extractall(folder, filter="data")
    modules = folder / "node_modules"
    modules.mkdir()
    (folder / "package").rename(modules / "hopeflow-realtime")
    for name in ("ws", "@types", "undici-types"):
        (modules / name).symlink_to(MODULES / name)
    (folder / "package.json").write_text('{"type": "module"}')
    return folder


def block(kind: str, text: str) -> str:
    """The one block of this language in the page about clients that holds a text."""
    blocks = re.findall(rf"^```{kind}\n(.*?)^```", CLIENTS, re.DOTALL | re.MULTILINE)
    found: str
    (found,) = [one for one in blocks if text in one]
    return found


def test_it_holds_the_one_source_its_types_and_nothing_else(project: Path) -> None:
    package = project / "node_modules/hopeflow-realtime"
    files = {path.name for path in package.iterdir()}
    assert files == {"LICENSE", "README.md", "package.json", "realtime.d.ts", "realtime.js"}
    assert (package / "realtime.js").read_bytes() == SOURCE.read_bytes()
    python = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert json.loads((package / "package.json").read_text())["version"] == python["version"]


def test_it_is_small(tools: Path) -> None:
    minified = run(tools / "esbuild", "--minify", "--format=esm", SOURCE, folder=NPM)
    assert len(gzip.compress(minified.encode())) < LARGEST


def test_it_works_in_node(project: Path) -> None:
    """The tests of tests/browser/client.test.mjs, on the package as it is packed."""
    shutil.copy(ROOT / "tests/browser/client.test.mjs", project)
    run("node", "--test", "--test-timeout", "20000", "client.test.mjs", folder=project)


async def test_the_snippet_for_node_gets_an_envelope_and_acks_it(project: Path) -> None:
    (project / "snippet.js").write_text(block("js", "process.env.REALTIME_URL"))
    with realtime_server(environment()) as server:
        env = {**os.environ, "REALTIME_URL": server.url, "REALTIME_TOKEN": token("ann")}
        node = await asyncio.create_subprocess_exec("node", "snippet.js", cwd=project, env=env, stdout=PIPE)
        async with service_of([server], 401) as service, asyncio.timeout(PATIENCE):
            while await service.publish("ann", "chat_message", '{"text":"hello"}') != answered(1, '"displayed"'):
                await asyncio.sleep(0.05)
        node.kill()
        assert (await node.communicate())[0].splitlines()[0] == b"hello"


def test_its_types_allow_what_is_right_and_refuse_what_is_wrong(tools: Path, project: Path) -> None:
    """In a page and in Node; wrong uses stand behind @ts-expect-error, which fails where there is no error."""
    (project / "snippet.ts").write_text(block("ts", "subscribe<Message>"))
    shutil.copy(ROOT / "tests/browser/types.ts", project)
    options = ("--noEmit", "--strict", "--module", "nodenext", "--target", "es2022", "--skipLibCheck", "false")
    run(tools / "tsc", *options, "--lib", "es2022,dom", "snippet.ts", "types.ts", folder=project)
    run(tools / "tsc", *options, "--lib", "es2022", "--types", "node", "types.ts", folder=project)


@pytest.mark.parametrize(("kind", "text"), [("jsx", "useEffect("), ("js", "onScopeDispose(")])
def test_the_snippets_for_frameworks_are_javascript(tools: Path, tmp_path: Path, kind: str, text: str) -> None:
    path = tmp_path / f"snippet.{kind}"
    path.write_text(block(kind, text))
    run(tools / "esbuild", path, folder=NPM)
