"""ASGI application: the site, whose pages may load and run nothing but its own files."""

from typing import Any

from hopeflow_site.asgi import application as site

POLICY = b"default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"


async def application(scope: Any, receive: Any, send: Any) -> None:
    async def send_strictly(message: Any) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message["headers"], (b"content-security-policy", POLICY)]
        await send(message)

    await site(scope, receive, send_strictly)
