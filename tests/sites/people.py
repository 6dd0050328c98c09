"""URLs and ASGI application of a product with a login of its own, and receivers of our signals.

Receivers write to the file that EVENTS names. One raises when an envelope has the type "fail", and waits at "block"
until the file EVENTS.release exists.
"""

import json
import os
import time
from pathlib import Path
from typing import Any

os.environ["DJANGO_SETTINGS_MODULE"] = "tests.sites.people_settings"

import django
from asgiref.sync import sync_to_async
from django.contrib.auth import get_user_model, login, logout
from django.dispatch import receiver
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.template import engines
from django.urls import path

import realtime
import realtime.sessions
from hopeflow_site.asgi import application as application
from realtime import signals

EVENTS = Path(os.environ.get("EVENTS", os.devnull))


def log_in(request: HttpRequest, name: str) -> HttpResponse:
    user, _ = get_user_model().objects.get_or_create(username=name)
    login(request, user)
    return HttpResponse(str(user.pk))


def log_out(request: HttpRequest) -> HttpResponse:
    logout(request)
    return HttpResponse()


def deactivate(request: HttpRequest) -> HttpResponse:
    get_user_model().objects.filter(username=request.user.get_username()).update(is_active=False)
    return HttpResponse()


def page(request: HttpRequest) -> HttpResponse:
    template = engines["django"].from_string("{% load realtime %}{% realtime_token %}")
    return HttpResponse(template.render({}, request))


def tell(request: HttpRequest) -> JsonResponse:
    """Nothing has looked at `request.user` before."""
    publish = realtime.publish(request.user, "t")
    return JsonResponse([publish.client_count, len(realtime.connections(request.user))], safe=False)


async def atell(request: HttpRequest) -> JsonResponse:
    publish = await realtime.apublish(request.user, "t")
    return JsonResponse([publish.client_count, len(await realtime.aconnections(request.user))], safe=False)


def write(name: str, user: str, **arguments: Any) -> None:
    arguments.pop("signal")
    arguments.pop("sender")
    # From the database too, as a product would: connections are opened and closed in the thread of the signals.
    users = get_user_model().objects.count()
    with EVENTS.open("a") as events:
        events.write(json.dumps({"signal": name, "user": user, "users": users, **arguments}) + "\n")


@receiver(signals.socket_connected)
def connected(user: str, **arguments: Any) -> None:
    write("connected", user, **arguments)


@receiver(signals.socket_disconnected)
def disconnected(user: str, **arguments: Any) -> None:
    write("disconnected", user, **arguments)


@receiver(signals.envelope_delivered)
def fails_or_blocks(type: str, **_: Any) -> None:
    if type == "fail":
        raise ZeroDivisionError("a receiver of the product's")
    while type == "block" and not EVENTS.with_suffix(".release").exists():
        time.sleep(0.01)


async def adelivered(user: str, **arguments: Any) -> None:
    await sync_to_async(write)("delivered", user, **arguments)


def delivered(user: str, **arguments: Any) -> None:
    write("delivered", user, **arguments)


signals.envelope_delivered.connect(adelivered if django.VERSION >= (5, 0) else delivered)


urlpatterns: list[Any] = [
    path("login/<name>", log_in),
    path("logout", log_out),
    path("deactivate", deactivate),
    path("page", page),
    path("tell", tell),
    path("atell", atell),
    path("token", realtime.sessions.token),
]
