"""The admin's pages, as Django's test client sees them. What they do to live sockets is in test_admin_browser."""

from __future__ import annotations

import re
import sys
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from typing import Any

import jwt
import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission, User
from django.core import serializers
from django.core.signals import got_request_exception
from django.db import connection
from django.http import HttpRequest
from django.test import Client, override_settings
from django.utils import timezone
from django.utils.html import escape
from django.views.debug import ExceptionReporter
from django.views.decorators.debug import sensitive_variables

from realtime.admin import SecretAdmin, actions
from realtime.control import Closed
from realtime.encryption import KEEP_THE_OLD_KEY
from realtime.models import Secret, fingerprint
from realtime.states import State, Use, with_states
from tests.servers import SECRET, free_port

LIST = "/admin/realtime/secret/"
GIVEN = "a-secret-that-somebody-else-has-made-0123"
DAY = timedelta(days=1)

pytestmark = pytest.mark.django_db


@pytest.fixture
def boss() -> User:
    return User.objects.create(username="boss", is_staff=True, is_superuser=True)


@pytest.fixture
def client(boss: User) -> Client:
    return client_of(boss)


@pytest.fixture
def secret() -> Secret:
    return made("chat backend")


def made(name: str, **fields: Any) -> Secret:
    secret = Secret(name=name, **fields)
    secret.generate()
    secret.save()
    return secret


def client_of(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def clerk(*permissions: str) -> Client:
    """Somebody who may do only this with secrets."""
    user = User.objects.create(username="-".join(permissions) or "nobody", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=[f"{name}_secret" for name in permissions]))
    return client_of(user)


def page(secret: Secret, name: str) -> str:
    return f"{LIST}{secret.pk}/{name}/"


def new(**fields: str) -> dict[str, str]:
    """What the form for a new secret sends."""
    moment = {"valid_from_0": "2026-01-01", "valid_from_1": "00:00:00", "valid_until_0": "", "valid_until_1": ""}
    return {
        "name": "chat backend",
        "can_connect": "on",
        "can_publish": "on",
        "secret": "",
        "note": "",
        **moment,
        **fields,
    }


class Fields(HTMLParser):
    """What a browser would send of a page's forms if nobody touched them. It knows no selects."""

    def __init__(self) -> None:
        super().__init__()
        self.sent: dict[str, str] = {}
        self._textarea = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        name, kind = given.get("name") or "", given.get("type")
        if tag == "textarea":
            self._textarea = name
            self.sent[name] = ""
        elif tag == "input" and name and kind != "submit" and (kind != "checkbox" or "checked" in given):
            self.sent[name] = given.get("value") or ("on" if kind == "checkbox" else "")

    def handle_data(self, data: str) -> None:
        if self._textarea:
            self.sent[self._textarea] += data.removeprefix("\n")

    def handle_endtag(self, tag: str) -> None:
        self._textarea = ""


def form_of(client: Client, url: str) -> dict[str, str]:
    return fields_of(client.get(url))


def fields_of(response: Any) -> dict[str, str]:
    fields = Fields()
    fields.feed(response.content.decode().partition('id="secret_form"')[2])
    return fields.sent


def shown(response: Any) -> str:
    """The secret or the token that an answer shows; no cache keeps the answer."""
    assert response.status_code == 200
    assert "no-store" in response["Cache-Control"]
    found = re.search(r'id="shown-once"[^>]*>([^<]+)<', response.content.decode())
    assert found is not None, response.content.decode()
    return found[1]


def log(secret: Secret) -> list[str]:
    """What the admin's log says of a secret, the oldest first."""
    return [entry.get_change_message() for entry in LogEntry.objects.filter(object_id=secret.pk).order_by("pk")]


