"""When to connect again, and when it would end the same way."""

from __future__ import annotations

import random

from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus

FOR_GOOD = range(4500, 5000)  # close codes (docs/protocol.md)


class GaveUp(Exception):
    """The client does not connect again: it would end the same way. `__cause__` is what happened.

    `code` is the close code of the server, `status` its answer at the handshake; None where it was not that.
    """

    def __init__(self, message: str, *, code: int | None = None, status: int | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.status = status


def delay(attempt: int, base: float, most: float) -> float:
    """Seconds until attempt 0, 1, …: "full jitter", so that the clients of a server that died don't return at once."""
    return random.uniform(0, min(most, base * 2 ** min(attempt, 32)))


def verdict(error: Exception, *, token_is_fixed: bool) -> GaveUp | None:
    """What ends the client when a connection has ended, or none came about, with `error`. None: try again."""
    if isinstance(error, ConnectionClosed):
        code = error.rcvd.code if error.rcvd else None
        return GaveUp(f"the server closed the socket: {error}", code=code) if code in FOR_GOOD else None
    if isinstance(error, InvalidStatus):
        return _of_status(error, token_is_fixed)
    if isinstance(error, OSError | EOFError | InvalidHandshake):
        return None
    return GaveUp(f"no socket is possible: {error!r}")


def _of_status(error: InvalidStatus, token_is_fixed: bool) -> GaveUp | None:
    status = error.response.status_code
    if status == 401 or (status == 403 and _says_why(error)):
        return GaveUp(f"the token is refused: HTTP {status}", status=status) if token_is_fixed else None
    if status in (403, 429) or status >= 500:
        return None
    return GaveUp(f"no socket is served there: HTTP {status}", status=status)


def _says_why(error: InvalidStatus) -> bool:
    """Stock Daphne, whose 403 does not, answers so when the service is away, too."""
    return b'"Forbidden"' in (error.response.body or b"")
