"""What our server does with frames and messages, without a connection."""

from __future__ import annotations

import asyncio

from autobahn.websocket.protocol import PreparedMessage
from hypothesis import given
from hypothesis import strategies as st

from realtime.server.websocket import OVERHEAD, UNREAD, Inbox, WebSocketFactory, unmasked


@given(st.binary(min_size=1, max_size=125))
def test_a_short_frame_is_unmasked_to_what_its_client_masked(payload: bytes) -> None:
    assert unmasked(PreparedMessage(payload, False, True, True).payloadHybi) == payload


def test_a_message_for_many_sockets_is_framed_once() -> None:
    factory = WebSocketFactory(None)
    text, same = "".join(["é", "x" * 200]), "".join(["é", "x" * 200])
    frame = factory.framed(text, False)
    assert frame == b"\x81\x7e\x00\xca" + text.encode()
    assert factory.framed(text, False) is frame
    assert factory.framed(same, False) == frame
    assert factory.framed(b"x", True) == b"\x82\x01x"


async def test_messages_are_taken_in_order_whether_somebody_waits_or_not() -> None:
    inbox = Inbox(lambda: None)
    waiting = asyncio.ensure_future(inbox.get())
    await asyncio.sleep(0)
    for number in range(3):
        inbox.put_nowait({"n": number})
    assert [(await waiting)["n"], (await inbox.get())["n"], (await inbox.get())["n"]] == [0, 1, 2]


async def test_a_message_that_comes_as_its_reader_is_cancelled_is_there_for_the_next() -> None:
    inbox = Inbox(lambda: None)
    waiting = asyncio.ensure_future(inbox.get())
    await asyncio.sleep(0)
    inbox.put_nowait({"n": 0})
    inbox.put_nowait({"n": 1})
    waiting.cancel()
    await asyncio.wait([waiting])
    assert [(await inbox.get())["n"] for _ in range(2)] == [0, 1]


async def test_it_says_that_it_has_room_as_soon_as_less_waits_than_may() -> None:
    told: list[bool] = []
    inbox = Inbox(lambda: told.append(inbox.is_full))
    for _ in range(3):
        inbox.put_nowait({}, UNREAD // 2 - OVERHEAD)
    assert inbox.is_full
    await inbox.get()
    assert told == [False]
