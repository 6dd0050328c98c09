from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from realtime.keyring import BOTH
from realtime.management.remote import LIFETIME, make_token


class Command(BaseCommand):
    help = "Print a token that names a user: to connect as that user, and to publish."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("user", help="the user id")
        parser.add_argument("--lifetime", type=float, default=LIFETIME, help="seconds (default: %(default)s)")
        parser.add_argument("--forever", action="store_true", help="a token without an end")

    def handle(self, *, user: str, lifetime: float, forever: bool, **_: Any) -> None:
        self.stdout.write(make_token(user, *BOTH, lifetime=None if forever else lifetime))
