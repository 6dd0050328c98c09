"""Secrets at rest, and the rotation of what encrypts them."""

from __future__ import annotations

from base64 import urlsafe_b64encode
from typing import Any

import pytest
from cryptography.fernet import Fernet
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.core.exceptions import ValidationError

from realtime.checks import check_secrets
from realtime.encryption import Undecryptable, decrypt, encrypt, is_current
from realtime.models import Secret

PEM = "-----BEGIN RSA PRIVATE KEY-----\nMIIEow\n-----END RSA PRIVATE KEY-----"
OLD, NEW = "an old key " + "o" * 40, "a new key " + "n" * 40


def test_it_is_fernet_with_a_key_derived_for_this_purpose(settings: Any) -> None:
    """Whoever has the keys can decrypt without us."""
    settings.REALTIME = {"ENCRYPTION_KEYS": [OLD]}
    derived = HKDF(SHA256(), 32, None, b"hopeflow-realtime jwt secret v1").derive(OLD.encode())
    text = encrypt("sesame").removeprefix("v1:")
    assert Fernet(urlsafe_b64encode(derived)).decrypt(text) == b"sesame"
    assert encrypt("sesame") != encrypt("sesame")


@pytest.mark.parametrize("given", ["SECRET_KEY", "ENCRYPTION_KEYS"])
def test_the_first_key_encrypts_and_all_decrypt(given: str, settings: Any) -> None:
    def keys(first: str, *others: str) -> None:
        if given == "SECRET_KEY":
            settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = first, list(others)
        else:
            settings.REALTIME = {"ENCRYPTION_KEYS": [first, *others]}

    keys(OLD)
    old = encrypt("sesame")
    keys(NEW, OLD)
    assert decrypt(old) == "sesame"
    assert not is_current(old)
    assert is_current(encrypt("sesame"))
    keys(NEW)
    with pytest.raises(Undecryptable):
        decrypt(old)


@pytest.mark.parametrize("text", ["", "v1:", "v1:nonsense", "v2:whatever", "sesame"])
def test_what_was_not_encrypted_so_is_undecryptable(text: str) -> None:
    with pytest.raises(Undecryptable) as error:
        decrypt(text)
    assert "sesame" not in str(error.value)


@pytest.mark.django_db
def test_a_check_finds_what_no_key_decrypts_and_reencrypting_prevents_it(settings: Any) -> None:
    settings.SECRET_KEY = OLD
    secret = Secret(name="backend")
    text = secret.generate()
    secret.save()
    assert check_secrets(databases=["default"]) == []
    settings.SECRET_KEY = NEW
    (error,) = check_secrets(databases=["default"])
    assert (error.id, "SECRET_KEY_FALLBACKS" in (error.hint or "")) == ("realtime.E007", True)
    settings.SECRET_KEY_FALLBACKS = [OLD]
    assert [secret.reencrypt(), secret.reencrypt()] == [True, False]
    settings.SECRET_KEY_FALLBACKS = []
    assert Secret.objects.get().decrypt() == text
    assert check_secrets(databases=["default"]) == check_secrets(databases=None) == []


@pytest.mark.django_db
def test_a_check_warns_when_there_is_no_secret_at_all(settings: Any) -> None:
    settings.REALTIME = {}
    assert [warning.id for warning in check_secrets(databases=["default"])] == ["realtime.W004"]


@pytest.mark.django_db
def test_a_secret_is_256_bits_made_here_or_a_given_one_of_32_bytes_at_least() -> None:
    made = Secret().generate()
    assert len(made) == 43
    assert made != Secret().generate()
    assert Secret().generate("ü" * 16) == "ü" * 16
    for wrong in ("x" * 31, "\ud800" * 40, PEM):
        with pytest.raises(ValidationError):
            Secret().generate(wrong)


@pytest.mark.django_db
def test_a_secret_shows_in_no_representation_of_its_row() -> None:
    secret = Secret(name="backend")
    text = secret.generate()
    secret.save()
    shown = f"{secret} {secret!r} {vars(secret)} {Secret.objects.values()}"
    assert text not in shown
    assert secret.fingerprint in str(secret)
