"""How a connection is opened: with a token in its header, which goes nowhere else."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from websockets.asyncio.client import connect

# What websockets logs at DEBUG has the Authorization header in it.
wire_logger = logging.getLogger(f"{__name__}.wire")
wire_logger.setLevel(logging.INFO)

TOKEN_TIMEOUT = 30.0  # seconds
OPTIONS = {"compression": None, "max_size": None, "close_timeout": 2}

Token = str | Callable[[], str | Awaitable[str]]


class NoToken(ConnectionError):
    """The function that makes tokens has failed (`__cause__`), or has made none."""


class Opening(connect):
    """A connection, as `async with`. Options are those of `connect`."""

    def __init__(self, url: str, token: str, options: dict[str, Any]) -> None:
        headers = {"Authorization": f"Bearer {token}"}
        super().__init__(url, additional_headers=headers, logger=wire_logger, **{**OPTIONS, **options})

    def process_redirect(self, exc: Exception) -> Exception | str:
        """Follow none: older versions of websockets send the token along, wherever it leads."""
        return exc


async def fresh(token: Token) -> str:
    """A token for one connection. Raises NoToken."""
    if isinstance(token, str):
        return token
    try:
        async with asyncio.timeout(TOKEN_TIMEOUT):
            made = token()
            return checked(await made if inspect.isawaitable(made) else made)
    except Exception as error:
        raise NoToken(f"no token: {type(error).__name__}: {error}") from error


def checked(token: object) -> str:
    """Raises ValueError, without the token, for what no header can carry."""
    if not isinstance(token, str) or not token.strip() or not token.isascii() or not token.isprintable():
        raise ValueError("a token is a string of printable ASCII")
    return token.strip()
