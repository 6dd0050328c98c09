from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime.limits import Bucket, InFlight, TooMany


def test_what_is_under_way_is_bounded_in_all_and_for_each_token() -> None:
    in_flight = InFlight()
    with in_flight.one("a", most=3, most_of_token=2), in_flight.one("a", most=3, most_of_token=2):
        with pytest.raises(TooMany, match="token"), in_flight.one("a", most=3, most_of_token=2):
            pass
        another = in_flight.one("b", most=3, most_of_token=2)
        with another, pytest.raises(TooMany, match="process"), in_flight.one("c", most=3, most_of_token=2):
            pass
    assert (in_flight.count, in_flight.by_token) == (0, {})


def test_one_that_fails_is_under_way_no_more() -> None:
    in_flight = InFlight()
    with pytest.raises(ZeroDivisionError), in_flight.one("a", most=1, most_of_token=1):
        raise ZeroDivisionError
    assert (in_flight.count, in_flight.by_token) == (0, {})


@given(st.lists(st.floats(0, 10), max_size=50), st.integers(1, 5), st.integers(1, 20))
def test_a_bucket_never_lets_more_through_than_burst_and_rate_allow(pauses: list[float], rate: int, burst: int) -> None:
    now, taken, bucket = 0.0, 0, Bucket(burst, 0.0)
    for pause in pauses:
        now += pause
        taken += bucket.takes(rate, burst, now)
        assert taken <= burst + rate * now + 1e-6


def test_a_bucket_is_full_again_after_a_while() -> None:
    bucket = Bucket(2, 0.0)
    assert [bucket.takes(1, 2, now) for now in (0, 0, 0, 0.9, 1, 1.5, 99, 99, 99)] == [
        True,
        True,
        False,
        False,
        True,
        False,
        True,
        True,
        False,
    ]
