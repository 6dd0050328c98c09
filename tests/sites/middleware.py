"""ASGI application: publishes go through Django's request handler and middleware instead of the fast lane."""

from typing import Any

from hopeflow_site.asgi import application as site
from hopeflow_site.asgi import django_application


async def application(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "http":
        await django_application(scope, receive, send)
    else:
        await site(scope, receive, send)