@pytest.mark.parametrize("button", ["_save", "_continue", "_addanother", "_popup"])
def test_a_new_secret_is_in_the_answer_that_made_it_whichever_button_was_pressed(
    client: Client, boss: User, button: str
) -> None:
    response = client.post(f"{LIST}add/", new(**{button: "1"}))
    secret = Secret.objects.get()
    text = shown(response)
    assert secret.decrypt() == text
    assert len(text) == 43
    assert secret.created_by == boss
    assert log(secret) == ["Added."]
    for fact in (secret.kid, secret.fingerprint, f'headers={{"kid": "{secret.kid}"}}', "for ever"):
        assert fact in response.content.decode()


def test_nothing_else_holds_a_secret_that_was_made_given_or_rotated_or_a_token(client: Client) -> None:
    """No page, no log entry, no message, no cookie, no session, no export, no repr; nor its encrypted form."""
    answers = [client.post(f"{LIST}add/", new()), client.post(f"{LIST}add/", new(name="given", secret=GIVEN))]
    first = Secret.objects.get(name="chat backend")
    answers.append(client.post(page(first, "rotate"), {"overlap": "3600"}))
    answers.append(client.post(page(first, "token"), {"user": "ann", "lifetime": "60"}))
    texts = {shown(answer) for answer in answers}
    assert len(texts) == 4
    assert GIVEN in texts
    client.post(page(first, "revoke"), {})
    said = [str(vars(entry)) for entry in LogEntry.objects.all()]
    said += [str(client.session.items()), str(client.cookies), serializers.serialize("json", Secret.objects.all())]
    pages = [LIST, f"{LIST}?q=given", f"{LIST}add/", "/admin/"]
    for secret in Secret.objects.all():
        said.append(f"{secret!r} {secret} {vars(secret)}")
        pages += [page(secret, name) for name in ("change", "rotate", "revoke", "token", "history", "delete")]
    answered = [client.get(url).content.decode() for url in pages]
    for text in texts:
        assert not [where for where in said + answered if text in where]
    for encrypted in Secret.objects.values_list("encrypted", flat=True):
        assert not [where for where in answered if encrypted in where]


def test_a_secret_of_under_32_bytes_is_refused_and_not_sent_back(client: Client, secret: Secret) -> None:
    for url, form in ((f"{LIST}add/", new(secret="too-short")), (page(secret, "rotate"), {"secret": "too-short"})):
        response = client.post(url, form)
        assert "A secret has at least 32 bytes." in response.content.decode()
        assert "too-short" not in response.content.decode()
    assert list(Secret.objects.all()) == [secret]
    assert shown(client.post(f"{LIST}add/", new(secret="ü" * 16))) == "ü" * 16


@pytest.mark.parametrize("breaks", ["log_addition", "show_once", "_page"])
@pytest.mark.parametrize("view", ["add_view", "rotate_view"])
def test_an_error_report_holds_no_secret(
    client: Client, secret: Secret, monkeypatch: pytest.MonkeyPatch, view: str, breaks: str
) -> None:
    url, form = (f"{LIST}add/", new()) if view == "add_view" else (page(secret, "rotate"), {"overlap": "0"})
    made_since: list[str] = []
    generate = Secret.generate

    def remember(secret: Secret, text: str = "") -> str:
        made_since.append(generate(secret, text))
        return made_since[-1]

    def fail(*_: Any, **__: Any) -> None:
        raise RuntimeError("out of luck")

    monkeypatch.setattr(Secret, "generate", sensitive_variables()(remember))

    monkeypatch.setattr(SecretAdmin, breaks, fail)
    reports: list[str] = []

    def report(request: HttpRequest, **_: Any) -> None:
        reports.append(ExceptionReporter(request, *sys.exc_info()).get_traceback_html())

    client.raise_request_exception = False
    got_request_exception.connect(report)
    try:
        assert [client.post(url, {**form, "secret": text}).status_code for text in (GIVEN, "")] == [500, 500]
    finally:
        got_request_exception.disconnect(report)
    assert len(reports) == 2
    assert all(view in text for text in reports)
    assert len(made_since) == 2
    assert not [text for text in made_since if text in "".join(reports)]


