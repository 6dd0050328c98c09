"""System checks: what is wrong with the settings, and what to do about it."""

from __future__ import annotations

import difflib
import math
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import redis
from channels.layers import channel_layers
from django.apps import apps
from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register
from django.db import DatabaseError, router
from django.utils.module_loading import import_string

from .conf import HINTS, MIN_SECRET_BYTES, Settings, conf
from .encryption import KEEP_THE_OLD_KEY, Undecryptable
from .paths import included
from .secretstore import MAKE_ONE
from .strictjson import DEEPEST
from .tokens import is_fit

if TYPE_CHECKING:
    from .models import Secret

LEAST: dict[str, float] = {"MAX_USER_LENGTH": 300, "SECRETS_POLL": 0.05, "TOKEN_LIFETIME": 1}
MOST: dict[str, float] = {
    "MAX_JSON_DEPTH": DEEPEST,
    **dict.fromkeys(("ACK_TIMEOUT", "REPORT_TIMEOUT", "SETTLE_TIME", "SECRETS_POLL"), 86_400),  # a day; timers end
}

MIN_KEY_LENGTH = 32  # characters; as random as what the hint makes, it is more than Fernet's 128 bits
MAKE_A_KEY = 'Make one: python -c "import secrets; print(secrets.token_urlsafe(48))"'

RUNSERVERS = ("realtime", "daphne", "django.contrib.staticfiles")  # the first that is installed has the command
IN_ONE_PROCESS = ("realtime.layers.LocalChannelLayer", "channels.layers.InMemoryChannelLayer")
LOCAL_LAYER = '{"BACKEND": "realtime.layers.LocalChannelLayer"}'
CORE_LAYER = "channels_redis.core.RedisChannelLayer"


@register
def check_settings(**_: Any) -> list[CheckMessage]:
    """E001 to E004: REALTIME itself, its keys, the types and the ranges of its values. E005 and E008: keys too short.
    E009: USER_ID names no function. E010: SESSION_AUTH without sessions. E012: an origin that is none.
    """
    if not isinstance(getattr(settings, "REALTIME", {}), dict):
        return [Error("REALTIME is not a dict.", hint='REALTIME = {"JWT_SECRET": "…"}', id="realtime.E001")]
    found = [message for name, value in _given().items() if (message := _check(name, value))]
    return found or [message for check in (_check_keys, _check_users) for message in check()]


def _check(name: str, value: Any) -> CheckMessage | None:
    if name not in HINTS:
        close = difflib.get_close_matches(str(name), HINTS, n=1)
        hint = f"Did you mean {close[0]!r}?" if close else f"It knows {', '.join(HINTS)}."
        return Error(f"REALTIME has no setting {name!r}.", hint=hint, id="realtime.E002")
    if wrong := _wrong_type(HINTS[name], value):
        hint = f"Write it like the default, {getattr(Settings, name)!r}."
        return Error(f"REALTIME[{name!r}] {wrong}.", hint=hint, id="realtime.E003")
    if isinstance(value, int | float) and not LEAST.get(name, 0) <= value <= MOST.get(name, math.inf):
        hint = f"At least {LEAST.get(name, 0)}" + (f", at most {MOST[name]}." if name in MOST else ".")
        return Error(f"REALTIME[{name!r}] is out of range.", hint=hint, id="realtime.E004")
    return None


def _wrong_type(wanted: Any, value: Any) -> str:
    """What is wrong, "" if it is right."""
    accepted = (int, float) if wanted is float else wanted
    if not isinstance(value, accepted) or (isinstance(value, bool) and wanted is not bool):
        return f"is {type(value).__name__}, not {wanted.__name__}"
    others = [one for one in value if not isinstance(one, str)] if isinstance(value, list) else []
    return f"holds {type(others[0]).__name__}, not str" if others else ""


def _check_keys() -> list[CheckMessage]:
    found: list[CheckMessage] = []
    secret: str = conf.JWT_SECRET
    if secret and not is_fit(secret, MIN_SECRET_BYTES):
        problem = f"REALTIME['JWT_SECRET'] is shorter than {MIN_SECRET_BYTES} bytes, or nothing that HS256 signs with."
        found.append(Error(problem, hint=MAKE_A_KEY, id="realtime.E005"))
    if any(len(key) < MIN_KEY_LENGTH for key in conf.ENCRYPTION_KEYS):
        problem = f"REALTIME['ENCRYPTION_KEYS'] holds one that is shorter than {MIN_KEY_LENGTH} characters."
        found.append(Error(problem, hint=MAKE_A_KEY, id="realtime.E008"))
    return found


