"""ASGI application: accepts a socket at `/stuck` and never reads what it says, nor at `/stubborn`, where it does not
let itself be cancelled either, and does not even answer the handshake at `/undecided`; all else is the site.
"""

import asyncio
from contextlib import suppress
from typing import Any

from hopeflow_site.asgi import application as site


async def application(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] != "websocket" or scope["path"] not in ("/stuck", "/stubborn", "/undecided"):
        await site(scope, receive, send)
        return
    if scope["path"] != "/undecided":
        await send({"type": "websocket.accept"})
    while True:
        with suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        if scope["path"] != "/stubborn":
            raise asyncio.CancelledError
