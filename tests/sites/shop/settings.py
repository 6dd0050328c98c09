"""SHOP_PREFIX is where realtime is served, SHOP_SCRIPT_NAME where the shop is, as a proxy in front of it would know."""

import os

from hopeflow_site.settings import *  # noqa: F403
from hopeflow_site.settings import INSTALLED_APPS as SITE_APPS
from hopeflow_site.settings import MIDDLEWARE as SITE_MIDDLEWARE
from hopeflow_site.settings import REALTIME as SITE_REALTIME

INSTALLED_APPS = [*SITE_APPS, "tests.sites.shop"]
MIDDLEWARE = ["tests.sites.shop.views.closed", *SITE_MIDDLEWARE]
ROOT_URLCONF = "tests.sites.shop.urls"
ASGI_APPLICATION = "tests.sites.shop.asgi.application"
AUTH_USER_MODEL = "shop.Customer"
ALLOWED_HOSTS = ["shop.example"]
FORCE_SCRIPT_NAME = os.environ.get("SHOP_SCRIPT_NAME")
SILENCED_SYSTEM_CHECKS = ["realtime.W001"]

CHANNEL_LAYERS = {
    "default": {"BACKEND": "channels.layers.InMemoryChannelLayer"},
    "realtime": {"BACKEND": "realtime.layers.LocalChannelLayer"},
}
REALTIME = {**SITE_REALTIME, "CHANNEL_LAYER": "realtime"}
