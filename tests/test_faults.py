"""Redis goes away in every way it can: publishers are told at once, sockets stay, and no count is ever wrong."""

from __future__ import annotations

import asyncio
import shutil
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import uvloop
from redis import Redis
from websockets.exceptions import InvalidStatus

from realtime.layers import RedisChannelLayer
from realtime.redishost import COMMAND_TIMEOUT, GRACE

from .clients import PATIENCE, Envelope, Service, Socket, answered, dump, service_of, until
from .proxies import slow_proxy
from .servers import Host, Server, environment, missing, realtime_server, started_valkey, stopped, valkey_host

UNAVAILABLE = (503, '{"error":"Service Unavailable"}')
ACK_TIMEOUT = "60"  # seconds: an answer that comes at all has not waited for it
PAUSE = 0.02  # seconds between two publishes of one publisher
AT_ONCE = 3.0  # seconds: an answer that comes within one, on a machine that is busy

pytestmark = pytest.mark.xdist_group("faults")


@pytest.fixture(scope="module")
def redis() -> Iterator[Host]:
    with started_valkey() as host:
        yield host


@pytest.fixture(scope="module")
def survivors(redis: Host) -> Iterator[list[Server]]:
    with started(REDIS_URL=redis.url) as servers:
        yield servers


@pytest.fixture
async def processes(survivors: list[Server]) -> list[Server]:
    """Two, which live through all these faults."""
    await are_ready(survivors)
    return survivors


async def are_ready(servers: list[Server]) -> None:
    async with asyncio.timeout(PATIENCE):
        for server in servers:
            async with service_of([server], 401) as service:
                while (await service.request("GET", "/readyz")).status_code != 200:
                    await asyncio.sleep(PAUSE)


@contextmanager
def started(**settings: str) -> Iterator[list[Server]]:
    env = environment(REALTIME_ACK_TIMEOUT=ACK_TIMEOUT, REALTIME_REPORT_TIMEOUT="0.8", **settings)
    with realtime_server(env) as one, realtime_server(env) as two:
        yield [one, two]
        for server in (one, two):
            assert "Traceback" not in server.log
            assert "ERROR" not in server.log


class Publishing:
    """Each process is published to, again and again, for a user with a socket in each, for users with one in one of
    them, and for nobody. An answer is right, or 503, or wrong.
    """

    def __init__(self, services: list[Service]) -> None:
        self.services = services
        self.user = str(uuid4())
        self.sockets: list[Socket] = []
        self.wrong: list[Any] = []
        self.right, self.refused = Counter[str](), Counter[str]()
        self.pairs: list[str] = []

    @asynccontextmanager
    async def going_on(self) -> AsyncIterator[Publishing]:
        """While the block runs. At its end no answer was wrong and no socket has been lost."""
        async with AsyncExitStack() as stack, asyncio.TaskGroup() as tasks:
            acking = []
            for number, service in enumerate(self.services):
                for user in ("both", f"one in {number}"):
                    socket = await stack.enter_async_context(service.connect(f"{self.user} {user}", {"type": "t"}))
                    self.sockets.append(socket)
                    acking.append(tasks.create_task(self._ack(socket)))
            done = asyncio.Event()
            async with asyncio.TaskGroup() as publishing:
                for number, service in enumerate(self.services):
                    for user, sockets in (("both", 2), ("one in 0", 1), ("one in 1", 1), ("nobody", 0)):
                        pair = f"{number} to {user}"
                        self.pairs.append(pair)
                        publishing.create_task(self._publish(service, pair, f"{self.user} {user}", sockets, done))
                await self.is_right()
                yield self
                done.set()
            assert all(socket.is_open for socket in self.sockets)
            for task in acking:
                task.cancel()
        assert self.wrong == []

    async def _ack(self, socket: Socket) -> None:
        while True:
            envelope = Envelope.read(str(await socket.connection.recv()))
            await socket.ack(envelope, envelope.payload or "")

    async def _publish(self, service: Service, pair: str, user: str, sockets: int, done: asyncio.Event) -> None:
        number = 0
        while not done.is_set():
            number += 1
            body = dump({"userId": user, "type": "t", "payload": number})
            async with asyncio.timeout(AT_ONCE):
                response = await service.post(body)
            got = response.status_code, response.text
            if got == (200, answered(sockets, *[str(number)] * sockets)):
                self.right[pair] += 1
            elif got == UNAVAILABLE:
                self.refused[pair] += 1
            else:
                self.wrong.append((pair, number, got))
            await asyncio.sleep(PAUSE)

    async def is_right(self) -> None:
        """Returns when every publisher has had a right answer to a publish that began after this."""
        await self._count(self.right)

    async def is_refused(self) -> None:
        await self._count(self.refused)

    async def _count(self, counter: Counter[str]) -> None:
        before = counter.copy()
        async with asyncio.timeout(3 * PATIENCE):
            while any(counter[pair] < before[pair] + 2 for pair in self.pairs):
                await asyncio.sleep(PAUSE)


