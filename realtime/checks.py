"""System checks: what is wrong with the settings, and what to do about it."""

from __future__ import annotations

import difflib
import math
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import redis
from django.apps import apps
from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register
from django.db import DatabaseError

from .conf import HINTS, MIN_SECRET_BYTES, Settings, conf
from .encryption import KEEP_THE_OLD_KEY, Undecryptable
from .secretstore import MAKE_ONE
from .strictjson import DEEPEST

if TYPE_CHECKING:
    from .models import Secret

LEAST: dict[str, float] = {"MAX_USER_LENGTH": 300, "SECRETS_POLL": 0.05, "TOKEN_LIFETIME": 1}
MOST: dict[str, float] = {"MAX_JSON_DEPTH": DEEPEST}

IN_ONE_PROCESS = ("realtime.layers.LocalChannelLayer", "channels.layers.InMemoryChannelLayer")
CORE_LAYER = "channels_redis.core.RedisChannelLayer"


@register
def check_settings(**_: Any) -> list[CheckMessage]:
    """E001 to E004: REALTIME itself, its keys, the types and the ranges of its values. E005: a short secret."""
    given = getattr(settings, "REALTIME", {})
    if not isinstance(given, dict):
        return [Error("REALTIME is not a dict.", hint='REALTIME = {"JWT_SECRET": "…"}', id="realtime.E001")]
    found = [message for name, value in given.items() if (message := _check(name, value))]
    return found + _check_secret(given)


def _check(name: str, value: Any) -> CheckMessage | None:
    if name not in HINTS:
        close = difflib.get_close_matches(str(name), HINTS, n=1)
        hint = f"Did you mean {close[0]!r}?" if close else f"It knows {', '.join(HINTS)}."
        return Error(f"REALTIME has no setting {name!r}.", hint=hint, id="realtime.E002")
    wanted = HINTS[name]
    accepted = (int, float) if wanted is float else wanted
    if not isinstance(value, accepted) or (isinstance(value, bool) and wanted is not bool):
        return Error(
            f"REALTIME[{name!r}] is {type(value).__name__}, not {wanted.__name__}.",
            hint=f"Write it like the default, {getattr(Settings, name)!r}.",
            id="realtime.E003",
        )
    if isinstance(value, int | float) and not LEAST.get(name, 0) <= value <= MOST.get(name, math.inf):
        hint = f"At least {LEAST.get(name, 0)}" + (f", at most {MOST[name]}." if name in MOST else ".")
        return Error(f"REALTIME[{name!r}] is out of range.", hint=hint, id="realtime.E004")
    return None


def _check_secret(given: dict[str, Any]) -> list[CheckMessage]:
    secret = given.get("JWT_SECRET", "")
    if not isinstance(secret, str) or not secret or len(secret.encode()) >= MIN_SECRET_BYTES:
        return []
    return [
        Error(
            f"REALTIME['JWT_SECRET'] is shorter than {MIN_SECRET_BYTES} bytes.",
            hint='Make one: python -c "import secrets; print(secrets.token_urlsafe(48))"',
            id="realtime.E005",
        )
    ]


@register
def check_layers(**_: Any) -> list[CheckMessage]:
    """E006: no channel layer. W001: one that ends at the process. W003: one that redis-py 8 breaks."""
    layers = getattr(settings, "CHANNEL_LAYERS", {})
    found = [_idle_sockets_die(alias) for alias, layer in layers.items() if _loses_its_connection(layer)]
    alias = _given().get("CHANNEL_LAYER", Settings.CHANNEL_LAYER)
    if alias not in layers:
        return [_no_layer(alias, any_at_all=bool(layers)), *found]
    processes = os.environ.get("WEB_CONCURRENCY", "1")
    if layers[alias].get("BACKEND") in IN_ONE_PROCESS and (not settings.DEBUG or processes not in ("", "1")):
        found.append(_ends_at_the_process(alias))
    return found


