"""A real nginx with deploy/nginx.conf, in front of real processes."""

from __future__ import annotations

import asyncio
import json
import re
import signal
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import ExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import replace
from functools import partial

import httpx
import pytest

from realtime.protocol import BODY_TOO_LARGE
from tests.clients import (
    NOBODY,
    PATIENCE,
    PUBLISHERS,
    Service,
    answered,
    arrival,
    constant_publishing,
    dump,
    service_of,
    token,
)
from tests.servers import APPLICATION, Server, environment, free_port, nginx, realtime_server, valkey

CHAT = {"type": "chat"}
NO_ANSWER = {"error": "No answer from the service"}

pytestmark = pytest.mark.xdist_group("nginx")


@contextmanager
def two_processes() -> Iterator[list[Server]]:
    """On one Valkey. They believe their proxy, as the Dockerfile's do, and wait for nobody for long."""
    with valkey() as redis:
        env = environment(REDIS_URL=redis.connection_url, REALTIME_ACK_TIMEOUT="1", REALTIME_REPORT_TIMEOUT="0.3")
        process = partial(realtime_server, env, APPLICATION, "--proxy-headers", "--ping-interval", "1")
        with process() as one, process() as two:
            yield [one, two]


@pytest.fixture(scope="module")
def processes() -> Iterator[list[Server]]:
    with two_processes() as processes:
        yield processes


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


async def test_no_token_in_any_log(service: Service, server: Server, processes: list[Server]) -> None:
    """A token in the query, however its name is escaped, or in a referrer is in no line of nginx or of a process."""
    secret = token("logged")
    for name in ("token", "%74oken"):
        query = f"?x=1&{name}={secret}"
        assert await service.admits("socket", f"Referer: http://example.com/{query}", query=query)
        assert await service.admits("publish", f"Referer: http://example.com/{query}", query=query)
    response = await service.request("POST", f"/publish?token={secret}", content="")
    assert response.status_code == 415
    assert secret.rpartition(".")[2] not in await logged('"POST /publish" 415', server)
    assert secret.rpartition(".")[2] not in await logged('"POST /publish?token=…" 415', *processes)


async def test_the_client_s_own_address_is_in_every_log(
    service: Service, server: Server, processes: list[Server]
) -> None:
    """nginx's address is in none."""
    async with httpx.AsyncClient(transport=httpx.AsyncHTTPTransport(local_address="127.0.0.2")) as http:
        await http.get(f"{server.url}/whose")
    assert re.search(r'^127\.0\.0\.2 .*"GET /whose" 404', await logged('"GET /whose" 404', server), re.MULTILINE)
    log = await logged('"GET /whose" 404', *processes)
    assert re.search(r'^127\.0\.0\.2:\d+ - - \S+ "GET /whose" 404', log, re.MULTILINE)
    async with service.connect("ann", path="/connect", local_addr=("127.0.0.3", 0)):
        pass
    log = await logged('"WSDISCONNECT /connect"', *processes)
    assert re.search(r'^127\.0\.0\.3:\d+ - - \S+ "WSCONNECT /connect"', log, re.MULTILINE)


