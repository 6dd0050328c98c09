from __future__ import annotations

import re
import sys
from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError, IntegrityError
from django.utils import timezone
from django.utils.dateparse import parse_datetime

from realtime.control import close_sockets_of_secret
from realtime.encryption import KEEP_THE_OLD_KEY, Undecryptable
from realtime.keyring import Grant
from realtime.layers import LayerUnavailable
from realtime.management.remote import compact
from realtime.models import Secret
from realtime.states import State, with_states

UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


class Command(BaseCommand):
    help = "Manage the secrets that tokens are signed with. A new one is printed on stdout, this once."

    def add_arguments(self, parser: CommandParser) -> None:
        actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")

        create = actions.add_parser("create", help="make a secret and print it")
        create.add_argument("name", type=words, help="who signs with it")
        create.add_argument("--kid", type=words, help="its key id (default: made here)")
        create.add_argument("--may", choices=[grant.value for grant in Grant], help="this only (default: both)")
        create.add_argument("--valid-from", type=moment, metavar="TIME", help="ISO 8601 (default: now)")
        create.add_argument("--valid-until", type=moment, metavar="TIME", help="ISO 8601 (default: for ever)")
        create.add_argument("--note", type=words)
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
        if old.is_active and old.valid_until is not None and old.valid_until > timezone.now():
            self.stderr.write(f"{old} stays valid until {shown(old.valid_until, 'seconds')}.")
        else:
            self.stderr.write(f"{old} is refused from now on.")
        self._show(successor, text, json)

    def _revoke(self, *, kid: str, close_sockets: bool, **_: Any) -> None:
        secret = find(kid)
        secret.revoke()
        self.stderr.write(self.style.SUCCESS(f"{secret} is revoked."))
        if close_sockets:
            self._close_sockets(secret)

    def _close_sockets(self, secret: Secret) -> None:
        try:
            processes, sockets = close_sockets_of_secret(secret.kid)
        except LayerUnavailable as error:
            raise CommandError(f"Its sockets could not be closed, the channel layer is away: {error}") from None
        if not processes:
            raise CommandError(
                "No server could be told to close its sockets: none runs that has let anybody in, or the channel layer "
                "ends at the process. Close them in the admin of the server, or restart it."
            )
        self.stderr.write(f"Sockets closed: {sockets}")

    def _reencrypt(self, **_: Any) -> None:
        changed, left = 0, []
        for secret in Secret.objects.all():
            try:
                changed += secret.reencrypt()
            except Undecryptable:
                left.append(secret.kid)
        self.stderr.write(self.style.SUCCESS(f"Secrets encrypted anew: {changed}"))
        if left:
            raise CommandError(f"No key decrypts {', '.join(left)}. {KEEP_THE_OLD_KEY}")

    def _show(self, secret: Secret, text: str, json: bool) -> None:
        secret = with_states(Secret.objects.all()).get(pk=secret.pk)
        self.stderr.write(self.style.SUCCESS(f"{secret}, key id {secret.kid}. It will not be shown again:"))
        self.stdout.write(compact({**described(secret), "secret": text}) if json else text)


def add_kid(parser: ArgumentParser) -> None:
    parser.add_argument("kid", type=words, help="the key id of the secret (see list)")


def add_new_secret_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--stdin", action="store_true", help="read the secret from stdin instead of making one")
    parser.add_argument("--json", action="store_true", help="print a JSON object with the key id and the secret")


def read_secret(stdin: bool) -> str:
    """A given secret comes on stdin, not as an argument, which every user of the machine can see."""
    if not stdin:
        return ""
    try:
        secret = sys.stdin.readline().rstrip("\r\n")
    except UnicodeDecodeError:
        raise CommandError("The secret on stdin is not UTF-8.") from None
    if not secret:
        raise CommandError("There is no secret on stdin.")
    return secret


def find(kid: str) -> Secret:
    try:
        return Secret.objects.get(kid=kid)
    except Secret.DoesNotExist:
        raise CommandError(f"No secret has the key id {kid!r}. manage.py realtime_secret list") from None


def described(secret: Any) -> dict[str, Any]:
    """All but the secret itself, as JSON knows it."""
    times = {
        "validFrom": secret.valid_from,
        "validUntil": secret.valid_until,
        "lastUsed": secret.last_used,
        "createdAt": secret.created_at,
    }
    return {
        "kid": secret.kid,
        "name": secret.name,
        "fingerprint": secret.fingerprint,
        "state": secret.state,
        "connect": secret.can_connect,
        "publish": secret.can_publish,
        "active": secret.is_active,
        "note": secret.note,
        "createdBy": secret.created_by and secret.created_by.get_username(),
        **{name: at and at.isoformat() for name, at in times.items()},
    }


def as_line(secret: Any) -> str:
    used = f"used {shown(secret.last_used)}" if secret.last_used else "never used"
    columns = [
        f"{secret.kid:<16}",
        secret.fingerprint,
        f"{secret.state:<10}",
        f"{validity(secret):<28}",
        f"{'+'.join(secret.grants):<15}",
        f"{used:<27}",
        secret.name,
    ]
    return "  ".join(columns)


def validity(secret: Any) -> str:
    if secret.state == State.FUTURE:
        return f"from {shown(secret.valid_from)}"
    return f"until {shown(secret.valid_until)}" if secret.valid_until else "for ever"


def shown(moment: datetime, to_the: str = "minutes") -> str:
    """In the site's time zone."""
    local = timezone.localtime(moment) if timezone.is_aware(moment) else moment
    return local.isoformat(" ", to_the)


def words(text: str) -> str:
    """An argument as the database can hold it: bytes that are not UTF-8 reach Python as halves of characters."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ArgumentTypeError(f"not UTF-8: {text!r}") from None
    return text


def moment(text: str) -> datetime:
    try:
        found = parse_datetime(text)
        if found is not None and timezone.is_naive(found) == settings.USE_TZ:
            found = timezone.make_aware(found) if settings.USE_TZ else timezone.make_naive(found)
    except (ValueError, OverflowError):
        found = None
    if found is None:
        raise ArgumentTypeError(f"not a time like 2026-12-31T23:59: {text!r}")
    return found


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
    except IntegrityError as error:
        raise CommandError(f"The database refuses: {error}") from None
    except DatabaseError as error:
        raise CommandError(f"The database refuses: {error}. Has `manage.py migrate` been run?") from None
