"""What is thought of the answer to a publish, when sockets may come and go meanwhile."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import Enum
from math import inf

import msgspec

from benchmarks.load import decode_answer

HANGS = 10.0  # seconds without an answer
REFUSALS = {502, 503, 504}  # nginx has no answer from the service; the service can't do its work
# Seconds between the end of a socket and when both ends know of it, on a busy machine.
MARGIN = 0.5


class Verdict(Enum):
    RIGHT = "right"
    SHORT = "short"  # right, without the sockets of a process that hangs
    REFUSED = "refused"
    WRONG = "wrong"
    CLOSED = "closed"  # the connection ended before an answer came
    HUNG = "hung"


@dataclass(frozen=True)
class Publish:
    """A publish that is over. Times are of one clock, in seconds."""

    n: int
    sent: float
    ended: float
    status: int | None  # None: no answer
    text: bytes = b""

    @property
    def seconds(self) -> float:
        return self.ended - self.sent


@dataclass
class Stay:
    """One connection of a socket, from the handshake to its end."""

    number: int
    created: float
    since: float = inf  # subscribed
    until: float = inf
    process: str = ""  # the address of the server process that has it
    unseen: set[int] = field(default_factory=set)  # publishes that it has not been sent; those it may not get included
    leaving: float = inf  # it said goodbye, which the server hears later


@dataclass(frozen=True)
class Hang:
    """A process that hangs for a while. Publishes meanwhile need not reach its sockets."""

    process: str
    since: float
    until: float

    def spares(self, stay: Stay, publish: Publish) -> bool:
        return stay.process == self.process and publish.sent < self.until and publish.ended > self.since


def judge(publish: Publish, stays: Iterable[Stay], hang: Hang | None = None) -> Verdict:
    """Hold an answer against what the sockets of the user, present and past, have seen and acked.

    Each result is the ack of a socket that was sent this very publish. Every socket that was there from before the
    publish until after the answer has acked. So where none comes or goes, the answer is exact.
    """
    if publish.status is None:
        return Verdict.HUNG if publish.seconds >= HANGS else Verdict.CLOSED
    if publish.status in REFUSALS:
        return Verdict.REFUSED
    try:
        answer = decode_answer(publish.text)
    except msgspec.DecodeError:
        return Verdict.WRONG
    there = [stay for stay in stays if stay.created <= publish.ended and stay.until >= publish.sent - MARGIN]
    steady = [
        stay for stay in there if stay.since <= publish.sent and min(stay.until - MARGIN, stay.leaving) > publish.ended
    ]
    seen = {(publish.n, stay.number) for stay in there if publish.n not in stay.unseen}
    due = {(publish.n, stay.number) for stay in steady if hang is None or not hang.spares(stay, publish)}
    acks = set(answer.results)
    honest = len(acks) == len(answer.results) <= answer.clientCount <= len(there)
    if publish.status != 200 or not honest or not due <= acks <= seen:
        return Verdict.WRONG
    return Verdict.SHORT if answer.clientCount < len(steady) else Verdict.RIGHT
