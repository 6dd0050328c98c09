"""What a product tests its own code with: publishes recorded, and clients played, without a server."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import pytest
from django.db import transaction
from django.test import TestCase

import realtime
from realtime.testing import NO_ACK, Published, record

from .servers import ROOT


@pytest.fixture(autouse=True)
def no_layer(settings: Any) -> None:
    settings.CHANNEL_LAYERS = {}


def send_message(user: str, text: str) -> None:
    """A product's own code."""
    realtime.publish(user, "chat_message", {"text": text})


def test_the_snippet_of_the_documentation_passes() -> None:
    page = (ROOT / "docs/embedding.md").read_text()
    (snippet,) = re.findall(r"^```python\n(from realtime.testing .*?)^```", page, re.DOTALL | re.MULTILINE)
    names: dict[str, Any] = {"send_message": send_message}
    exec(snippet, names)
    names["test_a_message_is_marked_as_read_when_a_tab_shows_it"]()


async def test_nobody_is_there_until_a_test_says_so_and_all_is_recorded() -> None:
    with record() as published:
        assert await realtime.apublish(" ann ") == realtime.Delivered(0)
        await asyncio.to_thread(realtime.publish, "bob", "t", [1], timeout=2, wait=False)
        assert list(published) == [Published("ann", "message"), Published("bob", "t", [1], 2, False)]
        assert published.to("bob") == published[1:]
        assert "Published(user='bob', type='t', payload=[1], timeout=2.0, wait=False)" in repr(published)
        published.clear()
        assert not published


async def test_clients_get_what_matches_and_ack_as_real_ones_do() -> None:
    with record() as published:
        first = published.connect("ann", {"type": "t"}, ack=lambda envelope: [envelope["type"], envelope["payload"]])
        second = published.connect("ann", {"type": "t", "room": "1"}, ack="second")
        published.connect("bob", {"type": "t"}, ack="bob")
        assert await realtime.apublish("ann", "t", {"room": "1"}) == realtime.Delivered(
            2, (["t", {"room": "1"}], "second")
        )
        assert (await realtime.apublish("ann", "t", {"room": 1})).client_count == 1
        assert (await realtime.apublish("ann", "other")).client_count == 0
        second.unsubscribe({"type": "t", "room": "1"})
        first.close()
        assert await realtime.apublish("ann", "t", {"room": "1"}) == realtime.Delivered(0)
        second.subscribe({"type": " other "})
        assert await realtime.apublish("ann", "other") == realtime.Delivered(1, ("second",))
    assert [len(first.envelopes), len(second.envelopes)] == [2, 2]
    assert list(first.envelopes[0]) == ["envelopeId", "type", "userId", "timestamp", "payload"]
    assert "payload" not in second.envelopes[1]


async def test_a_client_that_never_acks_times_out_at_once() -> None:
    with record() as published:
        published.connect("ann", {"type": "t"}, ack=NO_ACK)
        assert await realtime.apublish("ann", "t") == realtime.Delivered(1, (), timed_out=True)
        assert await realtime.apublish("ann", "t", wait=False) == realtime.Delivered(1)


async def test_answers_can_be_canned_and_so_can_errors() -> None:
    with record() as published:
        published.answer("ann", "displayed", None)
        published.answer("ann", type="typing")
        assert await realtime.apublish("ann", "t") == realtime.Delivered(2, ("displayed", None))
        assert await realtime.apublish("ann", "typing") == realtime.Delivered(0)
        published.fail(realtime.LayerUnavailable("Redis is away"))
        with pytest.raises(realtime.LayerUnavailable):
            await realtime.apublish("ann", "t")
        published.fail(None)
        assert len(published) == 3
        assert (await realtime.apublish("ann", "t")).client_count == 2


async def test_connections_and_disconnect_see_the_clients() -> None:
    with record() as published:
        client = published.connect("ann", {"type": "t"})
        other = published.connect("bob")
        tab = published.connect("ann")
        connection, of_tab = await realtime.aconnections("ann")
        assert (connection.filters, connection.number) == (({"type": "t"},), client.number)
        assert await realtime.adisconnect("ann", only=of_tab) == 1
        assert (client.closed, tab.closed) == (None, (4502, ""))
        assert await realtime.adisconnect("ann", 4100, "over") == 1
        assert (client.closed, other.closed) == ((4100, "over"), None)
        assert await realtime.aconnections("ann") == []


async def test_what_a_server_would_refuse_is_refused_here() -> None:
    with record() as published:
        for wrong in ({"type": " "}, {"type": "t", "n": 1}, {}):
            with pytest.raises(ValueError, match="filter"):
                published.connect("ann", wrong)  # type: ignore[arg-type]
        with pytest.raises(TypeError):
            await realtime.apublish("ann", "t", object())
        with pytest.raises(ValueError, match="blank"):
            await realtime.apublish(" ")
        assert not published


async def test_after_the_block_all_is_as_before() -> None:
    with record() as outer:
        with record() as inner:
            await realtime.apublish("ann")
        await realtime.apublish("bob")
    assert [len(outer), len(inner)] == [1, 1]
    with pytest.raises(Exception, match="CHANNEL_LAYERS"):
        await realtime.apublish("ann")


class AProductsTestCase(TestCase):
    def test_what_is_published_on_commit_is_recorded_with_the_commit(self) -> None:
        with record() as published:
            with self.captureOnCommitCallbacks(execute=True), transaction.atomic():
                realtime.publish_on_commit("ann", "order_changed", {"id": 7})
                assert not published
            assert list(published) == [Published("ann", "order_changed", {"id": 7}, None, False)]
