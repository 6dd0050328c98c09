"""The envelope, as the socket gets it, byte for byte."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta

import pytest

from tests.clients import Service, answered, dump

# JSON values whose text has to arrive as it was sent, in an envelope or in an answer.
VALUES = {
    "null": "null",
    "true": "true",
    "false": "false",
    "zero": "0",
    "minus zero": "-0",
    "an integer": "42",
    "a large integer": "12345678901234567890123456789",
    "a very large integer": "9" * 5000,
    "a float": "1.5",
    "a whole float": "1.0",
    "a float with zeros": "0.1000",
    "a float of many digits": "0.1000000000000000055511151231257827",
    "an exponent": "-1E+2",
    "beyond doubles": "1e400",
    "beneath doubles": "1e-400",
    "an empty string": '""',
    "a string": '"abc"',
    "unicode": '"Ünï 用户 😀 \u2028 \x7f \u0085"',
    "escapes": r'"\u00fc \ud83d\ude00 \/ / \b\f\n\r\t\" \\ \u0000 \u003c\u2028"',
    "capitals in an escape": r'"\u00FC\u00fC"',
    "a lone surrogate": r'"\ud83d"',
    "a lone surrogate inside": r'{"a":["x\ude00y"]}',
    "a surrogate as key": r'{"\ud83d":1}',
    "markup": '"</script><!-- & \'"',
    "an empty object": "{}",
    "an empty array": "[]",
    "an object": '{"b":1,"a":{"c":[1,2.0,null,{"d":"e"}]}}',
    "keys out of order": '{"2":1,"1":2,"z":3,"a":4}',
    "odd keys": '{"":0,"envelopeId":"x","type":1,"__proto__":{},"payload":null}',
    "an array": '[1,"2",[3],{"4":5},null,true]',
    "200 levels": "[" * 200 + "]" * 200,
    "200 levels of objects": '{"a":' * 199 + "{}" + "}" * 199,
    "a long string": '"' + "x" * 200_000 + '"',
}


async def test_the_envelope_is_one_text_frame(service: Service, user: str) -> None:
    """Its keys in their order and without spaces."""
    async with service.connect(user, {"type": "t"}) as socket:
        envelope = await service.deliver(socket, user, "t", '{"a":[1,"b"]}')
        assert envelope.raw == (
            f'{{"envelopeId":"{envelope.id}","type":"t","userId":"{user}",'
            f'"timestamp":"{envelope.timestamp}","payload":{{"a":[1,"b"]}}}}'
        )
        assert list(json.loads(envelope.raw)) == ["envelopeId", "type", "userId", "timestamp", "payload"]


@pytest.mark.parametrize("value", VALUES.values(), ids=VALUES)
async def test_the_payload_is_what_the_publisher_sent(service: Service, user: str, value: str) -> None:
    """Every value as it was: big integers, floats, unicode and escapes included; `null` when it was `null`."""
    async with service.connect(user, {"type": "t"}) as socket:
        envelope = await service.deliver(socket, user, "t", value)
        assert envelope.payload == value


async def test_white_space_in_the_payload_changes_no_value(service: Service, user: str) -> None:
    payload = ' \t{ "a" : [ 1 , "b c" ]\r\n, "d" : { } } '
    async with service.connect(user, {"type": "t"}) as socket:
        envelope = await service.deliver(socket, user, "t", payload)
        assert json.loads(envelope.raw)["payload"] == {"a": [1, "b c"], "d": {}}


async def test_the_payload_is_absent_when_the_request_had_none(service: Service, user: str) -> None:
    async with service.connect(user, {"type": "t"}) as socket:
        envelope = await service.deliver(socket, user, "t", None)
        assert envelope.payload is None
        assert envelope.raw.endswith(f'"timestamp":"{envelope.timestamp}"}}')
        assert "payload" not in json.loads(envelope.raw)


STRINGS = ["Ünï 用户 😀", '"', "\\", "a\nb", "a\x00b", "\u2028", "</script>", "a/b", "\x7f\x85"]


@pytest.mark.parametrize("text", STRINGS, ids=ascii)
async def test_type_and_user_are_the_publishers(service: Service, user: str, text: str) -> None:
    """Trimmed, and else as they were."""
    name, envelope_type = f"{user}{text}.", f".{text}."  # a dot, so that no end is trimmed
    async with service.connect(name, {"type": envelope_type}) as socket:
        publish = service.begin(f" {name}\n", f"\u3000{envelope_type}\t")
        envelope = await socket.envelope()
        assert (envelope.user, envelope.type) == (name, envelope_type)
        await socket.ack(envelope)
        assert await publish == answered(1, "null")


async def test_the_timestamp_is_utc_with_milliseconds(service: Service, user: str) -> None:
    """And is the time of the publish."""
    async with service.connect(user, {"type": "t"}) as socket:
        before = datetime.now(UTC) - timedelta(milliseconds=1)
        stamps = [(await service.deliver(socket, user, "t")).timestamp for _ in range(5)]
        after = datetime.now(UTC) + timedelta(milliseconds=1)
    assert all(len(stamp) == 24 and stamp.endswith("Z") for stamp in stamps)
    times = [datetime.fromisoformat(stamp) for stamp in stamps]
    assert [before, *times, after] == sorted([before, *times, after])


async def test_the_envelope_id_is_unique(service: Service, user: str) -> None:
    """Over publishes at once and one after the other, to one user and to others."""
    async with service.connect(user, {"type": "t"}) as one, service.connect(f"other-{user}", {"type": "t"}) as two:
        publishes = [service.begin(user, "t") for _ in range(20)]
        ids = []
        for _ in publishes:
            envelope = await one.envelope()
            ids.append(envelope.id)
            await one.ack(envelope)
        await asyncio.gather(*publishes)
        ids += [(await service.deliver(two, f"other-{user}", "t")).id for _ in range(20)]
    assert len(set(ids)) == 40


async def test_what_the_server_makes_is_ignored_in_the_request(service: Service, user: str) -> None:
    """An `envelopeId`, and a `timestamp` too; what the publisher sends beside the fields goes nowhere."""
    body = {"envelopeId": "mine", "timestamp": "2001-01-01T00:00:00.000Z", "userId": user, "type": "t", "more": 1}
    async with service.connect(user, {"type": "t"}) as socket:
        publish = asyncio.create_task(service.post(dump(body)))
        envelope = await socket.envelope()
        assert envelope.id != "mine"
        assert not envelope.timestamp.startswith("2001")
        assert list(json.loads(envelope.raw)) == ["envelopeId", "type", "userId", "timestamp"]
        await socket.say(type="ack", envelopeId="mine", result="wrong")
        await socket.settle()
        await socket.ack(envelope, '"right"')
        assert (await publish).content.decode() == answered(1, '"right"')
