"""Where the app is served: under the prefix that the product's URLs say, behind Django's script name."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from functools import cached_property
from typing import Any
from urllib.parse import unquote

from django.conf import settings
from django.urls import NoReverseMatch, get_script_prefix, reverse, set_script_prefix

logger = logging.getLogger(__name__)


class Paths:
    """The paths under a prefix. `given` is "/rt/", "/rt" or "rt", or None for the one in the product's URLs.

    They are looked up when the first connection comes: the product's URLs may import the module that makes this.
    """

    def __init__(self, given: str | None) -> None:
        self._given = given

    @cached_property
    def prefix(self) -> str:
        """With a slash at both ends."""
        path = self._given
        if path is None and (path := included()) is None:
            logger.warning("the product's URLs do not say where realtime is served: at /, then (realtime.W005)")
        return f"/{(path or '').strip('/')}/".replace("//", "/")

    @cached_property
    def sockets(self) -> frozenset[str]:
        """The prefix without its last slash is among them: addresses of sockets are written by hand."""
        return frozenset({self.prefix, self.prefix[:-1], f"{self.prefix}connect"})

    @cached_property
    def console(self) -> str:
        return f"{self.prefix}console"

    @cached_property
    def publish(self) -> str:
        return f"{self.prefix}publish"

    @cached_property
    def alive(self) -> str:
        return f"{self.prefix}healthz"

    @cached_property
    def ready(self) -> str:
        return f"{self.prefix}readyz"

    @cached_property
    def metrics(self) -> str:
        return f"{self.prefix}metrics"


def included() -> str | None:
    """The prefix under which the product's URLs include ours, with a slash at both ends. None: they do not, or behind a
    parameter, or in a namespace.
    """
    script_prefix = get_script_prefix()
    set_script_prefix("/")  # FORCE_SCRIPT_NAME is no part of it, and cut off from each path
    try:
        return unquote(reverse("realtime:publish")).removesuffix("publish")
    except NoReverseMatch:
        return None
    finally:
        set_script_prefix(script_prefix)


def local_path(scope: Mapping[str, Any]) -> str:
    """The path of a connection behind the script name, which a proxy in front may have cut off already.

    As Django's ASGIRequest finds it: FORCE_SCRIPT_NAME, or else the server's root_path.
    """
    path: str = scope["path"]
    script_name = settings.FORCE_SCRIPT_NAME or scope.get("root_path")
    return path.removeprefix(script_name.rstrip("/")) if script_name else path
