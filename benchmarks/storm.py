"""Connect storms: many sockets that connect at once, as when a service is back."""

from __future__ import annotations

from .bench import Bench, windows_begun
from .figures import Window
from .load import Alarm, User, close_clients, open_clients
from .servers import Running


async def storm(bench: Bench, server: Running) -> Window:
    """A window whose latencies last from the TCP connection to the proof that the subscription is in effect."""
    alarm, name = Alarm(), f"storm-{next(windows_begun)}"
    users = [User.make(server.door, f"{name}-{number}", 1, alarm) for number in range(bench.plan.storm_sockets)]
    with bench.spending(server) as spent:
        took = await open_clients(users, alarm)
    await close_clients(users)
    return Window.of(spent(), took)
