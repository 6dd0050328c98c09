"""How far a run is, said on stderr."""

from __future__ import annotations

import sys
from time import monotonic

TRUSTED = 30.0  # seconds after which the time that is left follows from how fast it went


class Progress:
    """Says what is being done, and since when; how far it is once it has been told what to expect."""

    def __init__(self) -> None:
        self._start = monotonic()
        self._whole = self._done = self._doing = 0.0  # expected seconds

    def expect(self, seconds: float) -> None:
        self._start, self._whole = monotonic(), seconds

    def __call__(self, text: str, seconds: float = 0.0) -> None:
        """What begins, and how long it should take; 0: it is a part of what began before."""
        if seconds:
            self._done, self._doing = self._done + self._doing, seconds
        print(f"[{self.where()}] {text}", file=sys.stderr, flush=True)

    def where(self) -> str:
        gone = monotonic() - self._start
        if not self._whole:
            return f"{gone:4.0f} s"
        share = min(self._done / self._whole, 1.0)
        pace = gone / self._done if gone > TRUSTED and self._done else 1.0
        return f"{share:4.0%}, {left(pace * (self._whole - self._done))} left"


def left(seconds: float) -> str:
    return f"about {seconds / 60:.0f} min" if seconds >= 90 else f"about {max(seconds, 0):.0f} s"
