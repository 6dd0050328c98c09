"""The keyring of this process, and how it is read from the database: never while a token is verified.

Processes that serve sockets or publishes have a task that keeps it fresh (`admission`). Code that only signs tokens (a
WSGI view, a command) reads the table itself when what it knows is a second old. While the database is away, the secrets
known so far go on.
"""

from __future__ import annotations

import itertools
import logging
import math
import os
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import datetime, timedelta
from threading import Lock
from typing import TYPE_CHECKING, Any

from channels.db import database_sync_to_async
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.signals import setting_changed
from django.db import DatabaseError, connections, router
from django.utils import timezone

from .conf import MIN_SECRET_BYTES, conf
from .encryption import Undecryptable
from .keyring import Grant, Key, Keyring, NoSecret
from .tokens import Token, Undecided, UnknownSignature, is_fit

if TYPE_CHECKING:
    from .models import Secret, SecretQuerySet

logger = logging.getLogger(__name__)

MAKE_ONE = (
    "Make one in the admin or with `manage.py realtime_secret create NAME`, or set REALTIME['JWT_SECRET'] to what "
    '`python -c "import secrets; print(secrets.token_urlsafe(48))"` prints.'
)
PATIENCE = 2.0  # seconds that somebody waits for the database who needs a secret to sign with
FRESH = 1.0  # seconds for which code that nobody tells of changes relies on what it has read
WRITE_AFTER = 60.0  # seconds between two writes of a secret's last use


class SecretStore:
    """The keyring of this process, and what keeps it fresh."""

    def __init__(self) -> None:
        self.keyring = Keyring()
        self._own_known = False  # whether the secret in the settings is in it: they are read when used, not before
        self._looks = itertools.count(1)
        self._last_look = 0  # the one that made the keyring
        self._lock = Lock()
        self._read_at: float | None = None  # monotonic; None: never
        self._asked_at = -math.inf  # when somebody without a watch last wanted it read
        self._logged: dict[str, str] = {}  # the problem with each thing that can go wrong

    def verify(self, token: str | None, grant: Grant) -> Token:
        """The verified token. Raises InvalidToken, Forbidden, and Undecided when the database never answered."""
        try:
            return self.keyring.verify(token, grant, leeway=conf.JWT_LEEWAY, max_user_length=conf.MAX_USER_LENGTH)
        except UnknownSignature:
            if self._read_at is None:
                raise Undecided("the secrets in the database could not be read yet") from None
            raise

    @property
    def is_loaded(self) -> bool:
        return self._read_at is not None

    @property
    def age(self) -> float:
        """Seconds since the secrets were read, infinite when they never were."""
        return math.inf if self._read_at is None else time.monotonic() - self._read_at

    def signing_key(self, *grants: Grant) -> Key:
        """The secret to sign a new token with. Raises ImproperlyConfigured when there is none that may do this."""
        try:
            return self.keyring.signing_key(*grants)
        except NoSecret as error:
            raise ImproperlyConfigured(f"{error}. {MAKE_ONE}") from None

    def reload(self) -> bool:
        """Read the table. When it can't be, that is logged, once, and the keys known so far go on: False."""
        if not self._own_known:
            self.read_settings()
        look = next(self._looks)
        try:
            keys, unusable, problems = _read()
        except Exception as error:  # a database that is away raises whatever its driver does
            self.log("reading", f"the JWT secrets can't be read, going on with those known: {error!r}")
            return False
        self.log("reading", "")
        with self._lock:
            if look > self._last_look:  # else somebody has read the table since, and knows better
                self._last_look = look
                self._take(keys, unusable)
                self._read_at = time.monotonic()
        if not keys and self.keyring.own is None:
            problems.append(f"there is no JWT secret, every token is refused. {MAKE_ONE}")
        if (found := "; ".join(problems)) != self._logged.get("secrets"):
            self.log("secrets", "")
            self.log("secrets", found)
        return True

    def refresh(self) -> None:
        """Read the table, unless that has just been done or has just failed."""
        now = time.monotonic()
        read_at = -math.inf if self._read_at is None else self._read_at
        failed_at = self._asked_at if self._asked_at > read_at else -math.inf
        if read_at + FRESH > now or failed_at + conf.SECRETS_POLL > now:
            return
        self._asked_at = now
        if connections[_secrets().db].in_atomic_block:
            # Seen from within a transaction the table may hold what is not committed, or be as it was long ago; and an
            # error would end the transaction.
            self._read_elsewhere()
        else:
            self.reload()

    def first_look(self) -> None:
        """Read the table when that has never been tried. For async code, where Django allows no query."""
        if self._read_at is None and self._asked_at == -math.inf:
            self._asked_at = time.monotonic()
            self._read_elsewhere()

    def _read_elsewhere(self) -> None:
        with suppress(TimeoutError):
            _thread.submit(_closing_connections, self.reload).result(PATIENCE)

    def revoke(self, kid: str) -> None:
        """Forget a secret at once, without asking the database."""
        with self._lock:
            self._last_look = next(self._looks)  # who has begun to read the table before may have seen it still
            self.keyring = self.keyring.without(kid)

    def read_settings(self) -> None:
        """Take the secret in the settings into the keyring."""
        with self._lock:
            self.keyring = Keyring(self.keyring.keys.values(), _own_key(), self.keyring.unusable)
            self._own_known = True

    async def look(self) -> None:
        """Read the table in a thread of its own, which nothing that the product runs can hold up."""
        await database_sync_to_async(self._look_and_write, thread_sensitive=False, executor=_thread)()

    def _look_and_write(self) -> None:
        if not self.reload():
            return
        try:
            self._write_last_used()
        except Exception as error:
            self.log("writing", f"the last use of the JWT secrets can't be written: {error!r}", logging.WARNING)
        else:
            self.log("writing", "")

    def _write_last_used(self) -> None:
        """Note which secrets have been used, each at most once a minute over all processes."""
        for key in self.keyring.keys.values():
            if key.used - key.written > WRITE_AFTER:
                used = _moment(key.used)
                written_lately = {"last_used__gt": used - timedelta(seconds=WRITE_AFTER)}
                # An update, unlike a save, makes nobody read the table anew.
                _secrets().filter(kid=key.kid).exclude(**written_lately).update(last_used=used)
                key.written = key.used

    def _take(self, keys: list[Key], unusable: list[str]) -> None:
        """A keyring of these keys, which take over what is known of their use."""
        for key in keys:
            if known := self.keyring.keys.get(key.kid):
                known.written = max(known.written, key.written)
                key.used, key.written = known.used, known.written
        if not self.keyring.is_same(keys, unusable):  # else it keeps the tokens that it remembers
            self.keyring = Keyring(keys, self.keyring.own, unusable)

    def log(self, what: str, problem: str, level: int = logging.ERROR) -> None:
        """Log a problem with this once, until it is, "", over: a database that goes away says so in several ways."""
        if problem and self._logged.get(what):
            return
        if problem:
            logger.log(level, problem)
        self._logged[what] = problem


