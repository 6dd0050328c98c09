"""To trim is what JavaScript's trim() is, and JSON is strict JSON, wherever text comes in."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable

import pytest

from tests.clients import BLANKS, NO_BLANKS, NOBODY, Envelope, Service, answered, bearer, dump, sign, token

Trims = Callable[[Service, str, str], Awaitable[bool]]

# Trimming: does a place take this character away from both ends?


async def the_user_of_a_token(service: Service, user: str, blank: str) -> bool:
    async with service.connect(user, {"type": "t"}, jwt_text=token(f"{blank}{user}{blank}")) as socket:
        return await service.reaches(socket, user, "t")


async def the_target_of_a_publish(service: Service, user: str, blank: str) -> bool:
    async with service.connect(user, {"type": "t"}) as socket:
        return await service.reaches(socket, f"{blank}{user}{blank}", "t")


async def the_type_of_a_publish(service: Service, user: str, blank: str) -> bool:
    async with service.connect(user, {"type": "t"}) as socket:
        return await service.reaches(socket, user, f"{blank}t{blank}")


async def the_type_of_a_filter(service: Service, user: str, blank: str) -> bool:
    async with service.connect(user, {"type": f"{blank}t{blank}"}) as socket:
        return await service.reaches(socket, user, "t")


async def a_ping(service: Service, user: str, blank: str) -> bool:
    async with service.connect(user, {"type": "t"}) as socket:
        await socket.send(f"{blank}pinG{blank}", "ping")
        assert await socket.recv() == "pong"
        publish = service.begin(user, "t")
        trimmed = (frame := await socket.recv()) == "pong"
        await socket.ack(Envelope.read(await socket.recv() if trimmed else frame))
        assert await publish == answered(1, "null")
        return trimmed


PLACES = [the_user_of_a_token, the_target_of_a_publish, the_type_of_a_publish, the_type_of_a_filter, a_ping]


@pytest.mark.parametrize("trims", PLACES)
async def test_what_javascript_trims_is_trimmed(service: Service, user: str, trims: Trims) -> None:
    """No-break space, U+3000 and U+FEFF included."""
    assert [blank for blank in BLANKS if not await trims(service, user, blank)] == []


@pytest.mark.parametrize("trims", PLACES)
async def test_what_javascript_does_not_trim_stays(service: Service, user: str, trims: Trims) -> None:
    """U+001C to U+001F and U+0085, which Python strips, and the zero-width characters, which nobody does."""
    assert [character for character in NO_BLANKS if await trims(service, user, character)] == []


@pytest.mark.parametrize("blanks", ["", *BLANKS, BLANKS], ids=ascii)
async def test_text_of_blanks_only_is_blank(service: Service, user: str, blanks: str) -> None:
    """It names no user in a token and no target in a publish, and as a type it means `message`."""
    assert not await service.admits("publish", bearer(token(blanks)))
    assert not await service.admits("socket", bearer(token(blanks)))
    assert (await service.post(dump({"userId": blanks}))).content == b'{"error":"userId is required"}'
    async with service.connect(user, {"type": "message"}) as socket:
        assert await service.reaches(socket, user, blanks)


async def test_text_that_javascript_does_not_trim_is_not_blank(service: Service, user: str) -> None:
    """A character that JavaScript's trim leaves makes a user, a target and a type."""
    for character in NO_BLANKS:
        assert await service.admits("publish", bearer(token(character))), ascii(character)
        assert (await service.post(dump({"userId": character}))).content.decode() == NOBODY, ascii(character)
        async with service.connect(user, {"type": character}) as socket:
            await service.deliver(socket, user, character)


# JSON: `members` are the members of an object that would do, and are put in place of the %.

