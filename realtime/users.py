"""Users of the product: which user id they have, and tokens that name them."""

from __future__ import annotations

from typing import Any, Protocol

from asgiref.sync import sync_to_async
from django.utils.module_loading import import_string

from .admission import signing_key
from .conf import conf
from .keyring import Grant
from .protocol import trim
from .tokens import sign

LONGEST_LIFETIME = 10 * 365 * 86_400  # seconds


class HasPrimaryKey(Protocol):
    """A user of the product's, of whatever model."""

    @property
    def pk(self) -> Any: ...


User = str | HasPrimaryKey
"""A user id as it is, or a user of the product's, whose id USER_ID says."""


def primary_key(user: Any) -> str:
    """The default of USER_ID."""
    return str(user.pk)


def user_id(user: User) -> str:
    """The user id that tokens name: a string as it is, trimmed; a user of the product's by USER_ID.

    It may ask the database: `request.user` is looked up when it is first used. Raises ValueError when it is blank, as
    that of an anonymous user, or too long, and TypeError for what is no user.
    """
    given = user if isinstance(user, str) else import_string(conf.USER_ID)(user) if _is_known(user) else ""
    if not isinstance(given, str):
        raise TypeError(f"a user id is a string, not {type(given).__name__}")
    found = trim(given)
    if not found:
        raise ValueError("the user id is blank, or the user is anonymous")
    if len(found) > conf.MAX_USER_LENGTH:
        raise ValueError(f"the user id is longer than {conf.MAX_USER_LENGTH} characters")
    return found


async def auser_id(user: User) -> str:
    """`user_id` in async code, in a thread where it may ask the database."""
    is_id = issubclass(type(user), str)  # isinstance() would look a lazy user up, here
    return await sync_to_async(user_id)(user) if not is_id else user_id(user)


def token_for(user: User, lifetime: float | None = None) -> str:
    """A token with which `user`, a user id or a user of the product's, may connect for `lifetime` seconds.

    None: TOKEN_LIFETIME. It is signed with the secret that may do the least else: where there is one that may not
    publish, its tokens can't. Raises ValueError for an anonymous user or a lifetime of less than a second,
    ImproperlyConfigured when there is no secret.
    """
    seconds: float = conf.TOKEN_LIFETIME if lifetime is None else lifetime
    if not 1 <= seconds <= LONGEST_LIFETIME:
        raise ValueError(f"the lifetime of a token is {seconds!r}, not 1 to {LONGEST_LIFETIME} seconds")
    key = signing_key(Grant.CONNECT)
    return sign(user_id(user), key.secret, seconds, kid=key.kid)


def _is_known(user: Any) -> bool:
    if not hasattr(user, "pk"):
        raise TypeError(f"a user is a string or a user of the product's, not {type(user).__name__}")
    return user.pk is not None
