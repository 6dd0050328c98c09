"""Secrets at rest: Fernet, with keys derived from ENCRYPTION_KEYS, or else from Django's SECRET_KEY and its fallbacks.

The first key encrypts, all decrypt, so a key is rotated as SECRET_KEY is: put the new one first, keep the old one
behind it, run `manage.py realtime_secret reencrypt`, take the old one away.
"""

from __future__ import annotations

from base64 import urlsafe_b64encode
from functools import lru_cache

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings

from .conf import conf

VERSION = "v1:"  # how the rest of the text was made
LABEL = b"hopeflow-realtime jwt secret v1"  # RFC 5869's info: a key of ours is nobody else's, though SECRET_KEY is

KEEP_THE_OLD_KEY = (
    "Put the key that it was encrypted with back, into SECRET_KEY_FALLBACKS, or behind the first of "
    "REALTIME['ENCRYPTION_KEYS'], until `manage.py realtime_secret reencrypt` has been run."
)


class Undecryptable(Exception):
    """None of the keys decrypts it. The text never holds any of it."""


def encrypt(secret: str) -> str:
    return VERSION + _fernet(key_materials()).encrypt(secret.encode()).decode()


def decrypt(encrypted: str) -> str:
    """Raises Undecryptable."""
    return _decrypt(encrypted, key_materials())


def is_current(encrypted: str) -> bool:
    """Whether the first key alone decrypts it: the others are not needed for it any more."""
    try:
        _decrypt(encrypted, key_materials()[:1])
    except Undecryptable:
        return False
    return True


def key_materials() -> tuple[str, ...]:
    """What the keys are derived from, the one that encrypts first."""
    given = conf.ENCRYPTION_KEYS or [settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS]
    return tuple(str(key) for key in given)


def _decrypt(encrypted: str, materials: tuple[str, ...]) -> str:
    if not encrypted.startswith(VERSION):
        raise Undecryptable("it is of a version that this one does not know")
    try:
        return _fernet(materials).decrypt(encrypted.removeprefix(VERSION)).decode()
    except (InvalidToken, ValueError):  # a ValueError for what is not even ASCII, or was not UTF-8
        raise Undecryptable("none of the keys decrypts it") from None


@lru_cache(maxsize=8)  # the derivation is quick, but a keyring of many secrets would do it for each of them
def _fernet(materials: tuple[str, ...]) -> MultiFernet:
    return MultiFernet([Fernet(urlsafe_b64encode(_derive(material))) for material in materials])


def _derive(material: str) -> bytes:
    return HKDF(SHA256(), length=32, salt=None, info=LABEL).derive(material.encode())
