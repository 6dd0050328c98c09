from __future__ import annotations

import asyncio
import json
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake

from realtime.keyring import Grant
from realtime.management.remote import add_server_arguments, address, compact, json_text, key_value, make_token
from realtime.protocol import PONG


class Command(BaseCommand):
    help = "Connect as a user, subscribe, and print each envelope that arrives, one a line. Ctrl-C ends it."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("user", help="the user id")
        parser.add_argument(
            "--type", action="append", required=True, dest="types", metavar="TYPE", help="repeat for several types"
        )
        parser.add_argument(
            "--filter",
            action="append",
            default=[],
            type=key_value,
            dest="fields",
            metavar="KEY=VALUE",
            help="a field that the payload must have; repeat for several",
        )
        parser.add_argument("--ack", type=json_text, metavar="JSON", help="ack each envelope with this result")
        parser.add_argument("--count", type=int, metavar="N", help="end after so many envelopes")
        add_server_arguments(parser)

    def handle(
        self, *, user: str, types: list[str], fields: list[tuple[str, str]], url: str, token: str | None, **options: Any
    ) -> None:
        headers = {"Authorization": f"Bearer {token or make_token(user, Grant.CONNECT)}"}
        filters = [{**dict(fields), "type": type} for type in types]
        target = address(url, "ws")
        try:
            # Not the client without asyncio: a Ctrl-C at a bad moment leaves its locks locked.
            asyncio.run(self._connect(target, headers, filters, user, options["ack"], options["count"]))
        except KeyboardInterrupt:
            self.stderr.write("")
        except ConnectionClosed as error:
            raise CommandError(f"the server closed the socket: {error}") from None
        except (OSError, InvalidHandshake) as error:
            raise CommandError(f"no socket to {target}: {error}") from None

    async def _connect(
        self, target: str, headers: dict[str, str], filters: list[dict[str, str]], user: str, *limits: Any
    ) -> None:
        async with connect(target, additional_headers=headers, compression=None, max_size=None) as socket:
            await socket.send(compact({"type": "subscribe", "filters": filters}))
            await socket.send("ping")
            self.stderr.write(f"connecting to {target}")
            await self._listen(socket, user, *limits)

    async def _listen(self, socket: ClientConnection, user: str, ack: str | None, count: int | None) -> None:
        while count is None or count > 0:
            text = str(await socket.recv(decode=True))
            if text == PONG:
                self.stderr.write(self.style.SUCCESS(f"listening as {user!r}, Ctrl-C ends it"))
                continue
            self.stdout.write(text)
            self.stdout.flush()
            if ack is not None:
                envelope_id = compact(json.loads(text)["envelopeId"])
                await socket.send(f'{{"type":"ack","envelopeId":{envelope_id},"result":{ack}}}')
            count = None if count is None else count - 1
