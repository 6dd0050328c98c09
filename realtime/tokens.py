"""Tokens: found in a request, verified, made. Knows nothing of Django; where secrets come from is the keyring's."""

from __future__ import annotations

import re
import time
from base64 import urlsafe_b64decode
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

import jwt

from . import strictjson
from .protocol import trim

_jws = jwt.PyJWS(algorithms=["HS256"])
_scheme = re.compile(r"bearer(?=\s|$)", re.IGNORECASE)


class InvalidToken(Exception):
    """The token is none of ours, expired, or not yet valid. The text says why; it never holds the token."""


class Undecided(Exception):
    """Who this is can't be said, since the database has not answered. Trying again is right."""


class UnknownSignature(InvalidToken):
    """None of the known secrets has signed it."""


@dataclass(frozen=True, slots=True)
class Token:
    """A verified token: whom it names, and when it is valid (seconds since the epoch; None: no bound).

    `kid` is the id of the secret that has signed it, None for the one in the settings.
    """

    user: str
    expires: float | None = None
    not_before: float | None = None
    kid: str | None = None

    def check(self, now: float, leeway: float = 0) -> None:
        """Raise InvalidToken unless the token is valid at `now` (RFC 7519: not on or after `exp`, not before `nbf`)."""
        if self.expires is not None and self.expires <= now - leeway:
            raise InvalidToken("expired")
        if self.not_before is not None and self.not_before > now + leeway:
            raise InvalidToken("not yet valid")


def find_token(authorization: str | None, query: str) -> str | None:
    """The token that a request carries, or None. The header wins; `?token=` counts only when the header is absent."""
    header = trim(authorization or "")
    if token := trim(_scheme.sub("", header, count=1)):
        return token
    return next((trim(value) for key, value in parse_qsl(query, keep_blank_values=True) if key == "token"), "") or None


def claimed_kid(token: str) -> str | None:
    """The `kid` that the header names, before anything has been verified. None: it names none, or can't be read."""
    try:
        raw = (strictjson.members(_segment(token)) or {}).get("kid")
    except (ValueError, RecursionError):
        return None
    return None if raw is None else strictjson.string(raw)


def decode(token: str, secret: bytes, max_user_length: int, kid: str | None = None) -> Token:
    """The token, its signature verified but not its times; `kid` is passed on. Raises InvalidToken.

    Only HS256, whatever the header says. Claims other than `userId`, `exp` and `nbf` are nobody's business here,
    which is why PyJWT verifies the signature and not the claims: it refuses a numeric `sub`, or an `iat` ahead of us.
    """
    try:
        decoded = _jws.decode_complete(token, secret, algorithms=["HS256"])
        header, claims = strictjson.members(_segment(token)), strictjson.members(decoded["payload"])
    except jwt.InvalidSignatureError:
        raise UnknownSignature("signed by none of the secrets") from None
    except (jwt.PyJWTError, ValueError, TypeError, RecursionError) as error:
        raise InvalidToken(type(error).__name__) from None
    _check_type(header or {})
    user = trim(_user(claims))
    if not user:
        raise InvalidToken("userId is missing, blank or not a string")
    if len(user) > max_user_length:
        raise InvalidToken("userId is too long")
    return Token(user, _time(claims or {}, "exp"), _time(claims or {}, "nbf"), kid)


def is_fit(secret: str, min_bytes: int) -> bool:
    """Whether it can sign with HS256: long enough, and no PEM key, say, which PyJWT refuses."""
    try:
        return len(secret.encode()) >= min_bytes and bool(sign("nobody", secret))
    except (jwt.PyJWTError, UnicodeEncodeError):
        return False


def sign(
    user: str, secret: str | bytes, lifetime: float | None = None, *, kid: str | None = None, **claims: Any
) -> str:
    """A token for `user` that is valid for `lifetime` seconds, or for ever. `kid` goes into its header."""
    now = int(time.time())
    times = {"iat": now} if lifetime is None else {"iat": now, "exp": now + int(lifetime)}
    headers = None if kid is None else {"kid": kid}
    return jwt.encode({"userId": user, **times, **claims}, secret, algorithm="HS256", headers=headers)


def _segment(token: str) -> bytes:
    """The header's JSON. PyJWT has read it, but not strictly: it takes UTF-16 and `NaN`."""
    encoded = token.partition(".")[0]
    return urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4))


def _check_type(header: dict[str, strictjson.Raw]) -> None:
    given = header.get("typ")
    if given is not None and (strictjson.string(given) or "").upper() != "JWT":
        raise InvalidToken("typ is not JWT")


def _user(claims: dict[str, strictjson.Raw] | None) -> str:
    raw = claims and claims.get("userId")
    return (raw and strictjson.string(raw)) or ""


def _time(claims: dict[str, strictjson.Raw], name: str) -> float | None:
    raw = claims.get(name)
    if raw is None:
        return None
    given = strictjson.value(raw)
    if not isinstance(given, float):
        raise InvalidToken(f"{name} is not a number")
    return given
