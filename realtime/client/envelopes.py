"""The envelope as a handler gets it."""

from __future__ import annotations

import json
from functools import cached_property
from typing import Any

from realtime import envelopes, strictjson
from realtime.delivery import ABSENT


class Envelope(envelopes.Envelope):
    """An envelope: `id`, `type`, `user`, `timestamp`, `payload`; and `text`, the frame as it came."""

    @classmethod
    def read(cls, text: str) -> Envelope:
        """Raises ValueError for what is no envelope."""
        envelope = cls("", text)
        try:
            envelope.id = envelope._string("envelopeId")
            envelope.type = envelope._string("type")
        except KeyError as error:
            raise ValueError(f"no envelope: it has no {error}") from None
        return envelope

    @cached_property
    def user(self) -> str:
        return self._string("userId")

    @cached_property
    def timestamp(self) -> str:
        """When it was published, in UTC: "2026-01-31T12:34:56.789Z"."""
        return self._string("timestamp")

    @cached_property
    def payload(self) -> Any:
        """What was published, read when first asked for; `realtime.ABSENT` when there was none.

        Integers are exact. One of more than 4,300 digits is a ValueError, as everywhere in Python: `text` has it.
        """
        raw = self._members.get("payload")
        return ABSENT if raw is None else json.loads(strictjson.text(raw))

    def _string(self, name: str) -> str:
        found = strictjson.string(self._members[name])
        if found is None:
            raise ValueError(f"no envelope: {name} is no string")
        return found

    def __repr__(self) -> str:
        return f"<envelope {self.id} type={self.type!r}>"
