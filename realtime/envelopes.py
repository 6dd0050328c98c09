"""The envelope: what a socket is sent. Its text is made once, by the publisher, and passed on untouched."""

from __future__ import annotations

import functools
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from . import strictjson


class Envelope:
    """An envelope: its id, and the JSON text that the sockets get.

    A publisher makes one with `new`; each process that has sockets of the user reads the text it received. What a
    filter can match is read out of the text when first asked for, once for all sockets of a process.
    """

    def __init__(self, id: str, text: str) -> None:
        self.id = id
        self.text = text

    @classmethod
    def new(cls, user: str, type: str, payload: str | None) -> Envelope:
        """A new envelope with an id of its own. `payload` is JSON text as it was sent, None for an absent key."""
        id = str(uuid.uuid4())
        timestamp = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        head = (
            f'{{"envelopeId":"{id}","type":{strictjson.quote(type)},"userId":{strictjson.quote(user)},'
            f'"timestamp":"{timestamp}"'
        )
        return cls(id, f"{head}}}" if payload is None else f'{head},"payload":{payload}}}')

    @functools.cached_property
    def message(self) -> Any:
        """The ASGI message that sends it: one for all sockets, so that a server can frame it once."""
        return {"type": "websocket.send", "text": self.text}

    @functools.cached_property
    def _members(self) -> dict[str, strictjson.Raw]:
        return strictjson.members(self.text.encode()) or {}

    @functools.cached_property
    def type(self) -> str:
        return strictjson.string(self._members["type"]) or ""

    @functools.cached_property
    def _fields(self) -> Mapping[str, str] | None:
        payload = self._members.get("payload")
        found = None if payload is None else strictjson.members(bytes(payload))
        if found is None:
            return None
        strings = ((key, strictjson.string(raw)) for key, raw in found.items())
        return {key: string for key, string in strings if string is not None}

    def fields(self) -> Mapping[str, str] | None:
        """The string fields at the top level of the payload; None when the payload is no object."""
        return self._fields
