"""Publishing from Python: sync and async, inside the server's process and in others, on both layers."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from threading import get_ident
from typing import Any
from uuid import uuid4

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth import get_user_model
from django.contrib.auth.models import AnonymousUser
from django.db import transaction
from django.utils import translation
from django.utils.functional import lazy
from django.utils.translation import gettext_lazy
from redis.asyncio import Redis

import realtime
from realtime.users import user_id

from .clients import NOBODY, Service, answered, service_of
from .servers import ROOT, daphne, environment, free_port, running

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
                assert await delivery == realtime.Delivered(1, ("ok",))
            assert envelope.payload == "[1.5]"


async def test_many_calls_from_many_threads_share_one_pair_of_connections(on_redis: str) -> None:
    async with Redis.from_url(on_redis) as redis:
        await asyncio.to_thread(realtime.publish, "nobody")
        connected = {client["id"] for client in await redis.client_list()}
        with ThreadPoolExecutor(5) as threads:
            calls = [threads.submit(realtime.publish, "nobody") for _ in range(50)]
            assert {call.result().client_count for call in calls} == {0}
        assert {client["id"] for client in await redis.client_list()} <= connected


async def test_the_view_works_on_wsgi_without_connections_for_each_request(on_redis: str) -> None:
    """As in a product whose HTTP is served by gunicorn, beside an ASGI server for the sockets."""
    user, env = str(uuid4()), environment(REDIS_URL=on_redis)
    wsgi = [sys.executable, "-m", "tests.sites.wsgi"]
    with daphne(env) as sockets, running(wsgi, r"Listening on http://127.0.0.1:(\d+)", env) as http:
        async with service_of([http], 0) as publishing, service_of([sockets], 403) as service:
            assert await publishing.publish(user) == NOBODY
            async with Redis.from_url(on_redis) as redis, service.connect(user, {"type": "t"}) as socket:
                connected = {client["id"] for client in await redis.client_list()}
                for number in range(10):
                    publish = publishing.begin(user, "t", str(number))
                    await socket.ack(await socket.envelope(), str(number))
                    assert await publish == answered(1, str(number))
                assert {client["id"] for client in await redis.client_list()} <= connected
            for content, status in (("{", 400), ("x" * 5_000_000, 413)):
                assert (await publishing.post(content)).status_code == status
            assert (await publishing.request("POST", content="{}")).status_code == 401


async def test_sync_publishing_in_async_code_is_refused_with_a_hint() -> None:
    """It would stop the event loop in which the acks arrive."""
    for call, twin in ((realtime.publish, "apublish"), (realtime.connections, "aconnections")):
        with pytest.raises(RuntimeError, match=twin):
            call("ann")


def test_a_forked_child_publishes_too(redis_url: str) -> None:
    """As Celery's workers are: the parent has published before it forks."""
    script = """
import django, os; django.setup()
import realtime
assert realtime.publish("nobody").client_count == 0
if not (child := os.fork()):
    print(realtime.publish("nobody"), flush=True)
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
assert realtime.publish("nobody").client_count == 0
"""
    # An embedding product may well fork with threads; Python 3.12 warns of it.
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment(REDIS_URL=redis_url), cwd=ROOT, capture_output=True, timeout=30
    )
    assert done.stdout.decode().strip() == "Delivered(client_count=0, results=(), timed_out=False)", done.stderr


async def test_a_publisher_chooses_how_long_it_waits_and_is_told_whether_it_was_enough(on_redis: str) -> None:
    user = str(uuid4())
    with daphne(environment(REDIS_URL=on_redis)) as server:
        async with service_of([server], 403) as service, service.connect(user, {"type": "t"}) as socket:
            assert await realtime.apublish(user, "t", timeout=0.2) == realtime.Delivered(1, (), timed_out=True)
            assert await realtime.apublish(user, "t", timeout=0) == realtime.Delivered(1, (), timed_out=True)
            assert await realtime.apublish(user, "t", wait=False) == realtime.Delivered(1)
            assert await realtime.apublish(user, "other", wait=False) == realtime.Delivered(0)
            late = [await socket.envelope() for _ in range(3)]
            for envelope in late:
                await socket.ack(envelope, '"late"')
            delivery = asyncio.create_task(realtime.apublish(user, "t", timeout=30))
            await socket.ack(await socket.envelope(), '"in time"')
            assert await delivery == realtime.Delivered(1, ("in time",))


