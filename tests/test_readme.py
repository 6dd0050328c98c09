"""The README and its pages are true: commands are run, snippets used as they stand, tables agree with the code."""

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

import httpx
import pytest

from realtime.conf import Settings
from realtime.protocol import CloseCode

from .clients import service_of, token
from .servers import ROOT, Server, daphne, environment, manage, migrate, replaced, running

README = (ROOT / "README.md").read_text()
PAGES = {path.stem: path.read_text() for path in (ROOT / "docs").glob("*.md")}
ALL = [README, *PAGES.values()]
ANSWER = '{"clientCount":1,"results":["displayed"]}'


def blocks(text: str, kind: str) -> list[str]:
    """The fenced blocks of a page in this language."""
    return re.findall(rf"^```{kind}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


COMMANDS = [line for text in ALL for block in blocks(text, "console") for line in block.splitlines()]


def command(start: str) -> str:
    """The one command of all pages that begins so."""
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
        "export OLD=",  # tests/test_moving.py
        "export TOKEN=",
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
    (snippet,) = blocks(README, "js")
    with daphne(environment()) as server:
        client = json.dumps(str(ROOT / "realtime/static/realtime/realtime.js"))
        script = replaced(here(snippet, server), {'"/static/realtime/realtime.js"': client})
        options = ("--experimental-websocket", "--input-type=module")
        script = f"const token = {json.dumps(token('ann'))};\n{script}"
        node = await asyncio.create_subprocess_exec("node", *options, "-e", script, stdout=PIPE)
        async with service_of([server], 403) as service, asyncio.timeout(30):
            while await service.publish("ann", "chat_message", '{"text":"hello"}') != ANSWER:
                await asyncio.sleep(0.05)
        node.kill()
        out, _ = await node.communicate()
        assert out.decode().splitlines()[0] == "hello"


def test_the_commands_for_secrets_work(tmp_path: Path) -> None:
    """Those of the page about secrets, one after the other."""
    env = environment(DATABASE_URL=f"sqlite:///{tmp_path}/db.sqlite3", REALTIME_REPORT_TIMEOUT="0.1")
    migrate(env)
    lines = re.findall(r"^python manage\.py (realtime_secret .+)$", PAGES["secrets"], re.MULTILINE)
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
    for text in ALL:
        for block in blocks(text, "python"):
            ast.parse(block)


SERVERS = {
    "ours": command("python -m realtime.server").replace("8000", "0"),
    "daphne": "python -m "
    + re.findall("`(daphne --.+?)`", PAGES["running"])[0]
    + " -p 0 hopeflow_site.asgi:application",
    "uvicorn": "python -m uvicorn --port 0 hopeflow_site.asgi:application",
}


@pytest.mark.parametrize("server", SERVERS)
def test_the_server_commands_serve_the_site(server: str) -> None:
    """Each started as it is typed: other tests fork theirs (tests/forks.py)."""
    listening = r"(?:Listening on TCP address|Uvicorn running on) .*:(\d+)\b"
    with running([sys.executable, *SERVERS[server].split()[1:]], listening, environment()) as process:
        assert httpx.get(f"{process.url}/healthz", trust_env=False).status_code == 200


def test_the_table_of_settings_says_what_the_code_says() -> None:
    rows = re.findall(r"^\| `([A-Z_]+)` \| `(.*?)` \| (.+) \|$", PAGES["embedding"], re.MULTILINE)
    said = {name: ast.literal_eval(default) for name, default, _ in rows}
    assert said == {name: getattr(Settings, name) for name in Settings.__annotations__}


def test_the_table_of_close_codes_says_what_the_code_says() -> None:
    rows = re.findall(r"^\| (\d{4}) \| ([A-Z_]+) \|", PAGES["protocol"], re.MULTILINE)
    assert {name: int(code) for code, name in rows} == {code.name: int(code) for code in CloseCode}


def test_the_table_of_variables_names_all_that_the_site_reads() -> None:
    cells = re.findall(r"^\| (`[A-Z_<>`, ]+`) \|", PAGES["running"], re.MULTILINE)
    said = {name for cell in cells for name in re.findall(r"`([A-Z_<>]+)`", cell)}
    settings = (ROOT / "hopeflow_site/settings.py").read_text()
    assert said == {*re.findall(r'(?:env\.\w+|_secret)\(\s*"(\w+)"', settings), "REALTIME_<KEY>"}


def test_the_figures_are_those_of_the_table() -> None:
    """What the README and the operators' page say of one process stands in the table that the benchmarks fill."""
    ours = dict(re.findall(r"^\| (.+?) \| (.+?) \|", PAGES["benchmarks"], re.MULTILINE))
    at_once = ours["CPU ms of the server per acked publish, 16 publishers"]
    one = ours["the same, 1 publisher"]
    p50, p99 = ours["p50 and p99 in ms, 1 publisher"].split(", ")
    readme, operating, benchmarks = (
        " ".join(text.split()) for text in (README, PAGES["operating"], PAGES["benchmarks"])
    )
    for figures in (
        f"{at_once} ms of CPU",
        f"{ours['publishes/s, 16 publishers']} go through in a second",
        f"half of them are answered within {p50} ms, acks included, and 99 of 100 within {p99} ms",
        f"an idle socket takes {ours['KB per idle socket, of 10,000']} KB",
        f"takes {ours['CPU per acked publish with 10,000 idle sockets ÷ with none']} times the CPU",
    ):
        assert figures in readme
    acks = ours["CPU ms per publish to a user with 200 sockets, all acking"]
    assert f"{at_once} ms for a publish with one ack, 16 at once; {one} ms one by one; {acks} ms for one" in operating
    assert f"{ours['KB per idle socket, of 10,000']} KB for each of 10,000 open sockets" in operating
    idle = ours["CPU per acked publish with 10,000 idle sockets ÷ with none"]
    assert f"10,000 make a publish cost {idle} as much" in operating
    for text in (operating, benchmarks):
        assert "90,002, p50 1.4 ms, p99 2.9 ms" in text  # of the endurance run


def test_the_readme_fits_on_two_screens_without_its_pictures() -> None:
    assert len([line for line in README.splitlines() if not line.startswith(("![", "[![", "<"))]) <= 120