def test_who_may_only_look_sees_the_list_and_gets_no_secret_and_no_token(secret: Secret) -> None:
    client = clerk("view")
    assert "chat backend" in client.get(LIST).content.decode()
    form = client.get(page(secret, "change")).content.decode()
    assert "Rotate" not in form
    assert "Revoke" not in form
    assert "Test token" not in form
    for url in (f"{LIST}add/", *(page(secret, name) for name in ("rotate", "revoke", "token", "delete"))):
        assert client.get(url).status_code == 403
        assert client.post(url, {"overlap": "0", "user": "ann", "lifetime": "60", "post": "yes"}).status_code == 403
    assert list(Secret.objects.usable()) == [secret]


@pytest.mark.parametrize(
    ("permissions", "allowed"),
    [
        ((), set()),
        (("add",), {"add"}),
        (("change",), {"revoke", "token"}),
        (("add", "change"), {"add", "rotate", "revoke", "token"}),
        (("delete",), {"delete"}),
    ],
)
def test_each_page_asks_for_its_permission(secret: Secret, permissions: tuple[str, ...], allowed: set[str]) -> None:
    client = clerk(*permissions)
    urls = {name: page(secret, name) for name in ("rotate", "revoke", "token", "delete")} | {"add": f"{LIST}add/"}
    statuses = {name: client.get(url).status_code for name, url in urls.items()}
    assert statuses == {name: 200 if name in allowed else 403 for name in urls}


def test_who_may_only_add_is_shown_the_secret_without_links_to_where_they_may_not_go() -> None:
    response = clerk("add").post(f"{LIST}add/", new())
    assert shown(response)
    assert page(Secret.objects.get(), "change") not in response.content.decode()


def test_nobody_gets_in_without_the_admin_s_login_or_its_csrf_token(secret: Secret, boss: User) -> None:
    strict = Client(enforce_csrf_checks=True)
    for name in ("rotate", "revoke", "token"):
        assert "/admin/login/" in strict.get(page(secret, name))["Location"]
    strict.force_login(boss)
    assert strict.post(page(secret, "revoke"), {}).status_code == 403
    assert strict.get(f"{LIST}999/revoke/").status_code == 404


def test_rotating_makes_a_successor_and_leaves_the_old_one_valid_for_the_overlap(client: Client, boss: User) -> None:
    old = made("browsers", can_publish=False, note="the website")
    assert 'value="86400" selected' in client.get(page(old, "rotate")).content.decode()
    text = shown(client.post(page(old, "rotate"), {"overlap": "3600", "secret": ""}))
    successor = Secret.objects.exclude(pk=old.pk).get()
    old.refresh_from_db()
    assert successor.decrypt() == text
    assert (successor.name, successor.can_publish, successor.note) == ("browsers", False, "the website")
    assert successor.created_by == boss
    assert old.valid_until is not None
    assert timedelta(minutes=59) < old.valid_until - timezone.now() <= timedelta(hours=1)
    assert log(old) == [f"Rotated (overlap: 1 hour); its successor is browsers ({successor.fingerprint})."]
    assert log(successor) == [f"Made to take over from browsers ({old.fingerprint})."]


@pytest.mark.parametrize(("overlap", "says"), [("900", "accepted until"), ("0", "refused; sockets that it let in")])
def test_the_answer_to_a_rotation_says_what_has_become_of_the_old_secret(
    client: Client, secret: Secret, overlap: str, says: str
) -> None:
    response = client.post(page(secret, "rotate"), {"overlap": overlap})
    assert f"{secret}: {says}" in response.content.decode()


