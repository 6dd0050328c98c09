"""The secrets that tokens are signed with, as the admin manages them. What verifies tokens is the keyring."""

from __future__ import annotations

import hashlib
import secrets
from datetime import datetime, timedelta
from typing import Any

import jwt
from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import models, router, transaction
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django.views.decorators.debug import sensitive_variables

from .conf import MIN_SECRET_BYTES
from .encryption import decrypt, encrypt, is_current
from .tokens import sign

GENERATED_BYTES = 32  # 256 bits, as text 43 characters


def new_kid() -> str:
    return secrets.token_hex(8)


def fingerprint(secret: str) -> str:
    """Eight hexadecimal digits that tell secrets apart and give nothing of them away."""
    digits = hashlib.sha256(b"hopeflow-realtime fingerprint:" + secret.encode()).hexdigest()
    return f"{digits[:4]}-{digits[4:8]}"


@sensitive_variables("secret")
def check_secret(secret: str) -> None:
    """Raise ValidationError for a secret that can't sign with HS256: too short, or a PEM key, say."""
    try:
        if len(secret.encode()) < MIN_SECRET_BYTES:
            raise ValidationError(_("A secret has at least %(least)d bytes."), "short", {"least": MIN_SECRET_BYTES})
        sign("nobody", secret)
    except (jwt.PyJWTError, UnicodeEncodeError):
        raise ValidationError(_("This cannot be a secret for HS256."), "unfit") from None


class SecretQuerySet(models.QuerySet["Secret"]):
    def usable(self, at: datetime | None = None) -> SecretQuerySet:
        """Those that verify tokens at a time (now), the newest first."""
        at = at or timezone.now()
        begun = self.filter(is_active=True, valid_from__lte=at)
        return begun.filter(models.Q(valid_until=None) | models.Q(valid_until__gt=at)).order_by("-created_at", "-pk")


class Secret(models.Model):
    """A secret that tokens are signed with (HS256). Its text is encrypted and shown once, when it is made."""

    name = models.CharField(_("name"), max_length=100, help_text=_("Who signs with it: “chat backend”, “browsers”."))
    kid = models.CharField(
        _("key id"),
        max_length=64,
        unique=True,
        default=new_kid,
        help_text=_("The “kid” in the header of its tokens, which picks this secret."),
    )
    encrypted = models.TextField(editable=False)
    fingerprint = models.CharField(_("fingerprint"), max_length=9, editable=False)
    can_connect = models.BooleanField(_("may connect"), default=True, help_text=_("Its tokens open sockets."))
    can_publish = models.BooleanField(_("may publish"), default=True, help_text=_("Its tokens publish, to any user."))
    valid_from = models.DateTimeField(_("valid from"), default=timezone.now)
    valid_until = models.DateTimeField(_("valid until"), null=True, blank=True, help_text=_("Empty: for ever."))
    is_active = models.BooleanField(
        _("active"), default=True, help_text=_("Off: its tokens are refused, whatever their dates say.")
    )
    note = models.TextField(_("note"), blank=True)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.SET_NULL,
        verbose_name=_("created by"),
        null=True,
        blank=True,
        editable=False,
        related_name="+",
    )
    created_at = models.DateTimeField(_("created at"), default=timezone.now, editable=False)
    last_used = models.DateTimeField(_("last used"), null=True, editable=False)

    objects = SecretQuerySet.as_manager()

    class Meta:
        verbose_name = _("JWT secret")
        verbose_name_plural = _("JWT secrets")
        ordering = ("-created_at", "-pk")

    def __str__(self) -> str:
        return f"{self.name} ({self.fingerprint})"

    def clean(self) -> None:
        if self.valid_until is not None and self.valid_until <= self.valid_from:
            raise ValidationError({"valid_until": _("It ends before it begins.")})
        if not (self.can_connect or self.can_publish):
            raise ValidationError(_("A secret that may neither connect nor publish is good for nothing."))

    @sensitive_variables("secret")
    def generate(self, secret: str = "") -> str:
        """Take on a given secret, or one made here. Returns it: nobody will be shown it again. Does not save.

        Raises ValidationError when the given one is under 32 bytes.
        """
        secret = secret or secrets.token_urlsafe(GENERATED_BYTES)
        check_secret(secret)
        self.encrypted, self.fingerprint = encrypt(secret), fingerprint(secret)
        return secret

    def decrypt(self) -> str:
        """The secret. Raises Undecryptable."""
        return decrypt(self.encrypted)

    @sensitive_variables("secret")
    def rotate(self, overlap: timedelta, *, secret: str = "", created_by: Any = None) -> tuple[Secret, str]:
        """Let a new secret take over, which may do the same. This one stays valid for the overlap.

        Returns the new one, saved, and its text. Raises ValidationError.
        """
        successor = Secret(
            name=self.name,
            can_connect=self.can_connect,
            can_publish=self.can_publish,
            note=self.note,
            created_by=created_by,
        )
        secret = successor.generate(secret)
        end = timezone.now() + overlap
        with transaction.atomic(using=router.db_for_write(Secret)):
            successor.save()
            if self.valid_until is None or self.valid_until > end:
                self.valid_until = max(end, self.valid_from)
                self.save(update_fields=["valid_until"])
        return successor, secret

    def revoke(self) -> None:
        """Refuse its tokens from now on. Sockets that it let in stay: see `control.close_sockets_of_secret`."""
        self.is_active = False
        self.save(update_fields=["is_active"])

    def reencrypt(self) -> bool:
        """Encrypt it with the first key, unless it is already. Whether it was not. Raises Undecryptable."""
        if is_current(self.encrypted):
            return False
        self.encrypted = encrypt(self.decrypt())
        self.save(update_fields=["encrypted"])
        return True
