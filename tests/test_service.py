"""What an operator meets: a Redis that is away, limits, logs, settings that are missing."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any
from uuid import uuid4

import pytest
from websockets.exceptions import ConnectionClosed

from .clients import NOBODY, Service, answered, bearer, dump, open_stream, service_of, token, until
from .servers import APPLICATION, ROOT, SECRET, daphne, environment, free_port, realtime_server, uvicorn

Start = Callable[..., AbstractAsyncContextManager[Service]]


@asynccontextmanager
async def running(**settings: str) -> AsyncIterator[Service]:
    with daphne(environment(**settings)) as server:
        async with service_of([server], 403) as service:
            yield service


async def test_a_server_that_can_say_it_refuses_sockets_with_503_while_redis_is_away() -> None:
    with uvicorn(environment(REDIS_URL=f"redis://127.0.0.1:{free_port()}")) as server:
        async with service_of([server], 401) as service:
            assert await service.status("socket", bearer(token("ann"))) == 503
            assert await service.status("publish", bearer(token("ann"))) == 503


async def test_a_body_over_the_limit_is_413_and_one_at_the_limit_is_not() -> None:
    async with running(REALTIME_MAX_BODY_BYTES="2000") as service:
        body = dump({"userId": "nobody", "payload": ""})
        for padding, status in ((2000 - len(body), 200), (2001 - len(body), 413), (1_000_000, 413)):
            response = await service.post(dump({"userId": "nobody", "payload": "x" * padding}))
            assert response.status_code == status
        assert response.text == '{"error":"Request body is too large"}'
        assert (await service.request("POST", content="x" * 5000)).status_code == 401


async def test_json_nested_over_the_limit_is_400_and_a_frame_so_nested_is_ignored() -> None:
    user = str(uuid4())
    async with running(REALTIME_MAX_JSON_DEPTH="10", REALTIME_ACK_TIMEOUT="0.5") as service:
        for depth, status in ((9, 200), (10, 400), (100_000, 400)):
            response = await service.post('{"userId":"nobody","payload":' + "[" * depth + "]" * depth + "}")
            assert response.status_code == status
        assert response.text == '{"error":"JSON body is nested too deeply"}'
        async with service.connect(user, {"type": "t"}) as socket:
            publish = service.begin(user, "t")
            envelope = await socket.envelope()
            await socket.ack(envelope, "[" * 10 + "]" * 10)
            await socket.ack(envelope, "[" * 9 + "]" * 9)
            assert await publish == answered(1, "[" * 9 + "]" * 9)


async def test_a_user_id_over_the_limit_is_400_in_a_body_and_401_in_a_token() -> None:
    async with running() as service:
        for length, status in ((300, 200), (1024, 200), (1025, 400)):
            response = await service.post(dump({"userId": "ü" * length}))
            assert response.status_code == status
            assert await service.status("publish", bearer(token("ü" * length))) == (200 if status == 200 else 401)
        assert response.text == '{"error":"userId is too long"}'


async def test_one_filter_too_many_closes_the_socket_with_a_code_that_says_so() -> None:
    async with running(REALTIME_MAX_FILTERS="10") as service:
        user = str(uuid4())
        async with service.connect(user, *({"type": f"t{number}"} for number in range(10))) as socket:
            await socket.subscribe({"type": "t1"})
            await service.deliver(socket, user, "t9")
            await socket.say(type="subscribe", filters=[{"type": "one too many"}])
            with pytest.raises(ConnectionClosed) as closed:
                await socket.recv()
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == 4501
            assert await service.publish(user, "t9") == NOBODY
        assert "reason=TOO_MANY_FILTERS" in service.servers[0].log


async def test_a_socket_outlives_the_groups_of_a_layer_that_forgets(redis_url: str) -> None:
    """channels_redis forgets members after a day, here after two seconds."""
    user, loop = str(uuid4()), asyncio.get_running_loop()
    settings = {"DJANGO_SETTINGS_MODULE": "tests.sites.foreign", "TEST_LAYER": "forgetful", "REDIS_URL": redis_url}
    async with running(**settings) as service, service.connect(user, {"type": "t"}) as socket:
        end = loop.time() + 4
        while loop.time() < end:
            await service.deliver(socket, user, "t")


@pytest.mark.parametrize("limit", [1000, 2_000_000])
async def test_a_frame_over_the_limit_is_ignored(limit: int) -> None:
    user = str(uuid4())
    async with running(REALTIME_MAX_FRAME_BYTES=str(limit)) as service, service.connect(user) as socket:
        await socket.send(dump({"type": "subscribe", "filters": [{"type": "t"}], "padding": "x" * 1100}))
        await socket.settle()
        assert await service.reaches(socket, user, "t") == (limit > 1100)


async def test_a_frame_over_the_server_s_own_limit_ends_the_socket_in_the_server_s_way() -> None:
    """Ours and uvicorn say 1009; daphne drops the connection without a word, which a client sees as 1006."""
    with (
        realtime_server(environment(), APPLICATION, "--websocket-max-message-size", "1000") as ours,
        uvicorn(environment(), APPLICATION, "--ws-max-size", "1000") as one,
        daphne(environment(), APPLICATION, "--websocket-max-message-size", "1000") as other,
    ):
        for server, code in ((ours, 1009), (one, 1009), (other, 1006)):
            async with service_of([server], 403) as service, service.connect("ann") as socket:
                await socket.send("x" * 1000)
                await socket.settle()
                await socket.send("x" * 1001)
                with pytest.raises(ConnectionClosed):
                    await socket.settle()
                assert socket.connection.close_code == code


async def test_an_envelope_that_the_server_refuses_to_send_is_not_waited_for_and_the_socket_goes_on() -> None:
    """Daphne's limit is for what it sends too. Whoever leaves it at 1 MiB gets a line in the log, no silent socket."""
    user = str(uuid4())
    with daphne(environment(REALTIME_ACK_TIMEOUT="60"), APPLICATION, "--websocket-max-message-size", "1000") as server:
        async with service_of([server], 403) as service, service.connect(user, {"type": "t"}) as socket:
            async with asyncio.timeout(10):
                assert await service.publish(user, "t", dump("x" * 1000)) == answered(1)
            await service.deliver(socket, user, "t", "1")
        assert re.search(r"WARNING realtime.consumers envelope=\S+ not sent user=.* limit of 1000", server.log)


