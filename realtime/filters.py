"""What a socket wants: exact-match filters, OR-ed. Knows nothing of sockets, frames or Django."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

Filter = Mapping[str, str]
"""`type`, the envelope type, and any other keys: the fields that the payload must have. All values are strings."""


class Filters:
    """The filters of one socket. Equal ones are held once.

    Held by type, then by the names of the other keys, so that a match costs a look-up for each combination of keys in
    use, not one for each filter: a chat with 1,000 `conversationId` filters is one look-up.
    """

    __slots__ = ("_by_type", "_count")

    def __init__(self) -> None:
        self._by_type: dict[str, dict[tuple[str, ...], set[tuple[str, ...]]]] = {}
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[dict[str, str]]:
        for type_, by_keys in self._by_type.items():
            for keys, held in by_keys.items():
                for values in held:
                    yield {"type": type_, **dict(zip(keys, values, strict=True))}

    def add(self, wanted: Filter) -> None:
        keys, values = _split(wanted)
        held = self._by_type.setdefault(wanted["type"], {}).setdefault(keys, set())
        if values not in held:
            held.add(values)
            self._count += 1

    def remove(self, unwanted: Filter) -> None:
        """Remove the filter that is exactly equal, if there is one."""
        keys, values = _split(unwanted)
        by_keys = self._by_type.get(unwanted["type"], {})
        held = by_keys.get(keys, set())
        if values not in held:
            return
        held.remove(values)
        self._count -= 1
        if not held:
            del by_keys[keys]
        if not by_keys:
            del self._by_type[unwanted["type"]]

    def match(self, type_: str, read_fields: Callable[[], Mapping[str, str] | None]) -> bool:
        """Does any filter match an envelope of this type?

        `read_fields` gives the string fields at the top level of its payload, or None where that is no object. It is
        called only when a filter asks for more than the type: reading a large payload costs more than all the rest.
        """
        by_keys = self._by_type.get(type_)
        if not by_keys:
            return False
        if () in by_keys:
            return True
        fields = read_fields()
        if fields is None:
            return False
        return any(tuple(map(fields.get, keys)) in held for keys, held in by_keys.items())


def _split(given: Filter) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The keys other than `type`, sorted, and their values in the same order."""
    keys = tuple(sorted(given.keys() - {"type"}))
    return keys, tuple(given[key] for key in keys)
