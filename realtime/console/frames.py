"""What the page of the console may send, checked. The only place that knows what such a frame looks like."""

from __future__ import annotations

import json
from typing import Annotated, Literal

import msgspec

from .. import strictjson
from ..protocol import trim
from .page import Look

Text = Annotated[str, msgspec.Meta(max_length=2048)]
Number = Annotated[int, msgspec.Meta(ge=1, le=2**53)]  # of a socket in its process


class InvalidFrame(ValueError):
    """The text says what is wrong, to the operator."""


class Watch(msgspec.Struct, tag="watch", tag_field="type", forbid_unknown_fields=True, rename="camel"):
    """Show this from now on."""

    query: Text = ""
    order: Literal["user", "newest", "unacked"] = "user"
    after: tuple[float, Text] | None = None
    user: Text = ""
    sockets_after: tuple[float, Text, Number] | None = None

    def look(self) -> Look:
        after, sockets_after = (None if cursor is None else list(cursor) for cursor in (self.after, self.sockets_after))
        return Look(self.query, self.order, after, trim(self.user), sockets_after)


class Publish(msgspec.Struct, tag="publish", tag_field="type", forbid_unknown_fields=True):
    """Publish, and tell each step of the delivery under this id. `body` is what `POST /publish` takes."""

    id: Text
    body: msgspec.Raw


class Disconnect(msgspec.Struct, tag="disconnect", tag_field="type", forbid_unknown_fields=True):
    """Close the sockets of a user, or the one in this process with this number; let them connect again, or not."""

    id: Text
    user: Text
    process: Text | None = None
    number: Number | None = None
    reconnect: bool = False

    def __post_init__(self) -> None:
        if (self.process is None) != (self.number is None):
            raise ValueError("a socket is named by its process and its number there")

    @property
    def only(self) -> tuple[str, int] | None:
        return None if self.process is None or self.number is None else (self.process, self.number)


_decoder = msgspec.json.Decoder(Watch | Publish | Disconnect)


def parse(text: str) -> Watch | Publish | Disconnect:
    """Raises InvalidFrame."""
    try:
        data = text.encode()
        try:
            frame: Watch | Publish | Disconnect = _decoder.decode(data)
        except msgspec.ValidationError:
            raise
        except msgspec.DecodeError:
            frame = _with_surrogates(data)
    except (msgspec.MsgspecError, RecursionError, ValueError) as error:
        raise InvalidFrame(f"The console has sent what the server does not understand: {error}") from None
    return frame


def _with_surrogates(data: bytes) -> Watch | Publish | Disconnect:
    """For lone surrogates, which may be in user ids and which msgspec refuses, and for what is no JSON."""
    members = strictjson.members(data)
    if members is None:
        raise ValueError("it is no object")
    body = members.pop("body", None)
    given = {name: json.loads(strictjson.text(raw)) for name, raw in members.items()}
    return msgspec.convert(given if body is None else {**given, "body": body}, Watch | Publish | Disconnect)