def test_a_secret_that_is_revoked_while_its_rotation_is_sent_has_no_successor(
    client: Client, secret: Secret, monkeypatch: pytest.MonkeyPatch
) -> None:
    rotate = Secret.rotate

    def too_late(old: Secret, *args: Any, **kwargs: Any) -> Any:
        Secret.objects.update(is_active=False)
        return rotate(old, *args, **kwargs)

    monkeypatch.setattr(Secret, "rotate", too_late)
    response = client.post(page(secret, "rotate"), {"overlap": "0"})
    assert "It is revoked or deleted, so nothing takes over from it." in response.content.decode()
    assert Secret.objects.count() == 1


def test_a_secret_that_would_begin_after_the_overlap_is_revoked_by_a_rotation_which_says_so(client: Client) -> None:
    later = made("later", valid_from=timezone.now() + 9 * DAY)
    answer = client.post(page(later, "rotate"), {"overlap": "3600"}).content.decode()
    assert "revoked, as it would not have begun before the overlap ends" in answer


def test_a_revoked_secret_has_no_successor(client: Client) -> None:
    revoked = made("leaked", is_active=False)
    response = client.post(page(revoked, "rotate"), {"overlap": "0"})
    assert "It is revoked" in response.content.decode()
    assert Secret.objects.count() == 1


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("closes", [True, False])
def test_revoking_closes_sockets_once_the_revocation_is_committed_and_only_if_asked_to(
    client: Client, secret: Secret, monkeypatch: pytest.MonkeyPatch, closes: bool
) -> None:
    closed: list[tuple[str, bool, bool]] = []

    def close(kid: str) -> Closed:
        closed.append((kid, Secret.objects.get(kid=kid).is_active, connection.in_atomic_block))
        return Closed(2, 3)

    monkeypatch.setattr(actions, "close_sockets_of_secret", close)
    response = client.post(page(secret, "revoke"), {"close_sockets": "on"} if closes else {})
    assert response["Location"] == page(secret, "change")
    assert closed == [(secret.kid, False, False)] * closes
    assert log(secret) == ["Revoked.", "Closed 3 sockets that it had let in."][: 1 + closes]
    said = client.get(page(secret, "change")).content.decode()
    assert "Revoked chat backend" in said
    assert ("Closed 3 sockets" in said) == closes


@pytest.mark.django_db(transaction=True)
def test_with_redis_away_a_secret_is_revoked_all_the_same_and_its_sockets_can_be_closed_later(
    client: Client, secret: Secret, monkeypatch: pytest.MonkeyPatch
) -> None:
    hosts = [f"redis://127.0.0.1:{free_port()}"]
    layer = {"BACKEND": "realtime.layers.RedisChannelLayer", "CONFIG": {"hosts": hosts}}
    with override_settings(CHANNEL_LAYERS={"default": layer}):
        client.post(page(secret, "revoke"), {"close_sockets": "on"})
    said = client.get(page(secret, "change")).content.decode()
    assert "Revoked chat backend" in said
    assert "could not be closed: Redis is away" in said
    assert "Close its sockets" in said
    monkeypatch.setattr(actions, "close_sockets_of_secret", lambda kid: Closed(1, 0))
    client.post(page(secret, "revoke"), {"close_sockets": "on"})
    assert '<li class="info">Closed 0 sockets' in client.get(page(secret, "change")).content.decode()
    assert log(secret) == ["Revoked.", "Closed 0 sockets that it had let in."]


@pytest.mark.django_db(transaction=True)
def test_where_no_server_can_be_told_to_close_the_sockets_the_page_warns_of_that(
    client: Client, secret: Secret
) -> None:
    """This process holds no sockets, and its channel layer ends here."""
    client.post(page(secret, "revoke"), {"close_sockets": "on"})
    said = client.get(page(secret, "change")).content.decode()
    assert '<li class="warning">No server could be told to close the sockets' in said
    assert log(secret) == ["Revoked."]


def test_a_test_token_names_the_user_its_end_and_the_secret(client: Client, secret: Secret) -> None:
    token = shown(client.post(page(secret, "token"), {"user": " ann ", "lifetime": "60"}))
    assert jwt.get_unverified_header(token) == {"alg": "HS256", "typ": "JWT", "kid": secret.kid}
    claims = jwt.decode(token, secret.decrypt(), algorithms=["HS256"])
    assert (claims["userId"], claims["exp"] - claims["iat"]) == ("ann", 60)
    assert log(secret) == ["Signed a test token for the user 'ann', valid for 60 seconds."]


