"""Who may use the console: staff with a permission of its own, asked again while it is open. What they do is noted."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

from channels.db import database_sync_to_async
from django.db import DatabaseError

from ..keyring import Forbidden
from ..sessions import in_session

logger = logging.getLogger(__name__)

SEE = "realtime.view_console"
ACT = "realtime.change_console"  # publish, disconnect


@dataclass(frozen=True, slots=True)
class Operator:
    """Somebody at a console."""

    pk: Any
    name: str
    may_act: bool

    async def note(self, user: str, said: str) -> None:
        """Write into the admin's history what the operator has done to a user."""
        logger.info("console operator=%r user=%r: %s", self.name, user, said)
        try:
            await database_sync_to_async(self._note, thread_sensitive=False)(user, said)
        except DatabaseError as error:
            logger.warning("the admin's history could not be written: %r", error)

    def _note(self, user: str, said: str) -> None:
        # A product may do without the admin, and imports this all the same.
        from django.contrib.admin.models import CHANGE, LogEntry
        from django.contrib.contenttypes.models import ContentType

        from ..models import Console

        printable = "".join(letter if letter.isprintable() else "\ufffd" for letter in user)
        LogEntry.objects.create(
            user_id=self.pk,
            content_type=ContentType.objects.get_for_model(Console, for_concrete_model=False),
            object_id=printable,
            object_repr=printable[:200],
            action_flag=CHANGE,
            change_message=said,
        )


async def operator_of(scope: Any) -> Operator:
    """Who is logged in with the session cookie of a handshake.

    Raises Forbidden for who may not see the console and for a page of another site, InvalidToken when nobody is logged
    in, and Undecided when the database has not answered.
    """
    return await in_session(scope, _operator)


def _operator(user: Any) -> Operator:
    if not (user.is_active and user.is_staff and user.has_perm(SEE)):
        raise Forbidden("no staff with the permission to see the console")
    return Operator(user.pk, user.get_username(), user.has_perm(ACT))
