"""What little HTTP is needed: reading an ASGI scope, and a JSON response that any server or framework can send."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Headers = tuple[tuple[str, str], ...]

ANY_ORIGIN: Headers = (("Access-Control-Allow-Origin", "*"),)
READ_ONLY: Headers = (("Allow", "GET, HEAD"),)
RETRY_SOON: Headers = (("Retry-After", "1"),)


@dataclass(frozen=True, slots=True)
class Response:
    """A response. `body` is text, JSON unless its content type says otherwise, or empty."""

    status: int
    body: str = ""
    headers: Headers = ()
    content_type: str = "application/json"

    @classmethod
    def error(cls, status: int, message: str, headers: Headers = ()) -> Response:
        return cls(status, json.dumps({"error": message}, separators=(",", ":")), headers)

    @property
    def all_headers(self) -> Headers:
        content_type: Headers = (("Content-Type", self.content_type),) if self.body else ()
        return ANY_ORIGIN + content_type + self.headers

    async def send(self, send: Any, kind: str = "http.response") -> None:
        """Send it as ASGI messages of this kind."""
        body = self.body.encode()
        headers = [(name.lower().encode(), value.encode()) for name, value in self.all_headers]
        if body:
            headers.append((b"content-length", b"%d" % len(body)))
        await send({"type": f"{kind}.start", "status": self.status, "headers": headers})
        await send({"type": f"{kind}.body", "body": body})


async def refuse_handshake(scope: Mapping[str, Any], send: Any, response: Response) -> None:
    """Refuse a socket and say why where the server can (an ASGI extension), else plainly, which is a 403."""
    if "websocket.http.response" in (scope.get("extensions") or {}):
        await response.send(send, "websocket.http.response")
    else:
        await send({"type": "websocket.close"})


def authorization(scope: Mapping[str, Any]) -> str | None:
    return header(scope, b"authorization")


def query_string(scope: Mapping[str, Any]) -> str:
    raw: bytes = scope["query_string"]
    return raw.decode("latin-1")


def header(scope: Mapping[str, Any], name: bytes) -> str | None:
    """A request header, None when absent. Several of one name are joined, as Django does (RFC 9110, section 5.3)."""
    found = [value.decode("latin-1") for key, value in scope["headers"] if key == name]
    return ",".join(found) if found else None
