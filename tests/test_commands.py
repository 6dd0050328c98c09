"""The commands that mint a token, listen and publish, against a running server: a terminal is enough."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from uuid import uuid4

import jwt
import pytest

from .clients import service_of
from .servers import APPLICATION, ROOT, SECRET, Server, daphne, environment, free_port, managed

PATIENCE = 20.0


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with daphne(environment(REALTIME_ACK_TIMEOUT="2")) as server:
        yield server


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return managed(environment(), *arguments)


@asynccontextmanager
async def listening(*arguments: str) -> AsyncIterator[Process]:
    """`realtime_listen`, once it says that it listens."""
    command = [sys.executable, "-W", "error", "manage.py", "realtime_listen", *arguments]
    process = await asyncio.create_subprocess_exec(*command, cwd=ROOT, env=environment(), stdout=PIPE, stderr=PIPE)
    assert process.stderr is not None
    try:
        async with asyncio.timeout(PATIENCE):
            while b"listening as" not in (line := await process.stderr.readline()):
                assert line, "it ended before it listened"
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def line_of(process: Process) -> str:
    assert process.stdout is not None
    async with asyncio.timeout(PATIENCE):
        return (await process.stdout.readline()).decode()


async def test_a_terminal_listens_another_publishes_and_the_ack_comes_back(server: Server) -> None:
    user = f"ann é {uuid4()}"
    filters = ("--type", "chat_message", "--type", "other", "--filter", "room=1", "--filter", "tag=a=b")
    async with listening(user, *filters, "--ack", '{"seen": true}', "--count", "1", "--url", server.url) as listener:
        publish = ("realtime_publish", user, "--type", "chat_message", "--url", server.url, "--payload")
        for payload in ("{}", '{"room": "1"}', '{"room": "2", "tag": "a=b"}'):
            assert (await asyncio.to_thread(run, *publish, payload)).stdout == '{"clientCount":0,"results":[]}\n'
        answer = await asyncio.to_thread(run, *publish, '{"room": "1", "tag": "a=b"}')
        assert answer.stdout == '{"clientCount":1,"results":[{"seen": true}]}\n'
        envelope = json.loads(await line_of(listener))
        assert (envelope["userId"], envelope["type"]) == (user, "chat_message")
        assert envelope["payload"] == {"room": "1", "tag": "a=b"}
        async with asyncio.timeout(PATIENCE):
            assert await listener.wait() == 0


async def test_without_ack_it_only_listens_and_ctrl_c_ends_it_quietly(server: Server) -> None:
    user = str(uuid4())
    url = server.ws_url + "/"
    async with listening(user, "--type", "message", "--url", url) as listener:
        answer = await asyncio.to_thread(run, "realtime_publish", user, "--url", url)
        assert answer.stdout == '{"clientCount":1,"results":[]}\n'
        assert json.loads(await line_of(listener))["type"] == "message"
        listener.send_signal(2)
        _, errors = await listener.communicate()
        assert listener.returncode == 0
        assert b"Traceback" not in errors


async def test_it_connects_again_and_says_so_unless_the_server_does_not_want_it() -> None:
    port = str(free_port())
    with daphne(environment(), APPLICATION, "-p", port) as server:
        async with listening("ann", "--type", "t", "--type", "u", "--url", server.url) as listener:
            assert listener.stderr is not None
            server.kill()
            async with asyncio.timeout(PATIENCE):
                while b"the socket is gone, connecting again" not in await listener.stderr.readline():
                    pass
                with daphne(environment(REALTIME_MAX_FILTERS="1"), APPLICATION, "-p", port):
                    _, errors = await listener.communicate()
            assert listener.returncode == 1
            assert b"the server closed the socket" in errors
            assert b"4501" in errors
            assert b"Traceback" not in errors


async def test_a_token_of_another_server_can_be_given(server: Server) -> None:
    token = jwt.encode({"userId": "somebody"}, SECRET, algorithm="HS256")
    async with service_of([server], 403) as service, service.connect("bob", {"type": "message"}) as socket:
        publish = asyncio.to_thread(run, "realtime_publish", "bob", "--token", token, "--url", server.url)
        publishing = asyncio.create_task(publish)
        await socket.ack(await socket.envelope(), '"hi"')
        assert (await publishing).stdout == '{"clientCount":1,"results":["hi"]}\n'


def test_a_minted_token_names_the_user_and_ends() -> None:
    claims = jwt.decode(run("realtime_token", "ann", "--lifetime", "60").stdout.strip(), SECRET, algorithms=["HS256"])
    assert (claims["userId"], claims["exp"] - claims["iat"]) == ("ann", 60)
    claims = jwt.decode(run("realtime_token", "ann", "--forever").stdout.strip(), SECRET, algorithms=["HS256"])
    assert "exp" not in claims


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["realtime_publish", "ann", "--payload", "{x"], "not JSON: '{x'"),
        (["realtime_listen", "ann", "--type", "t", "--ack", "displayed"], "A string needs its quotes"),
        (["realtime_listen", "ann", "--type", "t", "--filter", "room"], "not key=value: 'room'"),
        (["realtime_listen", "ann"], "--type"),
        (["realtime_publish", "ann", "--url", "127.0.0.1:8000"], "does not begin with http://"),
        (["realtime_publish", "ann", "--url", f"http://127.0.0.1:{free_port()}"], "no answer from http://127.0.0.1"),
        (["realtime_listen", "ann", "--type", "t", "--url", f"ws://127.0.0.1:{free_port()}"], "no socket to ws://"),
    ],
)
def test_a_mistake_gets_one_line_that_helps(arguments: list[str], says: str) -> None:
    process = run(*arguments)
    assert process.returncode != 0
    assert says in process.stderr
    assert "Traceback" not in process.stderr


def test_a_refusal_of_the_server_is_shown(server: Server) -> None:
    process = run("realtime_publish", "ann", "--token", "nonsense", "--url", server.url)
    assert process.returncode == 1
    assert 'answered 401: {"error":"Unauthorized"}' in process.stderr
    process = run("realtime_listen", "ann", "--type", "t", "--token", "nonsense", "--url", server.url)
    assert process.returncode == 1
    assert "HTTP 403" in process.stderr
    assert "nonsense" not in process.stderr
