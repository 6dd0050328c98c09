"""Secrets as rows: what they may be, how one takes over from another, and what is seen of them at a glance."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.utils import timezone

from realtime.keyring import Grant
from realtime.models import Secret
from realtime.secretstore import store
from realtime.states import State, Use, with_states
from realtime.tokens import InvalidToken, sign

GIVEN = "a-secret-that-somebody-else-has-made-0123"
DAY = timedelta(days=1)
NONE = timedelta(0)

pytestmark = pytest.mark.django_db


def made(name: str = "chat backend", text: str = "", **fields: Any) -> Secret:
    secret = Secret(name=name, **fields)
    secret.generate(text)
    secret.full_clean()
    secret.save()
    return secret


def again(secret: Secret) -> Secret:
    return Secret.objects.get(pk=secret.pk)


def seen(secret: Secret) -> Any:
    return with_states(Secret.objects.all()).get(pk=secret.pk)


def test_of_two_rotations_at_once_the_second_gives_back_nothing_that_the_first_took() -> None:
    row = made()
    one, other = again(row), again(row)
    one.rotate(NONE)
    other.rotate(30 * DAY)
    assert other.valid_until == again(row).valid_until == one.valid_until
    assert again(row).valid_until <= timezone.now()  # type: ignore[operator]


def test_rotating_never_lengthens_a_life() -> None:
    row = made(valid_until=timezone.now() + DAY)
    row.rotate(30 * DAY)
    assert row.valid_until is not None
    assert row.valid_until <= timezone.now() + DAY


def test_nothing_takes_over_from_a_secret_that_was_revoked_or_deleted_since_it_was_looked_at() -> None:
    row = made()
    stale = again(row)
    row.revoke()
    with pytest.raises(ValidationError, match="revoked or deleted"):
        stale.rotate(DAY)
    row.delete()
    with pytest.raises(ValidationError, match="revoked or deleted"):
        stale.rotate(DAY)
    assert not Secret.objects.exists()


def test_a_secret_that_would_not_begin_before_the_overlap_ends_is_revoked_and_its_successor_begins_as_late() -> None:
    begins = timezone.now() + 2 * DAY
    row = made(valid_from=begins, valid_until=begins + DAY)
    successor, _ = row.rotate(DAY)
    again(row).full_clean()
    assert seen(row).state == State.REVOKED
    assert successor.valid_from == begins
    later = made(valid_from=begins)
    later.rotate(3 * DAY)
    assert seen(later).state == State.FUTURE
    again(later).full_clean()


@pytest.mark.django_db(transaction=True)
def test_a_rotation_takes_effect_here_when_it_is_committed() -> None:
    row = made()
    token = sign("ann", row.decrypt(), 60, kid=row.kid)
    store.verify(token, Grant.PUBLISH)
    row.rotate(NONE)
    with pytest.raises(InvalidToken):
        store.verify(token, Grant.PUBLISH)


def test_a_successor_takes_after_what_the_row_is_now() -> None:
    row = made(note="of old")
    stale = again(row)
    Secret.objects.update(name="renamed", note="new", can_publish=False)
    successor, _ = stale.rotate(NONE)
    assert (successor.name, successor.note, successor.grants) == ("renamed", "new", [Grant.CONNECT])


@pytest.mark.parametrize("revoked", [True, False])
def test_a_secret_that_is_here_already_is_refused_and_the_other_is_named(revoked: bool) -> None:
    row = made("partner", GIVEN, is_active=not revoked)
    for take in (lambda: made(text=GIVEN), lambda: made("other").rotate(NONE, secret=GIVEN)):
        with pytest.raises(ValidationError) as refused:
            take()
        assert refused.value.messages == ["“partner” has this secret already."]
    Secret.objects.filter(pk=row.pk).update(encrypted="v1:nonsense")
    made(text=GIVEN)  # for how else to go on with a secret whose row nobody can read?


@pytest.mark.parametrize(
    "kid", ["two words", " ", "tab\tbed", "line\nfeed", "zero\u200bwidth", "no\u00a0break", "\x1b[31m"]
)
def test_a_key_id_that_can_t_be_read_off_a_screen_is_refused(kid: str) -> None:
    with pytest.raises(ValidationError, match="A key id has no blanks"):
        made(kid=kid)


def test_a_given_secret_has_at_most_1024_bytes() -> None:
    made(text="x" * 1024)
    with pytest.raises(ValidationError, match="at most 1024 bytes"):
        made(text="ü" * 513)


@pytest.mark.parametrize(
    "fields",
    [
        {"valid_until": datetime(9999, 12, 31, 23, 59, 59, tzinfo=timezone.get_fixed_timezone(-300))},
        {"valid_until": datetime(3000, 1, 1, tzinfo=UTC)},
        {"valid_from": datetime(1, 1, 1, tzinfo=timezone.get_fixed_timezone(300))},
    ],
)
def test_a_time_that_overflows_in_some_time_zone_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="Choose a time in the years 1970 to 2999"):
        made(**fields)


def test_an_overlap_beyond_all_times_is_refused() -> None:
    row = made()
    with pytest.raises(ValidationError, match="Choose a time"):
        row.rotate(999_999 * DAY)
    assert again(row).valid_until is None


def test_a_secret_that_no_key_decrypts_is_unreadable_and_not_usable() -> None:
    row, fine = made(), made("fine")
    Secret.objects.filter(pk=row.pk).update(encrypted="v1:nonsense")
    assert seen(row).state == State.UNREADABLE
    assert list(Secret.objects.usable()) == [fine]
    row.revoke()
    assert seen(row).state == State.REVOKED


LONG_AGO, LATELY = timezone.now() - 40 * DAY, timezone.now() - DAY


@pytest.mark.parametrize(
    ("fields", "use"),
    [
        ({"created_at": LONG_AGO, "valid_from": LONG_AGO}, Use.UNUSED),
        ({"created_at": LONG_AGO, "valid_from": LONG_AGO, "last_used": LONG_AGO}, Use.UNUSED),
        ({}, Use.NEVER),
        ({"created_at": LATELY, "valid_from": LONG_AGO}, Use.NEVER),
        ({"created_at": LONG_AGO, "valid_from": LATELY}, Use.NEVER),
        ({"created_at": LONG_AGO, "valid_from": timezone.now() + DAY}, Use.NEVER),
        ({"created_at": LONG_AGO, "valid_from": LONG_AGO, "is_active": False}, Use.NEVER),
        ({"created_at": LONG_AGO, "valid_from": LONG_AGO, "valid_until": LATELY}, Use.NEVER),
        ({"created_at": LONG_AGO, "valid_from": LONG_AGO, "last_used": LATELY}, Use.IDLE),
    ],
)
def test_only_what_could_be_used_for_long_is_unused(fields: dict[str, Any], use: Use) -> None:
    assert seen(made(**fields)).use == use


@pytest.mark.parametrize("name", ["", "  ", "a\nb", "\x1b[2J"])
def test_a_name_says_something_and_prints_as_it_is(name: str) -> None:
    secret = Secret(name=name)
    secret.generate()
    with pytest.raises(ValidationError) as refused:
        secret.full_clean()
    assert list(refused.value.message_dict) == ["name"]