@pytest.mark.parametrize(
    ("form", "says"),
    [
        ({"user": "\ufeff", "lifetime": "60"}, "the user id is blank"),
        ({"user": "x" * 1025, "lifetime": "60"}, "the user id is longer than 1024 characters"),
        ({"user": "ann", "lifetime": "0"}, "greater than or equal to 1"),
        ({"user": "ann", "lifetime": "86401"}, "less than or equal to 86400"),
    ],
)
def test_a_test_token_for_nobody_or_for_too_long_is_refused(
    client: Client, secret: Secret, form: dict[str, str], says: str
) -> None:
    response = client.post(page(secret, "token"), form)
    assert says in response.content.decode()
    assert "shown-once" not in response.content.decode()


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"is_active": False}, "It is revoked"),
        ({"valid_from": timezone.now() - 2 * DAY, "valid_until": timezone.now() - DAY}, "It has expired"),
        ({"valid_from": timezone.now() + DAY}, "It is not valid yet"),
        ({"encrypted": "v1:nonsense"}, "No key decrypts it"),
    ],
)
def test_a_secret_that_verifies_nothing_signs_nothing_and_says_why(
    client: Client, secret: Secret, fields: dict[str, Any], says: str
) -> None:
    Secret.objects.update(**fields)
    for response in (client.get(page(secret, "token")), client.post(page(secret, "token"), {"user": "ann"})):
        assert says in response.content.decode()
        assert "<form method" not in response.content.decode().partition('id="content-main"')[2]
    assert log(secret) == []


STATES: dict[str, dict[str, Any]] = {
    State.ACTIVE: {"valid_until": 8 * DAY},
    State.EXPIRING: {"valid_until": 6 * DAY},
    State.FUTURE: {"valid_from": DAY, "valid_until": 2 * DAY},
    State.EXPIRED: {"valid_until": -DAY},
    State.REVOKED: {"valid_until": -DAY, "is_active": False, "encrypted": "v1:nonsense"},
    State.UNREADABLE: {"valid_until": -DAY, "encrypted": "v1:nonsense"},
}
USES: dict[str, dict[str, Any]] = {
    Use.IN_USE: {"last_used": -DAY / 2},
    Use.IDLE: {"last_used": -2 * DAY},
    Use.UNUSED: {"valid_from": -31 * DAY, "created_at": -31 * DAY},
}


@pytest.mark.parametrize(("kind", "kinds"), [("state", STATES), ("use", USES)])
def test_every_secret_has_one_badge_and_is_found_by_the_filter_of_its_name(
    client: Client, kind: str, kinds: dict[str, dict[str, Any]]
) -> None:
    now = timezone.now()
    for name, offsets in kinds.items():
        given = {field: now + by if isinstance(by, timedelta) else by for field, by in offsets.items()}
        secret = made(f"the {name} one", valid_from=now - 9 * DAY)
        Secret.objects.filter(pk=secret.pk).update(**given)
    for name in kinds:
        listed = client.get(LIST, {kind: name}).content.decode()
        assert re.findall(r">the ([\w-]+) one<", listed) == [name]
        assert f"realtime-{name}" in listed
    assert client.get(LIST).content.decode().count(" one</a>") == len(kinds)


def test_a_new_secret_was_never_used_which_is_nothing_to_mark(client: Client, secret: Secret) -> None:
    listed = client.get(LIST, {"use": "never", "state": "active"}).content.decode()
    assert "chat backend" in listed
    assert '<div class="realtime-quiet">never</div>' in listed


