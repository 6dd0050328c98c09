"""Acks: which ones count, and that the others are ignored without a word."""

from __future__ import annotations

import asyncio

import pytest

from tests.clients import NOBODY, Service, answered
from tests.contract.test_envelopes import VALUES


@pytest.mark.parametrize("result", VALUES.values(), ids=VALUES)
async def test_a_result_is_handed_on_as_the_client_sent_it(service: Service, user: str, result: str) -> None:
    """Every value as it was: big integers, floats, unicode and escapes included."""
    async with service.connect(user, {"type": "t"}) as socket:
        publish = service.begin(user, "t")
        await socket.ack(await socket.envelope(), result)
        assert await publish == answered(1, result)


async def test_a_missing_result_counts_as_null(service: Service, user: str) -> None:
    async with service.connect(user, {"type": "t"}) as socket:
        publish = service.begin(user, "t")
        await socket.say(type="ack", envelopeId=(await socket.envelope()).id)
        assert await publish == answered(1, "null")


async def test_the_order_of_the_keys_does_not_matter(service: Service, user: str) -> None:
    """Nor do white space and further keys."""
    async with service.connect(user, {"type": "t"}) as socket:
        publish = service.begin(user, "t")
        envelope = await socket.envelope()
        await socket.send(f' {{ "result" : "a b" , "more" : 1, "envelopeId":"{envelope.id}",\n"type":"ack" }} ')
        assert await publish == answered(1, '"a b"')


async def test_the_first_ack_of_a_socket_counts(service: Service, user: str) -> None:
    """A second one of the same socket is ignored while the publish still waits for another socket."""
    async with service.connect(user, {"type": "t"}) as one, service.connect(user, {"type": "t"}) as two:
        publish = service.begin(user, "t")
        envelope = await one.envelope()
        for result in ("1", "2", "3"):
            await one.ack(envelope, result)
        await one.settle()
        await service.settle(user)
        assert not publish.done()
        await two.ack(await two.envelope(), '"two"')
        assert await publish == answered(2, "1", '"two"')


async def test_each_socket_has_an_ack_of_its_own(service: Service, user: str) -> None:
    """Two sockets may send the same result."""
    async with service.connect(user, {"type": "t"}) as one, service.connect(user, {"type": "t"}) as two:
        publish = service.begin(user, "t")
        for socket in (one, two):
            await socket.ack(await socket.envelope(), '{"ok":true}')
        assert await publish == answered(2, '{"ok":true}', '{"ok":true}')


OTHER_IDS = ['"unknown"', '""', '" % "', '"%x"', "null", "1", "true", '["%"]', '{"envelopeId":"%"}']


@pytest.mark.parametrize("other_id", OTHER_IDS)
async def test_an_unknown_id_is_ignored(service: Service, user: str, other_id: str) -> None:
    """Also one that is no string, or only resembles the envelope's; the ack that follows counts."""
    async with service.connect(user, {"type": "t"}) as socket:
        publish = service.begin(user, "t")
        envelope = await socket.envelope()
        await socket.send(f'{{"type":"ack","envelopeId":{other_id.replace("%", envelope.id)},"result":"wrong"}}')
        await socket.settle()
        await socket.ack(envelope, '"right"')
        assert await publish == answered(1, '"right"')


NO_ACKS = [
    '{"type":"ack","result":"wrong"}',
    '{"type":"ACK","envelopeId":"%","result":"wrong"}',
    '{"type":" ack","envelopeId":"%","result":"wrong"}',
    '{"type":["ack"],"envelopeId":"%","result":"wrong"}',
    '{"type":"ack","EnvelopeId":"%","result":"wrong"}',
    '{"type":"ack","id":"%","result":"wrong"}',
    '{"envelopeId":"%","result":"wrong"}',
    '[{"type":"ack","envelopeId":"%","result":"wrong"}]',
    '{"type":"ack","envelopeId":"%","result":"wrong"',
    '{"type":"ack","envelopeId":"%","result":NaN}',
    '{"type":"ack","envelopeId":"%","result":[1,]}',
    '{"type":"ack","envelopeId":"%","result":"\t"}',
    '{"type":"ack","envelopeId":"%","result":[{"a":-Infinity}]}',
    '{"type":"ack","envelopeId":"%","result":undefined}',
    "\ufeff" + '{"type":"ack","envelopeId":"%","result":"wrong"}',
    b'{"type":"ack","envelopeId":"%","result":"wrong"}',
]


