"""ASGI application and URLs of a product that publishes from its own code: a sync view, an async one, a thread."""

import asyncio
import os
from typing import Any

os.environ["DJANGO_SETTINGS_MODULE"] = "tests.sites.product_settings"

from django.http import HttpRequest, JsonResponse
from django.urls import path

import realtime
from hopeflow_site.asgi import application as application


def _json(delivered: realtime.Delivered) -> JsonResponse:
    return JsonResponse({"clients": delivered.client_count, "results": delivered.results})


def sync_view(request: HttpRequest, user: str) -> JsonResponse:
    return _json(realtime.publish(user, "t", {"from": "sync"}))


async def async_view(request: HttpRequest, user: str) -> JsonResponse:
    return _json(await realtime.apublish(user, "t", {"from": "async"}))


async def thread_view(request: HttpRequest, user: str) -> JsonResponse:
    """As a background thread of the product would, which knows no event loop."""
    return _json(await asyncio.to_thread(_in_a_thread, user))


def _in_a_thread(user: str) -> realtime.Delivered:
    async def publish() -> realtime.Delivered:
        return await realtime.apublish(user, "t", {"from": "thread"})

    return asyncio.run(publish())


urlpatterns: list[Any] = [
    path("sync/<user>", sync_view),
    path("async/<user>", async_view),
    path("thread/<user>", thread_view),
]
