"""How much of everything."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from benchmarks import plan

USERS, SOCKETS, PUBLISHERS, PROCESSES, HOSTS = "users", "sockets", "publishers", "processes", "hosts"


@dataclass(frozen=True)
class Plan:
    windows: plan.Plan
    sizes: Mapping[str, tuple[int, ...]]  # of each factor, the smallest first

    @property
    def open_files(self) -> int:
        return max(max(sizes) for sizes in self.sizes.values()) + plan.RESERVE

    def at_most(self, most: int) -> Plan:
        """Larger sizes become this one."""
        return replace(
            self, sizes={factor: tuple(sorted({min(size, most) for size in by})) for factor, by in self.sizes.items()}
        )


FULL = Plan(
    replace(plan.FULL, rounds=3, seconds=1.0, warm_up=0.2),
    {
        USERS: (100, 1000, 5000, 10_000),
        SOCKETS: (1, 10, 50, 200, 800),
        PUBLISHERS: (1, 4, 16, 64, 256),
        PROCESSES: (1, 2, 4),
        HOSTS: (1, 2, 4),
    },
)
QUICK = Plan(
    replace(plan.QUICK, rounds=1),
    {
        USERS: (100, 300, 1000),
        SOCKETS: (1, 10, 200),
        PUBLISHERS: (1, 16, 64),
        PROCESSES: (1, 2),
        HOSTS: (1, 2),
    },
)
