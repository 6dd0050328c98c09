"""The WebSocket endpoint, its ping, the order of frames, and what it ignores."""

from __future__ import annotations

import asyncio

import pytest
from websockets.exceptions import InvalidStatus

from tests.clients import NOBODY, Service, answered, bearer, dump, sign, token
from tests.contract.conftest import Topology


@pytest.mark.parametrize("path", ["/", "/connect"])
async def test_the_endpoint_has_two_names(service: Service, user: str, path: str) -> None:
    """`/`, and `/connect` as its alias, with the token in the header or in the query."""
    async with service.connect(user, {"type": "t"}, path=path) as socket:
        await service.deliver(socket, user, "t")
    path += f"?token={token(user)}"
    async with service.connect(user, {"type": "u"}, path=path, additional_headers={}) as socket:
        await service.deliver(socket, user, "u")


@pytest.mark.parametrize("path", ["/connect/", "/Connect", "/CONNECT", "/publish", "/ws", "/connect/x", "/connectx"])
async def test_there_is_no_other_endpoint(service: Service, topology: Topology, user: str, path: str) -> None:
    """404, or 403 from a server that can say nothing else."""
    with pytest.raises(InvalidStatus) as refused:
        async with service.connect(user, path=path):
            pass
    assert refused.value.response.status_code == (404 if topology.strict_401 else 403)


@pytest.mark.parametrize("path", ["/", "/connect"])
async def test_a_refused_token_is_refused_at_the_handshake(
    service: Service, topology: Topology, user: str, path: str
) -> None:
    """With 401, or 403 from a server that can say nothing else. Nothing is accepted."""
    for headers in ({}, {"Authorization": "Bearer x"}, {"Authorization": f"Bearer {sign({}, secret='x')}"}):
        with pytest.raises(InvalidStatus) as refused:
            async with service.connect(user, path=path, additional_headers=headers):
                pass
        assert refused.value.response.status_code == (401 if topology.strict_401 else 403)
        assert "Upgrade" not in refused.value.response.headers


async def test_there_is_no_subprotocol(service: Service, user: str) -> None:
    """None is chosen from those that a client offers, and the socket works without."""
    async with service.connect(user, {"type": "t"}, subprotocols=["a", "bearer", "graphql-ws"]) as socket:
        assert socket.connection.response is not None
        assert "Sec-WebSocket-Protocol" not in socket.connection.response.headers
        await service.deliver(socket, user, "t")


# Ping

PINGS = [
    "ping",
    "PING",
    "Ping",
    "pInG",
    " ping ",
    "\tping",
    "ping\n",
    "\r\n ping \r\n",
    "\u00a0PING\u3000",
    "\ufeffping",
]


@pytest.mark.parametrize("ping", PINGS, ids=ascii)
async def test_a_ping_is_answered(service: Service, user: str, ping: str) -> None:
    """In any case and with white space around it, with the text frame `pong`: no JSON, no quotes, and once."""
    async with service.connect(user, {"type": "t"}) as socket:
        await socket.send(ping)
        assert await socket.recv() == "pong"
        await service.deliver(socket, user, "t")


NO_PINGS = [
    '{"type":"ping"}',
    '{"type": "PING"}',
    '"ping"',
    "'ping'",
    '["ping"]',
    "pong",
    "pings",
    "ping!",
    "pingping",
    "ping ping",
    "p ing",
    "p\u0131ng",
    "p\u0130ng",
    "\uff50\uff49\uff4e\uff47",
    "\x85ping",
    "ping\x1f",
    "ping\x00",
    "\u200bping",
    b"ping",
]


@pytest.mark.parametrize("frame", NO_PINGS, ids=ascii)
async def test_what_is_not_a_ping_is_not_answered(service: Service, user: str, frame: str | bytes) -> None:
    """The pong of a real ping is the next frame, and the only pong."""
    async with service.connect(user, {"type": "t"}) as socket:
        await socket.send(frame)
        await socket.settle()
        await service.deliver(socket, user, "t")


