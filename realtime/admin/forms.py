"""The forms of the admin. A secret can be typed into two of them; none ever shows one again."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib.admin.widgets import AdminIntegerFieldWidget, AdminTextInputWidget
from django.core.exceptions import ValidationError
from django.forms.utils import to_current_timezone
from django.utils import timezone
from django.utils.text import format_lazy
from django.utils.translation import gettext_lazy as _

from ..conf import MIN_SECRET_BYTES
from ..models import MAX_SECRET_BYTES, Secret, check_secret
from ..users import user_id

if TYPE_CHECKING:
    ModelForm = forms.ModelForm[Secret]
else:
    ModelForm = forms.ModelForm

DAY = 24 * 60 * 60
TEST_TOKEN = 15 * 60  # seconds: what clients of the service use

OVERLAPS = [
    (0, _("none, the old one ends now")),
    (15 * 60, _("15 minutes")),
    (60 * 60, _("1 hour")),
    (DAY, _("24 hours")),
    (7 * DAY, _("7 days")),
    (30 * DAY, _("30 days")),
]


class GivenSecretField(forms.CharField):
    """A secret that somebody else made. It is taken as it is, blanks at its ends included."""

    def __init__(self) -> None:
        super().__init__(
            label=_("Secret"),
            required=False,
            strip=False,
            validators=[check_secret],
            widget=forms.PasswordInput({"autocomplete": "off", "class": "vTextField"}),
            help_text=format_lazy(
                _("Leave it empty to have one made (256 bits). A given one has {least} to {most} bytes."),
                least=MIN_SECRET_BYTES,
                most=MAX_SECRET_BYTES,
            ),
        )


class SecretForm(ModelForm):
    """Says which time zone its times are in."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        zone = _("Time zone: %s.") % timezone.get_current_timezone_name()
        for field in self._moments():
            field.help_text = f"{field.help_text} {zone}"

    def _moments(self) -> list[forms.SplitDateTimeField]:
        return [field for field in self.fields.values() if isinstance(field, forms.SplitDateTimeField)]


class AddSecretForm(SecretForm):
    secret = GivenSecretField()


class HiddenMoment(forms.HiddenInput):
    """A date and a time as one value. Of one in two parts Django forgets what was shown when there are errors."""

    def format_value(self, value: Any) -> str | None:
        return to_current_timezone(value).isoformat() if isinstance(value, datetime) else None

    def value_from_datadict(self, data: Any, files: Any, name: str) -> Any:
        try:
            return datetime.fromisoformat(data.get(name) or "").replace(tzinfo=None)
        except ValueError:
            return None


class ChangeSecretForm(SecretForm):
    """Writes what was changed in the browser, and nothing that has been changed elsewhere since the form was shown.

    So it sends along what it showed. What differs from that has been changed; the rest is as the database has it now.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for field in self.fields.values():
            field.show_hidden_initial = True
        for moment in self._moments():
            moment.hidden_widget = HiddenMoment

    def clean(self) -> None:
        super().clean()
        for name in self.cleaned_data.keys() - set(self.changed_data):
            self.cleaned_data[name] = getattr(self.instance, name)


class RotateForm(forms.Form):
    overlap = forms.TypedChoiceField(
        label=_("Overlap"),
        choices=OVERLAPS,
        coerce=lambda seconds: timedelta(seconds=int(seconds)),
        initial=DAY,
        help_text=_("For how long tokens of the old secret are still accepted."),
    )
    secret = GivenSecretField()


class RevokeForm(forms.Form):
    close_sockets = forms.BooleanField(
        label=_("Close the sockets that it let in"),
        required=False,
        initial=True,
        help_text=_("Their clients connect again, which takes a token of another secret."),
    )


class TokenForm(forms.Form):
    user = forms.CharField(
        label=_("User"), widget=AdminTextInputWidget, help_text=_("The user id that the token names, as “userId”.")
    )
    lifetime = forms.IntegerField(
        label=_("Lifetime in seconds"),
        min_value=1,
        max_value=DAY,
        initial=TEST_TOKEN,
        widget=AdminIntegerFieldWidget,
        help_text=_("A day at most. There is no taking it back but to revoke the secret."),
    )

    def clean_user(self) -> str:
        given: Any = self.cleaned_data["user"]
        try:
            return user_id(given)
        except ValueError as error:
            raise ValidationError(str(error)) from None