def _check_users() -> list[CheckMessage]:
    found: list[CheckMessage] = []
    try:
        if not callable(import_string(conf.USER_ID)):
            raise ImportError(f"{conf.USER_ID} can't be called")
    except ImportError as error:
        hint = f'REALTIME["USER_ID"] = "{Settings.USER_ID}"'
        found.append(Error(f"REALTIME['USER_ID'] names no function: {error}.", hint=hint, id="realtime.E009"))
    if wrong := [origin for origin in conf.ALLOWED_ORIGINS if "://" not in origin]:
        problem = f"REALTIME['ALLOWED_ORIGINS'] holds {wrong[0]!r}, which is no origin."
        found.append(Error(problem, hint=f'"https://{wrong[0]}"', id="realtime.E012"))
    if conf.SESSION_AUTH and not apps.is_installed("django.contrib.sessions"):
        hint = 'INSTALLED_APPS += ["django.contrib.sessions"]'
        found.append(Error("REALTIME['SESSION_AUTH'] needs Django's sessions.", hint=hint, id="realtime.E010"))
    return found


@register
def check_layers(**_: Any) -> list[CheckMessage]:
    """E006: no channel layer. E011: one that can't be made. W001: one that ends at the process. W003: one that redis-py
    8 breaks.
    """
    given = getattr(settings, "CHANNEL_LAYERS", {})
    layers = {alias: layer for alias, layer in (given or {}).items() if isinstance(layer, dict)}
    found = [_idle_sockets_die(alias) for alias, layer in layers.items() if _loses_its_connection(layer)]
    alias = _given().get("CHANNEL_LAYER", Settings.CHANNEL_LAYER)
    if not isinstance(alias, str):
        return found  # E003
    if alias not in layers:
        return [_no_layer(alias, any_at_all=bool(layers)), *found]
    try:
        channel_layers.make_backend(alias)
    except Exception as error:  # whatever a backend makes of its CONFIG
        problem = f"CHANNEL_LAYERS[{alias!r}] can't be made: {error!r}."
        hint = f'CHANNEL_LAYERS["{alias}"] = {LOCAL_LAYER}'
        return [Error(problem, hint=hint, id="realtime.E011"), *found]
    processes = os.environ.get("WEB_CONCURRENCY", "1")
    if layers[alias].get("BACKEND") in IN_ONE_PROCESS and (not settings.DEBUG or processes not in ("", "1")):
        found.append(_ends_at_the_process(alias))
    return found


def _no_layer(alias: str, any_at_all: bool) -> CheckMessage:
    return Error(
        f"CHANNEL_LAYERS has no {alias!r}, which realtime is to use.",
        hint=f'CHANNEL_LAYERS["{alias}"] = {LOCAL_LAYER}'
        if any_at_all
        else f'CHANNEL_LAYERS = {{"{alias}": {LOCAL_LAYER}}}',
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
    config = layer.get("CONFIG")
    hosts = (config.get("hosts") if isinstance(config, dict) else None) or [None]
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
    names = [config.name for config in apps.get_app_configs()]
    if next((name for name in names if name in RUNSERVERS), "") not in ("realtime", "daphne"):
        line = 'INSTALLED_APPS = ["realtime", *(app for app in INSTALLED_APPS if app != "realtime")]'
        wrong = "INSTALLED_APPS has another app's runserver before that of realtime"
    elif not getattr(settings, "ASGI_APPLICATION", None):
        project = settings.ROOT_URLCONF.rpartition(".")[0]
        line, wrong = f'ASGI_APPLICATION = "{project}.asgi.application"', "runserver is given no ASGI_APPLICATION"
    else:
        return []
    return [Warning(f"{wrong}, which serves no sockets.", hint=line, id="realtime.W002")]


@register(Tags.database)
def check_secrets(databases: Sequence[str] | None = None, **_: Any) -> list[CheckMessage]:
    """E007: a secret in the database can't be decrypted. W004: there is none at all, in the settings neither.

    Django runs this with `migrate` and `check --database default`.
    """
    from .models import Secret

    alias = router.db_for_write(Secret)
    if alias not in (databases or ()):
        return []
    secrets, found = Secret.objects.using(alias), []
    try:
        found = [message for secret in secrets if (message := _check_decrypts(secret))]
        is_one = secrets.usable().exists()
    except DatabaseError:
        is_one = False  # not migrated yet: `migrate` runs this before it begins
    if not is_one and not conf.JWT_SECRET:
        found.append(Warning("There is no JWT secret: every token is refused.", hint=MAKE_ONE, id="realtime.W004"))
    return found


def _check_decrypts(secret: Secret) -> CheckMessage | None:
    try:
        secret.decrypt()
    except Undecryptable as error:
        problem = f"The JWT secret with the key id {secret.kid} can't be used: {error}."
        return Error(problem, hint=KEEP_THE_OLD_KEY, id="realtime.E007")
    return None


@register(Tags.urls)
def check_urls(**_: Any) -> list[CheckMessage]:
    """W005: the product's URLs do not say where realtime is served."""
    if not getattr(settings, "ROOT_URLCONF", None) or included() is not None:
        return []
    return [
        Warning(
            "The product's URLs do not say where realtime is served (or do so behind a parameter): at /, then.",
            hint='urlpatterns += [path("rt/", include("realtime.urls"))]  # or, if asgi.py says the prefix, '
            'SILENCED_SYSTEM_CHECKS = ["realtime.W005"]',
            id="realtime.W005",
        )
    ]


def _given() -> dict[str, Any]:
    given = getattr(settings, "REALTIME", {})
    return given if isinstance(given, dict) else {}
