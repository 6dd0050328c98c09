"""How much of everything."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks import plan

RESERVE = 5000  # open files: a publish that hangs has its connection to itself


@dataclass(frozen=True)
class Plan:
    idle: plan.Plan
    users: int = 200
    sockets: int = 2  # of each user
    rate: float = 300.0  # publishes a second
    seconds: float = 600.0  # of the load
    warm_up: float = 10.0  # seconds of the same load before
    calm: float = 3.0  # seconds of publishing before and after each fault

    def open_files(self, idle: bool) -> int:
        return max(self.users * self.sockets + RESERVE, self.idle.open_files if idle else 0)


FULL = Plan(plan.FULL)
QUICK = Plan(plan.QUICK, users=50, seconds=5.0, warm_up=1.0, calm=1.0)
