"""Which pages may open sockets. Browsers say in `Origin` from where a page came; other clients say nothing."""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import urlsplit

from django.conf import settings
from django.core.exceptions import DisallowedHost
from django.http import HttpRequest
from django.utils.http import is_same_domain

from .conf import conf
from .keyring import Forbidden


def check_origin(origin: str | None) -> None:
    """For a socket with a token, which another site's page can't have. Raises Forbidden for one that is not allowed.

    Without ALLOWED_ORIGINS every origin is fine, and no origin always is.
    """
    allowed: list[str] = conf.ALLOWED_ORIGINS
    if origin is not None and allowed and not is_among(origin, allowed):
        raise Forbidden("its origin is not allowed")


def check_own_origin(origin: str | None, request: HttpRequest, others: Iterable[str] = ()) -> None:
    """For a socket with a cookie, which browsers send along for any page. Raises Forbidden unless the page is ours, or
    of one of the others. What CSRF_TRUSTED_ORIGINS names may send the product's forms, and counts as ours.
    """
    if origin is None:
        raise Forbidden("a session cookie without an origin")
    try:
        own = f"{'https' if request.is_secure() else 'http'}://{request.get_host()}"
    except DisallowedHost:
        raise Forbidden("its host is not one of ALLOWED_HOSTS") from None
    if not is_among(origin, [own, *others, *settings.CSRF_TRUSTED_ORIGINS]):
        raise Forbidden("its origin is not ours")


def is_among(origin: str, allowed: Iterable[str]) -> bool:
    """Whether an origin ("https://example.org:8443") is one of these, of which "https://*.example.org" names many."""
    given = origin.lower()
    try:
        parts = urlsplit(given)
    except ValueError:
        return False
    for one in map(str.lower, allowed):
        scheme, _, host = one.partition("://")
        if given == one or ("*" in host and parts.scheme == scheme and is_same_domain(parts.netloc, host.lstrip("*"))):
            return True
    return False
