import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime.envelopes import Envelope

from .test_strictjson import json_values, surrogates

texts = st.text() | surrogates


@given(texts, texts, json_values)
def test_an_envelope_says_what_it_was_made_of_with_its_keys_in_order(user: str, type_: str, payload: Any) -> None:
    envelope = Envelope.new(user, type_, json.dumps(payload))
    said = json.loads(envelope.text)
    assert list(said) == ["envelopeId", "type", "userId", "timestamp", "payload"]
    assert (said["envelopeId"], said["type"], said["userId"]) == (envelope.id, type_, user)
    assert said["payload"] == payload
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", said["timestamp"])


def test_the_payload_is_passed_on_as_it_was_written_and_absent_when_it_was_absent() -> None:
    raw = '{ "a":1.50, "b":123456789012345678901234567890,"c":"\\u0041\\/" }'
    assert Envelope.new("u", "t", raw).text.endswith(f',"payload":{raw}}}')
    assert "payload" not in json.loads(Envelope.new("u", "t", None).text)
    assert Envelope.new("u", "t", "null").text.endswith(',"payload":null}')


@given(texts, st.dictionaries(texts, st.integers() | texts | st.none()))
def test_another_process_reads_the_type_and_the_string_fields_out_of_the_text(
    type_: str, payload: dict[str, Any]
) -> None:
    sent = Envelope.new("u", type_, json.dumps(payload))
    received = Envelope(sent.id, sent.text)
    assert received.type == type_
    assert received.fields() == {key: value for key, value in payload.items() if isinstance(value, str)}


@pytest.mark.parametrize("payload", [None, "null", "1", '"text"', "[]", '[{"a":"1"}]'])
def test_a_payload_that_is_no_object_has_no_fields(payload: str | None) -> None:
    assert Envelope.new("u", "t", payload).fields() is None


def test_every_envelope_has_an_id_of_its_own() -> None:
    assert len({Envelope.new("u", "t", None).id for _ in range(1000)}) == 1000
