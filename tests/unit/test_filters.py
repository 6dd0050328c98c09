from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from realtime.filters import Filters

words = st.sampled_from(["a", "b", "c", ""])
filters = st.builds(
    lambda type_, fields: {**fields, "type": type_}, st.sampled_from(["s", "t"]), st.dictionaries(words, words)
)
payloads = st.none() | st.dictionaries(words, words)
changes = st.lists(st.tuples(st.booleans(), filters), max_size=20)


def matches(wanted: dict[str, str], type_: str, payload: dict[str, str] | None) -> bool:
    """The sentence of the contract, written down."""
    if wanted["type"] != type_:
        return False
    others = {key: value for key, value in wanted.items() if key != "type"}
    return not others or (payload is not None and all(payload.get(key) == value for key, value in others.items()))


@given(changes, st.sampled_from(["s", "t", "u"]), payloads)
def test_filters_behave_like_a_plain_list_without_equals(
    changed: list[tuple[bool, dict[str, str]]], type_: str, payload: dict[str, str] | None
) -> None:
    held, model = Filters(), list[dict[str, str]]()
    for adds, wanted in changed:
        if adds:
            held.add(wanted)
            model += [] if wanted in model else [wanted]
        else:
            held.remove(wanted)
            model = [other for other in model if other != wanted]
        assert len(held) == len(model)
    assert held.match(type_, lambda: payload) == any(matches(wanted, type_, payload) for wanted in model)


def test_a_filter_of_nothing_but_a_type_never_reads_the_payload() -> None:
    def read() -> Any:
        raise AssertionError("the payload was read")

    held = Filters()
    held.add({"type": "t"})
    held.add({"type": "t", "a": "1"})
    assert held.match("t", read)
    assert not held.match("other", read)


@given(st.lists(filters))
def test_nothing_is_left_when_all_has_been_removed(some: list[dict[str, str]]) -> None:
    held = Filters()
    for wanted in some:
        held.add(wanted)
    for wanted in some:
        held.remove(wanted)
    assert len(held) == 0
    assert held._by_type == {}
