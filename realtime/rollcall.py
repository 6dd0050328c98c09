"""The state of one delivery: who has been asked, who has answered, and whether there is anything left to wait for.

A pure state machine: it knows no clock and no channel layer. `delivery` feeds it and acts on it.
"""

from __future__ import annotations

from collections.abc import Callable

from . import events

SILENT = "silent"  # what only those who watch are told: processes were given up that had not reported


class _Process:
    """One process that holds sockets of the user."""

    __slots__ = ("heard", "lost", "matched", "probed", "settled")

    def __init__(self) -> None:
        self.matched: int | None = None  # sockets that are sent the envelope; None: not reported yet
        self.settled: set[int] = set()  # those of them that have acked or gone
        self.heard = False  # since the last check
        self.probed = False
        self.lost = False

    @property
    def awaited(self) -> bool:
        return not self.lost and (self.matched is None or len(self.settled) < self.matched)


class RollCall:
    """Counts each socket once, whatever the order in which reports, acks and goodbyes come in.

    Complete when every process that the layer reached has reported, and every socket that they counted has acked or
    gone; when acks are not wanted, as soon as all have reported. A process that stays silent is given up: without a
    report at the first `check`, afterwards when a probe went unanswered from one `check` to the next.
    """

    def __init__(self, acks_wanted: bool = True) -> None:
        self._acks_wanted = acks_wanted
        self.results: list[str] = []  # of the acks, in order of arrival, as JSON text
        self._expected: int | None = None  # processes that will report; None: the layer has not said
        self._processes: dict[str, _Process] = {}

    @property
    def client_count(self) -> int:
        """The sockets that had a matching filter and were sent the envelope."""
        return sum(process.matched or 0 for process in self._processes.values())

    @property
    def reported(self) -> bool:
        """Whether the count is final."""
        if self._expected is None or len(self._processes) < self._expected:
            return False
        return all(process.matched is not None or process.lost for process in self._processes.values())

    @property
    def complete(self) -> bool:
        if not self._acks_wanted:
            return self.reported
        if self._expected is None or len(self._processes) < self._expected:
            return False
        return not any(process.awaited for process in self._processes.values())

    def reached(self, processes: int) -> None:
        """The layer has handed the envelope to so many processes."""
        self._expected = processes

    def receive(self, event: events.Event) -> None:
        """Take in an answer of a process."""
        process = self._processes.setdefault(event["process"], _Process())
        process.heard = True
        kind = event["type"]
        if kind == events.REPORT:
            process.matched = event["matched"]
        elif kind in (events.ACK, events.GONE) and event["socket"] not in process.settled:
            process.settled.add(event["socket"])
            if kind == events.ACK:
                self.results.append(event["result"])

    def check(self) -> list[str]:
        """Give up whoever has been silent since the last check; the processes to probe before the next one."""
        self._expected = 0
        to_probe = []
        for name, process in self._processes.items():
            if process.awaited:
                process.lost = process.matched is None or (process.probed and not process.heard)
            if process.awaited:
                process.probed = True
                to_probe.append(name)
            process.heard = False
        return to_probe


class WatchedRollCall(RollCall):
    """Tells somebody what comes in, and of processes that are given up: one that has reported as its `gone` of no
    socket, those that have not as `silent`.
    """

    def __init__(self, acks_wanted: bool, watch: Callable[[events.Event], None]) -> None:
        super().__init__(acks_wanted)
        self._watch = watch

    def receive(self, event: events.Event) -> None:
        super().receive(event)
        self._watch(event)

    def check(self) -> list[str]:
        lost = [name for name, process in self._processes.items() if process.lost]
        silent = (self._expected or 0) - len(self._processes)
        to_probe = super().check()
        if silent > 0:
            self._watch({"type": SILENT, "processes": silent})
        for name, process in self._processes.items():
            if process.lost and name not in lost:
                self._watch(events.gone(name, 0))
        return to_probe
