"""The secrets that tokens are signed with, as the admin manages them. What verifies tokens is the keyring."""

from __future__ import annotations

import hashlib
import secrets
from datetime import UTC, datetime, timedelta
from typing import Any, cast

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import models, router, transaction
from django.db.models import Case, F, Q, Value, When
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django.views.decorators.debug import sensitive_variables

from .conf import MIN_SECRET_BYTES
from .encryption import Undecryptable, decrypt, encrypt, is_current
from .keyring import Grant
from .states import USABLE, with_states
from .tokens import is_fit

GENERATED_BYTES = 32  # 256 bits, as text 43 characters
MAX_SECRET_BYTES = 1024
EARLIEST, LATEST = datetime(1970, 1, 1), datetime(3000, 1, 1)  # within these no time zone makes a time overflow


def new_kid() -> str:
    return secrets.token_hex(8)


def fingerprint(secret: str) -> str:
    """Eight hexadecimal digits that tell secrets apart and give nothing of them away."""
    digits = hashlib.sha256(b"hopeflow-realtime fingerprint:" + secret.encode()).hexdigest()
    return f"{digits[:4]}-{digits[4:8]}"


def check_kid(kid: str) -> None:
    """Raise ValidationError for a key id that can't be told from another by looking at it."""
    if " " in kid or not kid.isprintable():
        raise ValidationError(_("A key id has no blanks and only characters that can be printed."), "unprintable")


def check_name(name: str) -> None:
    """Raise ValidationError for a name that a terminal would not print as it is, or that says nothing."""
    if not name.strip() or not name.isprintable():
        raise ValidationError(_("A name is not blank and has only characters that can be printed."), "unprintable")


def check_moment(moment: datetime) -> None:
    """Raise ValidationError for a time that some database or some time zone can't hold."""
    zone = UTC if timezone.is_aware(moment) else None
    if not EARLIEST.replace(tzinfo=zone) <= moment < LATEST.replace(tzinfo=zone):
        years = {"first": EARLIEST.year, "last": LATEST.year - 1}
        raise ValidationError(_("Choose a time in the years %(first)d to %(last)d."), "out_of_range", years)


@sensitive_variables("secret")
def check_secret(secret: str) -> None:
    """Raise ValidationError for one that can't sign with HS256 (too short, or a PEM key, say), or is here already."""
    size = len(secret.encode(errors="surrogatepass"))
    if size < MIN_SECRET_BYTES:
        raise ValidationError(_("A secret has at least %(least)d bytes."), "short", {"least": MIN_SECRET_BYTES})
    if size > MAX_SECRET_BYTES:
        raise ValidationError(_("A secret has at most %(most)d bytes."), "long", {"most": MAX_SECRET_BYTES})
    if not is_fit(secret, MIN_SECRET_BYTES):
        raise ValidationError(_("This cannot be a secret for HS256."), "unfit")
    # Revoking one of two that are the same would not end the tokens without a key id: the other verifies them.
    for other in Secret.objects.using(router.db_for_write(Secret)).filter(fingerprint=fingerprint(secret)):
        if other.holds(secret):
            raise ValidationError(_("“%(name)s” has this secret already."), "known", {"name": other.name})


class SecretQuerySet(models.QuerySet["Secret"]):
    def usable(self) -> SecretQuerySet:
        """Those that verify tokens now, the newest first, each with its `state` and its `use`."""
        usable = with_states(self).filter(state__in=USABLE)
        return cast(SecretQuerySet, usable.order_by("-created_at", "-pk"))