def test_a_secret_that_no_key_decrypts_says_so_and_what_to_do_in_the_list_and_on_its_page(
    client: Client, secret: Secret
) -> None:
    made("fine")
    advice = escape(KEEP_THE_OLD_KEY)
    for url in (LIST, page(secret, "change")):
        assert advice not in client.get(url).content.decode()
    Secret.objects.filter(pk=secret.pk).update(encrypted="v1:nonsense")
    for url in (LIST, page(secret, "change")):
        said = client.get(url).content.decode()
        assert advice in said
        assert 'realtime-unreadable">unreadable</span>' in said
    assert advice not in client.get(page(Secret.objects.get(name="fine"), "change")).content.decode()


def test_the_list_says_when_there_are_more_secrets_than_a_token_without_a_key_id_is_tried_against(
    client: Client,
) -> None:
    for number in range(5):
        made(f"the {number}th", can_publish=number > 2)
    for count in (5, 6):
        listed = client.get(LIST).content.decode()
        assert ("is tried against the newest 5 secrets" in listed) == (count == 6)
        made("one more", can_publish=False)


@pytest.mark.parametrize("field", ["name", "kid", "fingerprint", "note"])
def test_secrets_are_searched_by_what_tells_them_apart(client: Client, field: str) -> None:
    made("one", note="for the website")
    other = made("other", note="for the app", can_publish=False)
    listed = client.get(LIST, {"q": getattr(other, field)}).content.decode()
    assert re.findall(r">(one|other)</a>", listed) == ["other"]
    assert re.findall(r">(one|other)</a>", client.get(LIST, {"may": "publish"}).content.decode()) == ["one"]
    assert len(re.findall(r">(one|other)</a>", client.get(LIST, {"may": "nonsense"}).content.decode())) == 2


def test_the_list_can_t_be_filtered_by_what_the_encrypted_text_begins_with(client: Client, secret: Secret) -> None:
    assert client.get(LIST, {"encrypted__startswith": "v1:"}).status_code == 400
    assert client.get(LIST, {"name__startswith": "chat"}).status_code == 200


def test_the_list_says_that_the_secret_in_the_settings_is_accepted_too(client: Client) -> None:
    assert fingerprint(SECRET) in client.get(LIST).content.decode()
    for unused in ({}, {"JWT_SECRET": "short"}):
        with override_settings(REALTIME=unused):
            assert "The secret in the settings" not in client.get(LIST).content.decode()


def test_a_form_left_open_gives_back_neither_a_revoked_secret_nor_anything_else_that_was_changed_meanwhile(
    client: Client, secret: Secret
) -> None:
    left_open = form_of(client, page(secret, "change"))
    client.post(page(secret, "revoke"), {})
    assert client.post(page(secret, "change"), {**left_open, "note": "a note", "is_active": "on"}).status_code == 302
    assert with_states(Secret.objects.all()).get().state == State.REVOKED
    Secret.objects.update(name="renamed", can_publish=False, last_used=timezone.now())
    client.post(page(secret, "change"), {**left_open, "note": "another"})
    secret.refresh_from_db()
    assert (secret.note, secret.name, secret.can_publish) == ("another", "renamed", False)
    assert secret.last_used is not None
    assert log(secret) == ["Revoked.", "Changed Note.", "Changed Note."]


@pytest.mark.parametrize("valid_until", [None, timezone.now() + 9 * DAY])
def test_a_form_left_open_gives_back_no_life_that_a_rotation_took(
    client: Client, secret: Secret, valid_until: datetime | None
) -> None:
    Secret.objects.update(valid_until=valid_until)
    left_open = form_of(client, page(secret, "change"))
    client.post(page(secret, "rotate"), {"overlap": "0"})
    assert client.post(page(secret, "change"), {**left_open, "note": "a note"}).status_code == 302
    secret.refresh_from_db()
    assert secret.note == "a note"
    assert secret.valid_until is not None
    assert secret.valid_until <= timezone.now()


