"""Sockets come and go without pause while envelopes are published to them: no answer waits for somebody who is gone."""

from __future__ import annotations

import asyncio
import json
import random
from contextlib import AsyncExitStack, ExitStack, suppress
from uuid import uuid4

import pytest
from websockets.exceptions import ConnectionClosed

from .clients import Service, Socket, dump, service_of
from .servers import daphne, environment

FOR_EVER = "60"  # seconds that a missing report or ack would cost: far more than the test may take
SECONDS = 4.0
IN_TIME = 5.0
USERS = 5


async def acks(socket: Socket, name: str) -> None:
    """Ack everything with the name of the socket and the id of the envelope, until the connection ends."""
    with suppress(ConnectionClosed):
        while True:
            text = str(await socket.connection.recv())
            if text != "pong":
                envelope_id = json.loads(text)["envelopeId"]
                result = {"socket": name, "envelope": json.loads(text)["payload"]}
                await socket.send(dump({"type": "ack", "envelopeId": envelope_id, "result": result}))


async def come_and_go(service: Service, user: str, end: float) -> None:
    """One tab: opened, subscribed, unsubscribed, left open for a moment, closed or lost, opened again."""
    loop = asyncio.get_running_loop()
    while loop.time() < end:
        async with service.connect(user) as socket:
            acking = asyncio.create_task(acks(socket, str(uuid4())))
            for verb in random.choice((["subscribe"], ["subscribe", "unsubscribe", "subscribe"], [])):
                await socket.say(type=verb, filters=[{"type": "t"}])
            await asyncio.sleep(random.expovariate(20))
            if random.random() < 0.5:
                await socket.abort()
            acking.cancel()


async def publish_all_the_time(service: Service, user: str, end: float) -> int:
    """Publish, one after the other; each answer comes in time and holds nothing but acks of its own envelope."""
    loop = asyncio.get_running_loop()
    published = 0
    while loop.time() < end:
        mark = str(uuid4())
        async with asyncio.timeout(IN_TIME):
            answer = json.loads(await service.publish(user, "t", dump(mark)))
        results = answer["results"]
        assert all(result["envelope"] == mark for result in results)
        assert len({result["socket"] for result in results}) == len(results) <= answer["clientCount"]
        published += 1
    return published


@pytest.mark.parametrize("processes", [1, 2], ids=["local layer", "Redis layer"])
async def test_no_answer_waits_counts_twice_or_mixes_up_envelopes_while_sockets_come_and_go(
    processes: int, request: pytest.FixtureRequest
) -> None:
    env = environment(REALTIME_ACK_TIMEOUT=FOR_EVER, REALTIME_REPORT_TIMEOUT=FOR_EVER)
    if processes > 1:
        env["REDIS_URL"] = request.getfixturevalue("redis_url")
    async with AsyncExitStack() as async_stack:
        stack = async_stack.enter_context(ExitStack())
        servers = [stack.enter_context(daphne(env)) for _ in range(processes)]
        service = await async_stack.enter_async_context(service_of(servers, 403))
        end = asyncio.get_running_loop().time() + SECONDS
        users = [str(uuid4()) for _ in range(USERS)]
        tabs = [come_and_go(service, user, end) for user in users for _ in range(3)]
        publishers = [publish_all_the_time(service, user, end) for user in users for _ in range(2)]
        published = (await asyncio.gather(*publishers, *tabs))[: len(publishers)]
        assert min(count or 0 for count in published) > 10
        for server in servers:
            assert "Traceback" not in server.log