NOT_JSON = {
    "NaN": '{%,"x":NaN}',
    "Infinity": '{%,"x":Infinity}',
    "-Infinity": '{%,"x":-Infinity}',
    "NaN deep inside": '{%,"x":[{"y":[NaN]}]}',
    "a BOM": "\ufeff{%}",
    "a trailing comma in an object": "{%,}",
    "a trailing comma in an array": '{%,"x":[1,]}',
    "two commas": '{%,,"x":1}',
    "single quotes": "{%,'x':1}",
    "a key without quotes": "{%,x:1}",
    "a comment": "{%}//",
    "two documents": "{%}{%}",
    "something behind": "{%} x",
    "no end": "{%",
    "no value": '{%,"x":}',
    "no colon": '{%,"x"}',
    "a line break in a string": '{%,"x":"\n"}',
    "a tab in a string": '{%,"x":"\t"}',
    "a NUL in a string": '{%,"x":"\x00"}',
    "a tab in a string deep inside": '{%,"x":[{"y":"\t"}]}',
    "an unknown escape": r'{%,"x":"\x41"}',
    "a short escape": r'{%,"x":"\u12"}',
    "a broken escape": r'{%,"x":"\u12G4"}',
    "an escape with a sign": r'{%,"x":"\u+123"}',
    "a leading zero": '{%,"x":01}',
    "a plus": '{%,"x":+1}',
    "a bare fraction": '{%,"x":.5}',
    "a bare point": '{%,"x":1.}',
    "an empty exponent": '{%,"x":1e}',
    "a bare minus": '{%,"x":-}',
    "hexadecimal": '{%,"x":0x10}',
    "an underscore": '{%,"x":1_0}',
    "other digits": '{%,"x":\u0661}',
    "True": '{%,"x":True}',
    "undefined": '{%,"x":undefined}',
    "no-break space": "{%}\u00a0",
    "a form feed": "\f{%}",
    "a vertical tab": "{%\v}",
    "a line separator": "{%}\u2028",
    "a NUL behind": "{%}\x00",
}

NOT_UTF8 = {
    "a stray byte": b'{%,"x":"\xff"}',
    "a stray byte in a key": b'{%,"\xff":1}',
    "Latin-1": '{%,"x":"é"}'.encode("latin-1"),
    "a cut sequence": b'{%,"x":"\xe2\x82"}',
    "an overlong sequence": b'{%,"x":"\xc0\xaf"}',
    "an encoded surrogate": b'{%,"x":"\xed\xa0\x80"}',
    "beyond Unicode": b'{%,"x":"\xf4\x90\x80\x80"}',
    "a BOM": b"\xef\xbb\xbf{%}",
}

JSON = {
    "as it is": "{%}",
    "white space": " \t\r\n{ % }\n",
    "a large integer": '{%,"x":' + "9" * 5000 + "}",
    "a float beyond doubles": '{%,"x":1e400}',
    "an escaped lone surrogate": r'{%,"x":"\ud83d"}',
    "an escaped lone surrogate as key": r'{%,"\uDE00":1}',
    "all escapes": r'{%,"x":"\"\\\/\b\f\n\r\t\u00e9\u0000"}',
    "a line separator in a string": '{%,"x":"\u2028"}',
    "DEL in a string": '{%,"x":"\x7f"}',
    "an astral character": '{%,"x":"😀"}',
    "200 levels": '{%,"x":' + "[" * 199 + "]" * 199 + "}",
    "200 levels of objects": '{%,"x":' + '{"x":' * 198 + "{}" + "}" * 198 + "}",
    "equal keys": '{%,"x":1,"x":2}',
    "an empty key": '{%,"":1}',
}

IN_ENCODINGS = ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-8-sig"]


def fill(text: str, members: str) -> str:
    return text.replace("%", members, 1).replace("%", members)


def fill_bytes(data: bytes, members: str) -> bytes:
    return data.replace(b"%", members.encode())


def not_json(members: str) -> list[tuple[str, bytes]]:
    """Every way not to be JSON, as (its name, bytes)."""
    return [
        *((name, fill(text, members).encode()) for name, text in NOT_JSON.items()),
        *((name, fill_bytes(data, members)) for name, data in NOT_UTF8.items()),
        *((encoding, f"{{{members}}}".encode(encoding)) for encoding in IN_ENCODINGS),
    ]


async def test_a_body_that_is_not_json_is_refused(service: Service) -> None:
    """With 400, and with the words for it, whatever else is in the body."""
    for name, body in not_json('"userId":"nobody"'):
        response = await service.post(body)
        assert (response.status_code, response.content) == (400, b'{"error":"Invalid JSON body"}'), name


async def test_a_frame_that_is_not_json_is_ignored(service: Service, user: str) -> None:
    """It subscribes to nothing and is not answered."""
    async with service.connect(user) as socket:
        for name, text in NOT_JSON.items():
            await socket.send(fill(text, '"type":"subscribe","filters":[{"type":"t"}]'))
            await socket.settle()
            assert await service.publish(user, "t") == NOBODY, name
        await socket.subscribe({"type": "t"})
        await service.deliver(socket, user, "t")


