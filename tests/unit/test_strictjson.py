import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime import strictjson

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
# A high and a low surrogate side by side are one character in JSON, so the text goes through JSON once.
surrogates = st.text(st.characters(min_codepoint=0xD7F0, max_codepoint=0xE010) | st.sampled_from('"\\/{}[],: ')).map(
    lambda text: str(json.loads(json.dumps(text)))
)


@given(st.dictionaries(st.text(), json_values))
def test_members_are_the_values_of_the_object(value: dict[str, Any]) -> None:
    members = strictjson.members(json.dumps(value, ensure_ascii=False).encode())
    assert members is not None
    assert {key: json.loads(strictjson.text(raw)) for key, raw in members.items()} == value


@given(st.dictionaries(surrogates, surrogates | st.lists(surrogates) | st.integers(), min_size=1))
def test_lone_surrogates_are_read_and_stay_as_they_were_sent(value: dict[str, Any]) -> None:
    members = strictjson.members(json.dumps(value).encode())
    assert members is not None
    assert {key: strictjson.text(raw) for key, raw in members.items()} == {k: json.dumps(v) for k, v in value.items()}
    strings = {key: strictjson.string(raw) for key, raw in members.items() if isinstance(value[key], str)}
    assert strings == {key: item for key, item in value.items() if isinstance(item, str)}


@pytest.mark.parametrize("surrogate", ["", r'"\ud800":"\udfff",'], ids=["plain", "with a lone surrogate"])
@pytest.mark.parametrize("raw", ["1.50", "1e2", "-0", "1" * 6000, r'"\u0041\/"', "[1 , 2]", ' {"b" :1} ', '"é😀"'])
def test_a_member_is_the_text_that_was_sent(raw: str, surrogate: str) -> None:
    members = strictjson.members(f'{{{surrogate}"a":{raw}}}'.encode())
    assert members is not None
    assert strictjson.text(members["a"]) == raw.strip()


@pytest.mark.parametrize("surrogate", ["", r'"\ud800":"\udfff",'], ids=["plain", "with a lone surrogate"])
def test_of_equal_keys_the_last_counts(surrogate: str) -> None:
    members = strictjson.members(f'{{{surrogate}"a":1,"a":2}}'.encode())
    assert members is not None
    assert strictjson.text(members["a"]) == "2"


@pytest.mark.parametrize(
    "data",
    [
        *(
            b'{"a":%s}' % value
            for value in [b"NaN", b"Infinity", b"-Infinity", b"01", b"1.", b".5", b"+1", b"tru", b""]
        ),
        *(b'{"a":"%s"}' % text for text in [b"\x01", b"\n", b"\xff", b"\xed\xa0\x80", b"\xc0\x80", rb"\x", rb"\u12g4"]),
        *(rb'{"\ud800":%s}' % value for value in [b"NaN", b"[1,]", b'"\xff"', b'"\x01"', b"01", b"1} x"]),
        b"",
        b" ",
        b'{"a":1,}',
        b"{'a':1}",
        b"[1,]",
        b"nul",
        b'{"a":1}x',
        b'\xef\xbb\xbf{"a":1}',
        '{"a":1}'.encode("utf-16"),
        b'{"a"\x0b:1}',
        b'{"a":1}\x00',
        b"[" * 100,
    ],
    ids=repr,
)
def test_what_is_not_strict_json_is_a_value_error(data: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  (which one is nobody's business)
        strictjson.members(data)


@pytest.mark.parametrize("data", [b"null", b"1", b'"a"', b"[1,2]", rb'"\ud800"', rb'[{"\ud800":1}]', b" true "])
def test_json_that_is_no_object_has_no_members(data: bytes) -> None:
    assert strictjson.members(data) is None


@pytest.mark.parametrize("surrogate", ["", r'"\ud800":"[[[",'], ids=["plain", "with a lone surrogate"])
@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a":', "}"), ('[{"[":', "}]")])
def test_depth_is_limited_exactly_and_brackets_in_strings_do_not_count(
    opening: str, closing: str, surrogate: str
) -> None:
    levels = 2 if opening.startswith("[{") else 1
    for depth, allowed in ((600, True), (602, False)):
        times = (depth - 2) // levels
        data = f'{{{surrogate}"text":"[[{{\\"[","a":{opening * times}[]{closing * times}}}'.encode()
        if allowed:
            assert strictjson.members(data, 600) is not None
        else:
            with pytest.raises(strictjson.TooDeep):
                strictjson.members(data, 600)


@pytest.mark.parametrize("data", [b"[" * 100_000, b'{"a":' * 100_000, rb'{"\ud800":' + b"[" * 50_000])
def test_hostile_depth_is_too_deep_and_no_crash(data: bytes) -> None:
    with pytest.raises(strictjson.TooDeep):
        strictjson.members(data)


@given(st.text() | surrogates)
def test_quote_escapes_what_must_be_and_reads_back(string: str) -> None:
    quoted = strictjson.quote(string)
    assert json.loads(quoted) == string
    quoted.encode()


def test_quote_writes_what_javascript_writes() -> None:
    assert strictjson.quote('a"\\\b\f\n\r\t\x00\x1f\x7f\u2028é😀/\ud800') == (
        r'"a\"\\\b\f\n\r\t\u0000\u001f' + "\x7f\u2028é😀/" + r'\ud800"'
    )


@given(json_values)
def test_value_reads_any_json_with_numbers_as_floats(value: Any) -> None:
    raw = (strictjson.members(json.dumps({"a": value}).encode()) or {})["a"]
    assert strictjson.value(raw) == json.loads(json.dumps(value), parse_int=float)
