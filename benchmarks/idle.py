"""Idle sockets: what they hold, and what they cost those that are not idle."""

from __future__ import annotations

import asyncio
from time import perf_counter

from .bench import Bench
from .figures import Idle, Window
from .load import Alarm, Load, User, open_clients
from .servers import Contender, Running, started
from .works import AT_ONCE, IDLE, expected

SETTLED = 1.0  # seconds after which a server has let go of what it needed only to connect its sockets
SHORTEST = 0.01  # seconds of a slice, even if what came before it took too long


async def idle(bench: Bench, contender: Contender) -> Idle:
    """Fill one of two servers with idle sockets, then measure acked publishes on each in turns."""
    alarm, title = Alarm(), contender.title
    with (
        started(contender, bench.redis_url, bench.cores) as crowded,
        started(contender, bench.redis_url, bench.cores) as empty,
    ):
        bench.progress(f"idle, warm-up: {title}", expected(IDLE, bench.plan))
        for server in (crowded, empty):
            await bench.window(AT_ONCE, server)
        names = [f"idle-{number}" for number in range(bench.plan.idle_sockets)]
        users = [User.make(crowded.door, name, 1, alarm) for name in names]
        bench.progress(f"idle, connecting {len(users):,} sockets: {title}")
        held = crowded.meter.resident()
        await open_clients(users, alarm)
        await asyncio.sleep(SETTLED)
        held = crowded.meter.resident() - held
        bench.progress(f"idle, {2 * bench.plan.idle_seconds:.0f} s of publishes: {title}")
        async with bench.load(AT_ONCE, crowded, alarm) as with_idle, bench.load(AT_ONCE, empty, alarm) as with_none:
            windows = await slices(bench, (crowded, with_idle), (empty, with_none))
        for user in users:
            user.abort()
    return Idle(len(users), held, *windows)


async def slices(
    bench: Bench, crowded: tuple[Running, Load], empty: tuple[Running, Load]
) -> tuple[list[Window], list[Window]]:
    """Short windows on one server and the other, so that each meets every phase of the pings, which come in bursts.

    The time is twice a period of the pings. What is one server's slice in the first half is the other's in the second.
    """
    windows: tuple[list[Window], list[Window]] = ([], [])
    count = max(1, round(bench.plan.idle_seconds / bench.plan.seconds))
    for _, load in (crowded, empty):
        await load.run(bench.plan.warm_up)
    start = perf_counter()
    for number in range(2 * count):
        turn = (number % count + number // count) % 2
        (server, load), (other, _) = (empty, crowded) if turn else (crowded, empty)
        end = start + (number + 1) * bench.plan.idle_seconds / count
        with bench.spending(server, beside=other) as spent:
            await load.run(max(end - perf_counter(), SHORTEST))
        windows[turn].append(Window.of(spent(), load.latencies))
    return windows
