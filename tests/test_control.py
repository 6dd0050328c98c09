"""Who is there, and please leave: questions that all processes answer, from code that holds no socket itself."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from websockets.exceptions import ConnectionClosed

import realtime

from .clients import NOBODY, Service, Socket, service_of
from .servers import daphne, environment, free_port, uvicorn

LAYERS = {
    "ours": {"BACKEND": "realtime.layers.RedisChannelLayer"},
    "core": {"BACKEND": "channels_redis.core.RedisChannelLayer"},
}


@pytest.fixture(params=LAYERS)
def redis_env(request: pytest.FixtureRequest, redis_url: str, settings: Any) -> dict[str, str]:
    """The environment of a server on this layer, on which this process asks and publishes too."""
    host: Any = redis_url if request.param == "ours" else {"address": redis_url, "socket_timeout": None}
    settings.CHANNEL_LAYERS = {"default": {**LAYERS[request.param], "CONFIG": {"hosts": [host]}}}
    if request.param == "ours":
        return environment(REDIS_URL=redis_url, REALTIME_ACK_TIMEOUT="2")
    return environment(
        REDIS_URL=redis_url, DJANGO_SETTINGS_MODULE="tests.sites.foreign", TEST_LAYER="core", REALTIME_ACK_TIMEOUT="2"
    )


@pytest.fixture
async def service(redis_env: dict[str, str]) -> AsyncIterator[Service]:
    with daphne(redis_env) as first, uvicorn(redis_env) as second:
        async with service_of([first, second], 403) as service:
            yield service


async def closed(socket: Socket) -> tuple[int, str]:
    with pytest.raises(ConnectionClosed) as error:
        await socket.recv()
    assert error.value.rcvd is not None
    return error.value.rcvd.code, error.value.rcvd.reason


async def test_connections_are_counted_over_all_processes_and_disconnected(service: Service) -> None:
    """With their filters, since when, and what they have not acked; by async code and by code that is not."""
    user, before = str(uuid4()), datetime.now(UTC) - timedelta(seconds=1)
    assert await realtime.aconnections(user) == []
    assert await realtime.adisconnect(user) == 0
    async with AsyncExitStack() as stack:
        sockets = [
            await stack.enter_async_context(service.connect(user, {"type": "t"}, {"type": "t", "room": str(number)}))
            for number in range(4)
        ]
        other = await stack.enter_async_context(service.connect(f"{user}-other", {"type": "t"}))
        publish = service.begin(user, "t", '{"room":"1"}')
        envelopes = [await socket.envelope() for socket in sockets]
        for socket, envelope in list(zip(sockets, envelopes, strict=True))[:3]:
            await socket.ack(envelope)
            await socket.settle()

        found = await realtime.aconnections(f" {user} ")
        assert [connection.awaited for connection in found] == [0, 0, 0, 1]
        assert [len(connection.filters) for connection in found] == [2] * 4
        assert {"type": "t", "room": "3"} in found[3].filters
        assert all(before < connection.since < datetime.now(UTC) for connection in found)
        assert len({connection.process for connection in found}) == 2
        assert await asyncio.to_thread(realtime.connections, user) == found

        assert await realtime.adisconnect(user, 4100, "over") == 4
        assert [(await closed(socket))[0] for socket in sockets] == [4100] * 4
        assert await publish == '{"clientCount":4,"results":[null,null,null]}'
        assert await asyncio.to_thread(realtime.connections, user) == []
        assert await service.publish(user, "t") == NOBODY
        await other.settle()
        assert await asyncio.to_thread(realtime.disconnect, f"{user}-other") == 1
        assert (await closed(other))[0] == 4502


async def test_a_server_that_can_sends_the_reason(redis_url: str, settings: Any) -> None:
    settings.CHANNEL_LAYERS = {"default": {**LAYERS["ours"], "CONFIG": {"hosts": [redis_url]}}}
    user = str(uuid4())
    with uvicorn(environment(REDIS_URL=redis_url)) as server:
        async with service_of([server], 401) as service, service.connect(user) as socket:
            assert await realtime.adisconnect(user, 1000, "schönen Abend") == 1
            assert await closed(socket) == (1000, "schönen Abend")


@pytest.mark.parametrize(("code", "reason"), [(999, ""), (1001, ""), (1006, ""), (5000, ""), (4000, "ü" * 62)])
async def test_what_cannot_be_sent_as_a_close_is_refused(code: int, reason: str) -> None:
    with pytest.raises(ValueError, match="close"):
        await realtime.adisconnect("ann", code, reason)


async def test_a_layer_that_is_away_is_an_error_of_its_own(settings: Any) -> None:
    url = f"redis://127.0.0.1:{free_port()}"
    settings.CHANNEL_LAYERS = {"default": {**LAYERS["ours"], "CONFIG": {"hosts": [url]}}}
    with pytest.raises(realtime.LayerUnavailable):
        await realtime.aconnections("ann")
    with pytest.raises(realtime.LayerUnavailable):
        await asyncio.to_thread(realtime.disconnect, "ann")