def _no_layer(alias: Any, any_at_all: bool) -> CheckMessage:
    layer = '{"BACKEND": "realtime.layers.LocalChannelLayer"}'
    return Error(
        f"CHANNEL_LAYERS has no {alias!r}, which realtime is to use.",
        hint=f'CHANNEL_LAYERS["{alias}"] = {layer}' if any_at_all else f'CHANNEL_LAYERS = {{"{alias}": {layer}}}',
        id="realtime.E006",
    )


def _ends_at_the_process(alias: str) -> CheckMessage:
    return Warning(
        f"CHANNEL_LAYERS[{alias!r}] ends at the process: a publish does not reach the sockets of another one.",
        hint=f'CHANNEL_LAYERS["{alias}"] = {{"BACKEND": "realtime.layers.RedisChannelLayer", '
        '"CONFIG": {"hosts": ["redis://localhost:6379"]}}  # or, if there is one process, '
        'SILENCED_SYSTEM_CHECKS = ["realtime.W001"]',
        id="realtime.W001",
    )


def _loses_its_connection(layer: dict[str, Any]) -> bool:
    """Whether redis-py 8 ends this layer's connections after 5 seconds without a message, and the sockets with them."""
    if layer.get("BACKEND") != CORE_LAYER or int(redis.__version__.partition(".")[0]) < 8:
        return False
    hosts = layer.get("CONFIG", {}).get("hosts") or [None]
    return not all(isinstance(host, dict) and host.get("socket_timeout", 5) is None for host in hosts)


def _idle_sockets_die(alias: str) -> CheckMessage:
    return Warning(
        f"CHANNEL_LAYERS[{alias!r}]: redis-py 8 ends its connections after 5 quiet seconds, and sockets with them.",
        hint='"hosts": [{"address": "redis://localhost:6379", "socket_timeout": None}]',
        id="realtime.W003",
    )


@register
def check_runserver(**_: Any) -> list[CheckMessage]:
    """W002: `manage.py runserver` serves no sockets."""
    if not settings.DEBUG:
        return []
    if not apps.is_installed("daphne"):
        line, wrong = 'INSTALLED_APPS = ["daphne", *INSTALLED_APPS]', 'INSTALLED_APPS has no "daphne"'
    elif not getattr(settings, "ASGI_APPLICATION", None):
        project = settings.ROOT_URLCONF.rpartition(".")[0]
        line, wrong = f'ASGI_APPLICATION = "{project}.asgi.application"', "ASGI_APPLICATION is not set"
    else:
        return []
    return [Warning(f"{wrong}, so runserver serves no sockets.", hint=line, id="realtime.W002")]


@register(Tags.database)
def check_secrets(databases: Sequence[str] | None = None, **_: Any) -> list[CheckMessage]:
    """E007: a secret in the database can't be decrypted. W004: there is none at all, in the settings neither.

    Django runs this with `migrate` and `check --database default`.
    """
    from .models import Secret

    secrets = Secret.objects.all()
    if secrets.db not in (databases or ()):
        return []
    try:
        found = [message for secret in secrets if (message := _check_decrypts(secret))]
        missing = not conf.JWT_SECRET and not secrets.usable().exists()
    except DatabaseError:
        return []  # not migrated yet
    if missing:
        found.append(Warning("There is no JWT secret: every token is refused.", hint=MAKE_ONE, id="realtime.W004"))
    return found


def _check_decrypts(secret: Secret) -> CheckMessage | None:
    try:
        secret.decrypt()
    except Undecryptable as error:
        problem = f"The JWT secret with the key id {secret.kid} can't be used: {error}."
        return Error(problem, hint=KEEP_THE_OLD_KEY, id="realtime.E007")
    return None


def _given() -> dict[str, Any]:
    given = getattr(settings, "REALTIME", {})
    return given if isinstance(given, dict) else {}
