"""One of two processes dies or hangs in the middle of a publish: the other answers in time, with the truth."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Iterator
from uuid import uuid4

import pytest
from redis.asyncio import Redis

from .clients import Service, answered, service_of
from .servers import Server, daphne, environment

ACK_TIMEOUT = 20.0  # seconds: an answer that comes much earlier did not wait for the dead
IN_TIME = 5.0  # the report timeout twice, on a machine that is busy


@pytest.fixture
def env(redis_url: str) -> dict[str, str]:
    return environment(REDIS_URL=redis_url, REALTIME_ACK_TIMEOUT=str(ACK_TIMEOUT), REALTIME_REPORT_TIMEOUT="0.3")


@pytest.fixture
def survivor(env: dict[str, str]) -> Iterator[Server]:
    with daphne(env) as server:
        yield server


@pytest.fixture
def victim(env: dict[str, str]) -> Iterator[Server]:
    with daphne(env) as server:
        yield server


@pytest.fixture
async def here(survivor: Server) -> AsyncIterator[Service]:
    async with service_of([survivor], 403) as service:
        yield service


@pytest.fixture
async def there(victim: Server) -> AsyncIterator[Service]:
    async with service_of([victim], 403) as service:
        yield service


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    async with Redis.from_url(redis_url) as client:
        yield client


@pytest.mark.parametrize("signal_", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "stopped"])
async def test_sockets_of_a_process_that_ends_before_they_ack_are_not_waited_for(
    here: Service, there: Service, victim: Server, signal_: int
) -> None:
    """They were sent the envelope, so they count; they can't ack any more, so the answer does not wait."""
    user = str(uuid4())
    async with here.connect(user, {"type": "t"}) as living, there.connect(user, {"type": "t"}) as dying:
        publish = here.begin(user, "t")
        envelope = await living.envelope()
        await dying.envelope()
        victim.kill(signal_)
        await living.ack(envelope, '"here"')
        async with asyncio.timeout(IN_TIME):
            assert await publish == answered(2, '"here"')
        victim.kill()  # so that its socket can be closed


async def test_a_process_that_hangs_is_waited_for_until_the_report_timeout(
    here: Service, there: Service, victim: Server
) -> None:
    """Redis still counts it. Nobody knows whether its sockets will ever be sent the envelope, so they do not count."""
    user = str(uuid4())
    async with here.connect(user, {"type": "t"}) as living, there.connect(user, {"type": "t"}):
        victim.kill(signal.SIGSTOP)
        publish = here.begin(user, "t")
        await living.ack(await living.envelope(), '"here"')
        async with asyncio.timeout(IN_TIME):
            assert await publish == answered(1, '"here"')
        victim.kill()


async def test_a_dead_process_leaves_no_trace_in_redis_and_delays_nobody(
    here: Service, there: Service, victim: Server, redis: Redis
) -> None:
    user = str(uuid4())
    async with here.connect(user, {"type": "t"}) as living:
        assert await there.publish(f"{user}-nobody") == answered(0)
        without = len(await redis.pubsub_channels("hopeflow:*")) - 1  # its own channel
        async with there.connect(user, {"type": "t"}), there.connect(f"{user}-other", {"type": "t"}):
            assert len(await redis.pubsub_channels("hopeflow:*")) == without + 2
            victim.kill()
            async with asyncio.timeout(IN_TIME):
                while len(await redis.pubsub_channels("hopeflow:*")) != without:
                    await asyncio.sleep(0.01)
        async with asyncio.timeout(IN_TIME):
            await here.deliver(living, user, "t", result="1")
            assert await here.publish(f"{user}-other", "t") == answered(0)


async def test_a_publisher_s_process_that_dies_leaves_nothing_in_the_others(
    here: Service, there: Service, victim: Server
) -> None:
    """Acks for the dead are forgotten, and the socket goes on."""
    user = str(uuid4())
    async with here.connect(user, {"type": "t"}) as living:
        publish = there.begin(user, "t")
        envelope = await living.envelope()
        victim.kill()
        with pytest.raises(Exception):  # noqa: B017, PT011  (whatever the client makes of a lost connection)
            await publish
        await living.ack(envelope)
        await living.settle()
        await here.deliver(living, user, "t", result="2")