async def test_a_filter_that_is_not_json_spoils_its_message(service: Service, user: str) -> None:
    """A message is JSON as a whole: the filter beside the broken one is not taken either."""
    async with service.connect(user) as socket:
        for name, text in NOT_JSON.items():
            frame = '{"type":"subscribe","filters":[{"type":"t"},%]}'.replace("%", fill(text, '"type":"u"'))
            await socket.send(frame)
            await socket.settle()
            assert await service.publish(user, "t") == NOBODY, name


async def test_a_token_whose_claims_are_not_json_is_refused(service: Service) -> None:
    admitted = [
        name for name, claims in not_json('"userId":"u"') if await service.admits("publish", bearer(sign(claims)))
    ]
    assert admitted == []


async def test_a_token_whose_header_is_not_json_is_refused(service: Service) -> None:
    claims = {"userId": "u"}
    admitted = [
        name
        for name, header in not_json('"alg":"HS256"')
        if await service.admits("publish", bearer(sign(claims, header)))
    ]
    assert admitted == []


@pytest.mark.parametrize("text", JSON.values(), ids=JSON)
async def test_what_is_json_is_taken(service: Service, user: str, text: str) -> None:
    """In a body, in a frame, and in the claims and the header of a token."""
    if len(text) < 3000:  # a request's header line has its own limit
        assert await service.admits("publish", bearer(sign(fill(text, '"userId":"u"').encode())))
        assert await service.admits("socket", bearer(sign({"userId": "u"}, fill(text, '"alg":"HS256"').encode())))
    async with service.connect(user) as socket:
        await socket.send(fill(text, '"type":"subscribe","filters":[{"type":"t"}]'))
        await socket.settle()
        publish = asyncio.create_task(service.post(fill(text, f'"userId":"{user}","type":"t"').encode()))
        await socket.ack(await socket.envelope())
        assert (await publish).content.decode() == answered(1, "null")


async def test_of_equal_keys_the_last_counts(service: Service, user: str) -> None:
    """In a token, in a body, in a frame, in a filter, in a payload that a filter looks into, and in an ack."""
    claims = f'{{"userId":1,"userId":"somebody else","userId":"{user}"}}'.encode()
    header = b'{"alg":"none","alg":"HS256"}'
    async with service.connect(user, jwt_text=sign(claims, header)) as socket:
        await socket.send(
            '{"type":"unsubscribe","filters":[],"type":"subscribe",'
            '"filters":[{"type":"wrong"}],"filters":[{"type":"t","type":"u","k":1,"k":"w","k":"v"}]}'
        )
        await socket.settle()
        body = f'{{"userId":null,"userId":"{user}","type":"t","type":"u","payload":1,"payload":{{"k":"v","k":%}}}}'
        assert (await service.post(body.replace("%", '"w"'))).content.decode() == NOBODY
        publish = asyncio.create_task(service.post(body.replace("%", '"v"')))
        envelope = await socket.envelope()
        assert envelope.type == "u"
        assert json.loads(envelope.payload or "null") == {"k": "v"}
        await socket.send(
            f'{{"type":"ack","envelopeId":"unknown","envelopeId":"{envelope.id}","result":[1],"result":[2]}}'
        )
        assert (await publish).content.decode() == answered(1, "[2]")
    assert (await service.post(f'{{"userId":"{user}","userId":null}}')).content == b'{"error":"userId is required"}'
    assert not await service.admits("publish", bearer(sign(b'{"userId":"u","userId":1}')))


async def test_an_escaped_lone_surrogate_stays_as_it_is(service: Service, user: str) -> None:
    """In a user, a type, a filter, a payload and a result: it is neither lost nor replaced."""
    strange = f"{user}\ud83d"
    async with service.connect(strange, {"type": "\ude00", "\ud801": "\udc02"}) as socket:
        payload = r'{"\ud801":"\udc02","text":"a\ud83db"}'
        envelope = await service.deliver(socket, strange, "\ude00", payload, result=r'"\udfff"')
        assert envelope.payload == payload
        assert not await service.reaches(socket, user, "\ude00", payload)
        assert not await service.reaches(socket, f"{user}\ufffd", "\ude00", payload)
        assert not await service.reaches(socket, strange, "\ufffd", payload)
        assert not await service.reaches(socket, strange, "\ude00", r'{"\ud801":"\ufffd"}')