def test_a_form_left_open_is_judged_with_what_was_changed_meanwhile(client: Client, secret: Secret) -> None:
    """It shows a secret that may do both. By now it may only connect: without that, nothing would be left."""
    left_open = form_of(client, page(secret, "change"))
    Secret.objects.update(can_publish=False)
    del left_open["can_connect"]
    assert "good for nothing" in client.post(page(secret, "change"), left_open).content.decode()


def test_what_is_changed_in_the_form_is_written_also_after_an_error_was_corrected(
    client: Client, secret: Secret
) -> None:
    """What the form showed goes along with the page that shows the error; else the date would look unchanged."""
    form = {**form_of(client, page(secret, "change")), "valid_until_0": "2100-01-01", "valid_until_1": "12:00:00"}
    del form["can_publish"]
    wrong = client.post(page(secret, "change"), {**form, "name": ""})
    assert "This field is required." in wrong.content.decode()
    again = fields_of(wrong)
    assert {**again, "csrfmiddlewaretoken": ""} == {**form, "csrfmiddlewaretoken": "", "name": ""}
    assert client.post(page(secret, "change"), {**again, "name": "renamed"}).status_code == 302
    secret.refresh_from_db()
    assert (secret.name, secret.can_connect, secret.can_publish) == ("renamed", True, False)
    assert secret.valid_until == datetime(2100, 1, 1, 12, tzinfo=UTC)
    assert log(secret) == ["Changed Name, May publish and Valid until."]
    for_ever = {"valid_until_0": "", "valid_until_1": ""}
    client.post(page(secret, "change"), {**form_of(client, page(secret, "change")), **for_ever})
    secret.refresh_from_db()
    assert secret.valid_until is None


def test_who_leaves_the_hidden_values_away_or_makes_them_up_breaks_nothing(client: Client, secret: Secret) -> None:
    for made_up in ("", "nonsense", "0001-01-01T00:00:00+14:00"):
        assert client.post(page(secret, "change"), new(**{"initial-valid_until": made_up})).status_code == 302


@override_settings(TIME_ZONE="America/New_York")
def test_a_time_that_overflows_is_refused_and_the_page_says_which_zone_its_times_are_in(
    client: Client, secret: Secret
) -> None:
    assert "Time zone: America/New_York." in client.get(page(secret, "change")).content.decode()
    beyond = new(valid_until_0="9999-12-31", valid_until_1="23:59:59")
    for url in (f"{LIST}add/", page(secret, "change")):
        assert "Choose a time in the years 1970 to 2999." in client.post(url, beyond).content.decode()


def test_a_secret_that_another_row_has_is_refused_and_not_sent_back(client: Client, secret: Secret) -> None:
    client.post(f"{LIST}add/", new(name="partner", secret=GIVEN))
    for url, form in ((f"{LIST}add/", new(secret=GIVEN)), (page(secret, "rotate"), {"overlap": "0", "secret": GIVEN})):
        answer = client.post(url, form).content.decode()
        assert "“partner” has this secret already." in answer
        assert GIVEN not in answer
    assert Secret.objects.count() == 2


def test_a_secret_that_may_do_nothing_or_ends_before_it_begins_is_refused(client: Client) -> None:
    form = new()
    del form["can_connect"], form["can_publish"]
    assert "good for nothing" in client.post(f"{LIST}add/", form).content.decode()
    ended = new(valid_until_0="2025-01-01", valid_until_1="00:00:00")
    assert "It ends before it begins." in client.post(f"{LIST}add/", ended).content.decode()
    assert not Secret.objects.exists()


def test_deleting_says_that_it_takes_effect_at_once(client: Client, secret: Secret) -> None:
    selected = {"action": "delete_selected", "_selected_action": str(secret.pk)}
    for response in (client.get(page(secret, "delete")), client.post(LIST, selected)):
        assert "This takes effect at once" in response.content.decode()
    client.post(LIST, {**selected, "post": "yes"})
    assert not Secret.objects.exists()
    assert LogEntry.objects.get().is_deletion()
