"""The site's settings with secrets of the tests' own, for tests that need Django in their own process."""

import os

from .servers import environment

os.environ.update(environment())

from hopeflow_site.settings import *  # noqa: F403  (it reads the environment)

DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}
