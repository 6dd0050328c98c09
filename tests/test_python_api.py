"""Publishing from Python: sync and async, inside the server's process and in others, on both layers."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import pytest
from redis.asyncio import Redis

import realtime

from .clients import Service, service_of
from .servers import ROOT, daphne, environment, free_port

PRODUCT = "tests.sites.product:application"


@pytest.fixture(params=["local", "redis"])
def env(request: pytest.FixtureRequest) -> dict[str, str]:
    redis = {"REDIS_URL": request.getfixturevalue("redis_url")} if request.param == "redis" else {}
    return environment(REALTIME_ACK_TIMEOUT="2", DJANGO_SETTINGS_MODULE="tests.sites.product_settings", **redis)


@pytest.fixture
async def service(env: dict[str, str]) -> AsyncIterator[Service]:
    with daphne(env, PRODUCT) as server:
        async with service_of([server], 403) as service:
            yield service


@pytest.fixture
def on_redis(redis_url: str, settings: Any) -> str:
    """This process publishes through Redis, to sockets that live in another one."""
    settings.CHANNEL_LAYERS = {
        "default": {"BACKEND": "realtime.layers.RedisChannelLayer", "CONFIG": {"hosts": [redis_url]}}
    }
    return redis_url


@pytest.mark.parametrize("caller", ["sync", "async", "thread"])
async def test_a_view_of_the_product_publishes_and_gets_the_acks(service: Service, caller: str) -> None:
    user = str(uuid4())
    async with service.connect(user, {"type": "t", "from": caller}) as socket:
        answer = asyncio.create_task(service.request("GET", f"/{caller}/{user}"))
        await socket.ack(await socket.envelope(), '{"seen":[1,null]}')
        assert (await answer).json() == {"clients": 1, "results": [{"seen": [1, None]}]}
    async with asyncio.timeout(1):
        while (await service.request("GET", f"/{caller}/{user}")).json()["clients"]:
            pass


async def test_another_process_publishes_through_redis_sync_or_async(on_redis: str) -> None:
    user = str(uuid4())
    with daphne(environment(REDIS_URL=on_redis)) as server:
        async with service_of([server], 403) as service, service.connect(user, {"type": "message"}) as socket:
            for publishing in (realtime.apublish(user), asyncio.to_thread(realtime.publish, user, payload=[1.5])):
                delivery = asyncio.ensure_future(publishing)
                envelope = await socket.envelope()
                await socket.ack(envelope, '"ok"')
                assert await delivery == realtime.Delivered(1, ["ok"])
            assert envelope.payload == "[1.5]"


async def test_sync_publishing_leaves_no_connection_behind(on_redis: str) -> None:
    async with Redis.from_url(on_redis) as redis:
        await asyncio.to_thread(realtime.publish, "nobody")
        before = len(await redis.client_list())
        for _ in range(10):
            assert await asyncio.to_thread(realtime.publish, "nobody") == realtime.Delivered(0, [])
        assert len(await redis.client_list()) <= before


async def test_a_script_publishes_as_a_celery_task_would(redis_url: str) -> None:
    user = str(uuid4())
    env = environment(REDIS_URL=redis_url)
    script = f"import django; django.setup(); import realtime; print(realtime.publish({user!r}, 't', None))"
    with daphne(env) as server:
        async with service_of([server], 403) as service, service.connect(user, {"type": "t"}) as socket:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-W", "error", "-c", script, env=env, cwd=ROOT, stdout=subprocess.PIPE
            )
            envelope = await socket.envelope()
            assert envelope.payload == "null"
            await socket.ack(envelope, "1")
            out, _ = await process.communicate()
            assert out.decode().strip() == "Delivered(client_count=1, results=[1], timed_out=False)"


@pytest.mark.parametrize("payload", [{"text": "é\ud800", "n": 10**30}, "text", None, [1, 2.5]])
async def test_a_python_payload_arrives_as_its_json(on_redis: str, payload: Any) -> None:
    """Any value that json.dumps takes, lone surrogates and big integers included."""
    user = str(uuid4())
    with daphne(environment(REDIS_URL=on_redis)) as server:
        async with service_of([server], 403) as service, service.connect(user, {"type": "t"}) as socket:
            delivery = asyncio.create_task(realtime.apublish(user, "t", payload))
            envelope = await socket.envelope()
            await socket.ack(envelope, envelope.payload or "")
            assert await delivery == realtime.Delivered(1, [payload])


async def test_what_json_does_not_know_is_refused() -> None:
    with pytest.raises(ValueError, match="JSON"):
        await realtime.apublish("ann", "t", float("nan"))
    with pytest.raises(TypeError):
        await realtime.apublish("ann", "t", object())


async def test_redis_that_is_away_is_an_error_of_its_own(settings: Any) -> None:
    url = f"redis://127.0.0.1:{free_port()}"
    settings.CHANNEL_LAYERS = {"default": {"BACKEND": "realtime.layers.RedisChannelLayer", "CONFIG": {"hosts": [url]}}}
    with pytest.raises(realtime.LayerUnavailable):
        await realtime.apublish("ann")
    with pytest.raises(realtime.LayerUnavailable):
        await asyncio.to_thread(realtime.publish, "ann")
