"""ASGI application: accepts a socket at `/stuck` and never reads what it says; all else is the site."""

import asyncio
from typing import Any

from hopeflow_site.asgi import application as site


async def application(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "websocket" and scope["path"] == "/stuck":
        await send({"type": "websocket.accept"})
        await asyncio.Event().wait()
    else:
        await site(scope, receive, send)