@pytest.mark.django_db(transaction=True)
async def test_publish_on_commit_publishes_when_and_only_when_the_transaction_is_committed(on_redis: str) -> None:
    """With the payload as it was when it was called."""
    user = str(uuid4())

    def in_a_transaction(number: int, fail: bool) -> None:
        payload = {"number": number}
        with suppress(ZeroDivisionError), transaction.atomic():
            realtime.publish_on_commit(user, "t", payload)
            payload["number"] = -1
            assert not fail or 1 / 0

    with daphne(environment(REDIS_URL=on_redis)) as server:
        async with service_of([server], 403) as service, service.connect(user, {"type": "t"}) as socket:
            await sync_to_async(in_a_transaction)(1, True)
            await sync_to_async(in_a_transaction)(2, False)
            assert (await socket.envelope()).payload == '{"number": 2}'
            await sync_to_async(realtime.publish_on_commit)(user, "t", 3)
            assert (await socket.envelope()).payload == "3"
    with pytest.raises(TypeError):
        realtime.publish_on_commit(user, "t", object())


@pytest.mark.django_db(transaction=True)
def test_a_commit_does_not_fail_because_redis_is_away(settings: Any, caplog: pytest.LogCaptureFixture) -> None:
    url = f"redis://127.0.0.1:{free_port()}"
    settings.CHANNEL_LAYERS = {"default": {"BACKEND": "realtime.layers.RedisChannelLayer", "CONFIG": {"hosts": [url]}}}
    with transaction.atomic():
        realtime.publish_on_commit("ann")
    assert "publish after the commit failed user='ann'" in caplog.text


async def test_an_integer_that_python_refuses_to_read_is_a_float(on_redis: str) -> None:
    """Any browser can ack with one."""
    user = str(uuid4())
    with daphne(environment(REDIS_URL=on_redis)) as server:
        async with service_of([server], 403) as service, service.connect(user, {"type": "t"}) as socket:
            delivery = asyncio.create_task(realtime.apublish(user, "t"))
            await socket.ack(await socket.envelope(), "[1," + "1" * 5000 + "]")
            assert (await delivery).results == ([1, float("inf")],)


@pytest.mark.django_db
def test_a_user_of_the_product_has_the_id_that_the_setting_says(settings: Any) -> None:
    user = get_user_model()(pk=7, username="ann")
    assert user_id(user) == "7"
    settings.REALTIME = {"USER_ID": "tests.test_python_api.username"}
    assert user_id(user) == "ann"
    assert user_id(" bob ") == "bob"
    for wrong, error in ((AnonymousUser(), ValueError), (" ", ValueError), ("x" * 1025, ValueError), (7, TypeError)):
        with pytest.raises(error):
            user_id(wrong)  # type: ignore[arg-type]


def username(user: Any) -> str:
    found: str = user.username
    return found


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
            assert out.decode().strip() == "Delivered(client_count=1, results=(1,), timed_out=False)"


@pytest.mark.parametrize("payload", [{"text": "é\ud800", "n": 10**30}, "text", None, [1, 2.5]])
async def test_a_python_payload_arrives_as_its_json(on_redis: str, payload: Any) -> None:
    """Any value that json.dumps takes, lone surrogates and big integers included."""
    user = str(uuid4())
    with daphne(environment(REDIS_URL=on_redis)) as server:
        async with service_of([server], 403) as service, service.connect(user, {"type": "t"}) as socket:
            delivery = asyncio.create_task(realtime.apublish(user, "t", payload))
            envelope = await socket.envelope()
            await socket.ack(envelope, envelope.payload or "")
            assert await delivery == realtime.Delivered(1, (payload,))


async def test_what_a_lazy_payload_says_is_asked_where_it_is_published(on_redis: str) -> None:
    """In the language of the caller, and in a thread where it may ask the database."""
    user = str(uuid4())

    payload = {"text": gettext_lazy("Yes"), "thread": lazy(lambda: str(get_ident()), str)()}

    def publish() -> int:
        with translation.override("de"):
            assert realtime.publish(user, "t", payload, wait=False).client_count == 1
            return get_ident()

    with daphne(environment(REDIS_URL=on_redis)) as server:
        async with service_of([server], 403) as service, service.connect(user, {"type": "t"}) as socket:
            thread = await asyncio.to_thread(publish)
            assert (await socket.envelope()).payload == f'{{"text": "Ja", "thread": "{thread}"}}'


async def test_a_payload_too_deep_for_who_gets_it_is_refused_where_it_is_published() -> None:
    deep: list[Any] = []
    for _ in range(511):
        deep = [deep]
    for payload in (deep, [deep] * 2, [[deep]] * 2, json.loads("[" * 900 + "]" * 900)):
        with pytest.raises(ValueError, match="deep"):
            await realtime.apublish("ann", "t", payload)
    with pytest.raises(TypeError, match="type"):
        await realtime.apublish("ann", None)  # type: ignore[arg-type]


@pytest.mark.parametrize("timeout", [-1, float("inf"), float("nan"), 86_401])
async def test_a_timeout_that_no_timer_takes_is_refused(timeout: float) -> None:
    with pytest.raises(ValueError, match="timeout"):
        await realtime.apublish("ann", timeout=timeout)


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
