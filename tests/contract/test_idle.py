"""A quiet socket is kept as long as its TCP connection answers protocol pings."""

from __future__ import annotations

import asyncio

from tests.clients import NOBODY, Listener, Service, answered
from tests.contract.conftest import Topology

# Servers under test send a ping every second or two, and give three seconds to answer it.
PINGS = 2
PINGS_WITH_REDIS = 4  # more than five seconds, after which clients of Redis have been seen to give up


async def test_a_quiet_socket_is_kept(service: Service, topology: Topology, user: str) -> None:
    """It hears nothing but protocol pings, which it answers, and outlives one that is as quiet and answers none."""
    async with (
        service.connect(user, {"type": "deaf"}) as deaf,
        service.connect(user, {"type": "quiet"}, create_connection=Listener) as quiet,
    ):
        assert isinstance(quiet.connection, Listener)
        deaf.connection.transport.pause_reading()
        async with asyncio.timeout(30):
            while (answer := await service.publish(user, "deaf")) != NOBODY:
                assert answer == answered(1)  # until the server gives it up
            for _ in range(PINGS_WITH_REDIS if topology.needs_redis else PINGS):
                await quiet.connection.pings.acquire()
        await deaf.abort()
        await service.deliver(quiet, user, "quiet")
        await quiet.settle()
