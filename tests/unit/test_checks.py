import inspect
import re
from typing import Any

import pytest
from django.core.checks import run_checks

from realtime.checks import check_settings
from realtime.conf import HINTS, Settings, conf
from tests.servers import SECRET

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
        ({}, ["realtime.E005"], "secrets.token_urlsafe"),
        ({"JWT_SECRET": "short"}, ["realtime.E005"], "shorter than 32 bytes"),
        ({"JWT_SECRET": "é" * 16}, [], ""),
        ({**GOOD, "CHANNEL_LAYER": "elsewhere"}, ["realtime.E006"], "CHANNEL_LAYERS = {"),
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


def test_the_checks_run_with_django_s_own(settings: Any) -> None:
    settings.REALTIME = {}
    assert "realtime.E005" in [message.id for message in run_checks()]


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
