"""The secrets that tokens are verified with, and the tokens verified so far. All in memory, nothing of Django.

A keyring never changes: when the secrets do, a new one takes its place (`secretstore`), so that no thread ever sees a
half of a change, and no token verified by an old secret is remembered by the new keyring.
"""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import islice

from .tokens import InvalidToken, Token, UnknownSignature, claimed_kid, decode

REMEMBERED = 10_000  # tokens; some 3 MB
LONGEST_REMEMBERED = 2_048  # characters; a longer token is verified each time
TRIED = 5  # secrets, for a token whose header names none: what a wrong one may cost is bounded


class Grant(StrEnum):
    """What a secret's tokens may do."""

    CONNECT = "connect"
    PUBLISH = "publish"


BOTH = frozenset(Grant)


class Forbidden(Exception):
    """The token is good, but its secret does not allow this."""


class NoSecret(Exception):
    """There is no secret to sign with."""


@dataclass(slots=True)
class Key:
    """A secret, what it may do, and when it is valid (seconds since the epoch). Its use makes it no other."""

    secret: bytes = field(repr=False)
    kid: str | None = None  # None: the one in the settings
    grants: frozenset[Grant] = BOTH
    begins: float = -math.inf
    ends: float = math.inf
    used: float = field(default=0.0, compare=False)  # when it last verified a token; the one thing that changes
    written: float = field(default=0.0, compare=False)  # and when that was last written to the database

    def is_valid(self, now: float) -> bool:
        return self.begins <= now < self.ends


class Keyring:
    """Verifies tokens. `keys` are those of the database, the newest first, `own` is the secret in the settings.

    `unusable` are the ids of secrets that verify nothing: revoked, or not to be decrypted. A token verified once is
    remembered until it expires.
    """

    def __init__(self, keys: Iterable[Key] = (), own: Key | None = None, unusable: Iterable[str] = ()) -> None:
        self.keys = {key.kid: key for key in keys}
        self.own = own
        self.unusable = frozenset(unusable)
        self._verified: OrderedDict[str, tuple[Token, Key]] = OrderedDict()

    def verify(self, token: str | None, grant: Grant, *, leeway: float = 0, max_user_length: int = 1024) -> Token:
        """The verified token. Raises InvalidToken, and Forbidden when its secret lacks the grant."""
        if token is None:
            raise InvalidToken("no token")
        known = self._verified.get(token)
        now = time.time()
        if known is None or not known[1].is_valid(now):  # another secret of the same text may still be valid
            known = self._decode(token, now, max_user_length)
            if len(token) <= LONGEST_REMEMBERED:
                self._verified[token] = known
                if len(self._verified) > REMEMBERED:
                    self._verified.popitem(last=False)
        verified, key = known
        try:
            verified.check(now, leeway)
            if not key.is_valid(now):
                raise InvalidToken("its secret is not valid now")
        except InvalidToken:
            self._verified.pop(token, None)
            raise
        key.used = now
        if grant not in key.grants:
            raise Forbidden(f"its secret may not {grant.value}")
        return verified

    def signing_key(self, *grants: Grant) -> Key:
        """The secret to sign a token with that is to do this: the one that may do the least else, the newest of those.

        Raises NoSecret.
        """
        now = time.time()
        fit = [key for key in self.keys.values() if key.grants.issuperset(grants) and key.is_valid(now)]
        if fit:
            return min(fit, key=lambda key: len(key.grants))
        if self.own is None:
            raise NoSecret(f"no secret may {' and '.join(grant.value for grant in grants)}")
        return self.own

    def without(self, kid: str) -> Keyring:
        """The same with one secret revoked."""
        return Keyring((key for key in self.keys.values() if key.kid != kid), self.own, self.unusable | {kid})

    def is_same(self, keys: list[Key], unusable: Iterable[str]) -> bool:
        """Whether a keyring of these would be the same as this one."""
        return list(self.keys.values()) == keys and self.unusable == frozenset(unusable)

    def _decode(self, token: str, now: float, max_user_length: int) -> tuple[Token, Key]:
        kid = claimed_kid(token)
        for key in self._candidates(kid, now):
            try:
                return decode(token, key.secret, max_user_length, key.kid), key
            except UnknownSignature:
                continue
        raise UnknownSignature("signed by none of the secrets" if kid is None else "its kid names no secret of ours")

    def _candidates(self, kid: str | None, now: float) -> Iterator[Key]:
        """The secrets that may have signed a token. One whose `kid` no secret ever had may be a client's of old, to
        which it never meant anything here: only the secret of the settings can have signed it.

        Without a `kid` that and the newest five are tried, whatever they may do: what a token is answered with must not
        depend on what it was first shown for.
        """
        if kid is not None and (named := self.keys.get(kid)):
            yield named
            return
        if kid in self.unusable:
            return
        if self.own is not None:
            yield self.own
        if kid is None:
            yield from islice((key for key in self.keys.values() if key.is_valid(now)), TRIED)
