from __future__ import annotations

import asyncio
from argparse import ArgumentParser
from functools import partial
from typing import Any

from asgiref.sync import sync_to_async
from django.core.management.base import BaseCommand, CommandError
from websockets.exceptions import WebSocketException

from realtime.client import NO_ACK, Envelope, GaveUp, NoToken, RawJSON, RealtimeClient, State
from realtime.keyring import Grant
from realtime.management.remote import add_server_arguments, address, json_text, key_value, make_token


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
        filters = [{**dict(fields), "type": type} for type in types]
        target = address(url, "ws")
        try:
            asyncio.run(self._listen(target, user, token, filters, options["ack"], options["count"]))
        except KeyboardInterrupt:
            self.stderr.write("")
        except NoToken as error:
            raise CommandError(str(error.__cause__)) from None
        except (OSError, WebSocketException, GaveUp) as error:
            closed = isinstance(error, GaveUp) and error.code
            raise CommandError(str(error) if closed else f"no socket to {target}: {error}") from None

    async def _listen(
        self,
        target: str,
        user: str,
        token: str | None,
        filters: list[dict[str, str]],
        ack: str | None,
        count: int | None,
    ) -> None:
        listening = Listening(self, target, user, ack, count)
        fresh_token = partial(sync_to_async(make_token), user, Grant.CONNECT)
        async with RealtimeClient(target, token or fresh_token, on_state=listening.tell) as client:
            client.subscribe(filters, listening.show)
            await listening.end


class Listening:
    """What a run of the command prints, until its `end`."""

    def __init__(self, command: Command, target: str, user: str, ack: str | None, count: int | None) -> None:
        self.end = asyncio.get_running_loop().create_future()
        self._command, self._target, self._user = command, target, user
        self._result = NO_ACK if ack is None else RawJSON(ack)
        self._left = count
        self._listened = False

    def show(self, envelope: Envelope) -> Any:
        if self.end.done():
            return NO_ACK
        try:
            self._command.stdout.write(envelope.text)
            self._command.stdout.flush()
        except OSError as error:
            self._end(CommandError(f"nobody reads what is printed: {error}"))
        if self._left is not None:
            self._left -= 1
        self._end_if_enough()
        return self._result

    def tell(self, state: State, error: Exception | None) -> None:
        say, style = self._command.stderr.write, self._command.style
        if state is State.CONNECTING and not self._listened:
            say(f"connecting to {self._target}")
        elif state is State.OPEN:
            self._listened = True
            say(style.SUCCESS(f"listening as {self._user!r}, Ctrl-C ends it"))
            self._end_if_enough()
        elif state is State.WAITING and self._listened:
            say(f"the socket is gone, connecting again: {error}")
        elif error is not None:
            self._end(error)

    def _end_if_enough(self) -> None:
        if self._left is not None and self._left <= 0:
            self._end()

    def _end(self, error: Exception | None = None) -> None:
        if not self.end.done():
            self.end.set_result(None) if error is None else self.end.set_exception(error)
