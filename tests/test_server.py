"""Our own server: what it can say at the handshake and at the end, what it holds back, and how it stops."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import psutil
import pytest
from websockets.asyncio.client import connect as open_websocket
from websockets.asyncio.client import unix_connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

import realtime
from realtime.server.accesslog import without_tokens

from .clients import (
    NOBODY,
    PATIENCE,
    Door,
    Listener,
    Service,
    Socket,
    answered,
    arrival,
    bearer,
    open_stream,
    service_of,
    token,
    until,
    with_query,
)
from .fuzz.wire import Connection, RawSocket, frame, handshake
from .proxies import write_certificate
from .servers import APPLICATION, ROOT, Server, daphne, environment, free_port, realtime_server

MB = 1024 * 1024
JWT = token("ann")
QUICK: dict[str, Any] = {"close_timeout": 0.1}  # of a client whose goodbye can't be answered


@asynccontextmanager
async def serving(*arguments: str, application: str = "", **settings: str) -> AsyncIterator[tuple[Service, Server]]:
    given = (application,) if application else ()
    with realtime_server(environment(**settings), *given or ("hopeflow_site.asgi:application",), *arguments) as server:
        async with service_of([server], 401) as service:
            yield service, server


async def closed(socket: Socket) -> tuple[int, str]:
    async with asyncio.timeout(PATIENCE):
        await socket.connection.wait_closed()
    return socket.connection.close_code or 0, socket.connection.close_reason or ""


async def begin_to_stop(server: Server) -> None:
    server.process.send_signal(signal.SIGTERM)
    async with asyncio.timeout(PATIENCE):
        while "stopping" not in server.log:
            await asyncio.sleep(0.02)


async def test_a_refused_handshake_says_why_as_json_that_any_page_may_read() -> None:
    away = f"redis://127.0.0.1:{free_port()}"
    async with serving() as (service, _), serving(REDIS_URL=away) as (without_redis, _):
        for refusing, path, jwt_text, status, said in (
            (service, "/", "no token", 401, "Unauthorized"),
            (service, "/elsewhere", token("ann"), 404, "Not Found"),
            (without_redis, "/", token("ann"), 503, "Service Unavailable"),
        ):
            with pytest.raises(InvalidStatus) as refused:
                async with refusing.connect("ann", path=path, jwt_text=jwt_text):
                    pass
            response = refused.value.response
            assert (response.status_code, json.loads(response.body)) == (status, {"error": said})
            assert response.headers["Access-Control-Allow-Origin"] == "*"
            assert response.headers["Content-Type"] == "application/json"
        assert response.headers["Retry-After"] == "1"


async def test_a_socket_is_told_the_code_and_the_reason(redis_url: str, settings: Any) -> None:
    layer = {"BACKEND": "realtime.layers.RedisChannelLayer", "CONFIG": {"hosts": [redis_url]}}
    settings.CHANNEL_LAYERS = {"default": layer}
    user = str(uuid4())
    async with serving(REDIS_URL=redis_url) as (service, _), service.connect(user) as socket:
        assert await realtime.adisconnect(user, 4100, "schönen Abend") == 1
        assert await closed(socket) == (4100, "schönen Abend")


async def test_no_log_line_holds_a_token() -> None:
    """Neither that of a socket nor that of a request, and however the name of the parameter is escaped."""
    text = token("ann")
    async with serving(LOG_LEVEL="DEBUG") as (service, server):
        for query in (with_query(token=text), f"?x=1&%74oken={text}", f"?tok%65n={text}&y=2"):
            assert await service.status("publish", query=query) == 200
            assert await service.status("socket", query=query) == 101
        assert await service.status("publish", query=f"?token={text}x") == 401
        signature = text.rpartition(".")[2]
        async with asyncio.timeout(PATIENCE):
            while server.log.count("WSDISCONNECT") < 3:
                await asyncio.sleep(0.02)
        assert signature not in server.log
        assert '"POST /publish?token=…"' in server.log


@pytest.mark.parametrize(
    ("target", "logged"),
    [
        ("/publish", "/publish"),
        ("/?token=a.b.c", "/?token=…"),
        ("/?a=1&token=a.b.c&token=d&b=2", "/?a=1&token=…&token=…&b=2"),
        ("/?%74%6fken=a", "/?%74%6fken=…"),
        ("/?a=token=b&tokens=c", "/?a=token=b&tokens=c"),
        ("/a&b?token=a.b.c", "/a&b?token=…"),
        ("/?Token=a;token=b", "/?Token=…;token=…"),
        (f"/publish/token={JWT}", "/publish/token=…"),
        (f"/publish%3Ftoken={JWT}", "/publish%3Ftoken=…"),
        ("/static/jquery-3.6.0.min.js?v=1.2.3", "/static/jquery-3.6.0.min.js?v=1.2.3"),
    ],
)
def test_tokens_are_cut_out_of_a_target(target: str, logged: str) -> None:
    assert without_tokens(target) == logged


async def test_a_large_envelope_is_sent_and_a_large_frame_refused() -> None:
    """What clients may send is bounded, and that bound is no business of what they are sent."""
    user = str(uuid4())
    async with serving() as (service, _), service.connect(user, {"type": "t"}) as socket:
        text = "x" * (4 * MB - 1000)
        envelope = await service.deliver(socket, user, "t", json.dumps(text))
        assert envelope.payload == json.dumps(text)
        await socket.send("x" * (2 * MB))
        with pytest.raises(ConnectionClosed):
            await socket.connection.recv()


async def test_a_stop_closes_sockets_for_a_restart_and_lets_publishes_finish() -> None:
    """The socket that still has to ack is closed last, and its ack is in the answer."""
    async with serving("--drain-time", "5") as (service, server), AsyncExitStack() as stack:
        connect = [service.connect(f"idle-{number}") for number in range(20)]
        idle = [await stack.enter_async_context(opening) for opening in connect]
        busy = await stack.enter_async_context(service.connect("busy", {"type": "t"}))
        publish = service.begin("busy", "t")
        envelope = await busy.envelope()
        server.process.send_signal(signal.SIGTERM)
        assert [await closed(socket) for socket in idle] == [(1012, "")] * 20
        with pytest.raises(httpx.ConnectError):
            await service.publish("ann")
        await busy.ack(envelope, '"displayed"')
        assert await publish == answered(1, '"displayed"')
        assert await closed(busy) == (1012, "")
        assert await asyncio.to_thread(server.process.wait, PATIENCE) == 0
        assert "Traceback" not in server.log


async def test_a_client_that_is_closing_already_does_not_spoil_a_stop() -> None:
    """It has said goodbye, and has not read what it was sent before: it can't be told anything."""
    user, payload = str(uuid4()), json.dumps("x" * 3 * MB)
    settings = {"REALTIME_ACK_TIMEOUT": "2", "REALTIME_METRICS": "true"}
    async with serving("--drain-timeout", "3", **settings) as (service, server), AsyncExitStack() as stack:
        reading = [await stack.enter_async_context(service.connect(f"reader-{n}")) for n in range(3)]
        closing = await stack.enter_async_context(service.connect(user, {"type": "t"}, **QUICK))
        closing.connection.transport.pause_reading()
        publishes = [service.begin(user, "t", payload) for _ in range(4)]
        async with asyncio.timeout(PATIENCE):
            while "realtime_publishes_under_way 4.0" not in (await service.request("GET", "/metrics")).text:
                await asyncio.sleep(0.02)
        closing.connection.transport.write(b"\x88\x82\0\0\0\0\x03\xe8")
        await service.publish("nobody")
        server.process.send_signal(signal.SIGTERM)
        assert [await closed(socket) for socket in reading] == [(1012, "")] * 3
        assert {await publish for publish in publishes} == {answered(1)}
        assert await asyncio.to_thread(server.process.wait, PATIENCE) == 0
        assert "Traceback" not in server.log


