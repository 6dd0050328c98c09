"""What a change of a secret does to the keyring of the process that makes it."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path
from threading import get_ident
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.db import OperationalError, transaction

from realtime import admission, secretstore
from realtime.admission import signing_key
from realtime.keyring import Grant
from realtime.models import Secret
from realtime.secretstore import SecretStore, store
from realtime.tokens import InvalidToken, sign
from tests.servers import PEM, ROOT, SECRET, environment

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


@pytest.fixture
def new_store(monkeypatch: pytest.MonkeyPatch) -> SecretStore:
    """That of a process which has read nothing yet."""
    found = SecretStore()
    monkeypatch.setattr(admission, "store", found)
    return found


async def test_async_code_can_sign_with_a_store_that_has_read_nothing_yet(new_store: SecretStore) -> None:
    """Where Django allows no query."""
    secret = await asyncio.to_thread(make)
    assert signing_key(Grant.CONNECT).kid == secret.kid


def test_code_that_only_signs_learns_of_a_revocation_within_a_second(
    new_store: SecretStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody tells it: it serves neither sockets nor publishes. Meanwhile it asks the database no more often."""
    first, second = make("first"), make("second")
    assert signing_key(Grant.CONNECT).kid == second.kid
    second.revoke()
    reads = count_reads(monkeypatch)
    now = time.monotonic()
    for later in (0.5, 0.9, 1.1, 1.9):
        monkeypatch.setattr(time, "monotonic", lambda later=later: now + later)
        last = signing_key(Grant.CONNECT)
    assert (last.kid, len(reads)) == (first.kid, 1)


def test_code_that_signs_while_the_database_fails_does_not_ask_it_each_time(
    new_store: SecretStore, monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    settings.REALTIME = {"JWT_SECRET": SECRET}

    def fail() -> Any:
        reads.append(None)
        raise OperationalError("away")

    reads: list[None] = []
    monkeypatch.setattr(secretstore, "_read", fail)
    for _ in range(3):
        assert signing_key(Grant.CONNECT).kid is None
    assert len(reads) == 1


def test_signing_in_a_transaction_takes_in_nothing_of_it_and_does_it_no_harm(
    new_store: SecretStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The table is read on a connection of its own."""
    secret, connections = make(), []
    read = secretstore._read

    def where() -> Any:
        connections.append(get_ident())
        return read()

    monkeypatch.setattr(secretstore, "_read", where)
    with transaction.atomic():
        assert signing_key(Grant.CONNECT).kid == secret.kid
    assert connections != [get_ident()]


def count_reads(monkeypatch: pytest.MonkeyPatch) -> list[None]:
    """An entry for each time that the table is read from now on."""
    reads: list[None] = []
    read = secretstore._read

    def counted() -> Any:
        reads.append(None)
        return read()

    monkeypatch.setattr(secretstore, "_read", counted)
    return reads


def test_a_forked_child_reads_secrets_though_the_parent_had_read_them_in_async_code(tmp_path: Path) -> None:
    """The thread that does is not forked along."""
    script = """
import asyncio, django, os; django.setup()
from django.core.management import call_command
from realtime import secretstore, token_for
call_command("migrate", verbosity=0)
async def mint(): return token_for("ann")
asyncio.run(mint())
if not (child := os.fork()):
    secretstore.store.__init__()
    asyncio.run(mint())
    os._exit(secretstore.store._read_at is None)
assert os.waitpid(child, 0)[1] == 0
"""
    env = environment(DATABASE_URL=f"sqlite:///{tmp_path}/db.sqlite3")
    subprocess.run([sys.executable, "-c", script], env=env, cwd=ROOT, check=True, timeout=30)


def test_the_problem_is_logged_once(settings: Any, caplog: pytest.LogCaptureFixture) -> None:
    make("first")
    settings.SECRET_KEY = "another key " + "x" * 40
    for _ in range(3):
        store.reload()
    assert caplog.text.count("can't be used") == 1


def test_an_outage_is_logged_once_in_whatever_ways_the_database_says_it(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    found, read = SecretStore(), secretstore._read
    for outage in (1, 2):
        for said in ("shutting down", "refused", "shutting down"):

            def fail(said: str = said) -> Any:
                raise OperationalError(said)

            monkeypatch.setattr(secretstore, "_read", fail)
            assert not found.reload()
        assert caplog.text.count("can't be read") == outage
        monkeypatch.setattr(secretstore, "_read", read)
        assert found.reload()


def test_a_damaged_secret_harms_no_other(caplog: pytest.LogCaptureFixture) -> None:
    good, damaged = make("good"), make("damaged")
    Secret.objects.filter(pk=damaged.pk).update(encrypted="v1:é")
    store.reload()
    assert accepts(good)
    assert f"{damaged.kid} can't be used" in caplog.text


def test_a_command_does_not_complain_of_no_secret_where_the_settings_have_one(
    settings: Any, caplog: pytest.LogCaptureFixture
) -> None:
    settings.REALTIME = {"JWT_SECRET": SECRET}
    SecretStore().reload()
    assert not caplog.text


def test_a_secret_of_the_settings_that_cannot_sign_is_not_used(settings: Any, caplog: pytest.LogCaptureFixture) -> None:
    """It would end the search of the secret that has signed a token without a kid."""
    settings.REALTIME = {"JWT_SECRET": PEM}
    secret = make()
    assert store.verify(sign("ann", secret.decrypt(), 60), Grant.CONNECT).kid == secret.kid
    assert "JWT_SECRET'] is not used" in caplog.text


def test_a_look_that_finds_nothing_new_keeps_what_is_remembered() -> None:
    secret = make()
    assert accepts(secret)
    before = store.keyring
    store.reload()
    assert store.keyring is before
    Secret.objects.filter(pk=secret.pk).update(can_publish=False)
    store.reload()
    assert store.keyring is not before


async def test_a_database_that_does_not_answer_is_logged_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    answers = asyncio.Event()
    monkeypatch.setattr(admission, "LATE", 0.01)
    monkeypatch.setattr(store, "look", answers.wait)
    watch = admission.Watch()
    async with asyncio.timeout(10):
        while not caplog.text:
            await asyncio.sleep(0.01)
        answers.set()
        await watch.first_look()
    assert caplog.text.count("the database has not answered for") == 1


def test_a_last_use_that_cannot_be_written_is_logged_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(_: SecretStore) -> None:
        raise OperationalError("read-only")

    monkeypatch.setattr(SecretStore, "_write_last_used", fail)
    for _ in range(3):
        store._look_and_write()
    assert caplog.text.count("can't be written") == 1
