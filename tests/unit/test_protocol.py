import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime.protocol import BLANKS, Ack, CloseCode, Ping, Subscribe, Unsubscribe, parse_frame, trim

from .test_strictjson import json_values, surrogates


@given(st.text() | surrogates)
def test_no_text_raises(text: str) -> None:
    parse_frame(text)


@given(
    st.dictionaries(st.sampled_from(["type", "filters", "envelopeId", "result"]), json_values),
    st.sampled_from(["subscribe", "unsubscribe", "ack", "ping", ""]),
)
def test_no_message_raises(message: dict[str, Any], type_: str) -> None:
    parse_frame(json.dumps(message))
    parse_frame(json.dumps({**message, "type": type_}))


@given(st.text(st.sampled_from(BLANKS)), st.text(st.sampled_from(BLANKS)))
def test_a_ping_is_four_letters_in_any_case_between_blanks(before: str, after: str) -> None:
    assert parse_frame(f"{before}pInG{after}") == Ping()
    assert parse_frame(f"{before}pi ng{after}") is None


@pytest.mark.parametrize("character", ["\x1c", "\x1f", "\x85", "\u200b", "\u180e"])
def test_trim_leaves_what_javascript_leaves(character: str) -> None:
    assert trim(f"{character}a{character}") == f"{character}a{character}"


def test_an_ack_keeps_its_result_as_it_was_sent() -> None:
    assert parse_frame('{"type":"ack","envelopeId":"e","result": {"a" :1.50} }') == Ack("e", '{"a" :1.50}')
    assert parse_frame('{"type":"ack","envelopeId":"e"}') == Ack("e", "null")
    assert parse_frame('{"type":"ack","envelopeId":1,"result":1}') is None


def test_a_filter_over_a_limit_is_skipped_alone(settings: Any) -> None:
    settings.REALTIME = {**settings.REALTIME, "MAX_FILTER_LENGTH": 5, "MAX_FILTER_KEYS": 2}
    sent: list[Any] = [
        {"type": "t"},
        {"type": "t" * 6},
        {"type": "t", "k": "v" * 6},
        {"type": "t", "k" * 6: "v"},
        {"type": "t", "a": "1", "b": "2"},
        {"type": "t", "k": "v" * 5},
    ]
    frame = parse_frame(json.dumps({"type": "subscribe", "filters": sent}))
    assert frame == Subscribe([{"type": "t"}, {"type": "t", "k": "v" * 5}])


def test_a_frame_over_a_limit_is_ignored(settings: Any) -> None:
    settings.REALTIME = {**settings.REALTIME, "MAX_FRAME_BYTES": 60, "MAX_JSON_DEPTH": 4}
    message = '{"type":"unsubscribe","filters":[{"type":"%s"}]}'
    assert parse_frame(message % "é") == Unsubscribe([{"type": "é"}])
    assert parse_frame(message % ("é" * 10)) is None
    assert parse_frame('{"type":"ack","envelopeId":"e","result":[[[]]]}') is not None
    assert parse_frame('{"type":"ack","envelopeId":"e","result":[[[[]]]]}') is None


def test_close_codes_lie_in_the_ranges_that_say_whether_to_connect_again() -> None:
    assert all(4000 <= code <= 4999 for code in set(CloseCode) - {CloseCode.RESTARTING})
    final = ["TOO_MANY_FILTERS", "DISCONNECTED", "TOO_MANY_FRAMES", "LOGGED_OUT"]
    assert [code.name for code in CloseCode if code >= 4500] == final
