"""Bounds on what may be under way at once, and how fast. Knows nothing of Django, sockets or HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


class TooMany(Exception):
    """A bound has been reached: `what` is too many, and `whose` says whether of one client or of all."""

    def __init__(self, what: str, whose: str) -> None:
        super().__init__(f"too many {what} of {whose}")
        self.whose = whose


class InFlight:
    """Counts what is under way, in all and of each token."""

    def __init__(self) -> None:
        self.count = 0
        self.by_token: dict[str, int] = {}

    @contextmanager
    def one(self, token: str, *, most: int, most_of_token: int) -> Iterator[None]:
        """One more while the block runs. Raises TooMany."""
        of_token = self.by_token.get(token, 0)
        if self.count >= most:
            raise TooMany("publishes", "the process")
        if of_token >= most_of_token:
            raise TooMany("publishes", "the token")
        self.count += 1
        self.by_token[token] = of_token + 1
        try:
            yield
        finally:
            self.count -= 1
            self.by_token[token] -= 1
            if not self.by_token[token]:
                del self.by_token[token]


class Bucket:
    """A token bucket: `burst` at once, and `rate` a second in the long run."""

    __slots__ = ("_at", "_left")

    def __init__(self, burst: float, now: float) -> None:
        self._left, self._at = burst, now

    def takes(self, rate: float, burst: float, now: float) -> bool:
        """Whether one more is within the bound at this time (seconds)."""
        self._left = min(burst, self._left + (now - self._at) * rate)
        self._at = now
        if self._left < 1:
            return False
        self._left -= 1
        return True
