"""What the commands that talk to a server share: where it is, and which token opens it."""

from __future__ import annotations

import json
from argparse import ArgumentParser, ArgumentTypeError
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import CommandError

from realtime.admission import signing_key
from realtime.keyring import Grant
from realtime.tokens import sign

DEFAULT_URL = "http://127.0.0.1:8000"
LIFETIME = 900  # seconds; long enough to connect, and a token in a terminal's history is soon worth nothing


def add_server_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--url", default=DEFAULT_URL, help="the server, with its prefix (default: %(default)s)")
    parser.add_argument("--token", help="a token of that server (default: one signed with a secret of this site)")


def make_token(user: str, *grants: Grant, lifetime: float | None = LIFETIME) -> str:
    try:
        key = signing_key(*grants)
        return sign(user, key.secret, lifetime, kid=key.kid)
    except ImproperlyConfigured as error:
        raise CommandError(str(error)) from None


def address(url: str, scheme: str, path: str = "") -> str:
    """`url` for sockets ("ws") or requests ("http"), secure when it was, with `path` added."""
    found, separator, rest = url.partition("://")
    if not separator or found not in ("http", "https", "ws", "wss"):
        raise CommandError(f"--url {url!r} does not begin with http://, https://, ws:// or wss://.")
    secure = "s" if found in ("https", "wss") else ""
    return f"{scheme}{secure}://{rest.rstrip('/')}/{path}"


def json_text(text: str) -> str:
    """An argument that has to be JSON, as it was given."""
    try:
        json.loads(text)
    except ValueError as error:
        raise ArgumentTypeError(f"not JSON: {text!r} ({error}). A string needs its quotes: '\"like this\"'") from None
    return text


def key_value(text: str) -> tuple[str, str]:
    key, separator, value = text.partition("=")
    if not separator or not key:
        raise ArgumentTypeError(f"not key=value: {text!r}")
    return key, value


def compact(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
