"""Which secret verifies a token, and which signs one."""

from __future__ import annotations

import time
from typing import Any

import pytest

from realtime.keyring import BOTH, Forbidden, Grant, Key, Keyring, NoSecret
from realtime.tokens import InvalidToken, sign

OWN = Key(b"the-secret-of-the-settings-0123456789ab")
CONNECT, PUBLISH = frozenset({Grant.CONNECT}), frozenset({Grant.PUBLISH})


def key(kid: str, grants: frozenset[Grant] = BOTH, **fields: Any) -> Key:
    return Key(f"the-secret-of-{kid}-0123456789abcdefgh".encode(), kid, grants, **fields)


def token(by: Key, kid: str | None = None, lifetime: float | None = 60) -> str:
    return sign("ann", by.secret, lifetime, kid=kid)


def accepts(ring: Keyring, text: str, grant: Grant = Grant.CONNECT) -> bool:
    try:
        return ring.verify(text, grant).user == "ann"
    except InvalidToken:
        return False


def test_the_kid_picks_the_secret() -> None:
    first, second = key("first"), key("second")
    ring = Keyring([first, second])
    assert ring.verify(token(first, "first"), Grant.CONNECT).kid == "first"
    assert not accepts(ring, token(first, "second"))


def test_without_a_kid_every_secret_is_tried() -> None:
    first, second = key("first"), key("second")
    ring = Keyring([first, second], OWN)
    assert [ring.verify(token(by), Grant.CONNECT).kid for by in (first, second, OWN)] == ["first", "second", None]


def test_without_a_kid_the_newest_five_are_tried_whatever_they_may_do() -> None:
    """What a token is answered with does not depend on what it was first shown for."""
    connecting, ended = key("connecting", CONNECT), [key(f"ended {number}", ends=1.0) for number in range(5)]
    publishing = [key(f"publishing {number}", PUBLISH) for number in range(5)]
    ring = Keyring([*ended, connecting, *publishing], OWN)
    for by in (*publishing[:4], OWN):
        assert accepts(ring, token(by), Grant.PUBLISH)
    text = token(connecting)
    for _ in range(2):
        with pytest.raises(Forbidden):
            ring.verify(text, Grant.PUBLISH)
        assert accepts(ring, text)
    assert not accepts(ring, token(publishing[4]), Grant.PUBLISH)


def test_of_two_secrets_with_the_same_text_the_other_goes_on_when_one_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.time()
    ring = Keyring([Key(OWN.secret, "newer", ends=now + 10), Key(OWN.secret, "older")])
    text = token(OWN)
    seen = []
    for seconds in (9, 11, 11):
        monkeypatch.setattr(time, "time", lambda seconds=seconds: now + seconds)
        seen.append(ring.verify(text, Grant.CONNECT).kid)
    assert seen == ["newer", "older", "older"]


def test_a_kid_that_no_secret_has_is_tried_against_the_secret_of_the_settings_alone() -> None:
    first = key("first")
    ring = Keyring([first], OWN)
    assert accepts(ring, token(OWN, "of old"))
    assert not accepts(ring, token(first, "of old"))
    assert not accepts(Keyring([first]), token(OWN, "of old"))
    assert not accepts(ring, token(OWN, "first"))


def test_the_kid_of_a_secret_that_was_revoked_never_means_the_secret_of_the_settings() -> None:
    """Even if both have the same text: it was taken into the database before."""
    ring = Keyring([Key(OWN.secret, "imported")], OWN)
    assert accepts(ring, token(OWN, "imported"))
    assert not accepts(ring.without("imported"), token(OWN, "imported"))
    assert accepts(ring.without("imported"), token(OWN))


@pytest.mark.parametrize("kid", ["", "\ud800", "x" * 5000, "é"])
def test_an_odd_kid_names_no_secret(kid: str) -> None:
    assert accepts(Keyring([key("first")], OWN), token(OWN, kid))


def test_a_secret_that_lacks_the_grant_is_forbidden_not_unauthorized() -> None:
    browsers = key("browsers", CONNECT)
    ring = Keyring([browsers])
    for text in (token(browsers, "browsers"), token(browsers)):
        assert accepts(ring, text)
        with pytest.raises(Forbidden):
            ring.verify(text, Grant.PUBLISH)


@pytest.mark.parametrize("kid", ["first", None])
def test_a_secret_verifies_from_its_beginning_to_its_end(kid: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.time()
    first = key("first", begins=now + 10, ends=now + 20)
    ring, text = Keyring([first]), token(first, kid, None)
    seen = []
    for seconds in (9, 10, 19, 20):
        monkeypatch.setattr(time, "time", lambda seconds=seconds: now + seconds)
        seen.append(accepts(ring, text))
    assert seen == [False, True, True, False]


def test_a_remembered_token_is_still_refused_once_it_has_expired(monkeypatch: pytest.MonkeyPatch) -> None:
    ring, text = Keyring(own=OWN), token(OWN)
    assert ring.verify(text, Grant.CONNECT) is ring.verify(text, Grant.PUBLISH)
    later = time.time() + 61
    monkeypatch.setattr(time, "time", lambda: later)
    assert not accepts(ring, text)
    assert not ring._verified


def test_remembered_tokens_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("realtime.keyring.REMEMBERED", 3)
    ring = Keyring(own=OWN)
    for number in range(10):
        ring.verify(sign(f"user-{number}", OWN.secret, 60), Grant.CONNECT)
    ring.verify(sign("ann", OWN.secret, 60, padding="x" * 4000), Grant.CONNECT)
    assert len(ring._verified) == 3


def test_a_keyring_without_the_secret_forgets_its_tokens() -> None:
    first, second = key("first"), key("second")
    ring = Keyring([first, second])
    text = token(first, "first")
    assert accepts(ring, text)
    assert not accepts(ring.without("first"), text)
    assert accepts(ring.without("first"), token(second))


def test_the_secret_that_may_do_the_least_signs_and_of_those_the_newest() -> None:
    both, newest, newer = key("both"), key("newest", CONNECT), key("newer", CONNECT)
    ended = key("ended", CONNECT, ends=1.0)
    ring = Keyring([ended, both, newest, newer], OWN)
    assert ring.signing_key(Grant.CONNECT) is newest
    assert ring.signing_key(Grant.PUBLISH) is both
    assert ring.signing_key(*BOTH) is both
    assert Keyring([newest], OWN).signing_key(Grant.PUBLISH) is OWN
    with pytest.raises(NoSecret):
        Keyring([newest]).signing_key(Grant.PUBLISH)


def test_a_secret_does_not_show_in_its_repr() -> None:
    assert "the-secret" not in repr(OWN)
