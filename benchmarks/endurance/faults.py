"""Faults survived: what publishers and sockets notice while something is broken, and when all is well again."""

from __future__ import annotations

import asyncio
import itertools
import signal
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from math import inf
from time import perf_counter

from psutil import Process

from benchmarks.load import decode_answer

from .cluster import PROCESSES, Cluster
from .crowd import Crowd, Person, Publishers, connected
from .plan import Plan
from .verdicts import MARGIN, Hang, Publish, Verdict, judge

REDIS_AWAY = 3.0  # seconds
REDIS_LATE = 5.0
HUNG = 5.0
BETWEEN = 3.0  # from one restarted process to the next: nginx leaves out who refused for up to two (fail_timeout=1s)
PROBED = 0.05  # from one probe to the next
GIVE_UP = 30.0  # until delivery counts as not back
SHOWN = 10  # wrong answers that are quoted


async def redis_killed(cluster: Cluster) -> float:
    cluster.redis.terminate()
    await asyncio.sleep(REDIS_AWAY)
    starting = asyncio.create_task(asyncio.to_thread(cluster.redis.start))
    mended = await listening(cluster.redis_port)
    await starting
    return mended


async def redis_stopped(cluster: Cluster) -> float:
    return await stopped(cluster.redis_pid, REDIS_AWAY)


async def redis_late(cluster: Cluster) -> float:
    assert cluster.proxy is not None
    cluster.proxy.kill(signal.SIGUSR1)
    await asyncio.sleep(REDIS_LATE)
    cluster.proxy.kill(signal.SIGUSR1)
    return perf_counter()


async def process_killed(cluster: Cluster) -> float:
    cluster.processes[-1].kill()
    return await replaced(cluster, PROCESSES - 1)


async def process_stopped(cluster: Cluster) -> float:
    return await stopped(cluster.processes[-1].process.pid, HUNG)


async def nginx_reloaded(cluster: Cluster) -> float:
    cluster.nginx.kill(signal.SIGHUP)
    return perf_counter()


async def rolling_restart(cluster: Cluster) -> float:
    for number, server in enumerate(cluster.processes):
        if number:
            await asyncio.sleep(BETWEEN)
        await asyncio.to_thread(server.kill, signal.SIGTERM)
        mended = await replaced(cluster, number)
    return mended


async def stopped(pid: int, seconds: float) -> float:
    Process(pid).suspend()
    await asyncio.sleep(seconds)
    Process(pid).resume()
    return perf_counter()


async def replaced(cluster: Cluster, number: int) -> float:
    starting = asyncio.create_task(asyncio.to_thread(cluster.start, number))
    mended = await listening(cluster.ports[number])
    await starting
    return mended


async def listening(port: int) -> float:
    """When somebody does."""
    while True:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            await asyncio.sleep(0.005)
        else:
            writer.close()
            return perf_counter()


@dataclass(frozen=True)
class Fault:
    name: str
    title: str
    harm: Callable[[Cluster], Awaitable[float]]  # returns when the cause was mended
    slow_redis: bool = False
    hangs: int | None = None  # which process


FAULTS = [
    Fault("redis-killed", f"Redis killed, started again after {REDIS_AWAY:.0f} s", redis_killed),
    Fault("redis-stopped", f"Redis stopped for {REDIS_AWAY:.0f} s", redis_stopped),
    Fault("redis-late", f"Redis answers 200 ms late for {REDIS_LATE:.0f} s", redis_late, slow_redis=True),
    Fault("process-killed", "one of two processes killed, started again", process_killed),
    Fault("process-stopped", f"one of two processes stopped for {HUNG:.0f} s", process_stopped, hangs=PROCESSES - 1),
    Fault("nginx-reloaded", "nginx reloaded", nginx_reloaded),
    Fault("rolling-restart", "one process after the other restarted (SIGTERM)", rolling_restart),
]


