"""The answer to a publish: who is counted, whose result is in it, and when it comes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

import pytest

from tests.clients import NOBODY, Service, Socket, answered
from tests.contract.conftest import ACK_TIMEOUT, AT_ONCE, Start

GENEROUS = 2.0  # seconds that a busy machine may add where the contract says "at the latest"


# Who is counted


async def test_no_socket_at_all(service: Service, user: str) -> None:
    """The answer comes at once, not after a wait: that would be in each, a stall of the machine is in one."""
    times = []
    for _ in range(3):
        started = time.monotonic()
        assert await service.publish(user, "t") == '{"clientCount":0,"results":[]}'
        times.append(time.monotonic() - started)
    assert min(times) < AT_ONCE


async def test_no_matching_socket(service: Service, user: str) -> None:
    """The answer comes at once, not after a wait, though the user has sockets."""
    async with service.connect(user), service.connect(user, {"type": "u"}), service.connect(user, {"type": "v"}):
        for _ in range(2):
            started = time.monotonic()
            assert await service.publish(user, "t") == '{"clientCount":0,"results":[]}'
            assert time.monotonic() - started < AT_ONCE


async def test_no_socket_any_more(service: Service, user: str) -> None:
    """Once the server has seen the last one go, the answer comes at once."""
    async with service.connect(user, {"type": "t"}) as socket:
        await service.deliver(socket, user, "t")
    async with asyncio.timeout(5):
        while await service.publish(user, "t") != NOBODY:
            pass
    started = time.monotonic()
    assert await service.publish(user, "t") == NOBODY
    assert time.monotonic() - started < AT_ONCE


async def test_the_count_is_of_sockets_with_a_matching_filter(service: Service, user: str) -> None:
    """That were sent the envelope: not of those of the user, and not of results."""
    async with (
        service.connect(user, {"type": "t"}) as one,
        service.connect(user, {"type": "t"}, {"type": "t", "k": "v"}) as two,
        service.connect(user, {"type": "u"}),
        service.connect(user, {"type": "t", "k": "v"}) as three,
        service.connect(user),
        service.connect(f"other-{user}", {"type": "t"}),
    ):
        publish = service.begin(user, "t", '{"k":"v"}')
        for socket in (one, two, three):
            await socket.envelope()
        await one.send('{"type":"ack","envelopeId":"unknown"}')
        assert await publish == answered(3)
        publish = service.begin(user, "t")
        for socket in (one, two):
            await socket.ack(await socket.envelope())
        assert await publish == answered(2, "null", "null")


async def test_many_sockets_are_all_counted(service: Service, user: str) -> None:
    """Those on every process."""

    async def acked(result: str, others: asyncio.Barrier, done: asyncio.Barrier) -> None:
        async with service.connect(user, {"type": "t"}) as socket:
            await others.wait()
            await socket.ack(await socket.envelope(), result)
            await done.wait()

    others, done = asyncio.Barrier(31), asyncio.Barrier(31)
    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        for n in range(30):
            group.create_task(acked(str(n), others, done))
        await others.wait()
        answer = await service.publish(user, "t")
        await done.wait()
    head, _, results = answer.removesuffix("]}").partition("[")
    assert head == '{"clientCount":30,"results":'
    assert sorted(map(int, results.split(","))) == list(range(30))


# Results


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (3, 2, 1, 0), (1, 3, 0, 2), (2, 0, 3, 1)])
async def test_results_are_in_the_order_of_arrival(service: Service, user: str, order: tuple[int, ...]) -> None:
    """Not of connecting. A machine that stalls for longer than acks are awaited gets another try."""
    async with (
        service.connect(user, {"type": "t"}) as one,
        service.connect(user, {"type": "t"}) as two,
        service.connect(user, {"type": "t"}) as three,
        service.connect(user, {"type": "t"}) as four,
    ):
        sockets = [one, two, three, four]
        for _ in range(3):
            started = time.monotonic()
            publish = service.begin(user, "t")
            envelopes = [await socket.envelope() for socket in sockets]
            for n in order:
                await sockets[n].ack(envelopes[n], str(n))
                await sockets[n].settle()
                await service.settle(user)
            answer = await publish
            if time.monotonic() - started < ACK_TIMEOUT:
                break
        assert answer == answered(4, *map(str, order))


# When it comes


async def test_the_answer_comes_when_every_socket_has_acked(service: Service, user: str) -> None:
    """Not later, and not before."""
    async with service.connect(user, {"type": "t"}) as one, service.connect(user, {"type": "t"}) as two:
        started = time.monotonic()
        publish = service.begin(user, "t")
        first, second = await one.envelope(), await two.envelope()
        await one.ack(first, "1")
        await one.settle()
        await service.settle(user)
        assert not publish.done()
        await two.ack(second, "2")
        assert await publish == answered(2, "1", "2")
        assert time.monotonic() - started < AT_ONCE


@pytest.mark.parametrize("leave", [Socket.close, Socket.abort])
async def test_a_socket_that_closes_is_no_longer_waited_for(
    service: Service, user: str, leave: Callable[[Socket], Awaitable[None]]
) -> None:
    """With a close frame or without; it stays in the count, and the answer comes at once."""
    async with service.connect(user, {"type": "t"}) as one, service.connect(user, {"type": "t"}) as two:
        started = time.monotonic()
        publish = service.begin(user, "t")
        await one.ack(await one.envelope(), '"here"')
        await two.envelope()
        await leave(two)
        assert await publish == answered(2, '"here"')
        assert time.monotonic() - started < AT_ONCE


@pytest.mark.parametrize("leave", [Socket.close, Socket.abort])
async def test_when_all_sockets_close_nobody_is_waited_for(
    service: Service, user: str, leave: Callable[[Socket], Awaitable[None]]
) -> None:
    async with service.connect(user, {"type": "t"}) as one, service.connect(user, {"type": "t"}) as two:
        started = time.monotonic()
        publish = service.begin(user, "t")
        for socket in (one, two):
            await socket.envelope()
            await leave(socket)
        assert await publish == answered(2)
        assert time.monotonic() - started < AT_ONCE


async def test_an_ack_counts_though_its_socket_closes_at_once(service: Service, user: str) -> None:
    """Frames are handled in the order they came, and the close comes last."""
    async with service.connect(user, {"type": "t"}) as socket:
        publish = service.begin(user, "t")
        await socket.ack(await socket.envelope(), '"bye"')
        await socket.close()
        assert await publish == answered(1, '"bye"')


async def test_a_socket_that_opens_later_is_not_waited_for(service: Service, user: str) -> None:
    """Nor counted, nor sent the envelope."""
    async with service.connect(user, {"type": "t"}) as socket:
        publish = service.begin(user, "t")
        envelope = await socket.envelope()
        async with service.connect(user, {"type": "t"}, {"type": "marker"}) as newcomer:
            await socket.ack(envelope, "1")
            assert await publish == answered(1, "1")
            await service.deliver(newcomer, user, "marker")


async def test_the_answer_comes_at_the_latest_after_the_ack_timeout(service: Service, user: str) -> None:
    """With whatever has arrived, and with the silent sockets counted."""
    async with (
        service.connect(user, {"type": "t"}) as one,
        service.connect(user, {"type": "t"}) as two,
        service.connect(user, {"type": "t"}) as three,
    ):
        started = time.monotonic()
        publish = service.begin(user, "t")
        await one.ack(await one.envelope(), '"one"')
        await one.settle()
        await service.settle(user)
        await two.envelope()
        await three.ack(await three.envelope(), '"three"')
        assert await publish == answered(3, '"one"', '"three"')
        assert ACK_TIMEOUT * 0.9 < time.monotonic() - started < ACK_TIMEOUT + GENEROUS
        await two.settle()


async def test_by_default_the_answer_comes_after_5_seconds(start: Start, user: str) -> None:
    """At the latest, and not before while a socket is silent."""
    async with start() as service, service.connect(user, {"type": "t"}) as socket:
        started = time.monotonic()
        publish = service.begin(user, "t")
        await socket.envelope()
        assert await publish == answered(1)
        assert 4.5 < time.monotonic() - started < 5 + GENEROUS


async def test_one_users_silence_delays_nobody_else(service: Service, user: str) -> None:
    """While a publish waits for its ack, others are answered, to the same socket too."""
    async with service.connect(user, {"type": "t"}) as silent, service.connect(f"other-{user}", {"type": "t"}) as other:
        waiting = service.begin(user, "t", '"silent"')
        await silent.envelope()
        await service.deliver(other, f"other-{user}", "t")
        await service.deliver(silent, user, "t")
        assert not waiting.done()
        assert await waiting == answered(1)


# Order


async def test_envelopes_reach_a_socket_in_the_order_of_their_publishes(service: Service, user: str) -> None:
    """Publishes that follow one another, through any process, to every socket of the user."""
    async with service.connect(user, {"type": "t"}) as one, service.connect(user, {"type": "t"}) as two:
        for n in range(50):
            publish = service.begin(user, "t", str(n))
            for socket in (one, two):
                envelope = await socket.envelope()
                assert envelope.payload == str(n)
                await socket.ack(envelope)
            assert await publish == answered(2, "null", "null")


async def test_order_holds_without_acks(service: Service, user: str) -> None:
    """The socket reads only afterwards what came while the publishes were answered without it."""
    async with service.connect(user, {"type": "t"}) as socket:
        for n in range(3):
            assert await service.publish(user, "t", str(n)) == answered(1)
        assert [(await socket.envelope()).payload for _ in range(3)] == ["0", "1", "2"]
