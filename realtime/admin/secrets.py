"""The list of secrets and the form of one."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.contrib import admin
from django.contrib.admin.widgets import AdminTextareaWidget
from django.db.models import QuerySet, TextField
from django.db.models.constants import LOOKUP_SEP
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.decorators import method_decorator
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.timesince import timesince, timeuntil
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from django.views.decorators.debug import sensitive_post_parameters

from ..conf import MIN_SECRET_BYTES, conf
from ..encryption import KEEP_THE_OLD_KEY
from ..keyring import TRIED
from ..models import Secret, fingerprint
from ..states import USABLE, State, Use, with_states
from ..tokens import is_fit
from .actions import SecretActions, ShownOnce
from .badges import GrantFilter, StateFilter, UseFilter, badge, grants, quiet
from .forms import AddSecretForm, ChangeSecretForm

GRANTS = _("What its tokens may do")
VALIDITY = _("When they are accepted")


@admin.register(Secret)
class SecretAdmin(SecretActions):
    list_display = ["name", "shown_state", "shown_use", "grants", "shown_key", "created_by"]
    list_filter = [StateFilter, UseFilter, GrantFilter]
    list_select_related = ["created_by"]
    search_fields = ["name", "kid", "fingerprint", "note"]
    search_help_text = _("Name, key id, fingerprint or note")
    readonly_fields = ["kid", "fingerprint", "shown_state", "shown_use", "created_by", "created_at"]
    formfield_overrides = {TextField: {"widget": AdminTextareaWidget({"rows": 3})}}
    add_fieldsets = [
        (None, {"fields": ["name", "secret", "note"]}),
        (GRANTS, {"fields": ["can_connect", "can_publish"]}),
        (VALIDITY, {"fields": ["valid_from", "valid_until"]}),
    ]
    fieldsets = [
        (None, {"fields": ["name", "kid", "fingerprint", "note"]}),
        (GRANTS, {"fields": ["can_connect", "can_publish"]}),
        (VALIDITY, {"fields": ["shown_state", "valid_from", "valid_until"]}),
        (_("History"), {"fields": ["shown_use", "created_by", "created_at"]}),
    ]

    class Media:
        css = {"all": ["realtime/admin.css"]}

    def get_queryset(self, request: HttpRequest) -> QuerySet[Secret]:
        return with_states(super().get_queryset(request))

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest | None = None) -> bool:
        """Not by the encrypted text: whoever may filter by what it begins with can read it letter by letter."""
        if lookup.split(LOOKUP_SEP)[0] == "encrypted":
            return False
        return super().lookup_allowed(lookup, value, *[request] if request else [])  # Django 4.2 passes none

    def get_fieldsets(self, request: HttpRequest, obj: Secret | None = None) -> Any:
        return self.add_fieldsets if obj is None else self.fieldsets

    def get_form(self, request: Any, obj: Secret | None = None, change: bool = False, **kwargs: Any) -> Any:
        form = ChangeSecretForm if change else AddSecretForm
        return super().get_form(request, obj, change, **{"form": form, **kwargs})

    @method_decorator(sensitive_post_parameters("secret"))
    def add_view(self, request: HttpRequest, form_url: str = "", extra_context: Any = None) -> HttpResponse:
        # The answer shows the secret: there is no going on to somewhere else from it.
        only_save = {"show_save_and_add_another": False, "show_save_and_continue": False}
        return super().add_view(request, form_url, {**only_save, **(extra_context or {})})

    def save_model(self, request: HttpRequest, obj: Secret, form: Any, change: bool) -> None:
        if change:  # and nothing else, which another process may have written since
            obj.save(update_fields=form.changed_data)
            return
        obj.generate(form.cleaned_data["secret"])
        obj.created_by_id = request.user.pk
        obj.save()

    def response_add(self, request: HttpRequest, obj: Secret, post_url_continue: str | None = None) -> HttpResponse:
        return self.show_once(request, ShownOnce(obj, obj.decrypt()), gettext("Secret added"))

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        own: str = conf.JWT_SECRET
        secrets = list(with_states(Secret.objects.all()))
        context = {
            "fingerprint_of_settings": fingerprint(own) if is_fit(own, MIN_SECRET_BYTES) else "",
            "tried": TRIED if sum(secret.state in USABLE for secret in secrets) > TRIED else 0,
            "keep_the_old_key": KEEP_THE_OLD_KEY if State.UNREADABLE in {secret.state for secret in secrets} else "",
        }
        return super().changelist_view(request, {**context, **(extra_context or {})})

    def render_change_form(self, request: HttpRequest, context: Any, *args: Any, **kwargs: Any) -> HttpResponse:
        """With what to do when the secret can't be decrypted."""
        secret = context["original"]
        is_unreadable = secret is not None and secret.state == State.UNREADABLE
        context["keep_the_old_key"] = KEEP_THE_OLD_KEY if is_unreadable else ""
        return super().render_change_form(request, context, *args, **kwargs)

    @admin.display(description=_("key"), ordering="kid")
    def shown_key(self, secret: Secret) -> SafeString:
        return format_html("<code>{}</code><br><code>{}</code>", secret.kid, secret.fingerprint)

    @admin.display(description=_("may"))
    def grants(self, secret: Secret) -> str:
        return grants(secret)

    @admin.display(description=_("state"), ordering="valid_until")
    def shown_state(self, secret: Any) -> SafeString:
        detail = ""
        if secret.state == State.UNREADABLE:
            detail = gettext("no key decrypts it")
        elif secret.state == State.FUTURE:
            detail = gettext("begins in %s") % timeuntil(secret.valid_from, depth=1)
        elif secret.state == State.EXPIRED:
            detail = gettext("ended %s") % _ago(secret.valid_until)
        elif secret.state != State.REVOKED and secret.valid_until:
            detail = gettext("ends in %s") % timeuntil(secret.valid_until, depth=1)
        return badge(State(secret.state), detail)

    @admin.display(description=_("last used"), ordering="last_used")
    def shown_use(self, secret: Any) -> SafeString:
        if secret.use == Use.NEVER:
            return quiet(gettext("never"))
        return badge(Use(secret.use), _ago(secret.last_used) if secret.last_used else gettext("never"))


def _ago(moment: datetime) -> str:
    if timezone.now() - moment < timedelta(minutes=1):
        return gettext("just now")
    return gettext("%s ago") % timesince(moment, depth=1)
