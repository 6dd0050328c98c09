"""A first minute with the service, for newcomers: a page where an envelope travels and its ack comes back.

Only with DEBUG: whoever opens it gets tokens.
"""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.urls import path
from django.views.decorators.cache import never_cache

from realtime.keyring import Grant
from realtime.management.remote import make_token

USER = "ann"  # as in the commands that `make run` prints: both get what either publishes


def page(request: HttpRequest) -> HttpResponse:
    """`?tab`: another tab of the user's, without the backend."""
    return render(request, "demo/page.html", {"user": USER, "is_tab": "tab" in request.GET})


@never_cache
def token(request: HttpRequest, side: str) -> JsonResponse:
    """One with which the tab connects, or one with which the backend publishes. No other origin's page can read it."""
    user, grant = (USER, Grant.CONNECT) if side == "tab" else ("the backend", Grant.PUBLISH)
    return JsonResponse({"token": make_token(user, grant)})


app_name = "demo"
urlpatterns = [
    path("", page, name="page"),
    path("token/tab", token, {"side": "tab"}),
    path("token/backend", token, {"side": "backend"}),
]
