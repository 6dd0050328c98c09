"""Thousands of deliveries that go wrong in every way a network can, and then: is anything left behind?"""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import Callable
from contextlib import AsyncExitStack, ExitStack, suppress
from typing import Any
from uuid import uuid4

import httpx
import pytest
from redis.asyncio import Redis
from websockets.exceptions import ConnectionClosed

from .clients import Service, Socket, dump, service_of, token
from .servers import daphne, environment

INSPECTED = "tests.sites.inspected:application"
ACK_TIMEOUT = 0.3
USERS = 40
PUBLISHES = 1_200
AT_ONCE = 60
PATIENCE = 20.0


async def behave(socket: Socket, kind: str, late: set[asyncio.Task[None]]) -> None:
    """Answer envelopes in one way until the connection ends."""
    with suppress(ConnectionClosed):
        while True:
            envelope = json.loads(await socket.connection.recv())
            ack = dump({"type": "ack", "envelopeId": envelope["envelopeId"], "result": kind})
            if kind == "acks":
                await socket.send(ack)
            elif kind == "acks twice":
                await socket.send(ack, ack)
            elif kind == "acks late":
                late.add(asyncio.create_task(later(socket, ack)))
            elif kind == "vanishes":
                return await socket.abort()


async def later(socket: Socket, ack: str) -> None:
    await asyncio.sleep(1.5 * ACK_TIMEOUT)
    with suppress(ConnectionClosed):
        await socket.send(ack)


async def publish(service: Service, user: str, publisher_stays: bool) -> None:
    """Publish, and check what the answer says of sockets whose behaviour it shows."""
    body = dump({"userId": user, "type": "t"})
    headers = {"Authorization": f"Bearer {token('publisher')}", "Content-Type": "application/json"}
    server = random.choice(service.servers)
    timeout = httpx.Timeout(PATIENCE if publisher_stays else random.uniform(0.001, ACK_TIMEOUT), connect=PATIENCE)
    start = time.monotonic()
    try:
        response = await service.http.post(f"{server.url}/publish", content=body, headers=headers, timeout=timeout)
    except httpx.TimeoutException:
        assert not publisher_stays
        return
    answer, waited = response.json(), time.monotonic() - start
    assert response.status_code == 200
    kind = user.partition("-")[0]
    if kind == "silent":
        assert answer == {"clientCount": 2, "results": []}
    elif kind == "quick":
        assert answer["clientCount"] == 2
        if waited < ACK_TIMEOUT:  # else the clients, all in this one process, were too slow with an ack
            assert sorted(answer["results"]) == ["acks", "acks twice"]
        assert len(set(answer["results"])) == len(answer["results"])
    elif kind == "nobody":
        assert answer == {"clientCount": 0, "results": []}
    else:
        assert set(answer["results"]) <= {"acks"}
        assert answer["clientCount"] <= 3


KINDS: dict[str, list[str]] = {
    "silent": ["never acks", "acks late"],
    "quick": ["acks", "acks twice"],
    "nobody": [],
    "mixed": ["acks", "vanishes", "acks late"],
}


async def counts(service: Service, redis: Redis | None) -> dict[str, Any]:
    """What every process holds, and what Redis knows of them."""
    found: dict[str, Any] = {}
    for number, server in enumerate(service.servers):
        found[f"process {number}"] = (await service.http.get(f"{server.url}/counts")).json()
    if redis is not None:
        found["channels"] = sorted(await redis.pubsub_channels("hopeflow:*"))
    return found


async def soak(service: Service, redis: Redis | None) -> None:
    for _ in range(4):  # once through everything, so that what is made once has been made
        async with service.connect(f"warm-up-{uuid4()}", {"type": "t"}):
            pass
        await service.publish("nobody-at-all")
    users = [f"{kind}-{number}" for number in range(USERS // len(KINDS)) for kind in KINDS]
    before = await counts(service, redis)
    late: set[asyncio.Task[None]] = set()
    async with AsyncExitStack() as stack, asyncio.TaskGroup() as tasks:
        behaving = []
        for user in users:
            for kind in KINDS[user.partition("-")[0]]:
                socket = await stack.enter_async_context(service.connect(user, {"type": "t"}, {"type": "u", "a": "b"}))
                behaving.append(tasks.create_task(behave(socket, kind, late)))
        limit = asyncio.Semaphore(AT_ONCE)

        async def one(number: int) -> None:
            async with limit:
                await publish(service, users[number % len(users)], publisher_stays=number % 5 > 0)

        await asyncio.gather(*map(one, range(PUBLISHES)))
        during = await counts(service, redis)
        assert sum(during[f"process {number}"]["users"] for number in range(len(service.servers))) >= 3 * USERS // 4
        await asyncio.gather(*late)
        for task in behaving:
            task.cancel()
    await until_equal(lambda: counts(service, redis), before)


async def until_equal(look: Callable[[], Any], wanted: Any) -> None:
    found = await look()
    with suppress(TimeoutError):
        async with asyncio.timeout(PATIENCE):
            while found != wanted:
                await asyncio.sleep(0.1)
                found = await look()
    assert found == wanted


@pytest.mark.parametrize("processes", [1, 2], ids=["local layer", "Redis layer"])
async def test_nothing_is_left_behind_by_late_acks_no_acks_and_those_who_vanish(
    processes: int, request: pytest.FixtureRequest
) -> None:
    """Queues, groups, reply channels, subscriptions and tasks are back to what they were, and every answer was true."""
    env = environment(REALTIME_ACK_TIMEOUT=str(ACK_TIMEOUT))
    redis = None
    async with AsyncExitStack() as async_stack:
        stack = async_stack.enter_context(ExitStack())
        if processes > 1:
            env["REDIS_URL"] = request.getfixturevalue("redis_url")
            redis = await async_stack.enter_async_context(Redis.from_url(env["REDIS_URL"]))
        servers = [stack.enter_context(daphne(env, INSPECTED)) for _ in range(processes)]
        service = await async_stack.enter_async_context(service_of(servers, 403))
        await soak(service, redis)
        for server in servers:
            assert "Traceback" not in server.log
            assert "ERROR" not in server.log
