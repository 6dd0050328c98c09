"""Who runs on which core.

A server of one process has a core of its own. Two workers that are compared with one need the same each, and where
fewer than four cores are to be had, there is no second one beside the generator's: then both share the core of the
server, and the one worker that they are compared with has to share it too, with a hog that takes half.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

HOG = "while True: pass"
SCHEDULED = Path("/proc/self/schedstat")  # https://docs.kernel.org/scheduler/sched-stats.html


def time_waited() -> float:
    """Seconds that this thread was ready to run, and somebody else had the core. 0 where the system does not say."""
    try:
        return int(SCHEDULED.read_text().split()[1]) / 1e9
    except OSError:
        return 0.0


@dataclass(frozen=True)
class Cores:
    """Redis has a core of its own if there is one, and else not that of the server under test."""

    generator: int
    redis: int
    server: int
    second: int | None = None  # of a second worker; None: it shares the core of the first

    @classmethod
    def choose(cls) -> Cores | None:
        """None where processes can't be pinned, or where there is nothing to choose from."""
        if not hasattr(os, "sched_getaffinity") or len(cores := sorted(os.sched_getaffinity(0))) < 2:
            return None
        return cls(
            generator=cores[0],
            redis=cores[1] if len(cores) > 2 else cores[0],
            server=cores[-1],
            second=cores[-2] if len(cores) > 3 else None,
        )

    def of_worker(self, number: int) -> int:
        return self.server if number % 2 == 0 or self.second is None else self.second


class Hog:
    """A process that takes what it gets of a core, but only while it may."""

    def __init__(self, core: int) -> None:
        self._process = subprocess.Popen([sys.executable, "-c", HOG])
        self._process.send_signal(signal.SIGSTOP)
        os.sched_setaffinity(self._process.pid, {core})

    @contextmanager
    def eating(self) -> Iterator[None]:
        self._process.send_signal(signal.SIGCONT)
        try:
            yield
        finally:
            self._process.send_signal(signal.SIGSTOP)

    def end(self) -> None:
        self._process.kill()
        self._process.wait()
