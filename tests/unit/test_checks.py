import inspect
import re
from types import ModuleType
from typing import Any

import pytest
from django.core.checks import run_checks
from django.db import ProgrammingError
from django.db.models import QuerySet
from django.urls import include, path

from realtime.checks import check_layers, check_runserver, check_secrets, check_settings, check_urls
from realtime.conf import HINTS, Settings, conf
from realtime.models import Secret
from tests.servers import PEM, SECRET

GOOD = {"JWT_SECRET": SECRET}


@pytest.mark.parametrize(
    ("given", "ids", "says"),
    [
        (GOOD, [], ""),
        ({**GOOD, "ACK_TIMEOUT": 3, "JWT_LEEWAY": 0.5, "CLOSE_AT_EXP": True}, [], ""),
        ([], ["realtime.E001"], "dict"),
        ({**GOOD, "ACK_TIMEOOT": 3}, ["realtime.E002"], "Did you mean 'ACK_TIMEOUT'?"),
        ({**GOOD, "NONSENSE": 3}, ["realtime.E002"], "It knows JWT_SECRET,"),
        ({**GOOD, "ACK_TIMEOUT": "3"}, ["realtime.E003"], "Write it like the default, 5.0."),
        ({**GOOD, "MAX_FILTERS": True}, ["realtime.E003"], "bool, not int"),
        ({**GOOD, "MAX_FILTERS": 1.5}, ["realtime.E003"], "float, not int"),
        ({**GOOD, "CLOSE_AT_EXP": 1}, ["realtime.E003"], "int, not bool"),
        ({**GOOD, "MAX_USER_LENGTH": 299}, ["realtime.E004"], "At least 300"),
        ({**GOOD, "MAX_JSON_DEPTH": 701}, ["realtime.E004"], "at most 700"),
        ({**GOOD, "ACK_TIMEOUT": -1}, ["realtime.E004"], "At least 0"),
        ({**GOOD, "ALLOWED_ORIGINS": ["https://a", 1]}, ["realtime.E003"], "holds int, not str"),
        ({**GOOD, "CHANNEL_LAYER": ["x"]}, ["realtime.E003"], "list, not str"),
        ({**GOOD, "ENCRYPTION_KEYS": ["x" * 32, "x" * 31]}, ["realtime.E008"], "shorter than 32 characters"),
        ({**GOOD, "ENCRYPTION_KEYS": ["x" * 32]}, [], ""),
        ({**GOOD, "USER_ID": "realtime.users.nobody"}, ["realtime.E009"], "names no function"),
        ({**GOOD, "USER_ID": ""}, ["realtime.E009"], "names no function"),
        ({**GOOD, "USER_ID": "json.decoder"}, ["realtime.E009"], "can't be called"),
        ({**GOOD, "ALLOWED_ORIGINS": ["example.org"]}, ["realtime.E012"], '"https://example.org"'),
        ({**GOOD, "ACK_TIMEOUT": float("inf")}, ["realtime.E004"], "at most 86400"),
        ({**GOOD, "SESSION_AUTH": True}, [], ""),
        ({}, [], ""),
        ({"JWT_SECRET": PEM}, ["realtime.E005"], "HS256"),
        ({"JWT_SECRET": "short"}, ["realtime.E005"], "shorter than 32 bytes"),
        ({"JWT_SECRET": "short"}, ["realtime.E005"], "secrets.token_urlsafe"),
        ({"JWT_SECRET": "é" * 16}, [], ""),
    ],
)
def test_what_is_wrong_in_the_settings_is_a_numbered_error_with_a_hint(
    settings: Any, given: Any, ids: list[str], says: str
) -> None:
    settings.REALTIME = given
    found = check_settings()
    assert [message.id for message in found] == ids
    assert all(message.hint for message in found)
    assert says in "".join(f"{message.msg} {message.hint}" for message in found)


LOCAL = {"BACKEND": "realtime.layers.LocalChannelLayer"}
IN_MEMORY = {"BACKEND": "channels.layers.InMemoryChannelLayer"}
OURS = {"BACKEND": "realtime.layers.RedisChannelLayer"}