class Secret(models.Model):
    """A secret that tokens are signed with (HS256). Its text is encrypted and shown once, when it is made."""

    name = models.CharField(
        _("name"),
        max_length=100,
        validators=[check_name],
        help_text=_("Who signs with it: “chat backend”, “browsers”."),
    )
    kid = models.CharField(
        _("key id"),
        max_length=64,
        unique=True,
        default=new_kid,
        validators=[check_kid],
        help_text=_("The “kid” in the header of its tokens, which picks this secret."),
    )
    encrypted = models.TextField(editable=False)
    fingerprint = models.CharField(_("fingerprint"), max_length=9, editable=False)
    can_connect = models.BooleanField(_("may connect"), default=True, help_text=_("Its tokens open sockets."))
    can_publish = models.BooleanField(_("may publish"), default=True, help_text=_("Its tokens publish, to any user."))
    valid_from = models.DateTimeField(_("valid from"), default=timezone.now, validators=[check_moment])
    valid_until = models.DateTimeField(
        _("valid until"), null=True, blank=True, validators=[check_moment], help_text=_("Empty: for ever.")
    )
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

    @property
    def grants(self) -> list[Grant]:
        """What its tokens may do."""
        given = {Grant.CONNECT: self.can_connect, Grant.PUBLISH: self.can_publish}
        return [grant for grant in given if given[grant]]

    @sensitive_variables("secret")
    def generate(self, secret: str = "") -> str:
        """Take on a given secret, or one made here. Returns it: nobody will be shown it again. Does not save.

        Raises ValidationError for a given one that is too short or too long, can't sign, or is another row's.
        """
        if secret:
            check_secret(secret)
        else:
            secret = secrets.token_urlsafe(GENERATED_BYTES)
        self.encrypted, self.fingerprint = encrypt(secret), fingerprint(secret)
        return secret

    def decrypt(self) -> str:
        """The secret. Raises Undecryptable."""
        return decrypt(self.encrypted)

    def is_readable(self) -> bool:
        """Whether one of the keys decrypts it."""
        try:
            self.decrypt()
        except Undecryptable:
            return False
        return True

    @sensitive_variables("secret")
    def holds(self, secret: str) -> bool:
        """Whether this is its text. Not as far as anybody knows, when it can't be decrypted."""
        return self.is_readable() and self.decrypt() == secret

    @sensitive_variables("secret")
    def rotate(self, overlap: timedelta, *, secret: str = "", created_by: Any = None) -> tuple[Secret, str]:
        """Let a new secret take over, which may do the same. This one stays valid for the overlap, and no longer.

        Returns the new one, saved, and its text. Raises ValidationError, also when this one is revoked.
        """
        now = timezone.now()
        check_moment(now + overlap)
        successor = Secret(created_by=created_by)
        using = router.db_for_write(Secret)
        with transaction.atomic(using=using):
            self._end(now + overlap, using)  # first: SQLite lets nobody write who has read while others wrote
            secret = successor.generate(secret)
            self.refresh_from_db(using=using)
            successor.name, successor.note = self.name, self.note
            successor.can_connect, successor.can_publish = self.can_connect, self.can_publish
            successor.valid_from = max(now, self.valid_from)
            successor.save(using=using)  # which also makes known that this one ends
        return successor, secret

    def _end(self, end: datetime, using: str) -> None:
        """End the row then, unless it ends earlier. One that would not have begun by then is revoked.

        One statement, which locks the row: of rotations at the same time none may give back what another took.
        """
        row = Secret.objects.using(using).filter(pk=self.pk, is_active=True)
        found = row.update(
            valid_until=Case(When(Q(valid_until__lt=end) | Q(valid_from__gte=end), then=F("valid_until")), default=end),
            is_active=Case(When(valid_from__gte=end, then=Value(False)), default=Value(True)),
        )
        if not found:
            raise ValidationError(_("It is revoked or deleted, so nothing takes over from it. Add a new one."), "over")

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


class Console(Secret):
    """The live console, for the admin's list of things and its permissions: see, and change, which is publish and
    disconnect. It has no rows. A proxy of whatever model has no table either, and unlike an unmanaged model `dumpdata`
    does not look for one.
    """

    class Meta:
        proxy = True
        default_permissions = ("view", "change")
        verbose_name = verbose_name_plural = _("live console")
