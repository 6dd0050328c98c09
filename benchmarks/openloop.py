"""An open loop: publishes at a given pace, whatever becomes of those before, as the requests of a product come.

So a stall is met by all publishes that fall into it, and none is left out because its publisher still waits.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from time import perf_counter

from .load import Door, open_publisher
from .wire import Http


async def paced(rate: float) -> AsyncIterator[float]:
    """So many times a second, when it is due: that time, on the clock of `perf_counter`."""
    start = perf_counter()
    for number in itertools.count():
        due = start + number / rate
        await asyncio.sleep(max(0.0, due - perf_counter()))
        yield due


class Connections:
    """Of publishers: kept, as many as there are publishes under way at once."""

    def __init__(self, door: Door) -> None:
        self._door = door
        self._numbers = itertools.count()
        self._free: list[Http] = []

    @asynccontextmanager
    async def one(self) -> AsyncIterator[Http]:
        while self._free and not self._free[-1].kept:
            self._free.pop()
        http = self._free.pop() if self._free else await self._another()
        try:
            yield http
        except BaseException:
            http.close()
            raise
        if http.kept:
            self._free.append(http)

    async def _another(self) -> Http:
        number = next(self._numbers)
        return await open_publisher(self._door.publisher_port(number), number)

    def close(self) -> None:
        for http in self._free:
            http.close()
