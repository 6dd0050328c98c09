"""`manage.py realtime_secret`, called in this process. What it does to servers is in test_secrets."""

from __future__ import annotations

import json
from datetime import datetime
from io import StringIO
from typing import Any

import pytest
from django.conf import settings
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.test import override_settings
from django.utils import timezone

from realtime.encryption import KEEP_THE_OLD_KEY
from realtime.models import Secret

pytestmark = pytest.mark.django_db


def run(*arguments: str) -> tuple[str, str]:
    """What it prints on stdout and on stderr."""
    out, err = StringIO(), StringIO()
    call_command("realtime_secret", *arguments, stdout=out, stderr=err)
    return out.getvalue(), err.getvalue()


def make(*arguments: str) -> Any:
    return json.loads(run("create", *arguments, "--json")[0])


def listed() -> list[dict[str, Any]]:
    return [json.loads(line) for line in run("list", "--json")[0].splitlines()]


def test_the_list_says_all_that_is_known_of_a_secret_but_its_text() -> None:
    made = make("browsers", "--kid", "mine", "--may", "connect", "--note", "the website", "--valid-until", "2999-01-02")
    Secret.objects.update(created_by=User.objects.create(username="boss"), last_used=timezone.now())
    known = listed()[0]
    assert made.pop("secret") not in str(known)
    assert {**made, "createdBy": "boss", "lastUsed": known["lastUsed"]} == known
    assert datetime.fromisoformat(known["createdAt"]) <= timezone.now()
    expected = {"kid": "mine", "state": "active", "note": "the website", "validUntil": "2999-01-02T00:00:00+00:00"}
    assert {key: known[key] for key in expected} == expected
    line, _ = run("list")
    for fact in ("mine", "active", "until 2999-01-02 00:00+00:00", "connect", "used 20", "browsers"):
        assert fact in line
    run("create", "later", "--valid-from", "2998-01-02")
    assert "from 2998-01-02 00:00+00:00" in run("list")[0]


def test_a_revoked_secret_is_not_rotated() -> None:
    kid = make("leaked")["kid"]
    run("revoke", kid)
    with pytest.raises(CommandError, match="It is revoked or deleted, so nothing takes over from it"):
        run("rotate", kid)
    assert Secret.objects.count() == 1


@pytest.mark.parametrize(("overlap", "says"), [("7d", "stays valid until 20"), ("0s", "is refused from now on")])
def test_a_rotation_says_what_becomes_of_the_old_secret(overlap: str, says: str) -> None:
    assert says in run("rotate", make("backend")["kid"], "--overlap", overlap)[1]


def test_where_no_server_can_be_told_to_close_sockets_that_is_an_error_and_the_secret_is_revoked_all_the_same() -> None:
    kid = make("leaked")["kid"]
    with pytest.raises(CommandError, match="No server could be told to close its sockets"):
        run("revoke", kid, "--close-sockets")
    assert listed()[0]["state"] == "revoked"


def test_reencrypting_goes_on_after_a_secret_that_no_key_decrypts_and_names_it() -> None:
    first, damaged, last = (make(name)["kid"] for name in ("first", "damaged", "last"))
    Secret.objects.filter(kid=damaged).update(encrypted="v1:nonsense")
    with override_settings(SECRET_KEY="new" * 20, SECRET_KEY_FALLBACKS=[settings.SECRET_KEY]):
        with pytest.raises(CommandError) as error:
            run("reencrypt")
        assert str(error.value) == f"No key decrypts {damaged}. {KEEP_THE_OLD_KEY}"
    with override_settings(SECRET_KEY="new" * 20):
        states = {secret["kid"]: secret["state"] for secret in listed()}
    assert states == {first: "active", damaged: "unreadable", last: "active"}


@pytest.mark.parametrize("use_tz", [True, False])
def test_times_are_understood_with_an_offset_and_without_whether_the_site_uses_time_zones_or_not(use_tz: bool) -> None:
    with override_settings(USE_TZ=use_tz, TIME_ZONE="America/New_York"):
        for given in ("2100-01-01T12:00:00-05:00", "2100-01-01T12:00"):
            make("a", "--valid-until", given)
            offset = "-05:00" if use_tz else ""
            assert f"until 2100-01-01 12:00{offset} " in run("list")[0].splitlines()[0]


@pytest.mark.parametrize("use_tz", [True, False])
@pytest.mark.parametrize("moment", ["9999-12-31T23:59:59-05:00", "0001-01-01T00:00:00+05:00", "2026-13-01", "soon"])
def test_a_time_that_is_none_or_overflows_is_refused(moment: str, use_tz: bool) -> None:
    with override_settings(USE_TZ=use_tz), pytest.raises(CommandError, match=r"Choose a time|not a time"):
        run("create", "a", "--valid-until", moment)


@pytest.mark.parametrize("arguments", [("create", "\udcff"), ("create", "a", "--kid", "\udcff"), ("revoke", "\udcff")])
def test_an_argument_that_is_not_utf_8_is_refused(arguments: tuple[str, ...]) -> None:
    with pytest.raises(CommandError, match="not UTF-8"):
        run(*arguments)


def test_a_key_id_that_is_taken_meanwhile_is_not_blamed_on_migrations(monkeypatch: pytest.MonkeyPatch) -> None:
    make("one", "--kid", "taken")
    with pytest.raises(CommandError, match="already exists"):
        run("create", "other", "--kid", "taken")
    monkeypatch.setattr(Secret, "full_clean", lambda self: None)
    with pytest.raises(CommandError, match="The database refuses") as error:
        run("create", "other", "--kid", "taken")
    assert "migrate" not in str(error.value)