def _new_thread() -> None:
    global _thread
    _thread = ThreadPoolExecutor(1, thread_name_prefix="realtime-secrets")


_thread: ThreadPoolExecutor
_new_thread()
os.register_at_fork(after_in_child=_new_thread)  # where the old one is the parent's


def _secrets() -> SecretQuerySet:
    """The table. Found when it is used, so that an asgi.py may import this before Django is set up.

    Where it is written, since a replica may not know yet what has been revoked.
    """
    from .models import Secret

    return Secret.objects.using(router.db_for_write(Secret))


def _closing_connections(read: Any) -> None:
    try:
        read()
    finally:
        connections.close_all()


def _own_key() -> Key | None:
    secret: str = conf.JWT_SECRET
    if secret and not is_fit(secret, MIN_SECRET_BYTES):
        logger.error("REALTIME['JWT_SECRET'] is not used: it is shorter than %d bytes, or a PEM key", MIN_SECRET_BYTES)
        return None
    return Key(secret.encode()) if secret else None


def _read() -> tuple[list[Key], list[str], list[str]]:
    """The active secrets, the newest first; the key ids of the others; and what is wrong with those to be decrypted."""
    keys: list[Key] = []
    unusable, problems = [], []
    try:
        for secret in _secrets():
            try:
                if secret.is_active:
                    keys.append(_key(secret))
                else:
                    unusable.append(secret.kid)
            except Undecryptable as error:
                unusable.append(secret.kid)
                problems.append(f"the JWT secret with the key id {secret.kid} can't be used: {error}")
    except DatabaseError:
        if _is_migrated():
            raise
    return keys, unusable, problems


def _is_migrated() -> bool:
    """Whether the table is there. A product that keeps its one secret in the settings need not migrate."""
    secrets = _secrets()
    connection = connections[secrets.db]
    with connection.cursor() as cursor:
        return secrets.model._meta.db_table in connection.introspection.table_names(cursor)


def _key(secret: Secret) -> Key:
    """Raises Undecryptable."""
    return Key(
        secret.decrypt().encode(),
        secret.kid,
        frozenset(secret.grants),
        begins=secret.valid_from.timestamp(),
        ends=secret.valid_until.timestamp() if secret.valid_until else math.inf,
        written=secret.last_used.timestamp() if secret.last_used else 0.0,
    )


def _moment(timestamp: float) -> datetime:
    return datetime.fromtimestamp(timestamp, timezone.get_default_timezone() if settings.USE_TZ else None)


store = SecretStore()


def _forget(*, setting: str, **_: Any) -> None:
    if setting == "REALTIME":
        store.read_settings()


setting_changed.connect(_forget)
