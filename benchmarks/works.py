"""The measurements: what is done to a server, and to which servers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from .load import TEXT
from .plan import Plan
from .servers import Contender

# Where all would take too long: one of each kind, those that differ in what is asked there.
ONE_OF_EACH = ("local", "redis", "redis-uvicorn", "redis-granian", "socketio", "socketio-redis", "python-socketio")

CONNECTS = 600.0  # a second, sooner too few than too many: for the time that a run takes
WARM_UP = 0.1  # of the time of the mixed traffic, besides
AROUND = 0.5  # seconds around a window: connecting, closing, and a share of starting the server


@dataclass(frozen=True, kw_only=True)
class Measurement:
    name: str
    title: str  # with figures of `plan` in braces
    unit: str = "publish"
    among: Sequence[str] = ()  # the contenders that it is worth its time for; none: all

    def suits(self, contender: Contender, named: bool) -> bool:
        """Whether this contender takes part. One that is `named` does wherever it can."""
        worth = named or not self.among or contender.name.removesuffix("-elsewhere") in self.among
        return worth and contender.takes_part(self.name)

    @property
    def units(self) -> str:
        return "publishes" if self.unit == "publish" else f"{self.unit}s"


@dataclass(frozen=True, kw_only=True)
class Work(Measurement):
    """Publishes to each of `users` in turn, by `publishers` at once; each user has `sockets`, and all of them ack."""

    users: int
    sockets: int
    publishers: int
    text: str = TEXT  # of the payload
    textbook: Mapping[str, str] = field(default_factory=dict)  # how long the textbook waits: what suits it best here


def acked(publishers: int, among: Sequence[str] = ()) -> Work:
    many = f"{publishers} publishers" if publishers > 1 else "1 publisher"
    title = f"Acked publish to 1 socket each of 20 users, {many}"
    return Work(name=f"acked-{publishers}", title=title, users=20, sockets=1, publishers=publishers, among=among)


def crowd(sockets: int, among: Sequence[str] = (), waits: str = "0.05") -> Work:
    return Work(
        name=f"user-{sockets}",
        title=f"Acked publish to a user with {sockets} sockets, 1 publisher",
        users=1,
        sockets=sockets,
        publishers=1,
        among=among,
        textbook={"TEXTBOOK_SETTLE_TIME": waits},
    )


def payload(kilobytes: int) -> Work:
    return Work(
        name=f"payload-{kilobytes}k",
        title=f"Acked publish of {kilobytes} KB to 1 socket each of 20 users, 16 publishers",
        users=20,
        sockets=1,
        publishers=16,
        text=text_of_size(1024 * kilobytes),
        among=ONE_OF_EACH,
    )


def text_of_size(size: int) -> str:
    return (TEXT * (size // len(TEXT) + 1))[:size]


AT_ONCE = acked(16)
ACKED = (acked(1), AT_ONCE, acked(64, ONE_OF_EACH))
CROWD = crowd(200, waits="0.2")
NOBODY = Work(
    name="nobody",
    title="Publish to nobody, 16 publishers",
    users=20,
    sockets=0,
    publishers=16,
    textbook={"TEXTBOOK_REPORT_TIMEOUT": "0.1"},
)
WORKERS = Work(
    name="workers",
    title="Two workers: acked publish to 1 socket each of 200 users, 64 publishers",
    users=200,
    sockets=1,
    publishers=64,
    among=("redis-half", "redis-2", "socketio-redis-2"),
)
WORKS = (*ACKED, crowd(10, ONE_OF_EACH), CROWD, NOBODY, payload(1), payload(64), WORKERS)

STORM = Measurement(
    name="storm",
    title="Connect storm: {plan.storm_sockets:,} sockets connect as fast as they are let in, 32 at once",
    unit="connect",
    among=(*ONE_OF_EACH, "redis-daphne", "textbook"),
)
IDLE = Measurement(
    name="idle",
    title="{plan.idle_sockets:,} idle sockets, each of a user of its own, with one filter",
    among=ONE_OF_EACH,
)
MIXED = Measurement(
    name="mixed",
    title="Mixed traffic: {plan.users:,} users with 2 sockets each, {plan.rate:.0f} publishes/s for "
    "{plan.mixed_seconds:.0f} s",
    among=ONE_OF_EACH,
)
IN_WINDOWS = (*WORKS, STORM, MIXED)  # all whose figures are windows
MEASUREMENTS = (*IN_WINDOWS, IDLE)


def expected(measurement: Measurement, plan: Plan) -> float:
    """Seconds that one round of it takes for one server. Those without rounds have one."""
    if measurement is STORM:
        return AROUND + 2 * plan.storm_sockets / CONNECTS
    if measurement is IDLE:
        return 4 + plan.idle_sockets / CONNECTS + 2 * plan.idle_seconds
    if measurement is MIXED:
        return 3 + 2 * plan.users / CONNECTS + (1 + WARM_UP) * plan.mixed_seconds
    return AROUND + plan.warm_up + plan.seconds
