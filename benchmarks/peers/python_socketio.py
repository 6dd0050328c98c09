"""The same service on python-socketio: the main path of the protocol, as its docs would have one build it.

It can ask one socket for an ack, not a room; so each socket of a user is called, and all at once.
"""

from __future__ import annotations

import asyncio
import json
import os
import time
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import jwt
import socketio

JWT_SECRET = os.environ["JWT_SECRET"]
ACK_TIMEOUT = 5  # seconds
PING_INTERVAL = 20  # seconds, as the service's own
MAX_BODY = 4 * 1024 * 1024
REMEMBERED = 10_000  # tokens

verified: dict[str, dict[str, Any]] = {}  # the claims of tokens, which are remembered as the service's own are

server = socketio.AsyncServer(async_mode="asgi", transports=["websocket"], ping_interval=PING_INTERVAL)


class Refused(Exception):
    """`status` and the text of the error."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


def user_of(authorization: str) -> str:
    """The user of the token in an Authorization header. Raises jwt.InvalidTokenError."""
    token = authorization.removeprefix("Bearer ")
    claims = verified.get(token)
    if claims is None or claims.get("exp", time.time() + 1) <= time.time():
        verified.pop(token, None)
        claims = jwt.decode(token, JWT_SECRET, algorithms=["HS256"])
        if not isinstance(claims.get("userId"), str) or not claims["userId"].strip():
            raise jwt.InvalidTokenError("no userId")
        if len(verified) >= REMEMBERED:
            del verified[next(iter(verified))]  # the oldest
        verified[token] = claims
    user: str = claims["userId"]
    return user


@server.event  # type: ignore[untyped-decorator]
async def connect(sid: str, environ: dict[str, Any], auth: Any) -> None:
    token = environ.get("HTTP_AUTHORIZATION") or (auth or {}).get("token", "")
    try:
        await server.save_session(sid, {"user": user_of(token)})
    except jwt.InvalidTokenError:
        raise socketio.exceptions.ConnectionRefusedError("Unauthorized") from None


@server.event  # type: ignore[untyped-decorator]
async def subscribe(sid: str, filters: list[dict[str, str]]) -> None:
    user = (await server.get_session(sid))["user"]
    for wanted in filters:
        await server.enter_room(sid, room(user, wanted["type"]))


@server.event  # type: ignore[untyped-decorator]
async def unsubscribe(sid: str, filters: list[dict[str, str]]) -> None:
    user = (await server.get_session(sid))["user"]
    for wanted in filters:
        await server.leave_room(sid, room(user, wanted["type"]))


def room(user: str, envelope_type: str) -> str:
    return json.dumps([user, envelope_type])


async def deliver(body: dict[str, Any]) -> dict[str, Any]:
    kind = body.get("type")
    now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    envelope = {
        "envelopeId": str(uuid4()),
        "type": (isinstance(kind, str) and kind.strip()) or "message",
        "userId": body["userId"].strip(),
        "timestamp": now,
        "payload": body.get("payload"),
    }
    to = room(envelope["userId"], envelope["type"])
    sockets = [sid for sid, _ in server.manager.get_participants("/", to)]
    results: list[Any] = []

    async def ask(sid: str) -> None:
        with suppress(socketio.exceptions.TimeoutError):
            results.append(await server.call("envelope", envelope, to=sid, timeout=ACK_TIMEOUT))

    await asyncio.gather(*(ask(sid) for sid in sockets))
    return {"clientCount": len(sockets), "results": results}


async def http(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """What is not Socket.IO: POST /publish."""
    if scope["type"] != "http":
        return
    try:
        status, content = 200, await publish(scope, receive)
    except Refused as refused:
        status, content = refused.status, {"error": str(refused)}
    text = json.dumps(content).encode()
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", b"%d" % len(text)),
        (b"access-control-allow-origin", b"*"),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": text})


async def publish(scope: dict[str, Any], receive: Any) -> dict[str, Any]:
    if scope["path"] != "/publish":
        raise Refused(404, "Not Found")
    if scope["method"] != "POST":
        raise Refused(405, "Method Not Allowed")
    headers = dict(scope["headers"])
    try:
        user_of(headers.get(b"authorization", b"").decode("latin-1"))
    except jwt.InvalidTokenError:
        raise Refused(401, "Unauthorized") from None
    if b"application/json" not in headers.get(b"content-type", b"").lower():
        raise Refused(415, "Unsupported Media Type")
    try:
        body = json.loads(await read(receive))
    except ValueError:
        raise Refused(400, "Invalid JSON body") from None
    if not isinstance(body, dict) or not isinstance(body.get("userId"), str) or not body["userId"].strip():
        raise Refused(400, "userId is required")
    return await deliver(body)


async def read(receive: Any) -> bytes:
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
        if len(body) > MAX_BODY:
            raise Refused(413, "Content Too Large")
    return body


application = socketio.ASGIApp(server, other_asgi_app=http)
