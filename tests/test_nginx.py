"""A real nginx with deploy/nginx.conf, in front of real processes."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, suppress
from functools import partial

import pytest

from realtime.protocol import BODY_TOO_LARGE
from tests.clients import NOBODY, PATIENCE, Service, answered, constant_publishing, service_of, token
from tests.servers import APPLICATION, Server, environment, free_port, nginx, realtime_server, valkey

CHAT = {"type": "chat"}

pytestmark = pytest.mark.xdist_group("nginx")


@pytest.fixture(scope="module")
def processes() -> Iterator[list[Server]]:
    """Two processes on one Valkey, which believe their proxy as the Dockerfile's do."""
    with valkey() as redis:
        process = partial(realtime_server, environment(REDIS_URL=redis.connection_url), APPLICATION, "--proxy-headers")
        with process() as one, process() as two:
            yield [one, two]


@pytest.fixture(scope="module")
def server(processes: list[Server]) -> Iterator[Server]:
    with nginx(*processes) as server:
        yield server


@pytest.fixture
async def service(server: Server) -> AsyncIterator[Service]:
    async with service_of([server], refusal=401) as service:
        yield service


async def logged(text: str, *servers: Server) -> str:
    """The logs, as soon as they hold `text`: a line about a request may be written after its answer."""
    async with asyncio.timeout(10):
        while text not in (log := "".join(server.log for server in servers)):
            await asyncio.sleep(0.02)
    return log


async def test_envelopes_and_acks(service: Service, server: Server, processes: list[Server]) -> None:
    """Sockets that nginx spread over both processes get the envelope, and the publisher gets all of their acks."""
    async with (
        service.connect("ann", CHAT) as one,
        service.connect("ann", CHAT, path="/connect") as two,
    ):
        publish = service.begin("ann", "chat", '{"text":"hello"}')
        envelopes = [await one.envelope(), await two.envelope()]
        assert [envelope.payload for envelope in envelopes] == ['{"text":"hello"}'] * 2
        await one.ack(envelopes[0], '"seen"')
        await two.ack(envelopes[1], '"seen"')
        assert await publish == answered(2, '"seen"', '"seen"')
    log = await logged('"GET /connect" 101', server)
    assert all(process.address in log for process in processes)


async def test_refusals(service: Service) -> None:
    """A refused token is answered as the service answers it: 401 for a publish, a refused handshake for a socket."""
    response = await service.request("POST", content="{}")
    assert (response.status_code, response.json()) == (401, {"error": "Unauthorized"})
    assert response.headers["access-control-allow-origin"] == "*"
    assert not await service.admits("socket", "Authorization: Bearer nonsense")


@pytest.mark.parametrize("size", [4 * 2**20 + 1, 6 * 2**20], ids=["the service's bound", "nginx's bound"])
async def test_a_large_body(service: Service, size: int) -> None:
    """A body above the bound is answered with 413 and JSON, whoever refuses it."""
    response = await service.post(b" " * size)
    assert response.status_code == 413
    assert response.headers["content-type"] == "application/json"
    assert response.headers["access-control-allow-origin"] == "*"
    assert response.json() == {"error": BODY_TOO_LARGE}


async def test_a_body_of_megabytes(service: Service) -> None:
    """A body just below the bound passes."""
    assert await service.publish("nobody", payload=f'"{"x" * (4 * 2**20 - 100)}"') == NOBODY


async def test_no_token_in_the_log(service: Service, server: Server) -> None:
    """A token in the query or in a referrer is in no line of nginx's logs."""
    secret = token("logged")
    assert await service.admits("socket", f"Referer: http://example.com/?token={secret}", query=f"?token={secret}")
    response = await service.request("POST", f"/publish?token={secret}", content="")
    assert response.status_code == 415
    log = await logged('"POST /publish" 415', server)
    assert secret not in log


async def test_forged_addresses(service: Service, processes: list[Server]) -> None:
    """What a client claims about its own address does not reach Daphne."""
    await service.request("GET", "/forged", x_forwarded_for="203.0.113.7", x_forwarded_port="1")
    assert "203.0.113.7" not in await logged('"GET /forged" 404', *processes)


async def test_a_process_is_down() -> None:
    """While one process cannot be reached, every publish is answered by the other."""
    with realtime_server(environment()) as process, nginx(f"127.0.0.1:{free_port()}", process) as server:
        async with service_of([server], refusal=401) as service:
            assert [await service.publish("nobody") for _ in range(4)] == [NOBODY] * 4


async def test_connections_are_kept() -> None:
    """Publishes that follow one another go through one connection from nginx to Daphne."""
    connections = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(writer)
        with suppress(asyncio.IncompleteReadError):
            while b"Connection: close" not in await reader.readuntil(b"\r\n\r\n"):
                writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")

    async with (
        await asyncio.start_server(answer, "127.0.0.1", 0) as upstream,
        through_nginx(upstream) as (service, _),
    ):
        statuses = [(await service.request("POST")).status_code for _ in range(3)]
        for connection in connections:
            connection.close()
            await connection.wait_closed()
        assert (statuses, len(connections)) == ([204] * 3, 1)


async def test_a_publish_is_sent_once() -> None:
    """A publish that a process took and never answered goes to no second one; its token is in no error message."""
    requests = []

    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        requests.append(await reader.readuntil(b"\r\n\r\n"))
        writer.close()

    async with (
        await asyncio.start_server(hang_up, "127.0.0.1", 0) as upstream,
        through_nginx(upstream) as (service, server),
    ):
        secret = token("a publisher")
        response = await service.request("POST", f"/publish?token={secret}")
        assert (response.status_code, response.json()) == (502, {"error": "No answer from the service"})
        assert len(requests) == 1
        assert secret not in await logged('"POST /publish" 502', server)


@asynccontextmanager
async def through_nginx(upstream: asyncio.Server) -> AsyncIterator[tuple[Service, Server]]:
    """nginx in front of a stand-in for both processes."""
    address = "127.0.0.1:{1}".format(*upstream.sockets[0].getsockname())
    with nginx(address, address) as server:
        async with service_of([server], refusal=401) as service:
            yield service, server


async def test_a_deploy_under_constant_publishing_answers_every_publish() -> None:
    """One process after the other is replaced; a client that connects again and acks never misses what is published."""
    ports = [free_port() for _ in range(2)]
    with ExitStack() as stack:
        env = environment(REDIS_URL=stack.enter_context(valkey()).connection_url)

        def start(port: int) -> Server:
            options = ("--proxy-headers", "--drain-time", "1", "-p", str(port))
            return stack.enter_context(realtime_server(env, APPLICATION, *options))

        processes = [start(port) for port in ports]
        entrance = stack.enter_context(nginx(*processes))
        async with (
            asyncio.timeout(60),
            service_of([entrance], 401) as service,
            constant_publishing(service) as answers,
        ):
            for number, port in enumerate(ports):
                processes[number].process.send_signal(signal.SIGTERM)
                assert await asyncio.to_thread(processes[number].process.wait, PATIENCE) == 0
                process = await asyncio.to_thread(start, port)
                while "POST /publish" not in process.log:  # so nginx knows that it is back
                    await asyncio.sleep(0.02)
    assert {answer.status_code for answer in answers} == {200}
    assert len(answers) > 200
