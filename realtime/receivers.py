"""A secret that is saved or deleted takes effect here once the transaction is committed, elsewhere soon after."""

from __future__ import annotations

from typing import Any

from django.db import transaction
from django.db.models.signals import post_delete, post_save
from django.dispatch import receiver

from .control import announce_secrets
from .models import Secret
from .secretstore import store


@receiver([post_save, post_delete], sender=Secret, dispatch_uid="realtime.secrets")
def secret_changed(*, using: str, **_: Any) -> None:
    transaction.on_commit(_take_effect, using=using)


def _take_effect() -> None:
    store.reload()
    announce_secrets()
