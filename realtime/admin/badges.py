"""How the states of a secret are shown and filtered by."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import Q, QuerySet, TextChoices
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from ..keyring import Grant
from ..models import Secret
from ..states import State, Use

GRANTS = {Grant.CONNECT: _("connect"), Grant.PUBLISH: _("publish")}


def badge(choice: TextChoices, detail: str = "") -> SafeString:
    """Words beside a mark, which differs in its shape as well as in its colour, and a quiet line below them."""
    return format_html(
        '<span class="realtime-badge realtime-{}">{}</span>{}', choice.value, choice.label, quiet(detail)
    )


def quiet(detail: str) -> SafeString:
    return format_html('<div class="realtime-quiet">{}</div>', detail) if detail else SafeString()


def grants(secret: Secret) -> str:
    return ", ".join(str(GRANTS[grant]) for grant in secret.grants)


class ChoicesFilter(admin.SimpleListFilter):
    """By an annotation, whose name is the parameter's."""

    choices_class: type[TextChoices]

    def lookups(self, request: Any, model_admin: Any) -> list[tuple[str, Any]]:
        return self.choices_class.choices

    def queryset(self, request: Any, queryset: QuerySet[Secret]) -> QuerySet[Secret]:
        return queryset.filter(**{str(self.parameter_name): self.value()}) if self.value() else queryset


class StateFilter(ChoicesFilter):
    title = _("state")
    parameter_name = "state"
    choices_class = State


class UseFilter(ChoicesFilter):
    title = _("use")
    parameter_name = "use"
    choices_class = Use


class GrantFilter(admin.SimpleListFilter):
    title = _("grant")
    parameter_name = "may"

    def lookups(self, request: Any, model_admin: Any) -> list[tuple[str, Any]]:
        return [("connect", _("may connect")), ("publish", _("may publish"))]

    def queryset(self, request: Any, queryset: QuerySet[Secret]) -> QuerySet[Secret]:
        grants = {"connect": Q(can_connect=True), "publish": Q(can_publish=True)}
        return queryset.filter(grants.get(self.value() or "", Q()))
