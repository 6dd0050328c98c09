"""Bounds on what strangers can hold and how fast they may talk, each with a status or a close code of its own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from uuid import uuid4

import pytest
from websockets.exceptions import InvalidStatus

from .clients import NOBODY, PATIENCE, Service, Socket, answered, dump, service_of, token
from .servers import environment, free_port, realtime_server


@asynccontextmanager
async def limited(**settings: str) -> AsyncIterator[Service]:
    with realtime_server(environment(**{f"REALTIME_{name}": value for name, value in settings.items()})) as server:
        async with service_of([server], 401) as service:
            yield service
        assert "Traceback" not in server.log


async def close_code(socket: Socket) -> int | None:
    async with asyncio.timeout(PATIENCE):
        await socket.connection.wait_closed()
    return socket.connection.close_code


async def refusal(service: Service, user: str) -> tuple[int, str]:
    with pytest.raises(InvalidStatus) as refused:
        async with service.connect(user):
            pass
    assert refused.value.response.headers["Retry-After"] == "1"
    return refused.value.response.status_code, bytes(refused.value.response.body or b"").decode()


async def test_sockets_of_a_user_and_of_a_process_are_bounded_until_one_leaves() -> None:
    async with limited(MAX_SOCKETS="3", MAX_USER_SOCKETS="2") as service, AsyncExitStack() as stack:
        first, _ = [await stack.enter_async_context(service.connect("ann")) for _ in range(2)]
        assert await refusal(service, "ann") == (429, '{"error":"Too Many Requests"}')
        await stack.enter_async_context(service.connect("bob"))
        assert await refusal(service, "eve") == (503, '{"error":"Service Unavailable"}')
        await first.close()
        async with asyncio.timeout(PATIENCE):
            while True:
                try:
                    async with service.connect("ann") as socket:
                        await socket.settle()
                    break
                except InvalidStatus:
                    await asyncio.sleep(0.02)


async def test_who_talks_too_fast_is_cut_off_and_who_acks_fast_is_not() -> None:
    user = str(uuid4())
    async with (
        limited(FRAME_RATE="1", FRAME_BURST="10") as service,
        service.connect(user, {"type": "t"}) as acking,
        service.connect("bob") as talking,
    ):
        for _ in range(30):
            await service.deliver(acking, user, "t")
        await talking.send(*["nonsense"] * 11)
        assert await close_code(talking) == 4503
        await service.deliver(acking, user, "t")


async def test_who_never_acks_is_cut_off_once_too_much_is_awaited() -> None:
    user = str(uuid4())
    async with (
        limited(MAX_AWAITED="2", ACK_TIMEOUT="60") as service,
        service.connect(user, {"type": "t"}) as socket,
    ):
        publishes = [service.begin(user, "t") for _ in range(3)]
        assert await close_code(socket) == 4004
        assert {await publish for publish in publishes} == {answered(1)}
        assert await service.publish(user, "t") == NOBODY


@pytest.mark.parametrize(
    ("limit", "status", "error"),
    [("MAX_TOKEN_PUBLISHES", 429, "Too Many Requests"), ("MAX_PUBLISHES", 503, "Service Unavailable")],
)
async def test_publishes_under_way_are_bounded_until_one_is_answered(limit: str, status: int, error: str) -> None:
    user = str(uuid4())
    async with limited(**{limit: "1"}, ACK_TIMEOUT="60") as service, service.connect(user, {"type": "t"}) as socket:
        publish = service.begin(user, "t")
        envelope = await socket.envelope()
        refused = await service.post(dump({"userId": user, "type": "t"}))
        assert (refused.status_code, refused.json()) == (status, {"error": error})
        assert refused.headers["Retry-After"] == "1"
        another = f"Bearer {token('another publisher')}"
        response = await service.request(
            "POST", content=dump({"userId": "nobody"}), content_type="application/json", authorization=another
        )
        assert response.status_code == (200 if status == 429 else 503)
        await socket.ack(envelope)
        assert await publish == answered(1, "null")
        await service.deliver(socket, user, "t")


async def test_health_says_alive_and_ready_and_what_is_missing() -> None:
    away = f"redis://127.0.0.1:{free_port()}"
    with realtime_server(environment()) as server, realtime_server(environment(REDIS_URL=away)) as without_redis:
        async with service_of([server], 401) as service, service_of([without_redis], 401) as cut_off:
            for one in (service, cut_off):
                response = await one.request("GET", "/healthz")
                assert (response.status_code, response.json()) == (200, {"status": "alive"})
                assert (await one.request("POST", "/readyz")).status_code == 405
            ready = {"status": "ready", "channelLayer": True, "keyring": True, "accepting": True}
            response = await service.request("GET", "/readyz")
            assert (response.status_code, response.json()) == (200, ready)
            response = await cut_off.request("GET", "/readyz")
            assert (response.status_code, response.json()) == (
                503,
                {**ready, "status": "not ready", "channelLayer": False},
            )
