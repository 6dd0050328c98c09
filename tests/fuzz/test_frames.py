"""Frames of every kind: what they say takes effect or is ignored, and a socket closes only when RFC 6455 says so."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tests.clients import BLANKS, dump
from tests.fuzz import wire
from tests.fuzz.conftest import MB, Site
from tests.fuzz.wire import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, RawSocket, fragmented, frame

numbers = count()
told: Counter[bool] = Counter()  # whether those who broke the protocol were told so before their connection ended

Filter = frozenset[tuple[str, str]]

# The model: what a socket must want after it was told this, by the protocol's page alone.


@dataclass
class Model:
    """What a socket must want, and how often it must have been answered with `pong`."""

    filters: set[Filter] = field(default_factory=set)
    pongs: int = 0

    def hear(self, text: str) -> None:
        if (message := text.strip(BLANKS)).isascii() and message.lower() == "ping":
            self.pongs += 1
            return
        said = strict_json(text) if len(text.encode()) <= MB else None
        if not isinstance(said, dict) or not isinstance(given := said.get("filters"), list):
            return
        filters = {wanted for entry in given[:50] if (wanted := valid_filter(entry))}
        if said.get("type") == "subscribe":
            self.filters |= filters
        elif said.get("type") == "unsubscribe":
            self.filters -= filters


def strict_json(text: str) -> Any:
    if "[" * 100 in text or '{"":' * 100 in text:  # no other text here comes near the bound
        depth, deepest = 0, 0
        for character in re.sub(r'"(?:[^"\\]|\\.)*"', "", text, flags=re.DOTALL):
            depth += (character in "[{") - (character in "]}")
            deepest = max(deepest, depth)
        if deepest > 512:
            return None
    try:
        return json.loads(text, parse_int=float, parse_constant=refuse)
    except ValueError:
        return None


def refuse(constant: str) -> None:
    raise ValueError(constant)


def valid_filter(entry: Any) -> Filter | None:
    if not isinstance(entry, dict) or not all(isinstance(value, str) for value in entry.values()) or len(entry) > 32:
        return None
    wanted = {**entry, "type": entry.get("type", "").strip(BLANKS)}
    longest = max(len(text) for pair in wanted.items() for text in pair)
    return frozenset(wanted.items()) if wanted["type"] and longest <= 1024 else None


# What is sent

TYPES, VALUES = ["a", "b", "é"], ["", "1", "ü\ud800"]
FILTERS: list[Any] = [{"type": type} for type in TYPES]
FILTERS += [{"type": type, "k": value} for type in TYPES for value in VALUES]
SPOILT: list[Any] = [{}, {"type": " "}, {"type": 1}, {"type": "a", "k": 1}, {"type": "a", "k": None}, "a", None, 1, []]
SPOILT += [{"type": "x" * 1025}, {"type": "a", "x" * 1025: ""}, {"type": "a", **{str(n): "" for n in range(32)}}]

changes = st.builds(
    lambda kind, filters: dump({"type": kind, "filters": filters}),
    st.sampled_from(["subscribe", "subscribe", "unsubscribe"]),
    st.lists(st.sampled_from([*FILTERS, *FILTERS, *SPOILT]), max_size=6),
)
scalars = st.sampled_from(
    [None, True, 0, -1, 1e300, 10**400, "", "a", "subscribe", "filters", "type", "\x00", "\ud800"]
)
values = st.recursive(
    scalars | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["type", "filters", "envelopeId", "result", "k", ""]), inner, max_size=4)
    ),
    max_leaves=8,
)
messages = st.builds(
    lambda kind, rest: dump({"type": kind, **rest}),
    st.sampled_from(["subscribe", "unsubscribe", "ack", "ping", "Subscribe", " ack", "", "publish", None, 1]),
    st.dictionaries(st.sampled_from(["filters", "envelopeId", "result", "type "]), values, max_size=3),
)
pings = st.sampled_from(["ping", "PiNg", "\u3000ping\ufeff", "\x1cping", "ping\x00", '"ping"', "pıng", "pings", "pong"])
DEEP = [
    opening * levels + middle + closing * (levels if is_whole else levels - 1)
    for opening, middle, closing in (("[", "", "]"), ('{"":', "1", "}"))
    for levels in (511, 512, 513, 700, 5_000, 200_000)
    for is_whole in (True, False)
]
deep = st.sampled_from(
    [*DEEP, *(f'{{"type":"subscribe","filters":[{{"type":"a"}},{text}]}}' for text in DEEP if len(text) < 20_000)]
)
huge = st.sampled_from(
    [
        "x" * MB,
        dump("\ud800" * 50_000),
        dump({"type": "subscribe", "filters": [{"type": "b", "k": "y" * 200_000}, {"type": "a"}]}),
        dump({"type": "subscribe", "filters": [{"type": "b"}, *[{}] * 50, {"type": "a"}], "x": "日" * 100_000}),
        f'{{"type":"subscribe","filters":[{{"type":"a"}}],"n":{"9" * 100_000}}}',
        '{"type":"unsubscribe","filters":[' + '{"type":"a"},' * 60_000 + '{"type":"a"}]}',
    ]
)


@st.composite
def mutated(draw: st.DrawFn) -> str:
    """A valid message with a piece taken out, doubled, or put in the place of another."""
    text = draw(changes)
    start, size = draw(st.integers(0, len(text))), draw(st.integers(0, 6))
    piece = draw(st.sampled_from(["", ",", '"', "}", "]", "\\", "\ufeff", "NaN", "\x00", "\\ud800", " ", "0", "é"]))
    return text[:start] + draw(st.sampled_from([piece, text[start : start + size] * 2])) + text[start + size :]


common = st.one_of(changes, changes, mutated(), messages, values.map(dump), pings, st.text(max_size=40))
rare = st.one_of(deep, huge)


@dataclass(frozen=True)
class Message:
    """A message, and how it is put into frames. The pings of the WebSocket protocol between them are answered too."""

    content: str | bytes
    cuts: tuple[int, ...] = ()
    between: tuple[bytes, ...] = ()

    @property
    def frames(self) -> bytes:
        is_text = isinstance(self.content, str)
        payload = self.content.encode() if isinstance(self.content, str) else self.content
        return fragmented(payload, self.cuts, b"".join(self.controls), TEXT if is_text else BINARY)

    @property
    def controls(self) -> Iterator[bytes]:
        for number, ping in enumerate(self.between):
            yield frame(ping, PING if number % 2 == 0 else PONG)

    @property
    def pings(self) -> list[bytes]:
        payload = self.content.encode() if isinstance(self.content, str) else self.content
        parts = len({0, *(cut for cut in self.cuts if cut < len(payload))}) if payload else 1
        return list(self.between[::2]) * (parts - 1)


cuts = st.just(()) | st.lists(st.integers(0, 50), max_size=4).map(tuple)
between = st.just(()) | st.lists(st.binary(max_size=10), max_size=2).map(tuple)
batches = st.lists(
    st.builds(Message, common, cuts, between) | st.binary(max_size=20).map(Message), min_size=20, max_size=40
)


@given(batch=batches, extra=st.none() | rare.map(Message))
def test_what_is_valid_takes_effect_and_the_rest_is_ignored(
    site: Site, batch: list[Message], extra: Message | None
) -> None:
    """However they are put into frames, and whatever came before. Publishes prove it."""
    user, model, pings = f"frames {next(numbers)}", Model(), []
    with RawSocket(site.servers[0], user) as socket:
        whole = [*batch, *([extra] if extra else []), *map(Message, draw_late(batch))]
        for message in whole:
            if isinstance(message.content, str):
                model.hear(message.content)
            pings += message.pings
        socket.send(b"".join(message.frames for message in whole) + frame(b"ping"))
        assert [socket.text() for _ in range(model.pongs + 1)] == ["pong"] * (model.pongs + 1)
        assert socket.pongs == pings
        site.sent["frames"] += len(whole)
        for type in TYPES:
            for payload in ('{"k":""}', '{"k":"1"}', r'{"k":"\u00fc\ud800"}', '{"k":1}'):
                envelope = {"type": type, **json.loads(payload)}
                is_wanted = any(wanted <= set(envelope.items()) for wanted in model.filters)
                assert site.deliver(socket, user, type, payload) == is_wanted
        socket.settle()
    site.assert_well()


def draw_late(batch: list[Message]) -> list[str]:
    """A change behind all else, so that what it ends with is not what was drawn last."""
    return [dump({"type": "subscribe", "filters": [FILTERS[len(batch) % len(FILTERS)]]})]


# What breaks the WebSocket protocol (RFC 6455, section 7.4.1)

PROTOCOL_ERROR, INVALID_DATA, TOO_BIG = 1002, 1007, 1009
BAD_UTF8 = [b"\xff", b"\xc0\xaf", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"ok \xe2\x82", b"\x80"]
BAD_CODES = [0, 1, 999, 1004, 1005, 1006, 1015, 2999, 5000, 65535]

data, kinds, controls = st.binary(max_size=9), st.sampled_from([TEXT, BINARY]), st.sampled_from([PING, PONG])
broken_frames = st.one_of(
    st.builds(frame, data, kinds, reserved=st.integers(1, 7)),
    st.builds(frame, data, st.sampled_from([3, 4, 5, 6, 7, 11, 12, 13, 14, 15])),
    st.builds(frame, data, kinds | controls, masked=st.just(False)),
    st.builds(frame, data, controls, fin=st.just(False)),
    st.builds(frame, st.integers(126, 70_000).map(bytes), controls),
    st.builds(frame, data, st.just(CONTINUATION), fin=st.booleans()),
    st.builds(lambda first, second: frame(b"a", first, fin=False) + frame(b"b", second), kinds, kinds),
    st.sampled_from([b"\x81\xff" + b"\xff" * 8, b"\x81\xfe\x00\x01", b"\x81\xff" + b"\0" * 7 + b"\x01"]).map(
        lambda head: head + wire.MASK + b"x"  # a length that is negative, or not as short as can be
    ),
)
not_utf8 = st.builds(fragmented, st.sampled_from(BAD_UTF8), st.lists(st.integers(1, 4), max_size=3))
too_big = st.sampled_from(
    [
        frame(b"x" * (MB + 1)),
        frame(b"x" * MB, fin=False) + frame(b"x", CONTINUATION),
        b"\x81\xff" + (1 << 40).to_bytes(8, "big") + wire.MASK,
    ]
)
broken_goodbyes = st.one_of(
    st.builds(frame, data, st.just(CLOSE), fin=st.just(False)),
    st.builds(frame, data, st.just(CLOSE), masked=st.just(False)),
    st.just(frame(b"\x03", CLOSE)),
    st.sampled_from(BAD_CODES).map(lambda code: frame(code.to_bytes(2, "big"), CLOSE)),
    st.sampled_from(BAD_UTF8).map(lambda reason: frame(b"\x03\xe8" + reason, CLOSE)),
)
DROPPED = 1006


@dataclass(frozen=True)
class Violation:
    sent: bytes
    codes: set[int]

    def __repr__(self) -> str:
        return f"Violation({self.sent[:80]!r}…, {self.codes})"  # some are a megabyte


violations = st.one_of(
    st.builds(Violation, broken_frames, st.just({PROTOCOL_ERROR})),
    st.builds(Violation, broken_frames, st.just({PROTOCOL_ERROR})),
    st.builds(Violation, not_utf8, st.just({INVALID_DATA})),
    st.builds(Violation, too_big, st.just({TOO_BIG})),
    # Whoever says goodbye may not hear what was wrong with it: autobahn then drops the connection (7.1.7 says SHOULD).
    st.builds(Violation, broken_goodbyes, st.just({PROTOCOL_ERROR, INVALID_DATA, DROPPED})),
)


@given(broken=st.lists(violations, min_size=5, max_size=5), noise=st.lists(common, max_size=4))
def test_what_breaks_the_websocket_protocol_closes_that_socket_alone(
    site: Site, broken: list[Violation], noise: list[str]
) -> None:
    """With the code that RFC 6455 asks for. (A few are reset before it is read: TCP does so to who sends on.)"""
    for violation in broken:
        with RawSocket(site.servers[0], "somebody") as socket:
            socket.send(b"".join(frame(text.encode()) for text in noise) + violation.sent + frame(b"ping"))
            code = socket.close_code()
        assert code in {*violation.codes, DROPPED}
        told[code != DROPPED or DROPPED in violation.codes] += 1
        site.sent["frames"] += len(noise) + 2
    site.assert_well()


@given(chunks=st.lists(st.binary(max_size=200), min_size=20, max_size=20))
def test_bytes_that_are_no_frames_harm_nobody_else(site: Site, chunks: list[bytes]) -> None:
    sockets = [RawSocket(site.servers[number % 2], "somebody") for number in range(len(chunks))]
    for socket, chunk in zip(sockets, chunks, strict=True):
        socket.send(chunk)
    site.sent["frames"] += len(chunks)
    site.assert_well()
    for socket in sockets:
        with socket:
            socket.end()


def test_thousands_of_frames_were_sent(site: Site) -> None:
    assert site.sent["frames"] > 2_000
    assert told[False] * 50 <= told[True]
