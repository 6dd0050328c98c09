"""One connection that sends without end, or goes without having read, takes nothing from the others."""

from __future__ import annotations

import asyncio
import json
import select
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress
from threading import Thread
from uuid import uuid4

import pytest

from .clients import NOBODY, PATIENCE, Envelope, Service, answered, service_of, token, until
from .fuzz.wire import (
    CLOSE,
    CONTINUATION,
    PING,
    PONG,
    TEXT,
    Connection,
    RawSocket,
    fragmented,
    frame,
    handshake,
    request,
)
from .servers import Server, environment, realtime_server

MB = 1024 * 1024
LARGE = json.dumps("x" * (4 * MB - 1000))  # two of them are more than the kernel takes for who does not read
CHUNKED = request("POST /publish HTTP/1.1", "Transfer-Encoding: chunked")

pytestmark = pytest.mark.xdist_group("floods")


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    env = environment(REALTIME_METRICS="true", REALTIME_ACK_TIMEOUT="60")
    with realtime_server(env, "tests.sites.stuck:application", "--drain-timeout", "0") as server:
        yield server
        assert "Traceback" not in server.log


@pytest.fixture
async def service(server: Server) -> AsyncIterator[Service]:
    async with service_of([server], 401) as service:
        yield service


@contextmanager
def flood(connection: Connection, piece: bytes) -> Iterator[list[int]]:
    """Send the piece again and again, until the other end closes, or the block ends. Yields how much has been taken."""
    many, taken = piece * (256 * 1024 // len(piece)), list[int]()

    def send() -> None:
        with suppress(OSError):
            while True:
                connection.tcp.sendall(many)
                taken.append(len(many))

    thread = Thread(target=send)
    thread.start()
    try:
        yield taken
    finally:
        with suppress(OSError):
            connection.tcp.shutdown(socket.SHUT_RDWR)
        thread.join()


async def are_under_way(service: Service, publishes: int) -> bool:
    return f"realtime_publishes_under_way {publishes}.0" in (await service.request("GET", "/metrics")).text


async def test_chunks_of_one_byte_without_end_hold_up_neither_publishes_nor_a_stop() -> None:
    """It takes no token to send them."""
    with realtime_server(environment()) as server, Connection(server, CHUNKED) as stranger:
        async with service_of([server], 401) as service, service.connect("ann", {"type": "t"}) as reader:
            with flood(stranger, b"1\r\na\r\n") as taken:
                await until(lambda: sum(taken) > MB)
                await service.deliver(reader, "ann", "t")
                server.process.terminate()
                assert await asyncio.to_thread(server.process.wait, PATIENCE) == 0


@pytest.mark.parametrize(
    ("first", "piece"),
    [(b"", frame(b"", PING)), (frame(b"", TEXT, fin=False), frame(b"", CONTINUATION, fin=False))],
    ids=["pings", "fragments"],
)
async def test_frames_that_never_reach_the_application_count_too(
    server: Server, service: Service, first: bytes, piece: bytes
) -> None:
    user = str(uuid4())
    async with service.connect("ann", {"type": "t"}) as reader:
        with RawSocket(server, user, {"type": "t"}) as talking:
            talking.send(first)
            with flood(talking, piece):
                closing = asyncio.create_task(asyncio.to_thread(talking.close_code))
                await service.deliver(reader, "ann", "t")
                assert await closing == 4503
                await service.deliver(reader, "ann", "t")
                assert await service.publish(user, "t") == NOBODY


async def test_a_few_pings_and_fragments_are_answered(server: Server) -> None:
    with RawSocket(server, "ann") as talking:
        talking.send(frame(b"x", PING) * 500 + fragmented(b"ping", range(5), between=frame(b"y", PING)))
        assert await asyncio.to_thread(talking.text) == "pong"
        assert talking.pongs == [b"x"] * 500 + [b"y"] * 3


async def test_who_does_not_read_gets_no_pongs_until_it_does(server: Server, service: Service) -> None:
    """They would wait for it without a bound."""
    user = str(uuid4())
    with RawSocket(server, user, {"type": "t"}) as silent:
        publishes = [service.begin(user, "t", LARGE) for _ in range(2)]
        await until(lambda: are_under_way(service, len(publishes)))
        await service.publish("nobody")
        silent.send(frame(b"x", PING) * 100 + frame(b"ping"))
        await service.publish("nobody")  # by then what was sent before has been read
        for _ in publishes:
            silent.ack(Envelope.read(await asyncio.to_thread(silent.text)))
        assert {await publish for publish in publishes} == {answered(1, "null")}
        assert await asyncio.to_thread(silent.text) == "pong"
        assert silent.pongs == []
        silent.send(frame(b"again", PING))
        assert await asyncio.to_thread(silent.frame) == (PONG, b"again")


@pytest.mark.parametrize("goodbye", ["a Close frame", "the end of the stream"])
async def test_who_says_goodbye_with_much_unread_is_gone(server: Server, service: Service, goodbye: str) -> None:
    """Its envelopes are not waited for, nobody counts it, and its connection ends, though it never reads."""
    user = str(uuid4())
    with RawSocket(server, user, {"type": "t"}) as leaving:
        publishes = [service.begin(user, "t", LARGE) for _ in range(2)]
        await until(lambda: are_under_way(service, len(publishes)))
        await service.publish("nobody")
        if goodbye == "a Close frame":
            leaving.send(frame((1000).to_bytes(2, "big"), CLOSE))
        else:
            leaving.tcp.shutdown(socket.SHUT_WR)
        assert {await publish for publish in publishes} <= {answered(1), NOBODY}
        async with asyncio.timeout(PATIENCE):
            while await service.publish(user, "t") != NOBODY:
                pass
        ended = select.poll()
        ended.register(leaving.tcp, 0)  # what it is told unasked: that the connection is no more
        await until(lambda: ended.poll(0))


async def test_a_request_that_can_t_be_read_behind_another_ends_the_connection(
    server: Server, service: Service
) -> None:
    """It is no failure of the application, which would be a traceback that anybody could have logged."""
    endless = request("POST /publish HTTP/1.1", "Content-Length: " + "9" * 5000)
    with Connection(server, request("GET /healthz HTTP/1.1") + endless) as stranger:
        await asyncio.to_thread(stranger.rest)
    assert await service.publish("nobody") == NOBODY
    assert "ERROR" not in server.log
    assert "Traceback" not in server.log


async def test_what_comes_behind_a_handshake_that_waits_is_not_read_without_end(server: Server) -> None:
    """The client can't send on: TCP pushes back."""
    with Connection(server, handshake(token("ann"), "/undecided")) as eager:
        eager.tcp.settimeout(1)
        with pytest.raises(TimeoutError):
            await asyncio.to_thread(eager.tcp.sendall, b"x" * 40 * MB)
