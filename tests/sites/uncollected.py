"""ASGI application: the site without the garbage collector, and at `/garbage` how many objects wait for it."""

import gc
from typing import Any

from hopeflow_site.asgi import application as site
from realtime.http import Response

gc.disable()


async def application(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "http" and scope["path"] == "/garbage":
        await Response(200, str(gc.collect())).send(send)
    else:
        await site(scope, receive, send)