async def test_a_large_answer_is_sent_whole_before_the_server_stops() -> None:
    """The publisher reads slowly, and the ack it waits for came during the stop."""
    async with serving() as (service, server), service.connect("ann", {"type": "t"}) as socket:
        body = json.dumps({"userId": "ann", "type": "t"})
        reader, writer = await open_stream(server)
        head = f"POST /publish HTTP/1.1\r\nHost: x\r\n{bearer(token('ann'))}\r\nContent-Type: application/json\r\n"
        writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n{body}".encode())
        envelope = await socket.envelope()
        server.process.send_signal(signal.SIGTERM)
        result = json.dumps("x" * 900_000)
        await socket.ack(envelope, result)
        assert await closed(socket) == (1012, "")
        async with asyncio.timeout(PATIENCE):
            while "acks=1" not in server.log:
                await asyncio.sleep(0.02)
            assert (await reader.read()).endswith(answered(1, result).encode())
        writer.close()
        assert await asyncio.to_thread(server.process.wait, PATIENCE) == 0


async def test_a_publish_that_comes_during_a_stop_is_answered_though_it_takes_longer(redis_url: str) -> None:
    """A proxy has sent it on a connection that it kept, to a socket of another process that does not ack."""
    settings = {"REDIS_URL": redis_url, "REALTIME_ACK_TIMEOUT": "3"}
    user = str(uuid4())
    async with (
        serving(**settings) as (other, _),
        other.connect(user, {"type": "t"}),
        serving("--drain-time", "2", **settings) as (_, server),
    ):
        reader, writer = await open_stream(server)
        writer.write(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        async with asyncio.timeout(PATIENCE):
            assert (await reader.readuntil(b"}")).startswith(b"HTTP/1.1 200 ")
        server.process.send_signal(signal.SIGTERM)
        body = json.dumps({"userId": user, "type": "t"})
        head = f"POST /publish HTTP/1.1\r\nHost: x\r\n{bearer(token('ann'))}\r\nContent-Type: application/json\r\n"
        writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n{body}".encode())
        async with asyncio.timeout(PATIENCE):
            assert (await reader.read()).endswith(answered(1).encode())
        writer.close()
        assert await asyncio.to_thread(server.process.wait, PATIENCE) == 0


async def test_a_handshake_that_comes_during_a_stop_is_refused() -> None:
    async with serving("--drain-timeout", "3") as (service, server), service.connect("ann", {"type": "t"}) as socket:
        publish = service.begin("ann", "t")
        envelope = await socket.envelope()
        reader, writer = await open_stream(server)
        await service.publish("nobody")  # so the connection before it has been taken
        await begin_to_stop(server)
        key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
        upgrade = f"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n{key}"
        writer.write(f"{upgrade}{bearer(token('bob'))}\r\n\r\n".encode())
        async with asyncio.timeout(PATIENCE):
            assert (await reader.readline()).startswith(b"HTTP/1.1 503 ")
        writer.close()
        await socket.ack(envelope)
        assert await publish == answered(1, "null")
        assert await asyncio.to_thread(server.process.wait, PATIENCE) == 0


async def test_a_process_that_stops_is_not_ready_and_closes_its_connections_behind_an_answer() -> None:
    async with serving("--drain-timeout", "3") as (service, server), service.connect("ann", {"type": "t"}) as socket:
        publish = service.begin("ann", "t")
        envelope = await socket.envelope()
        reader, writer = await open_stream(server)
        for status, accepting in ((b"200", "true"), (b"503", "false")):
            writer.write(b"GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n")
            async with asyncio.timeout(PATIENCE):
                head = await reader.readuntil(b"\r\n\r\n")
                body = await reader.readuntil(b"}")
            assert head.split()[1] == status
            assert f'"accepting":{accepting}'.encode() in body
            if accepting == "true":
                await begin_to_stop(server)
        async with asyncio.timeout(PATIENCE):
            assert await reader.read() == b""
        writer.close()
        await socket.ack(envelope)
        assert await publish == answered(1, "null")


def test_it_runs_on_uvloop() -> None:
    script = "import realtime.server.cli; from twisted.internet import reactor; print(type(reactor._asyncioEventloop))"
    said = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert said == "<class 'uvloop.Loop'>\n"


@pytest.mark.parametrize("line", ["Sec-WebSocket-Protocol: \xe9", "X-Forwarded-For: \xff", "Daphne-Root-Path: \xe9"])
async def test_a_header_that_is_not_ascii_is_a_bad_request_and_no_traceback(line: str) -> None:
    doors: tuple[tuple[Door, int], ...] = (("socket", 101), ("publish", 200))
    async with serving("--proxy-headers") as (service, server):
        for door, granted in doors:
            assert await service.status(door, bearer(token("ann")), line) == 400
            assert await service.status(door, bearer(token("ann"))) == granted
        assert "Traceback" not in server.log


async def test_frames_that_come_with_the_handshake_take_effect() -> None:
    """Whether they are less or more than the server reads at once: nothing is lost, and the socket does not stall."""
    async with serving(REALTIME_FRAME_BURST=str(10**9)) as (_, server):
        for pings in (1, 20_000):
            with RawSocket(server, "ann", with_handshake=frame(b"ping") * pings) as socket:
                assert [socket.text() for _ in range(pings)] == ["pong"] * pings


async def test_a_handshake_that_comes_twice_is_answered_once() -> None:
    async with serving() as (_, server):
        for jwt_text, status in ((JWT, 101), ("no token", 401)):
            with Connection(server, handshake(jwt_text) * 2) as connection:
                assert connection.answer().status == status
                assert b"HTTP/" not in connection.end()


async def test_what_a_stranger_writes_in_a_request_makes_no_odd_line_in_the_log() -> None:
    """No traceback for a host that is not ours, no control character of its path."""
    async with serving() as (service, server):
        for first, host in (("GET /elsewhere", "evil.example"), ("GET /\x7f", "localhost")):
            reader, writer = await open_stream(server)
            writer.write(f"{first} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
            async with asyncio.timeout(PATIENCE):
                await reader.read()
            writer.close()
        await service.publish("ann")
        assert "Invalid HTTP_HOST header: 'evil.example'" in server.log
        assert '"GET /%7F" 404' in server.log
        assert "Traceback" not in server.log


async def test_a_long_type_is_cut_in_the_log() -> None:
    async with serving() as (service, server):
        await service.publish("ann", "x" * MB)
        async with asyncio.timeout(PATIENCE):
            while "publish user='ann'" not in server.log:
                await asyncio.sleep(0.02)
        assert len(server.log) < 5_000


@pytest.mark.parametrize("path", ["/stuck", "/stubborn"])
async def test_a_stop_does_not_wait_for_ever_for_who_never_answers(path: str) -> None:
    arguments = ("--drain-time", "0.1", "--drain-timeout", "0.2")
    async with serving(*arguments, application="tests.sites.stuck:application") as (service, server):
        async with service.connect("ann", path=path):
            server.process.send_signal(signal.SIGTERM)
            assert await asyncio.to_thread(server.process.wait, PATIENCE) == 0
        assert "did not end in time" in server.log
        assert "Traceback" not in server.log


async def test_a_client_that_stops_reading_is_cut_off_and_holds_up_nobody() -> None:
    """It costs no more than the bound, its envelopes are not waited for, and others of its user get them all."""
    user, payload = str(uuid4()), json.dumps("x" * MB)
    async with serving("--max-send-buffer", str(4 * MB), REALTIME_ACK_TIMEOUT="30") as (service, server):
        async with service.connect(user, {"type": "t"}) as fast, service.connect(user, {"type": "t"}, **QUICK) as slow:
            slow.connection.transport.pause_reading()
            before = psutil.Process(server.process.pid).memory_info().rss
            publishes = []
            while "cut off" not in server.log:
                publishes.append(service.begin(user, "t", payload))
                await fast.ack(await arrival(fast, publishes[-1]))
                assert len(publishes) < 30
            grown = psutil.Process(server.process.pid).memory_info().rss - before
            *earlier, last = [await publish for publish in publishes]
            assert set(earlier) == {answered(2, "null")}
            assert last in (answered(2, "null"), answered(1, "null"))  # it may have been cut off just before
            await service.deliver(fast, user, "t")
        assert "reads too slowly" in server.log
        assert "Traceback" not in server.log
        assert grown < 40 * MB


async def test_what_is_not_ascii_is_read_on_and_on() -> None:
    """More of it than waits at once, in bytes and in characters."""
    async with serving() as (service, _), service.connect("ann") as socket:
        for _ in range(30):
            await socket.say(type="ack", envelopeId="x", result="日" * 20_000)
            await socket.send(
                json.dumps({"type": "ack", "envelopeId": "x", "result": "日" * 20_000}, ensure_ascii=False)
            )
            await socket.settle()


async def test_many_clients_that_stop_reading_leave_no_memory_behind() -> None:
    user, payload = str(uuid4()), json.dumps("x" * 3 * MB)
    async with serving("--max-send-buffer", str(4 * MB), REALTIME_ACK_TIMEOUT="30") as (service, server):
        held = []
        for number in range(1, 9):
            async with service.connect(user, {"type": "t"}, **QUICK) as slow:
                slow.connection.transport.pause_reading()
                publishes = []
                while server.log.count("reads too slowly") < number:
                    publishes.append(service.begin(user, "t", payload))
                    await asyncio.sleep(0.05)
                await asyncio.gather(*publishes)
            held.append(psutil.Process(server.process.pid).memory_info().rss)
        assert held[-1] - held[2] < 60 * MB, held  # five times 16 MB and more, if it stayed


async def test_what_waited_for_a_client_that_was_cut_off_does_not_count_against_the_next() -> None:
    payload = json.dumps("x" * MB)
    arguments = ("--max-send-buffer", str(8 * MB), "--max-send-buffers", str(20 * MB))
    async with serving(*arguments, REALTIME_ACK_TIMEOUT="0") as (service, server):
        taken = []
        for number in range(1, 6):
            async with service.connect("ann", {"type": "t"}, **QUICK) as slow:
                slow.connection.transport.pause_reading()
                taken.append(0)
                while server.log.count("reads too slowly") < number:
                    await service.publish("ann", "t", payload)
                    taken[-1] += 1
                async with asyncio.timeout(PATIENCE):
                    while server.log.count("WSDISCONNECT") < number:
                        await asyncio.sleep(0.02)
        assert min(taken) > max(taken) - 4, taken


async def test_two_hundred_clients_that_stop_reading_cost_no_more_than_all_of_them_may() -> None:
    """100 MB are published to them: 20 GB, if all of it waited. An envelope for each comes on top of what may wait."""
    user, payload, most = str(uuid4()), json.dumps("x" * (MB // 4)), 64 * MB
    arguments = ("--max-send-buffer", str(4 * MB), "--max-send-buffers", str(most))
    settings = {"REALTIME_ACK_TIMEOUT": "0", "LOG_LEVEL": "WARNING"}
    async with serving(*arguments, **settings) as (service, server), AsyncExitStack() as stack:
        fast = await stack.enter_async_context(service.connect("fast", {"type": "t"}))
        for _ in range(200):
            slow = await stack.enter_async_context(service.connect(user, {"type": "t"}, **QUICK))
            slow.connection.transport.pause_reading()
        before = peak(server)
        for _ in range(400):
            await service.publish(user, "t", payload)
        assert peak(server) - before < most + 200 * MB // 4 + 32 * MB
        publish = service.begin("fast", "t")
        await arrival(fast, publish)
        await publish


def peak(server: Server) -> int:
    """The most that its resident memory has been, in bytes."""
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    return 1024 * int(re.findall(r"VmHWM:\s+(\d+) kB", status)[0])


async def test_what_is_said_to_a_busy_handler_does_not_pile_up() -> None:
    """The client can't send on: TCP pushes back."""
    async with serving("--drain-timeout", "0", application="tests.sites.stuck:application") as (service, server):
        process = psutil.Process(server.process.pid)
        async with service.connect("ann", path="/stuck", write_limit=MB, **QUICK) as socket:
            before, taken = process.memory_info().rss, 0
            while await sends(socket, "x" * (MB // 2)):
                taken += 1
                assert taken < 100
            assert process.memory_info().rss - before < 40 * MB
            assert await service.publish("nobody") == NOBODY
            await socket.abort()


async def sends(socket: Socket, text: str) -> bool:
    """Whether the other end takes it within a second."""
    try:
        async with asyncio.timeout(1):
            await socket.send(text)
    except TimeoutError:
        return False
    return True


def test_help_names_daphne_s_flags_and_ours() -> None:
    said = subprocess.run(
        [sys.executable, "-m", "realtime.server", "--help"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    for flag in ("--unix-socket", "--proxy-headers", "--max-send-buffer", "--drain-time", "--drain-timeout"):
        assert re.search(rf"{flag}\b", said)


async def test_stock_daphne_tells_its_sockets_too_that_it_stops() -> None:
    """It can't say 1012, so there is a twin of it. It fails to while HTTP connections are open."""
    with daphne(environment(), APPLICATION, "--ping-interval", "1") as server:
        async with service_of([server], 403) as service, AsyncExitStack() as stack:
            opening = [service.connect(f"user-{number}", create_connection=Listener) for number in range(20)]
            sockets = [await stack.enter_async_context(one) for one in opening]
            for _ in range(2):  # one each two seconds: the handshakes are so long ago
                await sockets[-1].connection.pings.acquire()  # type: ignore[attr-defined]
            server.process.send_signal(signal.SIGTERM)
            assert [await closed(socket) for socket in sockets] == [(4012, "")] * 20
            assert await asyncio.to_thread(server.process.wait, PATIENCE) is not None
        assert "Traceback" not in server.log


async def test_a_client_can_t_say_what_the_root_path_is() -> None:
    """It would reach a path that the proxy in front keeps from it by the name of another."""
    async with serving(REALTIME_METRICS="true") as (service, _):
        assert (await service.request("GET", "/metrics")).status_code == 200
        assert (await service.request("GET", "/x/metrics", daphne_root_path="/x")).status_code == 404


async def test_it_serves_tls_and_a_unix_socket_as_well(tmp_path: Path) -> None:
    """To each kind of connection a large envelope, and a close code at the end, past what waits to be sent."""
    certificate, key = write_certificate(tmp_path)
    port, path, text = free_port(), tmp_path / "server.sock", json.dumps("x" * MB)
    tls = f"ssl:{port}:interface=127.0.0.1:privateKey={key}:certKey={certificate}"
    trusting = ssl.create_default_context(cafile=certificate)
    headers = {"Authorization": f"Bearer {JWT}"}
    async with serving("-e", tls, "-u", str(path)) as (service, server):
        await until(lambda: server.log.count("Listening") == 2)
        (plain,) = {int(found) for found in re.findall(r"Listening on TCP address .*:(\d+)", server.log)} - {port}
        server.url = f"http://127.0.0.1:{plain}"
        over_tls = open_websocket(f"wss://localhost:{port}", ssl=trusting, additional_headers=headers, max_size=None)
        over_unix = unix_connect(str(path), uri="ws://localhost/", additional_headers=headers, max_size=None)
        async with over_tls as first, over_unix as second:
            for socket in (sockets := [Socket(first), Socket(second)]):
                await socket.subscribe({"type": "t"})
            publish = service.begin("ann", "t", text)
            for socket in sockets:
                envelope = await socket.envelope()
                assert envelope.payload == text
                await socket.ack(envelope, "1")
            assert await publish == answered(2, "1", "1")
            server.process.terminate()
            assert {await closed(socket) for socket in sockets} == {(1012, "")}


async def test_a_client_that_answers_no_ping_is_dropped_and_one_that_does_stays() -> None:
    async with serving("--ping-interval", "1", "--ping-timeout", "1") as (service, server):
        with RawSocket(server, "ann", {"type": "t"}) as silent:
            async with service.connect("ann", {"type": "t"}, create_connection=Listener) as lively:
                assert await asyncio.to_thread(silent.close_code) == 1006
                for _ in range(2):
                    await lively.connection.pings.acquire()  # type: ignore[attr-defined]
                await service.deliver(lively, "ann", "t")


async def test_a_socket_is_closed_after_the_longest_time_that_daphne_was_told() -> None:
    async with serving("--websocket_timeout", "1") as (service, _), service.connect("ann") as socket:
        assert await closed(socket) == (1000, "")


async def test_what_looks_like_a_pong_in_the_middle_of_a_frame_is_a_part_of_it() -> None:
    text, looks = b" ping ", b"\x8a\x80\x00\x00\x00\x00"
    mask = bytes(a ^ b for a, b in zip(text, looks, strict=True))[:4]
    rest = bytes(byte ^ mask[place % 4] for place, byte in enumerate(text))
    assert rest[:2] == looks[:2]
    async with serving() as (service, server):
        with RawSocket(server, "ann") as socket:
            socket.send(b"\x81\x86" + mask)
            assert await service.publish("nobody") == NOBODY  # by then what was sent before has been read
            socket.send(rest)
            assert await asyncio.to_thread(socket.text) == "pong"


async def test_a_socket_that_has_closed_leaves_nothing_to_the_garbage_collector() -> None:
    """It comes rarely, and each socket would hold several KB until then."""
    async with serving(application="tests.sites.uncollected:application", REALTIME_METRICS="true") as (service, _):

        async def garbage() -> int:
            return int((await service.request("GET", "/garbage")).text)

        async def all_gone() -> bool:
            return "\nrealtime_sockets 0.0\n" in (await service.request("GET", "/metrics")).text

        for sockets in (1, 40):  # the first pays for what is made once
            await garbage()
            for _ in range(sockets):
                async with service.connect("ann", {"type": "t"}) as socket:
                    await service.deliver(socket, "ann", "t")
            await until(all_gone)
        assert await garbage() < 10 * sockets