@asynccontextmanager
async def publishing(servers: list[Server]) -> AsyncIterator[Publishing]:
    async with (
        service_of(servers[:1], 401) as one,
        service_of(servers[1:], 401) as two,
        Publishing([one, two]).going_on() as going_on,
    ):
        yield going_on


async def test_redis_is_killed_and_started_again(redis: Host, processes: list[Server]) -> None:
    """Publishes and new sockets are refused with 503 meanwhile, and so is the process by its load balancer."""
    async with publishing(processes) as going_on:
        redis.end()
        await going_on.is_refused()
        service = going_on.services[0]
        with pytest.raises(InvalidStatus) as refused:
            async with service.connect(str(uuid4())):
                pass
        assert refused.value.response.status_code == 503
        assert (await service.request("GET", "/readyz")).json()["channelLayer"] is False
        assert (await service.request("GET", "/healthz")).status_code == 200
        await asyncio.to_thread(redis.start)
        await going_on.is_right()
        assert (await service.request("GET", "/readyz")).status_code == 200


async def test_redis_hangs_and_goes_on(redis: Host, processes: list[Server]) -> None:
    """Its connections stay, and nothing comes: nobody waits for it longer than a moment."""
    async with publishing(processes) as going_on:
        redis.signal(signal.SIGSTOP)
        await going_on.is_refused()
        redis.signal(signal.SIGCONT)
        await going_on.is_right()


async def test_redis_closes_all_connections_at_once(redis: Host, processes: list[Server]) -> None:
    async with publishing(processes) as going_on:
        close_connections(redis)
        await going_on.is_right()


def have_counted_one_another(redis: Host) -> bool:
    """So that they are back at once, and a publish is not refused because they may not be."""
    with Redis.from_url(redis.url) as client:
        return bool(client.info("commandstats").get("cmdstat_pubsub|numsub", {"calls": 0})["calls"] >= 4)


def close_connections(redis: Host) -> None:
    with Redis.from_url(redis.url) as client:
        for kind in ("normal", "pubsub"):
            client.client_kill_filter(_type=kind, skipme=True)


async def test_a_publish_under_way_is_given_up_when_the_connection_is_lost(
    redis: Host, processes: list[Server]
) -> None:
    """Acks of other processes may be lost with it, so that nobody knows: that is a 503, not a low count."""
    user = str(uuid4())
    async with (
        service_of(processes, 401) as service,
        service.connect(user, {"type": "t"}) as one,
        service.connect(user, {"type": "t"}) as two,
    ):
        publish = asyncio.create_task(service.post(dump({"userId": user, "type": "t"})))
        await one.envelope()
        await two.envelope()
        await until(partial(have_counted_one_another, redis))
        close_connections(redis)
        async with asyncio.timeout(PATIENCE):
            response = await publish
        assert (response.status_code, response.text) == UNAVAILABLE