async def test_each_ping_is_answered(service: Service, user: str) -> None:
    async with service.connect(user, {"type": "t"}) as socket:
        await socket.send(*["ping"] * 20)
        assert [await socket.recv() for _ in range(20)] == ["pong"] * 20
        await service.deliver(socket, user, "t")


# Order


async def test_a_pong_proves_that_what_was_sent_before_took_effect(service: Service, user: str) -> None:
    """A publish that starts after the pong sees the filters, wherever it comes in."""
    async with service.connect(user) as socket:
        for turn in range(10):
            await socket.send(dump({"type": "subscribe", "filters": [{"type": f"t{turn}"}]}), "ping")
            assert await socket.recv() == "pong"
            await service.deliver(socket, user, f"t{turn}")
            await socket.send(dump({"type": "unsubscribe", "filters": [{"type": f"t{turn}"}]}), "ping")
            assert await socket.recv() == "pong"
            for _ in range(2):  # an odd number of publishes a turn, so that each process has every kind
                assert await service.publish(user, f"t{turn}") == NOBODY


async def test_a_pong_proves_it_for_a_new_socket(service: Service, user: str) -> None:
    """The first filter of a user's first socket is not seen later than any other."""
    for turn in range(10):
        name = f"{user}-{turn}"
        async with service.connect(name) as socket:
            await socket.send('{"type":"subscribe","filters":[{"type":"t"}]}', "ping")
            assert await socket.recv() == "pong"
            await service.deliver(socket, name, "t")


async def test_frames_are_handled_in_the_order_they_came(service: Service, user: str) -> None:
    """Of many contrary messages sent at once, the last one decides."""
    on = '{"type":"subscribe","filters":[{"type":"t"}]}'
    off = '{"type":"unsubscribe","filters":[{"type":"t"}]}'
    async with service.connect(user) as socket:
        await socket.send(*[on, off] * 50)
        await socket.settle()
        assert await service.publish(user, "t") == NOBODY
        await socket.send(*[off, on] * 50)
        await socket.settle()
        await service.deliver(socket, user, "t")


async def test_acks_and_pings_are_handled_in_order_too(service: Service, user: str) -> None:
    """An ack that was sent before a second one counts, not the second."""
    async with service.connect(user, {"type": "t"}) as socket:
        publish = service.begin(user, "t")
        envelope = await socket.envelope()
        await socket.ack(envelope, "1")
        await socket.ack(envelope, "2")
        await socket.settle()
        assert await publish == answered(1, "1")


# What is ignored

