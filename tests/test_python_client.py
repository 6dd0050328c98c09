"""The Python client on real servers: it delivers, acks, stays connected, and knows when not to."""

from __future__ import annotations

import asyncio
import json
import logging
import re
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from http import HTTPStatus
from inspect import signature
from typing import Any
from uuid import uuid4

import httpx
import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.http11 import Request, Response

import realtime
from realtime.client import NO_ACK, Envelope, GaveUp, RawJSON, RealtimeClient, State
from realtime.client.client import GRACE

from .clients import PATIENCE, Service, Socket, answered, arrival, service_of, token, until
from .proxies import slow_proxy
from .servers import APPLICATION, ROOT, SECRET, Server, environment, free_port, realtime_server

PAGE = (ROOT / "docs/clients.md").read_text().partition("\n## Python\n")[2]
BLOCKS = re.findall(r"^```python\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)

pytestmark = pytest.mark.xdist_group("python client")


@pytest.fixture(scope="module")
def server(redis_url: str) -> Iterator[Server]:
    with realtime_server(environment(REDIS_URL=redis_url, REALTIME_ACK_TIMEOUT="2")) as server:
        yield server


@pytest.fixture
async def service(server: Server, redis_url: str, settings: Any) -> AsyncIterator[Service]:
    """The server; this process publishes and asks through Redis, too."""
    layer = {"BACKEND": "realtime.layers.RedisChannelLayer", "CONFIG": {"hosts": [redis_url]}}
    settings.CHANNEL_LAYERS = {"default": layer}
    async with service_of([server], 401) as service:
        yield service


@pytest.fixture
def user() -> str:
    return str(uuid4())


@pytest.fixture
async def client(service: Service, user: str) -> AsyncIterator[RealtimeClient]:
    async with RealtimeClient(service.servers[0].ws_url, token(user), min_delay=0.01) as client:
        yield client


@asynccontextmanager
async def scripted(
    script: Callable[[ServerConnection], Any], request: Callable[[ServerConnection, Request], Any] | None = None
) -> AsyncIterator[str]:
    """A server that does what no server of ours would: the address of one that runs `script` for each connection."""
    async with serve(script, "127.0.0.1", 0, process_request=request) as server:
        yield f"ws://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}"


# Handlers and acks


async def test_what_a_handler_returns_or_awaits_is_the_result(
    client: RealtimeClient, service: Service, user: str
) -> None:
    seen: list[Envelope] = []

    async def later(envelope: Envelope) -> Any:
        await asyncio.sleep(0)
        return {"n": envelope.payload["n"] + 1}

    client.subscribe({"type": "seen"}, seen.append)
    client.subscribe({"type": "later", "room": "1"}, later)
    client.subscribe({"type": "raw"}, lambda _: RawJSON('{"as": "it stands"}'))
    client.subscribe({"type": "look"}, lambda _: NO_ACK)
    await client.ready()
    assert await service.publish(user, "seen", '{ "n": 1.50 }') == answered(1, "null")
    assert seen[0].text.endswith(',"payload":{ "n": 1.50 }}')
    big = 10**40
    assert await service.publish(user, "later", f'{{"room":"1","n":{big}}}') == answered(1, f'{{"n":{big + 1}}}')
    assert await service.publish(user, "later", '{"room":"2"}') == answered(0)
    assert await service.publish(user, "raw") == answered(1, '{"as": "it stands"}')
    assert await service.publish(user, "look") == answered(1)


async def test_several_handlers_are_called_once_each_and_the_first_that_says_something_is_acked(
    client: RealtimeClient, service: Service, user: str
) -> None:
    called: list[str] = []

    def says(name: str, result: Any) -> Callable[[Envelope], Any]:
        def handle(_: Envelope) -> Any:
            called.append(name)
            return result

        return handle

    async def slow(_: Envelope) -> str:
        called.append("slow")
        await asyncio.sleep(0.01)
        return "slow"

    filters = [{"type": "t"}, {"type": "t", "room": "1"}]
    client.subscribe(filters, says("nothing", None))
    client.subscribe(filters[1], slow)
    client.subscribe(filters[0], says("quick", "quick"))
    await client.ready()
    assert await service.publish(user, "t", '{"room":"1"}') == answered(1, '"slow"')
    assert await service.publish(user, "t", '{"room":"2"}') == answered(1, '"quick"')
    assert called == ["nothing", "quick", "slow", "nothing", "quick"]


async def test_a_handler_that_fails_is_acked_with_its_message_and_logged(
    client: RealtimeClient, service: Service, user: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def cancelled(_: Envelope) -> None:
        asyncio.get_running_loop().create_task(asyncio.sleep(PATIENCE)).cancel()
        waited = asyncio.get_running_loop().create_future()
        waited.cancel()
        await waited

    def broken(_: Envelope) -> None:
        raise ValueError('a "bad" day')

    client.subscribe({"type": "broken"}, broken)
    client.subscribe({"type": "cancelled"}, cancelled)
    client.subscribe({"type": "no JSON"}, lambda _: float("nan"))
    await client.ready()
    assert await service.publish(user, "broken") == answered(1, '{"error":"a \\"bad\\" day"}')
    assert await service.publish(user, "cancelled") == answered(1, '{"error":"CancelledError"}')
    assert "not JSON compliant" in await service.publish(user, "no JSON")
    unsubscribe = client.subscribe({"type": "surrogate"}, lambda _: RawJSON('"\ud800"'))
    await client.ready()
    assert "surrogates not allowed" in await service.publish(user, "surrogate")
    unsubscribe()
    assert caplog.text.count("a handler has failed") == 4
    assert "Traceback" in caplog.text
    client.subscribe({"type": "broken"}, lambda _: "fine")
    await client.ready()
    assert await service.publish(user, "broken") == answered(1, '"fine"')  # somebody has dealt with it


async def test_a_slow_handler_holds_up_no_other_until_too_many_wait(service: Service, user: str) -> None:
    release, begun = asyncio.Event(), list[int]()

    async def handle(envelope: Envelope) -> int:
        begun.append(envelope.payload)
        if envelope.payload < 2:
            await release.wait()
        number: int = envelope.payload
        return number

    async with RealtimeClient(service.servers[0].ws_url, token(user), max_handling=2) as client:
        client.subscribe({"type": "t"}, handle)
        await client.ready()
        first = service.begin(user, "t", "0")
        await until(lambda: begun == [0])
        assert await service.publish(user, "t", "5") == answered(1, "5")
        second = service.begin(user, "t", "1")
        await until(lambda: begun == [0, 5, 1])
        third = service.begin(user, "t", "6")
        with pytest.raises(TimeoutError):  # two are under way, so the third is not read
            await asyncio.wait_for(asyncio.shield(third), 0.1)
        assert begun == [0, 5, 1]
        release.set()
        assert [await publish for publish in (first, second, third)] == [answered(1, n) for n in "016"]


async def test_thousands_of_envelopes_are_handled_in_order(client: RealtimeClient, user: str) -> None:
    plain, coroutines = list[int](), list[int]()

    async def handle(envelope: Envelope) -> None:
        coroutines.append(envelope.payload)

    client.subscribe({"type": "t"}, lambda envelope: plain.append(envelope.payload))
    client.subscribe({"type": "t"}, handle)
    await client.ready()
    for number in range(2000):
        await realtime.apublish(user, "t", number, wait=False)
    await until(lambda: len(coroutines) == 2000)
    assert plain == coroutines == list(range(2000))


async def test_at_the_end_of_the_block_handlers_under_way_end_and_no_others_begin(service: Service, user: str) -> None:
    begun, release = list[int](), asyncio.Event()

    async def handle(envelope: Envelope) -> str:
        begun.append(envelope.payload)
        await release.wait()
        return "done"

    async def meanwhile(other: Socket) -> str:
        late = service.begin(user, "t", "2")
        await other.ack(await arrival(other, late), '"other"')
        await other.settle()
        release.set()
        return await late

    async with service.connect(user, {"type": "t"}) as other:
        async with RealtimeClient(service.servers[0].ws_url, token(user)) as client:
            client.subscribe({"type": "t"}, handle)
            await client.ready()
            publish = service.begin(user, "t", "1")
            await other.ack(await arrival(other, publish), '"other"')
            await until(lambda: begun)
            late = asyncio.create_task(meanwhile(other))  # it runs once this block is being left
        assert await publish == answered(2, '"other"', '"done"')
        assert await late == answered(2, '"other"')
    assert begun == [1]
    assert client.state is State.CLOSED
    with pytest.raises(ConnectionError):
        await client.ready()


async def test_an_exception_in_the_block_ends_handlers_under_way_at_once(service: Service, user: str) -> None:
    begun, ended = asyncio.Event(), asyncio.Event()

    async def handle(_: Envelope) -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    async def block() -> None:
        async with RealtimeClient(service.servers[0].ws_url, token(user)) as client:
            client.subscribe({"type": "t"}, handle)
            await client.ready()
            publishes.append(service.begin(user, "t"))
            await begun.wait()
            raise ZeroDivisionError

    publishes: list[asyncio.Task[str]] = []
    with pytest.raises(ZeroDivisionError):
        await block()
    assert ended.is_set()
    assert await publishes[0] == answered(1)


# Filters


async def held(user: str) -> list[dict[str, str]]:
    """The filters that the server holds."""
    (connection,) = await realtime.aconnections(user)
    return list(connection.filters)


async def test_filters_are_counted_sent_in_fifties_and_taken_back_by_the_last(
    client: RealtimeClient, user: str
) -> None:
    one = client.subscribe([{"type": "t", "n": str(n)} for n in range(120)], print)
    two = client.subscribe([{"type": "t", "n": "119"}, {"type": "t", "n": "120"}], print)
    await client.ready()
    assert len(await held(user)) == 121
    one()
    one()
    await client.ready()
    assert sorted(filter_["n"] for filter_ in await held(user)) == ["119", "120"]
    two()
    await client.ready()
    assert await held(user) == []


async def test_an_envelope_that_nobody_is_left_for_is_acked_with_null_at_once() -> None:
    acks: asyncio.Queue[Any] = asyncio.Queue()

    async def script(connection: ServerConnection) -> None:
        await connection.send('{"envelopeId":"1","type":"t","userId":"ann","timestamp":""}')
        await connection.send("what no client knows")
        async for frame in connection:
            if frame != "ping":
                acks.put_nowait(json.loads(frame))

    async with scripted(script) as url, RealtimeClient(url, "a-token"):
        async with asyncio.timeout(PATIENCE):
            assert await acks.get() == {"type": "ack", "envelopeId": "1", "result": None}


# Connections


async def test_it_comes_back_to_a_server_that_died_with_a_fresh_token_and_all_filters(user: str) -> None:
    env, port = environment(REALTIME_ACK_TIMEOUT="2"), str(free_port())
    tokens, states = list[str](), list[tuple[State, bool]]()

    async def fetch() -> str:
        tokens.append(token(user, jti=str(len(tokens))))
        return tokens[-1]

    def on_state(state: State, error: Exception | None) -> None:
        if (state, error is not None) not in states[-2:]:  # it may have to try several times
            states.append((state, error is not None))

    with realtime_server(env, APPLICATION, "-p", port) as first:
        async with RealtimeClient(first.ws_url, fetch, on_state=on_state, min_delay=0.05, max_delay=0.2) as client:
            client.subscribe([{"type": "t", "n": str(n)} for n in range(60)], lambda _: "before")
            await client.ready()
            first.kill()
            await until(lambda: client.state is not State.OPEN)
            client.subscribe({"type": "u"}, lambda _: "during")
            with realtime_server(env, APPLICATION, "-p", port) as second:
                async with asyncio.timeout(PATIENCE), service_of([second], 401) as service:
                    await client.ready()
                    assert await service.publish(user, "t", '{"n":"59"}') == answered(1, '"before"')
                    assert await service.publish(user, "u") == answered(1, '"during"')
                    assert len(tokens) == len(set(tokens)) >= 2
    assert states == [
        (State.CONNECTING, False),
        (State.OPEN, False),
        (State.WAITING, True),
        (State.CONNECTING, False),
        (State.OPEN, False),
        (State.CLOSED, False),
    ]


async def test_a_dead_connection_is_found_by_its_own_ping(service: Service, server: Server, user: str) -> None:
    delay, lost = 0.0, list[Exception]()

    def on_state(state: State, error: Exception | None) -> None:
        nonlocal delay
        if state is State.WAITING and error is not None:
            lost.append(error)
            delay = 0.0

    async with slow_proxy(int(server.url.rpartition(":")[2]), lambda: delay) as port:
        url = f"ws://localhost:{port}"
        quick = {"ping_interval": 0.1, "ping_timeout": 0.3, "min_delay": 0.01}
        async with RealtimeClient(url, token(user), on_state=on_state, **quick) as client:  # type: ignore[arg-type]
            client.subscribe({"type": "t"}, lambda _: "alive")
            await client.ready()
            delay = 3600.0
            await until(lambda: lost)
            assert "no answer to a ping" in str(lost[0])
            await client.ready()
            await until(lambda: len(lost) == 1 and client.state is State.OPEN)
            assert '"alive"' in await service.publish(user, "t")


async def test_a_connection_that_is_only_quiet_stays(server: Server, user: str) -> None:
    states: list[State] = []
    async with RealtimeClient(
        server.ws_url, token(user), on_state=lambda state, _: states.append(state), ping_interval=0.01
    ) as client:
        await client.ready()
        await asyncio.sleep(0.2)
        await client.ready()
    assert states == [State.CONNECTING, State.OPEN, State.CLOSED]


async def test_one_that_the_product_disconnects_does_not_come_back(
    client: RealtimeClient, user: str, caplog: pytest.LogCaptureFixture
) -> None:
    await client.ready()
    assert await realtime.adisconnect(user) == 1
    for waiting in (client.wait_closed(), client.ready()):
        with pytest.raises(GaveUp, match="4502") as error:
            await waiting
        assert (error.value.code, error.value.status) == (4502, None)
    assert client.state is State.CLOSED
    assert "giving up" in caplog.text


async def test_one_that_is_asked_to_connect_again_does() -> None:
    codes = [1000, 1012, 4001, 4499]
    left = list(codes)

    async def script(connection: ServerConnection) -> None:
        async for _ in connection:
            await connection.send("pong")
            if left:
                await connection.close(left.pop(0))

    seen: list[Exception | None] = []

    def on_state(state: State, error: Exception | None) -> None:
        if state is State.WAITING:
            seen.append(error)

    async with scripted(script) as url, RealtimeClient(url, "a-token", on_state=on_state, min_delay=0.01) as client:
        await until(lambda: len(seen) == len(codes))
        await client.ready()
    assert [int(re.findall(r"\d{4}", str(error))[0]) for error in seen] == codes


# Tokens


async def test_a_refused_token_ends_the_client_or_is_followed_by_a_fresh_one(
    service: Service, server: Server, user: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    bad = token(user, exp=1)
    async with RealtimeClient(server.ws_url, bad) as client:
        with pytest.raises(GaveUp, match="refused: HTTP 401") as error:
            await client.ready()
        assert error.value.status == 401

    made = iter([bad, "bad\ntoken", token(user)])
    async with RealtimeClient(server.ws_url, lambda: next(made), min_delay=0.01) as client:
        client.subscribe({"type": "t"}, lambda _: "here")
        await client.ready()
        assert await service.publish(user, "t") == answered(1, '"here"')
    for text in (caplog.text, repr(error.value), str(error.value.__cause__)):
        assert "Bearer" not in text
        assert bad not in text


async def test_a_token_function_that_fails_is_tried_again(server: Server, user: str) -> None:
    tries: list[str] = []

    async def fetch() -> str:
        tries.append("")
        if len(tries) < 3:
            raise RuntimeError("the login service is away")
        return token(user)

    async with RealtimeClient(server.ws_url, fetch, min_delay=0.01) as client:
        await client.ready()
    assert len(tries) == 3


async def test_a_token_follows_no_redirect() -> None:
    requests: list[Request] = []

    def elsewhere(connection: ServerConnection, request: Request) -> Response:
        requests.append(request)
        response = connection.respond(HTTPStatus.FOUND, "")
        response.headers["Location"] = "/elsewhere"
        return response

    async def script(_: ServerConnection) -> None:
        raise AssertionError

    async with scripted(script, elsewhere) as url, RealtimeClient(url, "a-token") as client:
        with pytest.raises(GaveUp, match="HTTP 302"):
            await client.ready()
    assert [request.path for request in requests] == ["/"]
    assert requests[0].headers["Authorization"] == "Bearer a-token"


async def test_a_mistake_in_the_arguments_is_said_at_once() -> None:
    client = RealtimeClient("ws://127.0.0.1:1", "a-token")
    with pytest.raises(RuntimeError, match="async with client"):
        await client.ready()
    with pytest.raises(ValueError, match="begins with ws://"):
        RealtimeClient("http://127.0.0.1:1", "a-token")
    async with RealtimeClient("ws://127.0.0.1:1", "a-token", unknown=1) as client:
        with pytest.raises(GaveUp, match="unknown"):
            await client.wait_closed()


# What docs/clients.md shows


async def test_the_documented_program_runs_without_settings_of_django(service: Service, user: str) -> None:
    program = BLOCKS[0].replace("ws://127.0.0.1:8000", service.servers[0].ws_url)
    env = {"TOKEN": token(user), "PYTHONUNBUFFERED": "1", "PYTHONPATH": str(ROOT)}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-W", "error", "-c", program, env=env, stdout=PIPE, stderr=PIPE
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(PATIENCE):
            assert await process.stdout.readline() == b"listening\n", await process.communicate()
            answer = await service.publish(user, "chat_message", '{"text":"hello"}')
            assert (answer, await process.stdout.readline()) == (answered(1, '"displayed"'), b"hello\n")
    finally:
        process.kill()
        await process.communicate()


async def test_the_documented_token_function_fetches_a_token(
    service: Service, server: Server, user: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[httpx.Request] = []

    def login(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return httpx.Response(200, text=token(user))

    transport, make = httpx.MockTransport(login), httpx.AsyncClient
    monkeypatch.setattr(httpx, "AsyncClient", lambda: make(transport=transport))
    monkeypatch.setenv("PASSWORD", SECRET)
    names: dict[str, Any] = {"httpx": httpx, "os": __import__("os"), "RealtimeClient": RealtimeClient}
    exec(BLOCKS[1].replace("wss://example.org/rt/", server.ws_url), names)
    async with names["client"] as client:
        client.subscribe({"type": "t"}, lambda _: "here")
        await client.ready()
        assert await service.publish(user, "t") == answered(1, '"here"')
    assert [str(request.url) for request in asked] == ["https://example.org/api/realtime-token"]


def test_every_documented_block_is_run_and_each_default_is_the_code_s() -> None:
    assert len(BLOCKS) == 2
    defaults = {name: one.default for name, one in signature(RealtimeClient).parameters.items()}
    for said, names in (
        ("up to 0.5 s, which doubles with each attempt up to 30 s\n(`min_delay`, `max_delay`)", "min_delay max_delay"),
        ("While `max_handling` (1,000)", "max_handling"),
        ("quiet for 20 s is sent a `ping`, and is dead when nothing comes\nwithin 10 s", "ping_interval ping_timeout"),
        ("gives those under way 5 seconds", "grace"),
    ):
        assert said in PAGE
        numbers = [float(number.replace(",", "")) for number in re.findall(r"\d[\d.,]*", said)]
        assert numbers == [{**defaults, "grace": GRACE}[name] for name in names.split()]
