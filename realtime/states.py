"""What is seen of a secret at a glance: whether it is valid, and whether anybody uses it.

The database decides, so that what is shown, the filter of its name and the order of a list can't disagree. It is told
which secrets can't be decrypted, the one thing that it can't see.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from django.db.models import Case, Q, QuerySet, TextChoices, Value, When
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

if TYPE_CHECKING:
    from .models import Secret

SOON = timedelta(days=7)  # expiring: time left to roll out another
LATELY = timedelta(days=1)  # in use: what signs once a day at least, as a nightly job does
LONG = timedelta(days=30)  # unused: what signs once a month would have been seen


class State(TextChoices):
    """Whether a secret is valid. One that is revoked is that and nothing else, whatever its dates say."""

    ACTIVE = "active", _("active")
    EXPIRING = "expiring", _("expiring")
    FUTURE = "future", _("not yet valid")
    EXPIRED = "expired", _("expired")
    REVOKED = "revoked", _("revoked")
    UNREADABLE = "unreadable", _("unreadable")


USABLE = (State.ACTIVE, State.EXPIRING)  # its tokens are accepted


class Use(TextChoices):
    """When a token of a secret was last verified, in any process. Unused: it could be used for long, and was not."""

    IN_USE = "in-use", _("in use")
    IDLE = "idle", _("idle")
    UNUSED = "unused", _("unused")
    NEVER = "never", _("never used")


def with_states(secrets: QuerySet[Secret]) -> QuerySet[Any]:
    """The secrets, each with its `state` and its `use`."""
    now = timezone.now()
    unreadable = [secret.pk for secret in secrets.filter(is_active=True) if not secret.is_readable()]
    state = Case(
        When(is_active=False, then=Value(State.REVOKED)),
        When(pk__in=unreadable, then=Value(State.UNREADABLE)),
        When(valid_until__lte=now, then=Value(State.EXPIRED)),
        When(valid_from__gt=now, then=Value(State.FUTURE)),
        When(valid_until__lte=now + SOON, then=Value(State.EXPIRING)),
        default=Value(State.ACTIVE),
    )
    could_be_used = Q(state__in=USABLE, created_at__lte=now - LONG, valid_from__lte=now - LONG)
    use = Case(
        When(last_used__gt=now - LATELY, then=Value(Use.IN_USE)),
        When(last_used__gt=now - LONG, then=Value(Use.IDLE)),
        When(could_be_used, then=Value(Use.UNUSED)),
        When(last_used=None, then=Value(Use.NEVER)),
        default=Value(Use.IDLE),
    )
    return secrets.annotate(state=state).annotate(use=use)
