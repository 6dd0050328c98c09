"""Strict JSON read one level at a time: members stay the raw text that was sent, so that it can be passed on untouched.

Strict means RFC 8259 in UTF-8: no `NaN`, no BOM, no trailing comma; of equal keys the last counts. An escaped lone
surrogate (`"\\ud800"`) is text like any other: browsers send it, msgspec refuses it, so the standard library has the
last word on it.
"""

from __future__ import annotations

import json
import re
from array import array
from itertools import accumulate
from typing import Any

import msgspec

Raw = msgspec.Raw

_object = msgspec.json.Decoder(dict[str, Raw])
_string = msgspec.json.Decoder(str)


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is not JSON")


# A number's value is never looked at: float() takes integers of any length, where int() refuses 5,000 digits.
_stdlib = json.JSONDecoder(parse_int=float, parse_constant=_refuse)
_scan_once: Any = _stdlib.scan_once  # type: ignore[attr-defined]  # (text, start) -> (value, end)
_blanks = re.compile(r"[ \t\n\r]*")
_string_literal = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)
_brackets = bytes.maketrans(b"[{]}", b"\x01\x01\xff\xff")
_no_brackets = bytes(set(range(256)) - set(b"[{]}"))
_surrogate = re.compile("[\ud800-\udfff]")

# Python stops at about 1,000 nested calls, of which the request's own stack takes its part.
DEEPEST = 700


class TooDeep(ValueError):
    """JSON nested deeper than the limit."""


def members(data: bytes, max_depth: int = DEEPEST) -> dict[str, Raw] | None:
    """The members of a JSON object, each as raw JSON; None when `data` is JSON but not an object.

    Raises TooDeep for more than `max_depth` levels of arrays and objects, ValueError for what is not JSON.
    """
    if not data.isascii():
        data.decode()  # msgspec does not look at the UTF-8 inside strings that it skips
    check_depth(data, max_depth)
    try:
        try:
            return _object.decode(data)
        except msgspec.MsgspecError:
            return _members_by_stdlib(data.decode())
    except RecursionError:
        raise TooDeep from None


def check_depth(data: bytes, max_depth: int) -> None:
    """Raise TooDeep for more than `max_depth` levels of arrays and objects."""
    if data.count(b"[") + data.count(b"{") > max_depth and _depth(data) > max_depth:
        raise TooDeep


def string(raw: Raw) -> str | None:
    """The string that `raw` (one valid JSON value) is, or None when it is of another kind."""
    data = bytes(raw)
    if data[:1] != b'"':
        return None
    try:
        return _string.decode(data)
    except msgspec.DecodeError:
        text: str = json.loads(data)
        return text


def value(raw: Raw) -> Any:
    """The Python value of `raw` (one valid JSON value), every number as a float."""
    return _stdlib.decode(text(raw))


def text(raw: Raw) -> str:
    """The JSON text of `raw`, as it was sent."""
    return bytes(raw).decode()


def quote(string: str) -> str:
    """`string` as a JSON string, as JavaScript's JSON.stringify writes it: only what must be is escaped."""
    quoted = json.dumps(string, ensure_ascii=False)
    return quoted if quoted.isascii() else _surrogate.sub(lambda found: f"\\u{ord(found[0]):04x}", quoted)


def _depth(data: bytes) -> int:
    """How many arrays and objects are open at once, at most."""
    outside_strings = _string_literal.sub(b"", data)
    return max(accumulate(array("b", outside_strings.translate(_brackets, _no_brackets))), default=0)


def _members_by_stdlib(source: str) -> dict[str, Raw] | None:
    """`members`, slower, for what msgspec refused: not JSON, not an object, or with a lone surrogate."""
    if not isinstance(_stdlib.decode(source), dict):  # what follows can rely on the grammar
        return None
    found: dict[str, Raw] = {}
    position = _skip(source, 0) + 1
    while source[position := _skip(source, position)] != "}":
        key, position = _scan_once(source, position)
        start = _skip(source, _skip(source, position) + 1)  # behind the colon
        _, end = _scan_once(source, start)
        found[key] = Raw(source[start:end].encode())
        position = _skip(source, end)
        position += source[position] == ","
    return found


def _skip(source: str, position: int) -> int:
    """The first position at or behind `position` that is not white space."""
    match = _blanks.match(source, position)
    assert match is not None  # the pattern matches the empty string too
    return match.end()