IGNORED: dict[str, str | bytes] = {
    "an empty frame": "",
    "blanks": " \n\t ",
    "no JSON": "hello",
    "a cut object": '{"type":"subscribe","filters":[{"type":"t"}]',
    "brackets": "[" * 200,
    "null": "null",
    "true": "true",
    "a number": "1",
    "a string": '"subscribe"',
    "an empty array": "[]",
    "an array": '["subscribe",[{"type":"t"}]]',
    "an array of messages": '[{"type":"subscribe","filters":[{"type":"t"}]}]',
    "an empty object": "{}",
    "no type": '{"filters":[{"type":"t"}]}',
    "an unknown type": '{"type":"listen","filters":[{"type":"t"}]}',
    "a type of the stack": '{"type":"websocket.disconnect","code":1000}',
    "a handler's name": '{"type":"disconnect"}',
    "an envelope": '{"envelopeId":"x","type":"t","userId":"u","timestamp":"2025-01-31T12:34:56.789Z"}',
    "capitals": '{"type":"SUBSCRIBE","filters":[{"type":"t"}]}',
    "a capital": '{"type":"Subscribe","filters":[{"type":"t"}]}',
    "blanks around the type": '{"type":" subscribe ","filters":[{"type":"t"}]}',
    "a line break behind the type": '{"type":"subscribe\\n","filters":[{"type":"t"}]}',
    "capitals, unsubscribe": '{"type":"UNSUBSCRIBE","filters":[{"type":"kept"}]}',
    "blanks, unsubscribe": '{"type":"unsubscribe ","filters":[{"type":"kept"}]}',
    "a type that is a number": '{"type":1,"filters":[{"type":"t"}]}',
    "a type that is null": '{"type":null,"filters":[{"type":"t"}]}',
    "a type that is a list": '{"type":["subscribe"],"filters":[{"type":"t"}]}',
    "a type that is an object": '{"type":{"type":"subscribe"},"filters":[{"type":"t"}]}',
    "a type key in capitals": '{"Type":"subscribe","filters":[{"type":"t"}]}',
    "no filters": '{"type":"subscribe"}',
    "filters: null": '{"type":"subscribe","filters":null}',
    "filters: a filter": '{"type":"subscribe","filters":{"type":"t"}}',
    "filters: an object of filters": '{"type":"subscribe","filters":{"0":{"type":"t"},"length":1}}',
    "filters: a string": '{"type":"subscribe","filters":"t"}',
    "filters: a number": '{"type":"subscribe","filters":1}',
    "filters: true": '{"type":"subscribe","filters":true}',
    "filters: empty": '{"type":"subscribe","filters":[]}',
    "filter instead of filters": '{"type":"subscribe","filter":{"type":"t"}}',
    "no filters, unsubscribe": '{"type":"unsubscribe"}',
    "filters: null, unsubscribe": '{"type":"unsubscribe","filters":null}',
    "filters: a filter, unsubscribe": '{"type":"unsubscribe","filters":{"type":"kept"}}',
    "filters: a string, unsubscribe": '{"type":"unsubscribe","filters":"kept"}',
    "ack without an id": '{"type":"ack"}',
    "ack of nothing": '{"type":"ack","envelopeId":null,"result":1}',
    "binary": b'{"type":"subscribe","filters":[{"type":"t"}]}',
    "binary, unsubscribe": b'{"type":"unsubscribe","filters":[{"type":"kept"}]}',
    "binary, empty": b"",
    "binary ping": b"ping",
    "binary, no UTF-8": b"\xff\xfe\x00",
    "binary, UTF-16": '{"type":"subscribe","filters":[{"type":"t"}]}'.encode("utf-16"),
}


@pytest.mark.parametrize("frame", IGNORED.values(), ids=IGNORED)
async def test_anything_else_is_ignored(service: Service, user: str, frame: str | bytes) -> None:
    """Without a word: the socket stays open, keeps its filters, takes no others, and works on."""
    async with service.connect(user, {"type": "kept"}) as socket:
        await socket.send(frame)
        await socket.settle()
        await service.deliver(socket, user, "kept")
        assert not await service.reaches(socket, user, "t")
        await socket.subscribe({"type": "t"})
        await service.deliver(socket, user, "t")


async def test_much_that_is_ignored_is_ignored(service: Service, user: str) -> None:
    """All of it in a row, and before the socket's first filter."""
    async with service.connect(user) as socket:
        await socket.send(*IGNORED.values())
        await socket.settle()
        assert await service.publish(user, "t") == NOBODY
        await socket.subscribe({"type": "t"})
        await service.deliver(socket, user, "t")


async def test_a_field_more_does_no_harm(service: Service, user: str) -> None:
    """What a message has beside its own fields is not looked at."""
    async with service.connect(user) as socket:
        await socket.say(id=1, type="subscribe", userId="somebody else", filters=[{"type": "t"}], result=None)
        await socket.settle()
        await service.deliver(socket, user, "t")


async def test_sockets_that_open_at_once_all_work(service: Service, user: str) -> None:
    """None of them misses an envelope after its pong."""
    async with asyncio.timeout(30):
        await asyncio.gather(*(open_and_deliver(service, f"{user}-{n}") for n in range(20)))


async def open_and_deliver(service: Service, user: str) -> None:
    async with service.connect(user, {"type": "t"}) as socket:
        await service.deliver(socket, user, "t")


async def test_a_refused_handshake_does_not_harm_the_next(service: Service, user: str) -> None:
    assert not await service.admits("socket")
    assert await service.admits("socket", bearer(token(user)))
