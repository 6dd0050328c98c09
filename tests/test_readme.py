"""The README is true: its commands are run, its snippets are used as they stand, its tables agree with the code."""

from __future__ import annotations

import ast
import asyncio
import json
import re
import shlex
import subprocess
import sys
from asyncio.subprocess import PIPE
from contextlib import nullcontext
from pathlib import Path

import pytest

from realtime.conf import Settings
from realtime.protocol import CloseCode

from .clients import service_of, token
from .servers import ROOT, Server, daphne, environment, manage, migrate, running

README = (ROOT / "README.md").read_text()
PROTOCOL = (ROOT / "docs/protocol.md").read_text()
EMBEDDING = (ROOT / "docs/embedding.md").read_text()
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", README, re.DOTALL | re.MULTILINE)
COMMANDS = [line for kind, block in BLOCKS if kind == "console" for line in block.splitlines()]
ANSWER = '{"clientCount":1,"results":["displayed"]}'


def command(start: str) -> str:
    """The one command of the README that begins so."""
    found: str
    (found,) = [line for line in COMMANDS if line.startswith(start)]
    return found


def here(text: str, server: Server) -> str:
    """A command or snippet of the README with this interpreter and the address of this server."""
    text = text.replace(".venv/bin/python", sys.executable).replace("http://127.0.0.1:8000", server.url)
    return text.replace("ws://127.0.0.1:8000", server.ws_url)


def test_every_command_is_run_by_a_test() -> None:
    """Here, in the tests of the Makefile or of systemd, or by being the way the tests are run (`make test`)."""
    run_here = (
        ".venv/bin/python manage.py realtime_",
        "python manage.py realtime_secret",
        "export JWT_SECRET=",  # tests/embedding.py
        "python manage.py ",
        "TOKEN=$(",
        "curl ",
        "python -m realtime.server",
        "python -m benchmarks",
    )
    elsewhere = ("make run", "make test", "make bench", "cp deploy/systemd/", "systemctl ")
    assert [line for line in COMMANDS if not line.startswith(run_here + elsewhere)] == []


async def test_a_minute_to_a_delivered_envelope() -> None:
    """The commands of that section, pasted into a shell."""
    with daphne(environment()) as server:

        async def shell(line: str) -> asyncio.subprocess.Process:
            return await asyncio.create_subprocess_shell(
                here(line, server), cwd=ROOT, env={"PATH": "/usr/bin:/bin", **environment()}, stdout=PIPE, stderr=PIPE
            )

        url = f" --url {server.url}"
        listener = await shell("exec " + command(".venv/bin/python manage.py realtime_listen") + url)
        assert listener.stdout is not None
        assert listener.stderr is not None
        async with asyncio.timeout(30):
            while b"listening" not in await listener.stderr.readline():
                pass
            publish = await shell(command(".venv/bin/python manage.py realtime_publish") + url)
            assert (await publish.communicate())[0].decode().strip() == ANSWER
            assert json.loads(await listener.stdout.readline())["payload"] == {"text": "hello"}
            by_hand = await shell(f"{command('TOKEN=')}; {command('curl ')}")
            assert (await by_hand.communicate())[0].decode().strip() == ANSWER
        listener.kill()
        await listener.communicate()


async def test_the_browser_snippet_gets_an_envelope_and_acks_it() -> None:
    (snippet,) = [block for kind, block in BLOCKS if kind == "js"]
    with daphne(environment()) as server:
        script = f"const token = {json.dumps(token('ann'))};\n{here(snippet, server)}"
        node = await asyncio.create_subprocess_exec("node", "--experimental-websocket", "-e", script, stdout=PIPE)
        async with service_of([server], 403) as service, asyncio.timeout(30):
            while await service.publish("ann", "chat_message", '{"text":"hello"}') != ANSWER:
                await asyncio.sleep(0.05)
        node.kill()
        out, _ = await node.communicate()
        assert out.decode().splitlines()[0] == "hello"


def test_the_commands_for_secrets_work(tmp_path: Path) -> None:
    """Those of the README and of the page about secrets, one after the other."""
    page = (ROOT / "docs/secrets.md").read_text()
    env = environment(DATABASE_URL=f"sqlite:///{tmp_path}/db.sqlite3", REALTIME_REPORT_TIMEOUT="0.1")
    migrate(env)
    lines = re.findall(r"^python manage\.py (realtime_secret .+)$", README + page, re.MULTILINE)
    assert len(lines) == 8
    for line in lines:
        needs_one = "KID" in line
        newest = manage(env, "realtime_secret", "list").split(" ")[0] if needs_one else ""
        no_server_runs = pytest.raises(subprocess.CalledProcessError)
        with no_server_runs if "--close-sockets" in line else nullcontext():
            manage(env, *shlex.split(line.replace("KID", newest)), stdin="0123456789abcdef" * 2)
    listed = manage(env, "realtime_secret", "list")
    assert [state for state in ("active", "expiring", "revoked") if state in listed] == [
        "active",
        "expiring",
        "revoked",
    ]


def test_the_python_snippets_are_python() -> None:
    """Those of a new product are run: tests/embedding.py."""
    for block in re.findall(r"^```python\n(.*?)^```", README + EMBEDDING, re.DOTALL | re.MULTILINE):
        ast.parse(block)


def test_the_server_command_serves_the_site() -> None:
    line = command("python -m realtime.server").replace("8000", "0")
    with running([sys.executable, *line.split()[1:]], r":(\d+)\n", environment()):
        pass


def test_the_table_of_settings_says_what_the_code_says() -> None:
    rows = re.findall(r"^\| `([A-Z_]+)` \| `(.*?)` \| (.+) \|$", EMBEDDING, re.MULTILINE)
    said = {name: ast.literal_eval(default) for name, default, _ in rows}
    assert said == {name: getattr(Settings, name) for name in Settings.__annotations__}


def test_the_table_of_close_codes_says_what_the_code_says() -> None:
    rows = re.findall(r"^\| (\d{4}) \| ([A-Z_]+) \|", PROTOCOL, re.MULTILINE)
    assert {name: int(code) for code, name in rows} == {code.name: int(code) for code in CloseCode}


@pytest.mark.parametrize("name", ["README.md", *(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md"))])
def test_links_lead_somewhere(name: str) -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", (ROOT / name).read_text()):
        assert target.startswith("http") or ((ROOT / name).parent / target).exists(), target