async def test_the_log_has_a_line_for_each_event_and_never_a_token() -> None:
    user = f"ann\nroot {uuid4()}"
    async with running(LOG_LEVEL="DEBUG", REALTIME_ACK_TIMEOUT="0.5") as service:
        secret_token = token(user)
        async with service.connect(user, {"type": "t"}, jwt_text=secret_token) as socket:
            envelope = await service.deliver(socket, user, "t", payload='"private words"', result='"a secret result"')
            await socket.send("nonsense")
            await socket.settle()
        await service.status("publish", bearer("a.bad.token"))
        await service.status("socket", bearer("a.bad.token"))
        await until(lambda: _logged(service, "disconnect user="))
        log = service.servers[0].log
    ours = [line for line in log.splitlines() if " realtime." in line]
    for wanted in (
        r"INFO realtime\.consumers connect user='ann\\nroot .*' socket=1",
        rf"INFO realtime\.delivery publish user='ann\\nroot .*' envelope={envelope.id} type='t' clients=1 acks=1",
        r"DEBUG realtime\.consumers ack user=.* known=True",
        r"DEBUG realtime\.consumers frame ignored user=",
        r"INFO realtime\.views publish refused: ",
        r"INFO realtime\.consumers handshake refused: ",
        r"INFO realtime\.consumers disconnect user='ann\\nroot .*' socket=1 code=1000",
    ):
        assert len([line for line in ours if re.search(wanted, line)]) == 1, (wanted, ours)
    for private in (*secret_token.split("."), SECRET, "a.bad.token", "private words", "a secret result"):
        assert private not in "\n".join(ours)


