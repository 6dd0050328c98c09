"""What a change of a secret does to the keyring of the process that makes it."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.db import transaction

from realtime import secretstore
from realtime.keyring import Grant
from realtime.models import Secret
from realtime.secretstore import SecretStore, store
from realtime.tokens import InvalidToken, sign

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def fresh_store() -> Any:
    store.reload()
    yield
    Secret.objects.all().delete()


def make(name: str = "backend", **fields: Any) -> Secret:
    secret = Secret(name=name, **fields)
    secret.generate()
    secret.save()
    return secret


def accepts(secret: Secret) -> bool:
    try:
        store.verify(sign("ann", secret.decrypt(), 60, kid=secret.kid), Grant.CONNECT)
    except InvalidToken:
        return False
    return True


def test_it_takes_effect_with_the_commit_and_not_before() -> None:
    with transaction.atomic():
        secret = make()
        assert not accepts(secret)
    assert accepts(secret)
    with transaction.atomic():
        secret.revoke()
        transaction.set_rollback(True)
    assert accepts(secret)
    secret.revoke()
    assert not accepts(secret)


def test_rotation_lets_the_new_one_sign_and_the_old_one_end() -> None:
    old = make(can_publish=False, note="for the app")
    new, text = old.rotate(timedelta(minutes=5))
    assert (new.name, new.can_publish, new.note, new.decrypt()) == ("backend", False, "for the app", text)
    assert store.signing_key(Grant.CONNECT).kid == new.kid
    assert accepts(old)
    assert accepts(new)
    first_end = old.valid_until
    old.rotate(timedelta(hours=1))
    assert old.valid_until == first_end, "a rotation never lengthens a life"
    old.rotate(timedelta(0))
    assert not accepts(old)


def test_a_revoked_secret_keeps_its_key_id(settings: Any) -> None:
    secret = make()
    settings.REALTIME = {"JWT_SECRET": secret.decrypt()}
    assert accepts(secret)
    secret.revoke()
    assert not accepts(secret)


def test_a_deleted_secret_is_gone() -> None:
    secret = make()
    assert accepts(secret)
    secret.delete()
    assert not accepts(secret)


def test_a_reading_that_began_before_a_revocation_does_not_bring_the_secret_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    secret = make()
    read = secretstore._read

    def slowly() -> Any:
        found = read()
        store.revoke(secret.kid)  # says another process meanwhile
        return found

    monkeypatch.setattr(secretstore, "_read", slowly)
    store.reload()
    assert not accepts(secret)


def test_without_any_secret_nothing_is_signed_and_the_error_says_what_to_do(settings: Any) -> None:
    settings.REALTIME = {}
    with pytest.raises(ImproperlyConfigured, match="realtime_secret create"):
        store.signing_key(Grant.PUBLISH)


async def test_async_code_can_sign_with_a_store_that_has_read_nothing_yet() -> None:
    """Where Django allows no query."""
    secret = await asyncio.to_thread(make)
    assert SecretStore().signing_key(Grant.CONNECT).kid == secret.kid


def test_the_problem_is_logged_once(settings: Any, caplog: pytest.LogCaptureFixture) -> None:
    make("first")
    settings.SECRET_KEY = "another key " + "x" * 40
    for _ in range(3):
        store.reload()
    assert caplog.text.count("can't be used") == 1