@pytest.mark.parametrize("frame", NO_ACKS, ids=ascii)
async def test_what_is_no_ack_is_ignored(service: Service, user: str, frame: str | bytes) -> None:
    """The right one that follows is then the first."""
    async with service.connect(user, {"type": "t"}) as socket:
        publish = service.begin(user, "t")
        envelope = await socket.envelope()
        if isinstance(frame, bytes):
            await socket.send(frame.replace(b"%", envelope.id.encode()))
        else:
            await socket.send(frame.replace("%", envelope.id))
        await socket.settle()
        await socket.ack(envelope, '"right"')
        assert await publish == answered(1, '"right"')


async def test_somebody_elses_envelope_cannot_be_acked(service: Service, user: str) -> None:
    """Not by another user, not by a socket of the same user that did not match, nor by one that did so only later."""
    async with (
        service.connect(user, {"type": "t"}) as socket,
        service.connect(user, {"type": "u"}) as sibling,
        service.connect(user, {"type": "v"}) as latecomer,
        service.connect(f"other-{user}", {"type": "t"}) as stranger,
    ):
        publish = service.begin(user, "t")
        envelope = await socket.envelope()
        await service.deliver(latecomer, user, "v")  # so its process has seen what was published before
        await latecomer.subscribe({"type": "t"})
        for other in (sibling, latecomer, stranger):
            await other.ack(envelope, '"wrong"')
            await other.settle()
        await socket.ack(envelope, '"right"')
        assert await publish == answered(1, '"right"')


async def test_an_ack_cannot_be_made_by_a_socket_that_opens_later(service: Service, user: str) -> None:
    """A new socket of the same user was not sent the envelope."""
    async with service.connect(user, {"type": "t"}) as socket:
        publish = service.begin(user, "t")
        envelope = await socket.envelope()
        async with service.connect(user, {"type": "t"}) as newcomer:
            await newcomer.ack(envelope, '"wrong"')
            await newcomer.settle()
            await socket.ack(envelope, '"right"')
            assert await publish == answered(1, '"right"')


async def test_a_late_ack_is_ignored(service: Service, user: str) -> None:
    """The publish has been answered; the socket stays open, and the next publish knows nothing of it."""
    async with service.connect(user, {"type": "t"}) as socket:
        publish = service.begin(user, "t")
        late = await socket.envelope()
        assert await publish == answered(1)
        await socket.ack(late, '"late"')
        await socket.settle()
        publish = service.begin(user, "t")
        envelope = await socket.envelope()
        await socket.ack(late, '"later"')
        await socket.settle()
        await socket.ack(envelope, '"in time"')
        assert await publish == answered(1, '"in time"')


async def test_an_ack_after_the_answer_is_ignored(service: Service, user: str) -> None:
    """A second one, of an envelope that everybody has acked."""
    async with service.connect(user, {"type": "t"}) as socket:
        envelope = await service.deliver(socket, user, "t", result="1")
        await socket.ack(envelope, "2")
        await socket.settle()
        await service.deliver(socket, user, "t", result="3")


async def test_acks_find_their_publish(service: Service, user: str) -> None:
    """Of many publishes on their way to a socket, each gets the result for its own envelope, in whatever order."""
    async with service.connect(user, {"type": "t"}) as socket:
        publishes = {f'"{n}"': service.begin(user, "t", f'"{n}"') for n in range(10)}
        envelopes = [await socket.envelope() for _ in publishes]
        for envelope in reversed(envelopes):
            await socket.ack(envelope, str(envelope.payload))
        answers = await asyncio.gather(*publishes.values())
        assert answers == [answered(1, result) for result in publishes]


async def test_an_ack_counts_after_unsubscribing(service: Service, user: str) -> None:
    """The socket was sent the envelope, and is still awaited."""
    async with service.connect(user, {"type": "t"}) as socket:
        publish = service.begin(user, "t")
        envelope = await socket.envelope()
        await socket.unsubscribe({"type": "t"})
        assert not publish.done()
        await socket.ack(envelope, "1")
        assert await publish == answered(1, "1")
        assert await service.publish(user, "t") == NOBODY
