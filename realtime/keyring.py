"""The secrets that tokens are verified with, and the tokens verified so far. In memory: no database on the hot path."""

from __future__ import annotations

import time
from collections import OrderedDict
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.core.signals import setting_changed

from .conf import MIN_SECRET_BYTES, conf
from .tokens import InvalidToken, Token, decode

REMEMBERED = 10_000  # tokens; some 3 MB
LONGEST_REMEMBERED = 2_048  # characters; a longer token is verified each time


class Keyring:
    """Verifies tokens. A token verified once is remembered until it expires or the secret changes."""

    def __init__(self) -> None:
        self._verified: OrderedDict[str, Token] = OrderedDict()

    def verify(self, token: str | None) -> Token:
        """The verified token. Raises InvalidToken; ImproperlyConfigured when there is no secret to verify it with."""
        if token is None:
            raise InvalidToken("no token")
        known = self._verified.get(token)
        if known is None:
            known = decode(token, self.secret().encode(), conf.MAX_USER_LENGTH)
            if len(token) <= LONGEST_REMEMBERED:
                self._verified[token] = known
                if len(self._verified) > REMEMBERED:
                    self._verified.popitem(last=False)
        try:
            known.check(time.time(), conf.JWT_LEEWAY)
        except InvalidToken:
            self._verified.pop(token, None)
            raise
        return known

    def secret(self) -> str:
        """The secret that new tokens are signed with. Raises ImproperlyConfigured."""
        secret = conf.JWT_SECRET
        if not isinstance(secret, str) or len(secret.encode()) < MIN_SECRET_BYTES:
            raise ImproperlyConfigured(
                f"REALTIME['JWT_SECRET'] is missing or shorter than {MIN_SECRET_BYTES} bytes. Make one: "
                'python -c "import secrets; print(secrets.token_urlsafe(48))"'
            )
        return secret

    def forget(self) -> None:
        """Verify every token anew: a secret has changed."""
        self._verified.clear()


keyring = Keyring()


def _forget(*, setting: str, **_: Any) -> None:
    if setting == "REALTIME":
        keyring.forget()


setting_changed.connect(_forget)