async def test_behind_a_balancer_the_address_that_it_names_is_the_client_s() -> None:
    """As the configuration says in a comment: that of the balancer alone is believed."""
    trusted = {
        "# set_real_ip_from 10.0.0.0/8;": "set_real_ip_from 127.0.0.1;",
        "# real_ip_header ": "real_ip_header ",
        "X-Forwarded-Proto $scheme;": "X-Forwarded-Proto $http_x_forwarded_proto;",
    }
    heads = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append((await reader.readuntil(b"\r\n\r\n")).decode())
        writer.write(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")
        writer.close()

    async with (
        await asyncio.start_server(answer, "127.0.0.1", 0) as upstream,
        through_nginx(upstream, trusted) as (_, server),
    ):
        for local in ("127.0.0.1", "127.0.0.2"):
            async with httpx.AsyncClient(transport=httpx.AsyncHTTPTransport(local_address=local)) as http:
                forwarded = {"X-Forwarded-For": "203.0.113.7", "X-Forwarded-Proto": "https"}
                await http.get(server.url, headers=forwarded)
    assert "\r\nX-Forwarded-For: 203.0.113.7\r\n" in heads[0]
    assert "\r\nX-Forwarded-Proto: https\r\n" in heads[0]
    assert "\r\nX-Forwarded-For: 127.0.0.2\r\n" in heads[1]


async def test_a_reload_under_constant_publishing_fails_no_publish_and_closes_no_socket(
    service: Service, server: Server
) -> None:
    """The old workers serve their sockets on. (Connections that publishers keep are closed, so they keep none here.)"""
    async with (
        asyncio.timeout(60),
        httpx.AsyncClient(limits=httpx.Limits(max_keepalive_connections=0)) as http,
        service.connect("bob", CHAT) as one,
        service.connect("bob", CHAT, path="/connect") as two,
        constant_publishing(replace(service, http=http)) as answers,
    ):
        workers = server.log.count("start worker process ")
        server.process.send_signal(signal.SIGHUP)
        while server.log.count("start worker process ") < 2 * workers or "gracefully shutting down" not in server.log:
            await asyncio.sleep(0.02)
        before = len(answers)
        publish = replace(service, http=http).begin("bob", "chat")
        for socket in (one, two):
            await socket.ack(await socket.envelope(), "1")
        assert await publish == answered(2, "1", "1")
        while len(answers) < before + 50:
            await asyncio.sleep(0.02)
    assert {answer.status_code for answer in answers} == {200}


async def test_forged_addresses(service: Service, processes: list[Server]) -> None:
    """What a client claims about its own address does not reach Daphne."""
    await service.request("GET", "/forged", x_forwarded_for="203.0.113.7", x_forwarded_port="1")
    assert "203.0.113.7" not in await logged('"GET /forged" 404', *processes)


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics"])
async def test_what_is_for_those_inside_stays_inside(service: Service, path: str) -> None:
    """By its own name, and by that of another path with a root path of the client's."""
    assert (await service.request("GET", path)).status_code == 404
    assert (await service.request("GET", f"/x{path}", daphne_root_path="/x")).status_code == 404


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
        assert (response.status_code, response.json()) == (502, NO_ANSWER)
        assert len(requests) == 1
        assert secret not in await logged('"POST /publish" 502', server)


@asynccontextmanager
async def through_nginx(
    upstream: asyncio.Server, changes: Mapping[str, str] | None = None
) -> AsyncIterator[tuple[Service, Server]]:
    """nginx in front of a stand-in for both processes."""
    address = "127.0.0.1:{1}".format(*upstream.sockets[0].getsockname())
    with nginx(address, address, changes=changes) as server:
        async with service_of([server], refusal=401) as service:
            yield service, server


async def test_a_deploy_under_constant_publishing_answers_every_publish() -> None:
    """One process after the other is replaced, and whoever was sent an envelope could still ack it."""
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
                enough = len(answers) + 100
                processes[number].process.send_signal(signal.SIGTERM)
                assert await asyncio.to_thread(processes[number].process.wait, PATIENCE) == 0
                process = await asyncio.to_thread(start, port)
                while "POST /publish" not in process.log or len(answers) < enough:  # so nginx knows that it is back
                    await asyncio.sleep(0.02)
    assert {answer.status_code for answer in answers} == {200}
    assert all(len(answer.json()["results"]) == answer.json()["clientCount"] for answer in answers)
    assert len(answers) > 200


async def test_a_process_that_is_killed_fails_what_it_had_under_way_and_nothing_else() -> None:
    with two_processes() as processes, nginx(*processes) as server:
        async with (
            asyncio.timeout(60),
            service_of([server], 401) as service,
            constant_publishing(service) as answers,
        ):
            under_way = len(answers) + PUBLISHERS
            processes[0].kill()
            while len(answers) < under_way + 50:
                await asyncio.sleep(0.02)
    failed = [answer for answer in answers if answer.status_code != 200]
    assert len(failed) <= PUBLISHERS
    assert {answer.status_code for answer in answers[under_way + PUBLISHERS :]} == {200}
    for answer in failed:
        assert (answer.status_code, answer.json()) == (502, NO_ANSWER)


async def test_a_process_that_hangs_is_left_by_publishes_and_by_sockets(processes: list[Server]) -> None:
    """Publishes that it took end with 504, its sockets connect again, and when it goes on it gets its share again."""
    hurried = {"proxy_read_timeout 15s": "proxy_read_timeout 2s", "proxy_read_timeout 60s": "proxy_read_timeout 4s"}
    with nginx(*processes, changes=hurried) as server:
        async with (
            asyncio.timeout(60),
            service_of([server], 401) as service,
            service_of(processes[1:], 401) as living,
            service.connect("ann", CHAT) as one,
            service.connect("ann", CHAT) as two,
        ):
            processes[0].process.send_signal(signal.SIGSTOP)
            responses = await asyncio.gather(*(service.post(dump({"userId": "nobody"})) for _ in range(8)))
            assert {response.status_code for response in responses} == {200, 504}
            for response in responses:
                assert response.json() == (NO_ANSWER if response.status_code == 504 else json.loads(NOBODY))
            waits = {asyncio.create_task(socket.connection.wait_closed()): socket for socket in (one, two)}
            _, (pending,) = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            async with service.connect("ann", CHAT) as again:
                publish = living.begin("ann", "chat")
                for socket in (waits[pending], again):
                    await socket.ack(await arrival(socket, publish), "1")
                assert await publish == answered(2, "1", "1")
            pending.cancel()
            processes[0].process.send_signal(signal.SIGCONT)
            once = processes[0].log.count("POST /publish") + len(responses)  # which it may answer now, to nobody
            while processes[0].log.count("POST /publish") <= once:
                assert await service.publish("nobody") == NOBODY
