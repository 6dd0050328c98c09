"""Filters: how they come and go, and which envelopes they let through."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from tests.clients import NOBODY, Filter, Service, answered, dump

# Whose they are


async def test_a_socket_without_a_filter_receives_nothing(service: Service, user: str) -> None:
    """Filters start empty."""
    async with service.connect(user) as socket:
        for envelope_type in ("t", "message", "", "*"):
            assert await service.publish(user, envelope_type) == NOBODY
        assert await service.publish(user) == NOBODY
        await socket.subscribe({"type": "marker"})
        await service.deliver(socket, user, "marker")


async def test_filters_belong_to_the_socket(service: Service, user: str) -> None:
    """Another socket of the same user does not share them, on whichever process it is."""
    async with service.connect(user, {"type": "t"}) as socket, service.connect(user, {"type": "u"}) as other:
        await service.deliver(socket, user, "t")
        await service.deliver(other, user, "u")
        await other.unsubscribe({"type": "t"})
        await service.deliver(socket, user, "t")


async def test_filters_die_with_the_socket(service: Service, user: str) -> None:
    """The next socket of the user starts empty."""
    async with service.connect(user, {"type": "t"}) as socket:
        await service.deliver(socket, user, "t")
    async with service.connect(user, {"type": "marker"}) as socket:
        async with asyncio.timeout(5):
            while (answer := await service.publish(user, "t")) != NOBODY:
                assert answer == answered(1)  # the socket before, until the server has seen it close
        await service.deliver(socket, user, "marker")


async def test_another_users_socket_receives_nothing(service: Service, user: str) -> None:
    async with service.connect(f"other-{user}", {"type": "t"}) as other, service.connect(user, {"type": "t"}) as socket:
        await service.deliver(socket, user, "t")
        await service.deliver(other, f"other-{user}", "t")


async def test_users_are_told_apart_exactly(service: Service, user: str) -> None:
    """Another case, another normal form, a character more or less: another user."""
    name = f"{user} \u00e9"
    async with service.connect(name, {"type": "t"}) as socket:
        for other in (user, f"{user} e\u0301", name.upper(), name + ".", "\x85" + name, name + "*"):
            assert not await service.reaches(socket, other, "t")
        await service.deliver(socket, name, "t")


# Subscribe and unsubscribe


async def test_subscribe_adds_and_unsubscribe_removes(service: Service, user: str) -> None:
    async with service.connect(user) as socket:
        await socket.subscribe({"type": "a"}, {"type": "b"})
        await socket.subscribe({"type": "c"})
        for name in "abc":
            await service.deliver(socket, user, name)
        await socket.unsubscribe({"type": "a"}, {"type": "c"})
        assert await service.publish(user, "a") == NOBODY
        assert await service.publish(user, "c") == NOBODY
        await service.deliver(socket, user, "b")
        await socket.subscribe({"type": "a"})
        await service.deliver(socket, user, "a")


def fillers(count: int, prefix: str = "filler") -> list[Filter]:
    return [{"type": f"{prefix} {n}"} for n in range(count)]


@pytest.mark.parametrize(
    "first",
    [
        fillers(49),
        fillers(1) * 49,
        [1] * 49,
        [None] * 49,
        [{}] * 49,
        [{"type": "t", "k": 1}] * 49,
        [[]] * 49,
        ["t"] * 49,
    ],
    ids=["filters", "equal filters", "numbers", "nulls", "empty", "broken", "lists", "strings"],
)
async def test_the_first_50_entries_of_a_message_are_looked_at(service: Service, user: str, first: list[Any]) -> None:
    """The rest is ignored, and the cut comes before validation: what is skipped or held already takes its place too."""
    async with service.connect(user) as socket:
        await socket.subscribe(*first, {"type": "50th"}, {"type": "51st"}, {"type": "52nd"})
        await service.deliver(socket, user, "50th")
        assert not await service.reaches(socket, user, "51st")
        assert not await service.reaches(socket, user, "52nd")
        await socket.subscribe({"type": "51st"}, {"type": "52nd"})
        await socket.unsubscribe(*first, {"type": "50th"}, {"type": "51st"}, {"type": "52nd"})
        assert not await service.reaches(socket, user, "50th")
        await service.deliver(socket, user, "51st")
        await service.deliver(socket, user, "52nd")


async def test_the_cut_is_per_message_and_not_per_socket(service: Service, user: str) -> None:
    """3 x 50 filters work."""
    async with service.connect(user) as socket:
        for part in range(3):
            await socket.subscribe(*fillers(50, f"part {part}"))
        for part in range(3):
            for n in range(50):
                await service.deliver(socket, user, f"part {part} {n}")
        for part in range(3):
            await socket.unsubscribe(*fillers(50, f"part {part}"))
        for part in range(3):
            assert await service.publish(user, f"part {part} 49") == NOBODY


BROKEN = [
    "null",
    "true",
    "1",
    '"t"',
    "[]",
    '[{"type":"t"}]',
    '["type","t"]',
    "{}",
    '{"k":"v"}',
    '{"Type":"t"}',
    '{" type ":"t"}',
    '{"type":null}',
    '{"type":1}',
    '{"type":true}',
    '{"type":["t"]}',
    '{"type":{"type":"t"}}',
    '{"type":""}',
    '{"type":" \\t\\n"}',
    '{"type":"\\u00a0\\u3000\\ufeff"}',
    '{"type":"t","k":1}',
    '{"type":"t","k":0.5}',
    '{"type":"t","k":null}',
    '{"type":"t","k":true}',
    '{"type":"t","k":["v"]}',
    '{"type":"t","k":{}}',
    '{"type":"t","k":"v","l":1}',
    '{"type":"t","":null}',
]


@pytest.mark.parametrize("broken", BROKEN)
async def test_a_broken_filter_is_skipped_alone(service: Service, user: str, broken: str) -> None:
    """A filter is an object of strings with a type that is not blank; the others of its message count."""
    async with service.connect(user, {"type": "kept"}) as socket:
        await socket.send(f'{{"type":"subscribe","filters":[{{"type":"before"}},{broken},{{"type":"behind"}}]}}')
        await socket.settle()
        await service.deliver(socket, user, "before")
        for envelope_type in ("t", "", "null", "1", "true"):
            for payload in (None, "{}", '{"k":1,"l":1}', '{"k":"v"}', '{"k":"1"}', '{"k":null}', '{"k":""}'):
                assert not await service.reaches(socket, user, envelope_type, payload)
        await service.deliver(socket, user, "behind")
        await socket.send(f'{{"type":"unsubscribe","filters":[{{"type":"before"}},{broken},{{"type":"behind"}}]}}')
        await socket.settle()
        assert not await service.reaches(socket, user, "before")
        assert not await service.reaches(socket, user, "behind")
        await service.deliver(socket, user, "kept")


async def test_only_type_is_trimmed(service: Service, user: str) -> None:
    """Every other value, and every key, is taken as it is."""
    async with service.connect(user, {"type": " t\u3000", "k": " v ", " l ": "\n"}) as socket:
        assert not await service.reaches(socket, user, "t", '{"k":"v"," l ":"\\n"}')
        assert not await service.reaches(socket, user, "t", '{"k":" v "," l ":""}')
        assert not await service.reaches(socket, user, "t", '{"k":" v ","l":"\\n"}')
        await service.deliver(socket, user, "t", '{"k":" v "," l ":"\\n"}')
    async with service.connect(user, {"type": "t", " type": "u"}) as socket:
        assert not await service.reaches(socket, user, "t", '{"type":"u"}')
        await service.deliver(socket, user, "t", '{" type":"u"}')


SAME = [
    ('{"type":"t"}', '{"type":"t"}'),
    ('{"type":"t","a":"1","b":"2"}', '{"b":"2","a":"1","type":"t"}'),
    ('{"type":"t"}', '{"type":" t\\u3000"}'),
    ('{"type":"\\u00a0t"}', '{"type":"t "}'),
    ('{"type":"t","a":"\\u00e9"}', '{"type":"t","a":"é"}'),
    ('{"type":"t","a":"/"}', '{"\\u0074ype":"t","\\u0061":"\\/"}'),
    ('{"type":"t","a":"1"}', '{"type":"x","a":"0","type":"t","a":"1"}'),
    ('{"type":"t","a":"\\ud83d\\ude00"}', '{"type":"t","a":"😀"}'),
]


@pytest.mark.parametrize(("one", "other"), SAME)
async def test_equal_filters_are_held_once(service: Service, user: str, one: str, other: str) -> None:
    """Same keys and values in any key order and any notation; one unsubscribe removes what was added often."""
    payload = dump({"a": json.loads(one).get("a"), "b": "2"})
    async with service.connect(user) as socket:
        await socket.send(
            f'{{"type":"subscribe","filters":[{one},{other},{one}]}}', f'{{"type":"subscribe","filters":[{other}]}}'
        )
        await socket.settle()
        await service.deliver(socket, user, "t", payload)
        await service.deliver(socket, user, "t", payload)  # the first one came once
        for removal in (one, other):
            await socket.send(f'{{"type":"unsubscribe","filters":[{removal}]}}')
            await socket.settle()
            assert not await service.reaches(socket, user, "t", payload)
            await socket.send(f'{{"type":"subscribe","filters":[{one}]}}')
            await socket.settle()
            await service.deliver(socket, user, "t", payload)


UNEQUAL: list[tuple[Filter, Filter]] = [
    ({"type": "t"}, {"type": "T"}),
    ({"type": "t"}, {"type": "t", "a": "1"}),
    ({"type": "t", "a": "1"}, {"type": "t"}),
    ({"type": "t", "a": "1"}, {"type": "t", "a": "2"}),
    ({"type": "t", "a": "1"}, {"type": "t", "a": " 1"}),
    ({"type": "t", "a": "1"}, {"type": "t", "a": 1}),
    ({"type": "t", "a": "1"}, {"type": "t", "A": "1"}),
    ({"type": "t", "a": "1"}, {"type": "t", "b": "1"}),
    ({"type": "t", "a": "1", "b": "2"}, {"type": "t", "a": "1"}),
    ({"type": "t", "a": "1", "b": "2"}, {"type": "t", "a": "2", "b": "1"}),
    ({"type": "t", "a": "1&b=2"}, {"type": "t", "a": "1", "b": "2"}),
    ({"type": "t", "a": '1","b":"2'}, {"type": "t", "a": "1", "b": "2"}),
    ({"type": "t", "a": "1,b:2"}, {"type": "t", "a": "1", "b": "2"}),
    ({"type": "t", "a": "1\x00b\x002"}, {"type": "t", "a": "1", "b": "2"}),
    ({"type": "t", "a": ""}, {"type": "t"}),
    ({"type": "t", "é": "é"}, {"type": "t", "e\u0301": "e\u0301"}),
]


@pytest.mark.parametrize(("held", "removed"), UNEQUAL)
async def test_unsubscribe_removes_exactly_equal_filters(
    service: Service, user: str, held: Filter, removed: Filter
) -> None:
    """One that is narrower, wider or only similar stays."""
    payload = dump({key: value for key, value in held.items() if key != "type"})
    async with service.connect(user, held) as socket:
        await socket.unsubscribe(removed)
        await service.deliver(socket, user, "t", payload)
        await socket.unsubscribe(held)
        assert not await service.reaches(socket, user, "t", payload)


# Matching: filter, envelope type, payload, whether it is let through

T: Filter = {"type": "t"}
TK: Filter = {"type": "t", "k": "v"}

MATCHES: list[tuple[Filter, str | None, str | None]] = [
    (T, "t", None),
    (T, "t", "null"),
    (T, "t", "1"),
    (T, "t", '"k"'),
    (T, "t", "[]"),
    (T, "t", "{}"),
    (T, "t", '{"type":"u","k":1}'),
    (T, " t\n", None),
    ({"type": "message"}, None, None),
    ({"type": "Ünï 😀"}, "Ünï 😀", None),
    ({"type": '"\\\n\x00'}, '"\\\n\x00', None),
    (TK, "t", '{"k":"v"}'),
    (TK, "t", '{"j":1,"k":"v","l":{"k":1}}'),
    (TK, "t", '{"\\u006b":"\\u0076"}'),
    (TK, "t", ' {\n"k" : "v" } '),
    (TK, "t", '{"k":1,"k":"v"}'),
    ({"type": "t", "a": "1", "b": "2"}, "t", '{"b":"2","a":"1","c":"3"}'),
    ({"type": "t", "k": ""}, "t", '{"k":""}'),
    ({"type": "t", "": "v"}, "t", '{"":"v"}'),
    ({"type": "t", "a.b": "v"}, "t", '{"a.b":"v"}'),
    ({"type": "t", "é": "😀"}, "t", '{"\\u00e9":"\\ud83d\\ude00"}'),
    ({"type": "t", "k": "1"}, "t", '{"k":"1"}'),
    ({"type": "t", "k": "null"}, "t", '{"k":"null"}'),
    ({"type": "t", "__proto__": "v"}, "t", '{"__proto__":"v"}'),
    ({"type": "t", "userId": "somebody"}, "t", '{"userId":"somebody"}'),
    ({"type": "t", "k": "\x00"}, "t", '{"k":"\\u0000"}'),
    ({"type": "t", "k": "a/b"}, "t", '{"k":"a\\/b"}'),
    ({"type": "t", "k": "x" * 500}, "t", dump({"k": "x" * 500})),
    (TK, "t", '{"big":' + "9" * 5000 + ',"deep":' + "[" * 190 + "]" * 190 + ',"k":"v"}'),
]

NO_MATCHES: list[tuple[Filter, str | None, str | None]] = [
    (T, "T", None),
    (T, "tt", None),
    (T, "", None),
    (T, None, None),
    (T, "u", '{"type":"t"}'),
    ({"type": "*"}, "t", None),
    ({"type": "t*"}, "tt", None),
    ({"type": "t.*"}, "tt", None),
    ({"type": "Message"}, None, None),
    ({"type": "é"}, "e\u0301", None),
    (TK, "u", '{"k":"v"}'),
    (TK, "t", None),
    (TK, "t", "null"),
    (TK, "t", '"v"'),
    (TK, "t", '"k"'),
    (TK, "t", "1"),
    (TK, "t", "[]"),
    (TK, "t", '["k","v"]'),
    (TK, "t", '[{"k":"v"}]'),
    (TK, "t", "{}"),
    (TK, "t", '{"K":"v"}'),
    (TK, "t", '{"k":"V"}'),
    (TK, "t", '{"k":" v"}'),
    (TK, "t", '{" k":"v"}'),
    (TK, "t", '{"k":"vv"}'),
    (TK, "t", '{"k":["v"]}'),
    (TK, "t", '{"k":{"k":"v"}}'),
    (TK, "t", '{"a":{"k":"v"}}'),
    (TK, "t", '{"k":"v","k":"w"}'),
    (TK, "t", '{"k":"v","k":1}'),
    ({"type": "t", "k": "1"}, "t", '{"k":1}'),
    ({"type": "t", "k": "1.0"}, "t", '{"k":1.0}'),
    ({"type": "t", "k": "0"}, "t", '{"k":false}'),
    ({"type": "t", "k": "true"}, "t", '{"k":true}'),
    ({"type": "t", "k": "null"}, "t", '{"k":null}'),
    ({"type": "t", "k": "null"}, "t", "{}"),
    ({"type": "t", "k": "undefined"}, "t", "{}"),
    ({"type": "t", "k": "[]"}, "t", '{"k":[]}'),
    ({"type": "t", "k": "{}"}, "t", '{"k":{}}'),
    ({"type": "t", "k": '"v"'}, "t", '{"k":"v"}'),
    ({"type": "t", "k": ""}, "t", "{}"),
    ({"type": "t", "k": ""}, "t", '{"k":null}'),
    ({"type": "t", "k": "*"}, "t", '{"k":"v"}'),
    ({"type": "t", "a": "1", "b": "2"}, "t", '{"a":"1"}'),
    ({"type": "t", "a": "1", "b": "2"}, "t", '{"a":"1","b":"3"}'),
    ({"type": "t", "a": "1", "b": "2"}, "t", '{"a":"2","b":"1"}'),
    ({"type": "t", "a": "1", "b": "1"}, "t", '{"a":"1"}'),
    ({"type": "t", "a": "1", "b": "2"}, "t", '{"a":"1","b":2}'),
    ({"type": "t", "a.b": "v"}, "t", '{"a":{"b":"v"}}'),
    ({"type": "t", "0": "v"}, "t", '["v"]'),
    ({"type": "t", "0": "v"}, "t", '"v"'),
    ({"type": "t", "length": "1"}, "t", '"v"'),
    ({"type": "t", "__proto__": "v"}, "t", "{}"),
    ({"type": "t", "constructor": "Object"}, "t", "{}"),
    ({"type": "t", "k": "é"}, "t", '{"k":"e\\u0301"}'),
    ({"type": "t", "k": "\ufffd"}, "t", '{"k":"\\ud800"}'),
    ({"type": "t", "k": "\\u0076"}, "t", '{"k":"v"}'),
    ({"type": "t", "payload": "v"}, "t", '"v"'),
    ({"type": "t", "type ": "t"}, "t", "{}"),
]


def describe(value: Any) -> str:
    return ascii(value)[:60]


@pytest.mark.parametrize(("filter", "envelope_type", "payload"), MATCHES, ids=describe)
async def test_a_filter_matches(
    service: Service, user: str, filter: Filter, envelope_type: str | None, payload: str | None
) -> None:
    """When its type is the envelope's and its other keys are equal to the payload's at the top level."""
    async with service.connect(user, filter) as socket:
        assert await service.reaches(socket, user, envelope_type, payload)


@pytest.mark.parametrize(("filter", "envelope_type", "payload"), NO_MATCHES, ids=describe)
async def test_a_filter_does_not_match(
    service: Service, user: str, filter: Filter, envelope_type: str | None, payload: str | None
) -> None:
    """Another type, another string, a number, something nested, or a payload that is no object."""
    async with service.connect(user, filter, {"type": "marker"}) as socket:
        assert not await service.reaches(socket, user, envelope_type, payload)
        await service.deliver(socket, user, "marker")


async def test_the_target_is_not_a_field_of_the_payload(service: Service, user: str) -> None:
    async with service.connect(user, {"type": "t", "userId": user}) as socket:
        assert not await service.reaches(socket, user, "t", "{}")
        await service.deliver(socket, user, "t", dump({"userId": user}))


async def test_filters_of_a_socket_are_ored(service: Service, user: str) -> None:
    """Each one lets its envelopes through."""
    filters: list[Filter] = [{"type": "t", "a": "1"}, {"type": "t", "b": "2"}, {"type": "u"}]
    async with service.connect(user, *filters) as socket:
        await service.deliver(socket, user, "t", '{"a":"1"}')
        await service.deliver(socket, user, "t", '{"b":"2","a":"0"}')
        await service.deliver(socket, user, "u", "null")
        assert not await service.reaches(socket, user, "t", '{"a":"2","b":"1"}')


async def test_an_envelope_reaches_a_socket_at_most_once(service: Service, user: str) -> None:
    """Even when several filters match it; the next frame is the next envelope."""
    filters: list[Filter] = [{"type": "t"}, {"type": "t", "a": "1"}, {"type": "t", "b": "2"}, {"type": "marker"}]
    async with service.connect(user, *filters) as socket:
        await service.deliver(socket, user, "t", '{"a":"1","b":"2"}')
        await service.deliver(socket, user, "marker")
        await socket.settle()


async def test_an_envelope_reaches_every_socket_that_matches(service: Service, user: str) -> None:
    """And none of the user's others, on whichever process they are."""
    async with (
        service.connect(user, {"type": "t"}) as one,
        service.connect(user, {"type": "t", "k": "v"}) as two,
        service.connect(user, {"type": "t", "k": "w"}) as three,
        service.connect(user, {"type": "u"}) as four,
    ):
        publish = service.begin(user, "t", '{"k":"v"}')
        for socket in (one, two):
            await socket.ack(await socket.envelope())
        assert await publish == answered(2, "null", "null")
        await service.deliver(four, user, "u")
        await three.subscribe({"type": "marker"})
        await service.deliver(three, user, "marker")
