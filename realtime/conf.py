"""The app's settings: one dict, `REALTIME`, in Django's settings. Read when used, so that override_settings works.

Each name, its default and what it means stand in `Settings`; `checks.py` compares the dict with it.
"""

from __future__ import annotations

from typing import Any, get_origin, get_type_hints

from django.conf import settings as django_settings
from django.core.signals import setting_changed

MIN_SECRET_BYTES = 32  # RFC 7518, section 3.2: a key of the same size as the hash output or larger


class Settings:
    """Defaults. Times are in seconds, sizes in bytes, lengths in characters."""

    JWT_SECRET: str = ""
    """A secret that tokens are signed with (HS256), at least 32 bytes of UTF-8, beside those managed in the admin."""
    ENCRYPTION_KEYS: list[str] = []
    """What encrypts the secrets in the database: the first encrypts, all decrypt. Else SECRET_KEY and its fallbacks."""
    SECRETS_POLL: float = 10.0
    """How often a process looks for changed secrets. It is also told of each over the channel layer, at once."""
    JWT_LEEWAY: float = 0
    """How far `exp` and `nbf` may be off."""
    CLOSE_AT_EXP: bool = False
    """Close a socket when its token expires (close code 4001). Off: a token is looked at when a socket connects."""

    USER_ID: str = "realtime.users.primary_key"
    """The dotted path of a function that makes a user id of a user of the product's."""

    TOKEN_LIFETIME: float = 900.0
    """How long the tokens that `token_for`, the template tag and the token view make are valid."""
    SESSION_AUTH: bool = False
    """Let a socket without a token in with the product's session cookie, from pages of the same origin."""
    ALLOWED_ORIGINS: list[str] = []
    """The origins whose pages may connect: "https://example.org", "https://*.example.org". None: any, with a token."""

    CHANNEL_LAYER: str = "default"
    """The alias in CHANNEL_LAYERS to use."""

    METRICS: bool = False
    """Whether there is a path `/metrics` for Prometheus."""
    METRICS_TOKEN: str = ""
    """What must be in its `Authorization: Bearer …`. Empty: whoever reaches it may read it."""

    ACK_TIMEOUT: float = 5.0
    """How long a publish waits for acks."""
    REPORT_TIMEOUT: float = 1.0
    """How long a publish waits for a process that should answer and does not: it died or hangs."""
    SETTLE_TIME: float = 0.25
    """On a channel layer of another make: how long a publish waits for the processes that have sockets of the user."""

    MAX_BODY_BYTES: int = 4 * 1024 * 1024
    """A larger request body is answered with 413."""
    MAX_FRAME_BYTES: int = 1024 * 1024
    """A larger frame is ignored. Servers have a limit of their own, at which they end the socket."""
    MAX_JSON_DEPTH: int = 512
    """Levels of arrays and objects in a body (else 400) or a frame (else ignored). At most 700."""
    MAX_FILTERS: int = 5000
    """Filters of one socket. One more closes it (close code 4501)."""
    MAX_FILTER_KEYS: int = 32
    """Keys of one filter, `type` included. A filter with more is skipped."""
    MAX_FILTER_LENGTH: int = 1024
    """Length of each key and value of a filter. A filter with a longer one is skipped."""
    MAX_SOCKETS: int = 50_000
    """Sockets of one process. A handshake of one more is answered with 503."""
    MAX_USER_SOCKETS: int = 1000
    """Sockets of one user in one process. A handshake of one more is answered with 429."""
    MAX_AWAITED: int = 10_000
    """Envelopes that one socket has been sent and not acked, within ACK_TIMEOUT. One more closes it (4004)."""
    FRAME_RATE: float = 100.0
    """Frames a second of one socket in the long run, awaited acks not counted. More close it (close code 4503)."""
    FRAME_BURST: int = 2000
    """Frames of one socket at once, beyond that rate."""
    MAX_PUBLISHES: int = 5000
    """Publishes under way in one process. One more is answered with 503."""
    MAX_TOKEN_PUBLISHES: int = 2000
    """Publishes under way with one token in one process. One more is answered with 429."""
    MAX_USER_LENGTH: int = 1024
    """Length of a user id, 300 at the least. A publish to a longer one is answered with 400, a token refused."""


HINTS: dict[str, type] = {name: get_origin(hint) or hint for name, hint in get_type_hints(Settings).items()}


class LazySettings:
    """`conf.ACK_TIMEOUT` is the value in REALTIME, or else the default. Values are kept until a setting changes."""

    def __getattr__(self, name: str) -> Any:
        if name not in HINTS:
            raise AttributeError(f"REALTIME has no setting {name!r}")
        given = getattr(django_settings, "REALTIME", {})
        setting = given.get(name, getattr(Settings, name)) if isinstance(given, dict) else getattr(Settings, name)
        self.__dict__[name] = setting
        return setting

    def reset(self) -> None:
        self.__dict__.clear()


conf = LazySettings()


def _forget(*, setting: str, **_: Any) -> None:
    if setting == "REALTIME":
        conf.reset()


setting_changed.connect(_forget)
