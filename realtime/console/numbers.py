"""Rates and latencies over all processes: what their metrics have counted between two looks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import TypedDict

from prometheus_client import Counter, Histogram
from prometheus_client.samples import Sample

from .. import metrics
from ..conf import conf

OUTCOMES = ("delivered", "nobody", "timed out")


class Counts(TypedDict):
    """What a process has counted since it began."""

    outcomes: list[float]  # publishes, for each of OUTCOMES
    connects: float
    delivery: list[float]  # how many deliveries took no longer than each of `metrics.SECONDS`, and how many there were
    ack: list[float]  # the same of acks


class Rates(TypedDict):
    """What happened between two looks: so many a second, and times in seconds, None when there was nothing to time."""

    publishes: float
    nobody: float
    timed_out: float
    acks: float
    connects: float
    delivery: list[float | None]  # the median, and what 99 of 100 did not exceed
    ack: list[float | None]


def counts() -> Counts:
    """Those of this process."""
    outcomes = {sample.labels["outcome"]: sample.value for sample in _totals(metrics.PUBLISHES)}
    return Counts(
        outcomes=[outcomes[outcome] for outcome in OUTCOMES],
        connects=sum(sample.value for sample in _totals(metrics.CONNECTS)),
        delivery=_buckets(metrics.DELIVERY_SECONDS),
        ack=_buckets(metrics.ACK_SECONDS),
    )


class Meter:
    """Remembers what all processes had counted when they were asked last."""

    def __init__(self) -> None:
        self._before: dict[str, Counts] = {}
        self._since = 0.0

    def read(self, now: float, counted: Mapping[str, Counts]) -> Rates | None:
        """What has happened since the last reading, in the processes that were there then too. None: the first one.

        `now` is in seconds, by any clock.
        """
        before, seconds = self._before, now - self._since
        self._before, self._since = dict(counted), now
        both = [(before[process], counts) for process, counts in counted.items() if process in before]
        if not both or seconds <= 0:
            return None
        delivered, nobody, timed_out = (
            sum(new["outcomes"][index] - old["outcomes"][index] for old, new in both) / seconds for index in range(3)
        )
        ack = _added((old["ack"], new["ack"]) for old, new in both)
        return Rates(
            publishes=delivered + nobody + timed_out,
            nobody=nobody,
            timed_out=timed_out,
            acks=ack[-1] / seconds,
            connects=sum(new["connects"] - old["connects"] for old, new in both) / seconds,
            delivery=_percentiles(_added((old["delivery"], new["delivery"]) for old, new in both)),
            ack=_percentiles(ack),
        )


def percentile(part: float, buckets: Sequence[float]) -> float | None:
    """The time in seconds that `part` of all did not exceed, taking each bucket to be filled evenly."""
    bounds, wanted = (0.0, *metrics.SECONDS), part * buckets[-1]
    if buckets[-1] <= 0:
        return None
    for (below, up_to), (before, until) in zip(pairwise(bounds), pairwise((0.0, *buckets)), strict=False):
        if until >= wanted and until > before:
            return below + (up_to - below) * (wanted - before) / (until - before)
    return bounds[-1]


def _percentiles(buckets: Sequence[float]) -> list[float | None]:
    """What took longer than ACK_TIMEOUT has been given up then, and not anywhere up to the end of its bucket."""
    found = [percentile(part, buckets) for part in (0.5, 0.99)]
    return [seconds and min(seconds, conf.ACK_TIMEOUT) for seconds in found]


def _added(pairs: Iterable[tuple[Sequence[float], Sequence[float]]]) -> list[float]:
    """What each bucket has gained, over all processes."""
    gained = [[after - before for before, after in zip(old, new, strict=True)] for old, new in pairs]
    return [sum(bucket) for bucket in zip(*gained, strict=True)]


def _totals(counter: Counter) -> list[Sample]:
    return _samples(counter, "_total")


def _buckets(histogram: Histogram) -> list[float]:
    return [sample.value for sample in _samples(histogram, "_bucket")]


def _samples(metric: Counter | Histogram, suffix: str) -> list[Sample]:
    return [sample for family in metric.collect() for sample in family.samples if sample.name.endswith(suffix)]
