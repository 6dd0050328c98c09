"""System checks: what is wrong with the settings, and what to do about it."""

from __future__ import annotations

import difflib
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register
from django.db import DatabaseError

from .conf import HINTS, MIN_SECRET_BYTES, Settings, conf
from .encryption import KEEP_THE_OLD_KEY, Undecryptable
from .secretstore import MAKE_ONE
from .strictjson import DEEPEST

if TYPE_CHECKING:
    from .models import Secret

LEAST: dict[str, float] = {"MAX_USER_LENGTH": 300}
MOST: dict[str, float] = {"MAX_JSON_DEPTH": DEEPEST}


@register
def check_settings(**_: Any) -> list[CheckMessage]:
    """E001 to E004: REALTIME itself, its keys, the types and the ranges of its values. E005: the secret."""
    given = getattr(settings, "REALTIME", {})
    if not isinstance(given, dict):
        return [Error("REALTIME is not a dict.", hint='REALTIME = {"JWT_SECRET": "…"}', id="realtime.E001")]
    found = [message for name, value in given.items() if (message := _check(name, value))]
    return found + _check_secret(given) + _check_layer(given)


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
    if isinstance(secret, str) and len(secret.encode()) >= MIN_SECRET_BYTES:
        return []
    return [
        Error(
            f"REALTIME['JWT_SECRET'] is missing or shorter than {MIN_SECRET_BYTES} bytes.",
            hint='Make one: python -c "import secrets; print(secrets.token_urlsafe(48))"',
            id="realtime.E005",
        )
    ]


def _check_layer(given: dict[str, Any]) -> list[CheckMessage]:
    alias = given.get("CHANNEL_LAYER", "default")
    if alias in getattr(settings, "CHANNEL_LAYERS", {}):
        return []
    return [
        Error(
            f"CHANNEL_LAYERS has no {alias!r}, which realtime is to use.",
            hint=f'CHANNEL_LAYERS = {{"{alias}": {{"BACKEND": "realtime.layers.LocalChannelLayer"}}}}',
            id="realtime.E006",
        )
    ]


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
