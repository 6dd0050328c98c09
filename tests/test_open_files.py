"""Our server and the limit of open files: how it is raised, and what happens when clients have taken all."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager

import psutil
import pytest
from websockets.exceptions import InvalidStatus
from websockets.http11 import Response

from .clients import NOBODY, PATIENCE, Service, answered, dump, open_stream, service_of
from .servers import APPLICATION, Server, environment, running, stopped, valkey_host

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="it looks at a process as only Linux lets one")

LIMIT = 150
QUIET = 0.1  # seconds


@contextmanager
def limited(limits: str, **settings: str) -> Iterator[Server]:
    """Our server, started by a shell that has said `ulimit` first."""
    command = ["sh", "-c", f'ulimit {limits} && exec "$0" "$@"', sys.executable, "-m", "realtime.server"]
    options = ["-b", "127.0.0.1", "-p", "0", "--drain-time", "0", APPLICATION]
    pattern = r"Listening on TCP address 127\.0\.0\.1:(\d+)"
    with running([*command, *options], pattern, environment(**settings)) as server:
        yield server


async def take_all(service: Service, stack: AsyncExitStack) -> None:
    """Open quiet connections until one more is closed."""
    is_closed = False
    while not is_closed:
        reader, writer = await open_stream(service.servers[0])
        stack.callback(writer.close)
        writer.write(b"POST /publish HTTP/1.1\r\n")
        await service.post("{}")  # so the connection before it has been taken, or closed
        is_closed = reader.at_eof() or reader.exception() is not None


async def refusal(service: Service, stack: AsyncExitStack) -> Response:
    """Open sockets until one more is refused."""
    while True:
        try:
            await stack.enter_async_context(service.connect("idle"))
        except InvalidStatus as refused:
            return refused.response


async def test_out_of_open_files_all_that_is_open_works_on_and_new_ones_wait_for_room() -> None:
    """Refused sockets are told so, Redis can be connected to again meanwhile, and the log has a line about it."""
    redis = valkey_host()
    with stopped(redis), limited(f"-n {LIMIT}", REDIS_URL=redis.url, REALTIME_METRICS="true") as server:
        redis.start()
        async with service_of([server], 401) as service, service.connect("ann", {"type": "t"}) as socket:
            async with AsyncExitStack() as stack:
                response = await refusal(service, stack)
                assert (response.status_code, json.loads(response.body)) == (503, {"error": "Service Unavailable"})
                assert response.headers["Retry-After"] == "1"
                numbers = (await service.request("GET", "/metrics")).text
                assert 'realtime_handshakes_refused_total{reason="open files"} 1.0' in numbers
                assert await service.publish("nobody") == NOBODY
                await take_all(service, stack)
                for number in range(3):
                    await service.deliver(socket, "ann", "t", str(number), result=str(number))
                redis.end()
                await take_all(service, stack)
                redis.start()
                while (await service.post(dump({"userId": "nobody"}))).status_code == 503:
                    await asyncio.sleep(0.02)
                await service.deliver(socket, "ann", "t", result='"after Redis"')
                for _ in range(3 * LIMIT):
                    _, writer = await open_stream(server)
                    writer.close()
                await idle(server)
            async with asyncio.timeout(PATIENCE):
                while not await connects(service):
                    await asyncio.sleep(0.02)
            async with service.connect("ann", {"type": "t"}) as second:
                publish = service.begin("ann", "t")
                for one in (socket, second):
                    await one.ack(await one.envelope(), "1")
                assert await publish == answered(2, "1", "1")
        assert f"the limit of open files is {LIMIT}, so there will be fewer than MAX_SOCKETS" in server.log
        assert server.log.count("open files are taken") == 1
        assert server.log.count("WARNING") < 9, server.log  # at the start, of open files, and of Redis
        assert "Traceback" not in server.log


async def idle(server: Server) -> None:
    """Returns when the process has nothing to do, which one that turns in circles never has."""
    process = psutil.Process(server.process.pid)
    async with asyncio.timeout(PATIENCE):
        used = -1.0
        while used != (used := sum(process.cpu_times()[:2])):
            await asyncio.sleep(QUIET)


async def connects(service: Service) -> bool:
    try:
        async with service.connect("bob"):
            return True
    except InvalidStatus:
        return False


def test_the_soft_limit_is_raised_and_not_complained_of_when_it_is_enough() -> None:
    with limited("-n 512 && ulimit -Sn 256", REALTIME_MAX_SOCKETS="100") as server:
        assert psutil.Process(server.process.pid).rlimit(psutil.RLIMIT_NOFILE) == (512, 512)
        assert "limit of open files" not in server.log