def core(*hosts: Any) -> dict[str, Any]:
    return {"BACKEND": "channels_redis.core.RedisChannelLayer", "CONFIG": {"hosts": list(hosts)} if hosts else {}}


@pytest.mark.parametrize(
    ("layers", "alias", "debug", "processes", "ids"),
    [
        ({"default": LOCAL}, "default", True, None, []),
        ({"default": LOCAL}, "default", True, "1", []),
        ({"default": LOCAL}, "default", True, "2", ["realtime.W001"]),
        ({"default": LOCAL}, "default", False, None, ["realtime.W001"]),
        ({"default": IN_MEMORY}, "default", False, None, ["realtime.W001"]),
        ({"default": OURS}, "default", False, "4", []),
        ({"default": IN_MEMORY, "realtime": OURS}, "realtime", False, None, []),
        ({"default": OURS, "realtime": LOCAL}, "realtime", False, None, ["realtime.W001"]),
        ({"default": OURS}, "elsewhere", False, None, ["realtime.E006"]),
        ({}, "default", True, None, ["realtime.E006"]),
        ({"default": OURS, "chat": core()}, "default", False, None, ["realtime.W003"]),
        ({"default": core("redis://a")}, "default", False, None, ["realtime.W003"]),
        ({"default": core(("a", 6379))}, "default", False, None, ["realtime.W003"]),
        ({"default": core({"address": "redis://a", "socket_timeout": 9})}, "default", False, None, ["realtime.W003"]),
        ({"default": core({"address": "redis://a", "socket_timeout": None})}, "default", False, None, []),
        ({"chat": core()}, "default", True, None, ["realtime.E006", "realtime.W003"]),
        ({"default": {**core(), "CONFIG": None}}, "default", True, None, ["realtime.E011", "realtime.W003"]),
        ({"default": "realtime.layers.LocalChannelLayer"}, "default", True, None, ["realtime.E006"]),
        (None, "default", True, None, ["realtime.E006"]),
        ({"default": {}}, "default", True, None, ["realtime.E011"]),
        ({"default": {"BACKEND": "realtime.layers.NoLayer"}}, "default", True, None, ["realtime.E011"]),
        ({"default": {**OURS, "CONFIG": {"nope": 1}}}, "default", True, None, ["realtime.E011"]),
    ],
)
def test_a_channel_layer_that_is_missing_or_falls_short_is_found(
    settings: Any,
    monkeypatch: pytest.MonkeyPatch,
    layers: dict[str, Any],
    alias: str,
    debug: bool,
    processes: str | None,
    ids: list[str],
) -> None:
    monkeypatch.delenv("WEB_CONCURRENCY", raising=False)
    if processes is not None:
        monkeypatch.setenv("WEB_CONCURRENCY", processes)
    monkeypatch.setattr("redis.__version__", "8.0.0")
    settings.REALTIME, settings.CHANNEL_LAYERS, settings.DEBUG = {"CHANNEL_LAYER": alias}, layers, debug
    found = check_layers()
    assert [message.id for message in found] == ids
    assert all(message.hint for message in found)
    assert all(f'"{alias}"' in str(message.hint) for message in found if message.id != "realtime.W003")


