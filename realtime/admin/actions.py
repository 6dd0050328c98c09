"""What is done with a secret besides editing it: rotate, revoke, sign a test token. Each has a page, and is logged."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

from django.contrib import messages
from django.contrib.admin import ModelAdmin
from django.contrib.admin.helpers import AdminForm
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import router, transaction
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.decorators import method_decorator
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.debug import sensitive_post_parameters, sensitive_variables

from ..control import close_sockets_of_secret
from ..layers import LayerUnavailable
from ..models import Secret
from ..states import State
from ..tokens import sign
from .badges import grants
from .forms import OVERLAPS, RevokeForm, RotateForm, TokenForm

if TYPE_CHECKING:
    Base = ModelAdmin[Secret]
else:
    Base = ModelAdmin


@dataclass(frozen=True, slots=True)
class ShownOnce:
    """A secret, or a token of it, for one page. What prints it, an error report say, does not print the text."""

    secret: Secret
    text: str = field(repr=False)


class SecretActions(Base):
    """Adds the pages to a ModelAdmin. Only who may change a secret gets anything out of them."""

    def get_urls(self) -> list[URLPattern]:
        views = {"rotate": self.rotate_view, "revoke": self.revoke_view, "token": self.token_view}
        ours = [
            path(f"<path:object_id>/{name}/", self.admin_site.admin_view(view), name=f"realtime_secret_{name}")
            for name, view in views.items()
        ]
        return ours + super().get_urls()

    @method_decorator(sensitive_post_parameters("secret"))
    @sensitive_variables("text")
    def rotate_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        secret = self._changeable(request, object_id)
        if not self.has_add_permission(request):
            raise PermissionDenied
        problem = _("It is revoked, so nobody is to take over from it. Add a new one.") if _is_revoked(secret) else ""
        form = RotateForm(_posted(request))
        if problem or not form.is_valid():
            return self._ask(request, secret, "rotate", _("Rotate"), form, problem)
        try:
            shown = self._rotate(request, secret, **form.cleaned_data)
        except ValidationError as error:  # it was revoked a moment ago
            return self._ask(request, secret, "rotate", _("Rotate"), form, " ".join(error.messages))
        is_over = not secret.is_active or secret.valid_until <= timezone.now()
        return self.show_once(request, shown, _("Secret rotated"), predecessor=secret, is_over=is_over)

    def revoke_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        secret = self._changeable(request, object_id)
        title = _("Close its sockets") if _is_revoked(secret) else _("Revoke")
        form = RevokeForm(_posted(request))
        if not form.is_valid():
            return self._ask(request, secret, "revoke", title, form)
        using = router.db_for_write(Secret)
        with transaction.atomic(using=using):
            if not _is_revoked(secret):
                secret.revoke()
                self.log_change(request, secret, _("Revoked."))
                self.message_user(request, _("Revoked %s: its tokens are refused.") % secret, messages.SUCCESS)
            if form.cleaned_data["close_sockets"]:
                # Not before other processes can see the revocation, or their sockets would come back.
                transaction.on_commit(partial(self._close_sockets, request, secret), using=using)
        return HttpResponseRedirect(self._url("change", secret))

    @sensitive_variables("text", "token")
    def token_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        secret = self._changeable(request, object_id)
        problem, text = _text_to_sign_with(secret)
        form = TokenForm(_posted(request))
        if problem or not form.is_valid():
            return self._ask(request, secret, "token", _("Test token"), form, problem)
        user, lifetime = form.cleaned_data["user"], form.cleaned_data["lifetime"]
        token = sign(user, text, lifetime, kid=secret.kid)
        said = _("Signed a test token for the user %(user)r, valid for %(lifetime)d seconds.")
        self.log_change(request, secret, said % {"user": user, "lifetime": lifetime})
        shown = ShownOnce(secret, token)
        return self.show_once(request, shown, _("Test token"), "shown_token", user_id=user, lifetime=lifetime)

    def show_once(
        self, request: HttpRequest, shown: ShownOnce, title: str, template: str = "shown_secret", **context: Any
    ) -> HttpResponse:
        """The answer that holds a secret or a token, which no browser and no proxy keeps."""
        response = self._page(request, shown.secret, template, title, shown=shown, **context)
        response["Cache-Control"] = "no-store"
        return response

    @sensitive_variables("secret", "text")
    def _rotate(self, request: HttpRequest, old: Secret, *, overlap: timedelta, secret: str) -> ShownOnce:
        """Raises ValidationError."""
        with transaction.atomic(using=router.db_for_write(Secret)):
            successor, text = old.rotate(overlap, secret=secret, created_by=request.user)
            said = {"overlap": dict(OVERLAPS)[int(overlap.total_seconds())], "successor": successor}
            self.log_addition(request, successor, _("Made to take over from %s.") % old)
            self.log_change(request, old, _("Rotated (overlap: %(overlap)s); its successor is %(successor)s.") % said)
        return ShownOnce(successor, text)

    def _changeable(self, request: HttpRequest, object_id: str) -> Any:
        """The secret, with its state. Raises PermissionDenied and Http404."""
        secret = self.get_object(request, unquote(object_id))
        if not self.has_change_permission(request, secret):
            raise PermissionDenied
        if secret is None:
            raise Http404
        return secret

    def _ask(
        self, request: HttpRequest, secret: Secret, template: str, title: str, form: Any, problem: str = ""
    ) -> HttpResponse:
        """The page with a form, or with the reason why there is none."""
        adminform = AdminForm(form, [(None, {"fields": list(form.fields)})], {}, model_admin=self)
        return self._page(request, secret, template, title, adminform=adminform, form=form, problem=problem)

    def _page(
        self, request: HttpRequest, secret: Secret, template: str, title: str, **context: Any
    ) -> TemplateResponse:
        request.current_app = self.admin_site.name
        common = {
            **self.admin_site.each_context(request),
            "title": title,
            "subtitle": str(secret),
            "opts": self.opts,
            "original": secret,
            "grants": grants(secret),
            "media": self.media,
            "has_view_permission": self.has_view_permission(request, secret),
        }
        return TemplateResponse(request, f"admin/realtime/secret/{template}.html", {**common, **context})

    def _close_sockets(self, request: HttpRequest, secret: Secret) -> None:
        try:
            processes, closed = close_sockets_of_secret(secret.kid)
        except LayerUnavailable:
            said = _("The sockets that it let in could not be closed: Redis is away. Try again when it is back.")
            self.message_user(request, said, messages.ERROR)
            return
        if not processes:
            said = _(
                "No server could be told to close the sockets that it let in: none runs that has let anybody in, or "
                "the channel layer ends at the process. A restart of the servers closes them."
            )
            self.message_user(request, said, messages.WARNING)
            return
        counted = ngettext("Closed %d socket that it had let in.", "Closed %d sockets that it had let in.", closed)
        self.log_change(request, secret, counted % closed)
        self.message_user(request, counted % closed, messages.SUCCESS if closed else messages.INFO)

    def _url(self, view: str, secret: Secret) -> str:
        return reverse(f"admin:realtime_secret_{view}", args=[secret.pk], current_app=self.admin_site.name)


def _posted(request: HttpRequest) -> Any:
    return request.POST if request.method == "POST" else None


def _is_revoked(secret: Any) -> bool:
    return bool(secret.state == State.REVOKED)


def _text_to_sign_with(secret: Any) -> tuple[str, str]:
    """Why it can't sign anything, or else "", and its text."""
    unusable = {
        State.REVOKED: _("It is revoked: no token of it would be accepted."),
        State.EXPIRED: _("It has expired: no token of it would be accepted."),
        State.FUTURE: _("It is not valid yet: no token of it would be accepted."),
        State.UNREADABLE: _("No key decrypts it: no token of it would be accepted."),
    }
    problem = unusable.get(secret.state, "")
    return problem, "" if problem else secret.decrypt()
