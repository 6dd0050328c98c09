"""`python -m benchmarks.endurance.slowly PORT`: a proxy in front of Redis that makes it late when told to.

SIGUSR1 makes what Redis says arrive 200 ms late, the next one makes it prompt again.
"""

from __future__ import annotations

import asyncio
import itertools
import signal
import sys

from tests.proxies import slow_proxy

LATE = 0.2  # seconds


async def main() -> None:
    delays = itertools.cycle((0.0, LATE))
    delay = next(delays)

    def toggle() -> None:
        nonlocal delay
        delay = next(delays)

    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, toggle)
    async with slow_proxy(int(sys.argv[1]), lambda: delay) as port:
        print(f"Listening on {port}", flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
