from __future__ import annotations

from argparse import ArgumentParser
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from django.core.management.base import BaseCommand, CommandError

from realtime.keyring import Grant
from realtime.management.remote import add_server_arguments, address, compact, json_text, make_token

TIMEOUT = 30  # seconds; the answer takes the ack timeout at the most


class Command(BaseCommand):
    help = "Publish an envelope to a user and print the answer: how many sockets got it, and what they acked."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("user", help="the user id")
        parser.add_argument("--type", default="message", help="the envelope type (default: %(default)s)")
        parser.add_argument("--payload", type=json_text, metavar="JSON", help="the payload (default: none)")
        add_server_arguments(parser)

    def handle(self, *, user: str, type: str, payload: str | None, url: str, token: str | None, **_: Any) -> None:
        body = f'{{"userId":{compact(user)},"type":{compact(type)}' + (f',"payload":{payload}' if payload else "") + "}"
        target = address(url, "http", "publish")
        request = Request(
            target,
            body.encode(),
            {"Authorization": f"Bearer {token or make_token(user, Grant.PUBLISH)}", "Content-Type": "application/json"},
        )
        try:
            with urlopen(request, timeout=TIMEOUT) as response:
                self.stdout.write(response.read().decode())
        except HTTPError as error:
            raise CommandError(f"{target} answered {error.code}: {error.read().decode(errors='replace')}") from None
        except OSError as error:
            raise CommandError(f"no answer from {target}: {error}") from None
