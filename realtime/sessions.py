"""Who is logged in to the product: a token for them, and sockets that need none."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from importlib import import_module
from io import BytesIO
from typing import Any, TypeVar

from channels.db import database_sync_to_async
from django.conf import settings
from django.contrib.auth import get_user
from django.core.handlers.asgi import ASGIRequest
from django.db import DatabaseError
from django.http import HttpRequest, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET
from django.views.decorators.vary import vary_on_cookie

from . import protocol
from .conf import conf
from .origins import check_own_origin
from .tokens import InvalidToken, Undecided
from .users import token_for, user_id

Result = TypeVar("Result")


@require_GET
@never_cache
@vary_on_cookie
def token(request: HttpRequest) -> JsonResponse:
    """A view for a page's own requests: `{"token": "…", "expiresIn": 900}` for who is logged in, else 401.

    No other site's page can read it, since it allows no other origin.
    """
    if not request.user.is_authenticated:
        return JsonResponse({"error": protocol.UNAUTHORIZED}, status=401)
    return JsonResponse({"token": token_for(request.user), "expiresIn": int(conf.TOKEN_LIFETIME)})


async def logged_in(scope: Any) -> str:
    """The user id of who is logged in with the session cookie of a handshake. Raises what `in_session` does."""
    return await in_session(scope, _user_id, conf.ALLOWED_ORIGINS)


async def in_session(scope: Any, look: Callable[[Any], Result], origins: Iterable[str] = ()) -> Result:
    """What `look`, which may ask the database, makes of who is logged in with the session cookie of a handshake.

    `origins` are those whose pages may do so beside the product's own. Raises Forbidden for a page of another site,
    InvalidToken when nobody is logged in, and Undecided.
    """
    scheme = {"ws": "http", "wss": "https"}.get(scope.get("scheme", "ws"), "http")
    request = ASGIRequest({**scope, "type": "http", "method": "GET", "scheme": scheme}, BytesIO())
    check_own_origin(request.headers.get("Origin"), request, origins)
    try:
        return await database_sync_to_async(_look, thread_sensitive=False)(request, look)
    except DatabaseError as error:
        raise Undecided(f"the session could not be read: {error!r}") from None


def _look(request: ASGIRequest, look: Callable[[Any], Result]) -> Result:
    store = import_module(settings.SESSION_ENGINE).SessionStore(request.COOKIES.get(settings.SESSION_COOKIE_NAME))
    request.session = ReadOnlySession(store.items())  # type: ignore[assignment]
    user = get_user(request)
    if not user.is_authenticated:
        raise InvalidToken("no token, and nobody is logged in")
    return look(user)


def _user_id(user: Any) -> str:
    try:
        return user_id(user)
    except ValueError as error:
        raise InvalidToken(str(error)) from None


class ReadOnlySession(dict[str, Any]):
    """What a session holds. Django's `get_user` may change a session, but a handshake can't give the new cookie."""

    def cycle_key(self) -> None: ...

    def flush(self) -> None:
        self.clear()
