from __future__ import annotations

from types import ModuleType
from typing import Any

import pytest
from django.urls import get_script_prefix, include, path, set_script_prefix

from realtime.paths import Paths, local_path


def urls(settings: Any, *patterns: Any) -> None:
    """Make `patterns` the product's URLs."""
    module: Any = ModuleType("a product's urls")
    module.urlpatterns = patterns
    settings.ROOT_URLCONF = module


@pytest.mark.parametrize("given", ["/rt/", "rt", "/rt", "rt/"])
def test_a_given_prefix_counts_with_or_without_its_slashes(settings: Any, given: str) -> None:
    urls(settings, path("elsewhere/", include("realtime.urls")))
    assert Paths(given).publish == "/rt/publish"
    assert Paths(given).sockets == {"/rt/", "/rt", "/rt/connect"}


@pytest.mark.parametrize("given", ["/", ""])
def test_the_root_is_a_prefix(given: str) -> None:
    assert Paths(given).publish == "/publish"
    assert Paths(given).sockets == {"/", "", "/connect"}


@pytest.mark.parametrize("prefix", ["", "rt/", "a/b/", "échanges à/"])
def test_the_prefix_is_the_one_in_the_product_s_urls(settings: Any, prefix: str) -> None:
    urls(settings, path(prefix, include("realtime.urls")))
    assert Paths(None).publish == f"/{prefix}publish"


def test_without_ours_in_the_product_s_urls_it_is_the_root(settings: Any) -> None:
    urls(settings)
    assert Paths(None).publish == "/publish"


def test_the_script_name_is_no_part_of_it_and_stays_as_it_was(settings: Any) -> None:
    urls(settings, path("rt/", include("realtime.urls")))
    set_script_prefix("/app/")
    try:
        assert Paths(None).publish == "/rt/publish"
        assert get_script_prefix() == "/app/"
    finally:
        set_script_prefix("/")


@pytest.mark.parametrize(
    ("forced", "root_path", "path", "found"),
    [
        (None, "", "/rt/", "/rt/"),
        (None, "/app", "/app/rt/", "/rt/"),
        (None, "/app", "/rt/", "/rt/"),
        (None, "/app", "/apple/rt/", "le/rt/"),  # nobody's path: every path begins with a slash
        ("/app", "", "/app/rt/", "/rt/"),
        ("/app", "", "/rt/", "/rt/"),
        ("/app/", "", "/app/rt/", "/rt/"),
        ("/app", "/other", "/app/rt/", "/rt/"),
        ("/app", "", "/app", ""),
    ],
)
def test_the_script_name_is_cut_off_once_where_the_proxy_has_not(
    settings: Any, forced: str | None, root_path: str, path: str, found: str
) -> None:
    settings.FORCE_SCRIPT_NAME = forced
    assert local_path({"path": path, "root_path": root_path}) == found
    assert local_path({"path": "/rt/"}) == "/rt/"
