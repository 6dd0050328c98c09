from __future__ import annotations

import re
import sys
from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError
from django.utils import timezone
from django.utils.dateparse import parse_datetime

from realtime.control import close_sockets_of_secret
from realtime.encryption import Undecryptable
from realtime.keyring import Grant
from realtime.layers import LayerUnavailable
from realtime.management.remote import compact
from realtime.models import Secret
from realtime.states import with_states

UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


class Command(BaseCommand):
    help = "Manage the secrets that tokens are signed with. A new one is printed on stdout, this once."

    def add_arguments(self, parser: CommandParser) -> None:
        actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")

        create = actions.add_parser("create", help="make a secret and print it")
        create.add_argument("name", help="who signs with it")
        create.add_argument("--kid", help="its key id (default: made here)")
        create.add_argument("--may", choices=[grant.value for grant in Grant], help="this only (default: both)")
        create.add_argument("--valid-from", type=moment, metavar="TIME", help="ISO 8601 (default: now)")
        create.add_argument("--valid-until", type=moment, metavar="TIME", help="ISO 8601 (default: for ever)")
        create.add_argument("--note")
        add_new_secret_arguments(create)

        listing = actions.add_parser("list", help="list the secrets, without their text")
        listing.add_argument("--json", action="store_true", help="one JSON object a line")

        rotate = actions.add_parser("rotate", help="let a new secret take over and print it")
        add_kid(rotate)
        rotate.add_argument(
            "--overlap",
            type=duration,
            default=timedelta(days=1),
            metavar="TIME",
            help="how long the old one stays valid: 0s, 15m, 24h, 7d (default: 24h)",
        )
        add_new_secret_arguments(rotate)

        revoke = actions.add_parser("revoke", help="refuse the tokens of a secret from now on")
        add_kid(revoke)
        revoke.add_argument("--close-sockets", action="store_true", help="and close the sockets that they opened")

        actions.add_parser("reencrypt", help="encrypt all secrets with the first key: SECRET_KEY has been rotated")

    def handle(self, *, action: str, **options: Any) -> None:
        with errors_of_the_command():
            getattr(self, f"_{action}")(**options)

    def _create(self, *, name: str, may: str | None, stdin: bool, json: bool, **options: Any) -> None:
        fields = {key: options[key] for key in ("kid", "valid_from", "valid_until", "note") if options[key] is not None}
        grants = {f"can_{grant.value}": may in (None, grant.value) for grant in Grant}
        secret = Secret(name=name, **grants, **fields)
        text = secret.generate(read_secret(stdin))
        secret.full_clean()
        secret.save()
        self._show(secret, text, json)

    def _list(self, *, json: bool, **_: Any) -> None:
        for secret in with_states(Secret.objects.all()):
            self.stdout.write(compact(described(secret)) if json else as_line(secret))
        if not json and not Secret.objects.exists():
            self.stderr.write("There is none. Make one: manage.py realtime_secret create NAME")

    def _rotate(self, *, kid: str, overlap: timedelta, stdin: bool, json: bool, **_: Any) -> None:
        old = find(kid)
        successor, text = old.rotate(overlap, secret=read_secret(stdin))
        self.stderr.write(f"{old} stays valid until {old.valid_until:%Y-%m-%d %H:%M:%S %Z}.")
        self._show(successor, text, json)

    def _revoke(self, *, kid: str, close_sockets: bool, **_: Any) -> None:
        secret = find(kid)
        secret.revoke()
        self.stderr.write(self.style.SUCCESS(f"{secret} is revoked."))
        if close_sockets:
            try:
                self.stderr.write(f"Sockets closed: {close_sockets_of_secret(secret.kid).sockets}")
            except LayerUnavailable as error:
                raise CommandError(f"Its sockets could not be closed, the channel layer is away: {error}") from None

    def _reencrypt(self, **_: Any) -> None:
        changed = [secret for secret in Secret.objects.all() if secret.reencrypt()]
        self.stderr.write(self.style.SUCCESS(f"Secrets encrypted anew: {len(changed)}"))

    def _show(self, secret: Secret, text: str, json: bool) -> None:
        self.stderr.write(self.style.SUCCESS(f"{secret}, key id {secret.kid}. It will not be shown again:"))
        self.stdout.write(compact({**described(secret), "secret": text}) if json else text)


def add_kid(parser: ArgumentParser) -> None:
    parser.add_argument("kid", help="the key id of the secret (see list)")


def add_new_secret_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--stdin", action="store_true", help="read the secret from stdin instead of making one")
    parser.add_argument("--json", action="store_true", help="print a JSON object with the key id and the secret")


def read_secret(stdin: bool) -> str:
    """A given secret comes on stdin, not as an argument, which every user of the machine can see."""
    if not stdin:
        return ""
    secret = sys.stdin.readline().rstrip("\r\n")
    if not secret:
        raise CommandError("There is no secret on stdin.")
    return secret


def find(kid: str) -> Secret:
    try:
        return Secret.objects.get(kid=kid)
    except Secret.DoesNotExist:
        raise CommandError(f"No secret has the key id {kid!r}. manage.py realtime_secret list") from None


def described(secret: Secret) -> dict[str, Any]:
    """All but the secret itself, as JSON knows it."""
    times = {"validFrom": secret.valid_from, "validUntil": secret.valid_until, "lastUsed": secret.last_used}
    return {
        "kid": secret.kid,
        "name": secret.name,
        "fingerprint": secret.fingerprint,
        "connect": secret.can_connect,
        "publish": secret.can_publish,
        "active": secret.is_active,
        **{name: at and at.isoformat() for name, at in times.items()},
    }


def as_line(secret: Any) -> str:
    grants = "+".join(grant.value for grant in Grant if getattr(secret, f"can_{grant.value}"))
    used = f"used {secret.last_used:%Y-%m-%d %H:%M}" if secret.last_used else "never used"
    return f"{secret.kid}  {secret.fingerprint}  {secret.state:<12} {grants:<16} {used:<22} {secret.name}"


def moment(text: str) -> datetime:
    try:
        found = parse_datetime(text)
    except ValueError:
        found = None
    if found is None:
        raise ArgumentTypeError(f"not a time like 2026-12-31T23:59: {text!r}")
    return timezone.make_aware(found) if timezone.is_naive(found) else found


def duration(text: str) -> timedelta:
    match = re.fullmatch(r"(\d{1,6})([smhd])", text)
    if not match:
        raise ArgumentTypeError(f"not a number and a unit, like 90s, 15m, 24h, 7d: {text!r}")
    return timedelta(**{UNITS[match[2]]: int(match[1])})


@contextmanager
def errors_of_the_command() -> Iterator[None]:
    """What went wrong as one line, not as a traceback."""
    try:
        yield
    except ValidationError as error:
        raise CommandError(" ".join(error.messages)) from None
    except Undecryptable as error:
        raise CommandError(
            f"A secret can't be decrypted: {error}. Put the old key into SECRET_KEY_FALLBACKS."
        ) from None
    except DatabaseError as error:
        raise CommandError(f"The database refuses: {error}. Has `manage.py migrate` been run?") from None
