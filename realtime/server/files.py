"""Open files, which connections are too: as many as the process may have, of which clients do not get the last."""

from __future__ import annotations

import errno
import logging
import math
import os
import time

from ..conf import conf

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]

logger = logging.getLogger(__name__)

FOR_REQUESTS = 64  # that no socket takes: a publish needs one for a moment, a socket for hours
FOR_OURSELVES = 32  # that no connection takes: Redis and the database are connected to again whatever clients do
SILENCE = 60.0  # seconds between two lines about the same

_said = -math.inf


def raise_limit() -> None:
    """Raise the soft limit to the hard one: the usual 1024 is meant for programs that can't count further."""
    if resource is None:
        return
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    except (OSError, ValueError) as error:  # macOS takes no infinite one
        logger.debug("the limit of open files stays: %r", error)
    if _limit() < conf.MAX_SOCKETS + FOR_REQUESTS:
        logger.warning(
            "the limit of open files is %d, so there will be fewer than MAX_SOCKETS, %d: raise it (ulimit -Hn, "
            "LimitNOFILE) or lower MAX_SOCKETS",
            _limit(),
            conf.MAX_SOCKETS,
        )


def are_short(reserve: int) -> bool:
    """Whether what may still be opened is the reserve, or less."""
    if _lowest() < _limit() - reserve:
        return False
    global _said
    if (now := time.monotonic()) >= _said + SILENCE:
        _said = now
        logger.warning(
            "almost all of the %d open files are taken: no more sockets, and at last no more connections", _limit()
        )
    return True


def _lowest() -> float:
    """The lowest number that no open file has, which the next one gets."""
    try:
        file = os.open(os.devnull, os.O_RDONLY)
    except OSError as error:
        return math.inf if error.errno in (errno.EMFILE, errno.ENFILE) else 0
    os.close(file)
    return file


def _limit() -> float:
    if resource is None:
        return math.inf
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return math.inf if soft == resource.RLIM_INFINITY else soft