@dataclass(frozen=True)
class Survived:
    """What was noticed of a fault, times in seconds."""

    fault: Fault
    verdicts: Counter[Verdict]
    statuses: Counter[int | None]
    sockets_lost: int
    longest: float  # that a publish took which was not over when it broke, and sent before delivery was back
    broken: float  # from the first blow until the cause was mended
    back: float  # from then until every process delivered to every one; inf: not within GIVE_UP
    wrong: Sequence[str]
    log_errors: Sequence[str]

    @property
    def failures(self) -> int:
        return self.verdicts[Verdict.WRONG] + self.verdicts[Verdict.HUNG] + len(self.wrong) + (self.back == inf)


class Probes:
    """A user with one socket on each process, past nginx, and a publisher to each process."""

    def __init__(self, ports: Sequence[int]) -> None:
        self.people = [Person(f"probe-{number}", port, 1) for number, port in enumerate(ports)]
        self._publishers = [Publishers(port) for port in ports]

    async def back(self, since: float) -> float:
        """Seconds until a publish from every process to every process, sent after `since`, was answered right."""
        pairs = itertools.product(self._publishers, self.people)
        try:
            async with asyncio.timeout(GIVE_UP):
                return max(await asyncio.gather(*(self._delivered(*pair) for pair in pairs))) - since
        except TimeoutError:
            return inf

    async def _delivered(self, publishers: Publishers, person: Person) -> float:
        """When the first was. None waits for another, which may hang."""
        sent: set[asyncio.Task[Publish]] = set()
        try:
            while True:
                sent.add(asyncio.create_task(publishers.publish(person)))
                done, sent = await asyncio.wait(sent, timeout=PROBED, return_when=asyncio.FIRST_COMPLETED)
                for publish in (task.result() for task in done):
                    if acked(publish, person):
                        return publish.ended
                if done:
                    await asyncio.sleep(PROBED)
        finally:
            for task in sent:
                task.cancel()
            await asyncio.gather(*sent, return_exceptions=True)

    def close(self) -> None:
        for publishers in self._publishers:
            publishers.close()


def acked(publish: Publish, person: Person) -> bool:
    """Whether the socket of a probe got it."""
    return judge(publish, person.stays) is Verdict.RIGHT and len(decode_answer(publish.text).results) == 1


async def survive(fault: Fault, cluster: Cluster, plan: Plan, progress: Callable[[str], None]) -> Survived:
    crowd, probes = Crowd(cluster.port, plan.users, plan.sockets), Probes(cluster.ports)
    published: list[tuple[Person, Publish]] = []
    calm = asyncio.Event()
    progress(f"{fault.name}: connecting {plan.users * plan.sockets} sockets")
    async with connected([*crowd.people, *probes.people]):
        if await probes.back(0.0) == inf:
            raise SystemExit("nothing was delivered although nothing was broken yet")
        async with asyncio.TaskGroup() as tasks:
            publishing = crowd.publish(plan.rate, calm.is_set, lambda *over: published.append(over))
            tasks.create_task(publishing)
            await asyncio.sleep(plan.calm)
            progress(f"{fault.name}: {fault.title}")
            begun = perf_counter()
            mended = await fault.harm(cluster)
            back = await probes.back(mended)
            progress(f"{fault.name}: delivery was back after {back:.2f} s")
            await asyncio.sleep(plan.calm)
            calm.set()
        await asyncio.sleep(MARGIN)  # a socket may have been lost just before
    crowd.close()
    probes.close()
    hang = None if fault.hangs is None else Hang(cluster.addresses[fault.hangs], begun, mended + back)
    verdicts = [judge(publish, person.stays, hang) for person, publish in published]
    wrong = [
        f"publish {publish.n} to {person.name}, sent at {publish.sent - begun:.3f} s, answered after "
        f"{publish.seconds:.3f} s: {publish.status} {publish.text!r}"
        for (person, publish), verdict in zip(published, verdicts, strict=True)
        if verdict is Verdict.WRONG
    ]
    meanwhile = [publish.seconds for _, publish in published if publish.sent < mended + back and publish.ended > begun]
    return Survived(
        fault=fault,
        verdicts=Counter(verdicts),
        statuses=Counter(publish.status for _, publish in published),
        sockets_lost=crowd.sockets_lost,
        longest=max(meanwhile, default=0.0),
        broken=mended - begun,
        back=back,
        wrong=[*wrong[:SHOWN], *crowd.wrong],
        log_errors=cluster.errors(),
    )
