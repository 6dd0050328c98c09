"""The parts of the Python client that need no connection."""

from __future__ import annotations

import json
from typing import Any

import pytest
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosedError, InvalidStatus
from websockets.frames import Close
from websockets.http11 import Response

from realtime import ABSENT
from realtime.client import Envelope, RealtimeClient
from realtime.client.retries import delay, verdict
from realtime.client.subscriptions import LONGEST, Subscription, Subscriptions, batches, messages

HEAD = '{"envelopeId":"e","type":"t","userId":"ann","timestamp":"2026-01-31T12:34:56.789Z"'


def wanted(*filters: dict[str, str]) -> dict[str, None]:
    all_of_them = Subscriptions()
    all_of_them.add(Subscription(filters, print))
    return all_of_them.wanted


def test_filters_are_counted_and_the_last_one_out_removes_them() -> None:
    subscriptions = Subscriptions()
    one, two = (Subscription([{"type": " t ", "room": "1"}, {"room": "1", "type": "t"}], print) for _ in range(2))
    subscriptions.add(one)
    subscriptions.add(two)
    assert list(subscriptions.wanted) == ['{"room":"1","type":"t"}']
    subscriptions.remove(one)
    subscriptions.remove(one)
    assert len(subscriptions.wanted) == 1
    subscriptions.remove(two)
    assert not subscriptions.wanted


def test_only_what_has_changed_is_told_and_what_goes_goes_first() -> None:
    held, now = wanted({"type": "a"}, {"type": "b"}), wanted({"type": "b"}, {"type": "c"})
    assert [json.loads(message) for message in messages(held, now)] == [
        {"type": "unsubscribe", "filters": [{"type": "a"}]},
        {"type": "subscribe", "filters": [{"type": "c"}]},
    ]
    assert list(messages(now, now)) == []


def test_a_message_holds_50_filters_and_no_more_than_a_server_reads() -> None:
    assert [len(batch) for batch in batches(map(str, range(120)))] == [50, 50, 20]
    assert [len(batch) for batch in batches(["x" * (LONGEST // 2)] * 5)] == [2, 2, 1]
    assert [len(batch) for batch in batches(["x" * LONGEST * 2] * 2)] == [1, 1]


@pytest.mark.parametrize(
    "given", [{}, {"type": " \u3000"}, {"room": "1"}, {"type": 1}, {"type": "t", "room": 1}, "t", [["t"]], []]
)
def test_a_filter_that_a_server_would_skip_is_refused(given: Any) -> None:
    with pytest.raises(ValueError, match="filter"):
        Subscription(given, print)


def test_an_envelope_is_what_was_published() -> None:
    text = HEAD + ',"payload":{"n":9007199254740993123,"s":"\\ud800","f":1.50}}'
    envelope = Envelope.read(text)
    assert (envelope.id, envelope.type, envelope.user) == ("e", "t", "ann")
    assert envelope.timestamp == "2026-01-31T12:34:56.789Z"
    assert envelope.payload == {"n": 9007199254740993123, "s": "\ud800", "f": 1.5}
    assert envelope.text == text
    assert Envelope.read(HEAD + "}").payload is ABSENT
    assert Envelope.read(HEAD + ',"payload":null}').payload is None


@pytest.mark.parametrize("text", ["", "x", "[]", "null", '{"type":"t"}', '{"envelopeId":1,"type":"t"}'])
def test_what_is_no_envelope_is_a_value_error(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        Envelope.read(text)


def test_delays_are_random_and_their_bound_doubles() -> None:
    for attempt, most in ((0, 0.5), (1, 1.0), (3, 4.0), (6, 30.0), (10_000, 30.0)):
        delays = [delay(attempt, 0.5, 30.0) for _ in range(200)]
        assert 0 <= min(delays) < most / 4
        assert most * 3 / 4 < max(delays) <= most


def closed(code: int | None) -> Exception:
    return ConnectionClosedError(code and Close(code, ""), None)  # type: ignore[arg-type]


def status(code: int, body: bytes = b"") -> Exception:
    return InvalidStatus(Response(code, "", Headers(), body))


@pytest.mark.parametrize(
    ("error", "fixed_token", "other_token"),
    [
        *((closed(code), False, False) for code in (None, 1000, 1009, 1012, 3000, 4001, 4499, 5000)),
        *((closed(code), True, True) for code in (4500, 4502, 4999)),
        (status(401), True, False),
        (status(403, b'{"error":"Forbidden"}'), True, False),
        *((status(code), False, False) for code in (403, 429, 500, 503)),
        *((status(code), True, True) for code in (200, 302, 404, 426)),
        (ConnectionRefusedError(), False, False),
        (TimeoutError(), False, False),
        (EOFError(), False, False),
        (TypeError("an unknown option"), True, True),
    ],
    ids=repr,
)
def test_it_gives_up_where_it_would_end_the_same_way(error: Exception, fixed_token: bool, other_token: bool) -> None:
    assert (verdict(error, token_is_fixed=True) is not None) == fixed_token
    assert (verdict(error, token_is_fixed=False) is not None) == other_token


@pytest.mark.parametrize("token", ["", " ", "a\nb", "é"])
def test_a_token_that_no_header_can_carry_is_refused_without_being_told(token: str) -> None:
    with pytest.raises(ValueError, match=r"^a token is a string of printable ASCII$"):
        RealtimeClient("ws://localhost/", token)