def test_an_older_redis_py_ends_no_quiet_connection(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("redis.__version__", "7.4.1")
    settings.CHANNEL_LAYERS = {"default": core("redis://a")}
    assert check_layers() == []


def test_runserver_needs_to_be_ours_or_daphne_s_and_the_application(settings: Any) -> None:
    settings.DEBUG = True
    assert check_runserver() == []
    del settings.ASGI_APPLICATION
    assert [message.hint for message in check_runserver()] == ['ASGI_APPLICATION = "hopeflow_site.asgi.application"']
    others = ["django.contrib.contenttypes", "django.contrib.auth", "django.contrib.staticfiles"]
    settings.INSTALLED_APPS = [*others, "realtime"]
    assert [(message.id, message.hint) for message in check_runserver()] == [
        ("realtime.W002", 'INSTALLED_APPS = ["realtime", *(app for app in INSTALLED_APPS if app != "realtime")]')
    ]
    settings.ASGI_APPLICATION = "hopeflow_site.asgi.application"
    for first in ("daphne", "realtime"):
        settings.INSTALLED_APPS = list(dict.fromkeys([first, *others, "realtime"]))
        assert check_runserver() == []
    settings.INSTALLED_APPS = [*others, "realtime"]
    settings.DEBUG = False
    assert check_runserver() == []


def test_sockets_by_session_cookie_need_sessions(settings: Any) -> None:
    settings.REALTIME = {**GOOD, "SESSION_AUTH": True}
    settings.INSTALLED_APPS = ["django.contrib.contenttypes", "django.contrib.auth", "realtime"]
    (found,) = check_settings()
    assert (found.id, found.hint) == ("realtime.E010", 'INSTALLED_APPS += ["django.contrib.sessions"]')


class Elsewhere:
    """A router: this is where everything is written."""

    def db_for_read(self, *_: Any, **__: Any) -> str:
        return "replica"

    def db_for_write(self, *_: Any, **__: Any) -> str:
        return "default"


@pytest.mark.django_db
def test_a_secret_that_nothing_decrypts_is_found_where_secrets_are_written(settings: Any) -> None:
    """One damaged by hand included."""
    settings.DATABASE_ROUTERS = [f"{__name__}.Elsewhere"]
    for number, encrypted in enumerate(("v1:é", "v1:x", "v0:x", "")):
        Secret.objects.create(name="damaged", kid=f"kid-{number}", encrypted=encrypted)
    assert [message.id for message in check_secrets(["default"])] == ["realtime.E007"] * 4
    assert check_secrets(["replica"]) == []
    settings.REALTIME = {}
    Secret.objects.all().delete()
    assert [message.id for message in check_secrets(["default"])] == ["realtime.W004"]


@pytest.mark.django_db
def test_before_the_first_migration_a_missing_secret_is_told(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """`migrate` runs the checks of the database before it begins, and not again."""

    def no_table(*_: Any) -> Any:
        raise ProgrammingError("no such table")

    monkeypatch.setattr(QuerySet, "__iter__", no_table)
    assert check_secrets(["default"]) == []
    settings.REALTIME = {}
    assert [message.id for message in check_secrets(["default"])] == ["realtime.W004"]


def test_urls_that_do_not_say_the_prefix_are_found(settings: Any) -> None:
    assert check_urls() == []
    for patterns in ([], [path("<slug:tenant>/rt/", include("realtime.urls"))]):
        module: Any = ModuleType("a product's urls")
        module.urlpatterns = patterns
        settings.ROOT_URLCONF = module
        assert [message.id for message in check_urls()] == ["realtime.W005"]


def test_the_checks_run_with_django_s_own(settings: Any) -> None:
    settings.REALTIME = {"JWT_SECRET": "short", "CHANNEL_LAYER": "elsewhere"}
    settings.DEBUG = True
    settings.INSTALLED_APPS = [*(name for name in settings.INSTALLED_APPS if name != "realtime"), "realtime"]
    found = [message.id for message in run_checks()]
    assert {"realtime.E005", "realtime.E006", "realtime.W002"} <= set(found)


def test_a_setting_is_read_when_it_is_used(settings: Any) -> None:
    assert conf.ACK_TIMEOUT == 5.0
    settings.REALTIME = {"ACK_TIMEOUT": 2}
    assert conf.ACK_TIMEOUT == 2
    with pytest.raises(AttributeError, match="NONSENSE"):
        _ = conf.NONSENSE


def test_every_setting_has_a_default_of_its_type_and_a_word_about_it() -> None:
    source = inspect.getsource(Settings)
    for name, hint in HINTS.items():
        assert isinstance(getattr(Settings, name), (int, float) if hint is float else hint)
        assert re.search(rf"    {name}: {hint.__name__}(\[\w+\])? = ", source)
    assert source.count('"""') == 2 * (len(HINTS) + 1)
