"""The view as Django calls it, on ASGI and on WSGI, with every version of Django."""

from __future__ import annotations

from django.test import AsyncClient, Client


def test_wsgi_calls_the_view_without_a_csrf_token() -> None:
    response = Client(enforce_csrf_checks=True).post("/publish", "{}", "application/json")
    assert (response.status_code, response.content) == (401, b'{"error":"Unauthorized"}')


async def test_asgi_calls_the_view_without_a_csrf_token() -> None:
    response = await AsyncClient(enforce_csrf_checks=True).post("/publish", "{}", "application/json")
    assert (response.status_code, response.content) == (401, b'{"error":"Unauthorized"}')
