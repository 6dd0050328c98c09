"""The vocabulary of the wire: frames, close codes, error texts. The only place that knows what a frame looks like."""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

from . import strictjson
from .conf import conf
from .filters import Filter

PONG = "pong"
DEFAULT_TYPE = "message"
LONGEST_REASON = 123  # bytes, of a close (RFC 6455, section 5.5)
FILTERS_A_MESSAGE = 50  # the rest of a longer list is ignored, before any of it is looked at

UNAUTHORIZED = "Unauthorized"
FORBIDDEN = "Forbidden"
UNSUPPORTED_MEDIA_TYPE = "Unsupported Media Type"
INVALID_JSON = "Invalid JSON body"
TOO_DEEP = "JSON body is nested too deeply"
USER_REQUIRED = "userId is required"
USER_TOO_LONG = "userId is too long"
BODY_TOO_LARGE = "Request body is too large"
METHOD_NOT_ALLOWED = "Method Not Allowed"
NOT_FOUND = "Not Found"
TOO_MANY_REQUESTS = "Too Many Requests"
UNAVAILABLE = "Service Unavailable"
INTERNAL_ERROR = "Internal Server Error"

# What ECMAScript's String.prototype.trim removes: WhiteSpace and LineTerminator. Python's strip() would take
# U+001C to U+001F and U+0085 too, and leave U+FEFF.
BLANKS = (
    "\t\n\v\f\r \u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
    "\u2028\u2029\u202f\u205f\u3000\ufeff"
)


class CloseCode(IntEnum):
    """Why the server closed a socket. 4000 to 4499: connect again; 4500 to 4999: do not, it would end the same way."""

    RESTARTING = 1012  # the server stops (RFC 6455's registry: "service restart"): connect again, elsewhere
    TOKEN_EXPIRED = 4001  # only with CLOSE_AT_EXP: connect again with a fresh token
    SECRET_REVOKED = 4002  # the secret of its token was, with its sockets: connect again with a fresh token
    TOO_SLOW = 4003  # more waited for the client to read than the server keeps
    TOO_MANY_UNACKED = 4004  # MAX_AWAITED
    RECONNECT = 4005  # an operator wants it to connect again
    STOPPING = 4012  # as 1012, on a server that can't say that (stock Daphne): connect again, elsewhere
    TOO_MANY_FILTERS = 4501  # MAX_FILTERS
    DISCONNECTED = 4502  # the product closed it (`realtime.disconnect`), and gave no other code
    TOO_MANY_FRAMES = 4503  # FRAME_RATE
    LOGGED_OUT = 4504  # of the live console: who looked may no longer


class Ping(NamedTuple):
    """`ping`, to be answered with `pong`."""


class Subscribe(NamedTuple):
    filters: list[Filter]


class Unsubscribe(NamedTuple):
    filters: list[Filter]


class Ack(NamedTuple):
    envelope_id: str
    result: str  # JSON, as it was sent


Frame = Ping | Subscribe | Unsubscribe | Ack


def trim(string: str) -> str:
    """`string` without the white space at its ends, as JavaScript's trim does it."""
    return string.strip(BLANKS)


def parse_frame(text: str) -> Frame | None:
    """What a text frame says, or None when it is to be ignored: it says nothing that this protocol knows."""
    if len(trimmed := trim(text)) == 4 and trimmed.lower() == "ping":
        return Ping()
    try:
        data = text.encode()
        members = None if len(data) > conf.MAX_FRAME_BYTES else strictjson.members(data, conf.MAX_JSON_DEPTH)
        kind = members and strictjson.string(members["type"])
        if not members or not kind:
            return None
        if kind == "ack":
            return _ack(members)
        if kind in ("subscribe", "unsubscribe"):
            filters = _filters(strictjson.value(members["filters"]))
            return Subscribe(filters) if kind == "subscribe" else Unsubscribe(filters)
    except (ValueError, KeyError):
        pass
    return None


def _ack(members: dict[str, strictjson.Raw]) -> Ack | None:
    envelope_id = strictjson.string(members["envelopeId"])
    result = members.get("result")
    return None if envelope_id is None else Ack(envelope_id, "null" if result is None else strictjson.text(result))


def _filters(given: object) -> list[Filter]:
    entries = given[:FILTERS_A_MESSAGE] if isinstance(given, list) else []
    return [found for entry in entries if (found := _filter(entry)) is not None]


def _filter(given: object) -> Filter | None:
    """`given` with its type trimmed, or None when it is no filter or is over a limit."""
    if not isinstance(given, dict) or not isinstance(given.get("type"), str) or len(given) > conf.MAX_FILTER_KEYS:
        return None
    wanted: dict[str, object] = {**given, "type": trim(given["type"])}
    longest = conf.MAX_FILTER_LENGTH
    for key, value in wanted.items():
        if not isinstance(value, str) or len(value) > longest or len(key) > longest:
            return None
    return wanted if wanted["type"] else None  # type: ignore[return-value]
