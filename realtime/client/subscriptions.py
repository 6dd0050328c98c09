"""Who wants which envelopes, and what the server has to be told of it. Knows no I/O."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from realtime.filters import Filter, Filters
from realtime.protocol import FILTERS_A_MESSAGE, trim

from .envelopes import Envelope

LONGEST = 256 * 1024  # characters of the filters in one message, far below what a server takes in a frame (1 MiB)


class Subscription:
    """A handler and its filters."""

    def __init__(self, filters: Filter | Iterable[Filter], handler: Any) -> None:
        given = [filters] if isinstance(filters, Mapping) else list(filters)
        if not given:
            raise ValueError("a subscription needs a filter")
        self.handler = handler
        self.filters = Filters()
        for wanted in given:
            self.filters.add(checked(wanted))
        self.texts = tuple(json.dumps(wanted, sort_keys=True, separators=(",", ":")) for wanted in self.filters)


class Subscriptions:
    """All subscriptions of a client, in order, and how many of them need each filter."""

    def __init__(self) -> None:
        self._all: dict[Subscription, None] = {}
        self._counts: Counter[str] = Counter()

    def add(self, subscription: Subscription) -> None:
        self._all[subscription] = None
        self._counts.update(subscription.texts)

    def remove(self, subscription: Subscription) -> None:
        """The second time it does nothing."""
        if subscription in self._all:
            del self._all[subscription]
            self._counts.subtract(subscription.texts)
            self._counts += Counter()  # drops those that nobody needs any more

    @property
    def wanted(self) -> dict[str, None]:
        """The filters that the server has to hold, as JSON."""
        return dict.fromkeys(self._counts)

    def handlers(self, envelope: Envelope) -> list[Any]:
        """Those whom an envelope concerns, in order of subscription."""
        return [one.handler for one in self._all if one.filters.match(envelope.type, envelope.fields)]


def messages(held: Mapping[str, None], wanted: Mapping[str, None]) -> Iterator[str]:
    """What to tell a server that holds the one so that it holds the other. What has to go goes first: MAX_FILTERS."""
    for kind, filters in (("unsubscribe", _without(held, wanted)), ("subscribe", _without(wanted, held))):
        for batch in batches(filters):
            yield f'{{"type":"{kind}","filters":[{",".join(batch)}]}}'


def _without(some: Mapping[str, None], others: Mapping[str, None]) -> list[str]:
    return [one for one in some if one not in others]


def batches(texts: Iterable[str]) -> Iterator[list[str]]:
    """As many as a server looks at in one message, and no more than fit into one."""
    batch: list[str] = []
    size = 0
    for text in texts:
        if batch and (len(batch) == FILTERS_A_MESSAGE or size + len(text) > LONGEST):
            yield batch
            batch, size = [], 0
        batch.append(text)
        size += len(text)
    if batch:
        yield batch


def checked(given: object) -> dict[str, str]:
    """A filter as the server understands it. Raises ValueError for one that it would skip."""
    if not isinstance(given, Mapping) or not all(isinstance(part, str) for item in given.items() for part in item):
        raise ValueError(f"a filter is an object of strings, not {given!r}")
    type_ = trim(given.get("type", ""))
    if not type_:
        raise ValueError(f"a filter needs a type that is not blank: {given!r}")
    return {**given, "type": type_}


Unsubscribe = Callable[[], None]
