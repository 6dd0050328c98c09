"""What the page of the console may send, checked. The only place that knows what such a frame looks like."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from .page import Look

Text = Annotated[str, msgspec.Meta(max_length=2048)]


class InvalidFrame(ValueError):
    """The text says what is wrong, to the operator."""


class Watch(msgspec.Struct, tag="watch", tag_field="type", forbid_unknown_fields=True, rename="camel"):
    """Show this from now on."""

    query: Text = ""
    order: Literal["user", "newest", "unacked"] = "user"
    after: tuple[float, Text] | None = None
    user: Text = ""
    sockets_after: tuple[float, Text, int] | None = None

    def look(self) -> Look:
        after, sockets_after = (None if cursor is None else list(cursor) for cursor in (self.after, self.sockets_after))
        return Look(self.query, self.order, after, self.user, sockets_after)


class Publish(msgspec.Struct, tag="publish", tag_field="type", forbid_unknown_fields=True):
    """Publish, and tell each step of the delivery under this id. `body` is what `POST /publish` takes."""

    id: Text
    body: msgspec.Raw


class Disconnect(msgspec.Struct, tag="disconnect", tag_field="type", forbid_unknown_fields=True):
    """Close the sockets of a user, or the one in this process with this number; let them connect again, or not."""

    id: Text
    user: Text
    process: Text | None = None
    number: int | None = None
    reconnect: bool = False


_decoder = msgspec.json.Decoder(Watch | Publish | Disconnect)


def parse(text: str) -> Watch | Publish | Disconnect:
    """Raises InvalidFrame."""
    try:
        frame: Watch | Publish | Disconnect = _decoder.decode(text.encode())
    except (msgspec.MsgspecError, RecursionError, UnicodeEncodeError) as error:
        raise InvalidFrame(f"The console has sent what the server does not understand: {error}") from None
    return frame