async def test_a_process_that_redis_keeps_from_answering_is_not_left_out(redis: Host, processes: list[Server]) -> None:
    """When it does not report in time, the publisher's process asks Redis before it believes that it has died."""
    user = str(uuid4())
    async with (
        service_of(processes[:1], 401) as here,
        service_of(processes[1:], 401) as there,
        here.connect(user, {"type": "t"}) as near,
        there.connect(user, {"type": "t"}),
    ):
        processes[1].process.send_signal(signal.SIGSTOP)
        publish = asyncio.create_task(here.post(dump({"userId": user, "type": "t"})))
        envelope = await near.envelope()
        redis.signal(signal.SIGSTOP)
        await near.ack(envelope)
        async with asyncio.timeout(PATIENCE):
            response = await publish
        processes[1].process.send_signal(signal.SIGCONT)
        redis.signal(signal.SIGCONT)
        assert (response.status_code, response.text) == UNAVAILABLE


async def test_redis_is_not_there_at_the_start() -> None:
    """Processes that start before it find it, and one another."""
    redis = valkey_host()
    with stopped(redis), started(REDIS_URL=redis.url) as servers:
        async with service_of(servers, 401) as service:
            for _ in servers:
                response = await service.post(dump({"userId": "nobody"}))
                assert (response.status_code, response.text) == UNAVAILABLE
                assert (await service.request("GET", "/readyz")).status_code == 503
            await asyncio.to_thread(redis.start)
            await are_ready(servers)
        async with publishing(servers):
            pass


async def test_redis_is_slow(redis: Host) -> None:
    """200 ms for every answer: all is delivered, later."""
    async with slow_proxy(redis.port, lambda: 0.2) as port:
        with started(REDIS_URL=f"redis://127.0.0.1:{port}") as servers:
            async with publishing(servers) as going_on:
                await going_on.is_right()
            assert not going_on.refused
            assert "no connection to Redis" not in servers[0].log + servers[1].log


async def test_redis_fails_over_to_another_address(tmp_path: Path) -> None:
    """Sentinel makes the replica the master: all processes find it there. This Redis is a Redis."""
    program = shutil.which("redis-server")
    if program is None:
        missing("redis-server")
    master = Host(program)
    replica = Host(program, "--replicaof", "127.0.0.1", str(master.port))
    configuration = tmp_path / "sentinel.conf"
    configuration.write_text(
        f"sentinel monitor main 127.0.0.1 {master.port} 1\n"
        "sentinel down-after-milliseconds main 300\nsentinel failover-timeout main 2000\n"
    )
    sentinel = Host(program, "--sentinel")
    sentinel.command.insert(1, str(configuration))
    with ExitStack() as stack:
        stack.enter_context(stopped(master, replica, sentinel))
        for host in (master, replica, sentinel):
            host.start()
        with Redis.from_url(sentinel.url) as client:
            await until(lambda: len(client.sentinel_slaves("main")) == 1)
        settings = {"DJANGO_SETTINGS_MODULE": "tests.sites.sentinel", "TEST_SENTINEL": str(sentinel.port)}
        servers = stack.enter_context(started(**settings))
        async with publishing(servers) as going_on:
            master.end()
            await going_on.is_refused()
            await going_on.is_right()


def test_a_pause_of_the_process_is_not_taken_for_one_of_redis(redis_url: str) -> None:
    """On uvloop, where timers come before what has arrived."""

    async def pause_while_sending() -> int:
        layer = RedisChannelLayer([redis_url])
        try:
            assert await layer.group_send("g", {"type": "t"}) == 0
            sending = asyncio.ensure_future(layer.group_send("g", {"type": "t"}))
            await asyncio.sleep(0)
            time.sleep(COMMAND_TIMEOUT + GRACE)  # noqa: ASYNC251  (the whole process stands still)
            return await sending
        finally:
            await layer.flush()

    assert uvloop.run(pause_while_sending()) == 0