async def _logged(service: Service, text: str) -> bool:
    return text in service.servers[0].log


@pytest.mark.parametrize(
    ("variables", "says"),
    [
        ({"JWT_SECRET": "x" * 31}, "JWT_SECRET is missing or shorter than 32 bytes. Make one: python -c"),
        ({"DJANGO_SECRET_KEY": ""}, "DJANGO_SECRET_KEY is missing"),
        ({"REALTIME_ACK_TIMEOUT": "soon"}, "(realtime.E003) REALTIME['ACK_TIMEOUT'] is str, not float."),
        ({"REALTIME_ACK_TIMEOOT": "1"}, "(realtime.E002) REALTIME has no setting 'ACK_TIMEOOT'."),
    ],
)
def test_settings_that_are_missing_or_wrong_say_what_to_do(variables: dict[str, str], says: str) -> None:
    process = subprocess.run(
        [sys.executable, "manage.py", "check"],
        cwd=ROOT,
        env=environment(**variables),
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode != 0
    assert says in process.stderr


async def test_without_any_secret_all_is_refused_and_the_log_says_what_to_do() -> None:
    async with running(JWT_SECRET="") as service:
        for door in ("publish", "socket"):
            assert await service.status(door, bearer(token("ann"))) == (401 if door == "publish" else 403)
        assert service.servers[0].log.count("realtime_secret create NAME") == 1


def test_settings_come_from_the_environment() -> None:
    script = (
        "from django.conf import settings as s; import json; "
        "print(json.dumps([s.REALTIME['ACK_TIMEOUT'], s.DATABASES['default']['ENGINE'], s.DATABASES['default']['NAME'],"
        " s.CHANNEL_LAYERS['default'], s.ALLOWED_HOSTS]))"
    )
    env = environment(
        REALTIME_ACK_TIMEOUT="2.5",
        DATABASE_URL="postgres://u:p@db/name",
        REDIS_URL="redis://a:1,redis://b:2",
        REDIS_ENCRYPTION_KEYS="k1,k2",
        DJANGO_ALLOWED_HOSTS="a.example,b.example",
    )
    out = subprocess.run([sys.executable, "-c", script], cwd=ROOT, env=env, capture_output=True, text=True, check=True)
    assert json.loads(out.stdout) == [
        2.5,
        "django.db.backends.postgresql",
        "name",
        {
            "BACKEND": "realtime.layers.RedisChannelLayer",
            "CONFIG": {"hosts": ["redis://a:1", "redis://b:2"], "symmetric_encryption_keys": ["k1", "k2"]},
        },
        ["a.example", "b.example"],
    ]


@pytest.mark.parametrize("server", [daphne, realtime_server, uvicorn])
async def test_a_publisher_that_goes_away_leaves_no_trace_in_the_log(server: Callable[..., Any]) -> None:
    """In the middle of its body, and while its answer is awaited, for which nobody waits any longer."""
    user = str(uuid4())
    head = f"POST /publish HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n{bearer(token('ann'))}\r\n"
    body = dump({"userId": user, "type": "t"})
    with server(environment(REALTIME_ACK_TIMEOUT="60")) as running_server:
        async with service_of([running_server], 403) as service, service.connect(user, {"type": "t"}) as socket:
            for length in (len(body), len(body) + 100):
                _, writer = await open_stream(running_server)
                writer.write(f"{head}Content-Length: {length}\r\n\r\n{body}".encode())
                await writer.drain()
                if length == len(body):
                    await socket.envelope()
                writer.close()
                await writer.wait_closed()
            await service.deliver(socket, user, "t")
            await until(lambda: _logged(service, "publish cancelled"))
        assert "Traceback" not in running_server.log
        assert "ERROR" not in running_server.log
