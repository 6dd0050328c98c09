"""The site's settings: all that differs between installations comes from environment variables.

In development they may stand in `.env` beside manage.py; variables of the environment win over it.
"""

import json
import os
import warnings
from pathlib import Path
from typing import Any

import environ  # type: ignore[import-untyped]
from django.core.exceptions import ImproperlyConfigured

BASE_DIR = Path(__file__).resolve().parent.parent

if (BASE_DIR / ".env").exists():
    environ.Env.read_env(BASE_DIR / ".env")
env = environ.Env()

DEBUG = env.bool("DJANGO_DEBUG", default=False)


def _secret(name: str, least: int, may_be_missing: bool = False) -> str:
    value: str = env.str(name, default="")
    if len(value.encode()) >= least or (not value and may_be_missing):
        return value
    raise ImproperlyConfigured(
        f"The environment variable {name} is missing or shorter than {least} bytes. Make one: "
        'python -c "import secrets; print(secrets.token_urlsafe(48))"'
    )


def _setting(text: str) -> Any:
    """A value of REALTIME from its variable: JSON, or else the text as it is."""
    try:
        return json.loads(text)
    except ValueError:
        return text


SECRET_KEY = _secret("DJANGO_SECRET_KEY", 32)
SECRET_KEY_FALLBACKS = env.list("DJANGO_SECRET_KEY_FALLBACKS", default=[])
ALLOWED_HOSTS = env.list("DJANGO_ALLOWED_HOSTS", default=["localhost", "127.0.0.1", "[::1]"])
# https://chat.example.org, where a proxy ends TLS: the admin's forms come from there.
CSRF_TRUSTED_ORIGINS = env.list("DJANGO_CSRF_TRUSTED_ORIGINS", default=[])

# REALTIME_ACK_TIMEOUT=3 in the environment is REALTIME["ACK_TIMEOUT"] = 3; realtime/conf.py lists them all.
REALTIME = {
    "JWT_SECRET": _secret("JWT_SECRET", 32, may_be_missing=True),  # others are managed in the admin
    **{
        name.removeprefix("REALTIME_"): _setting(value)
        for name, value in os.environ.items()
        if name.startswith("REALTIME_")
    },
}

# Without REDIS_URL there is one process. Several hosts, separated by commas, share the users.
REDIS_URLS = env.list("REDIS_URL", default=[])
CHANNEL_LAYERS: dict[str, dict[str, Any]] = {
    "default": {
        "BACKEND": "realtime.layers.RedisChannelLayer",
        "CONFIG": {
            "hosts": REDIS_URLS,
            "symmetric_encryption_keys": env.list("REDIS_ENCRYPTION_KEYS", default=[]),
        },
    }
    if REDIS_URLS
    else {"BACKEND": "realtime.layers.LocalChannelLayer"}
}

# realtime.W001 says what leaving out REDIS_URL means: one process.
SILENCED_SYSTEM_CHECKS = [] if REDIS_URLS else ["realtime.W001"]

DATABASES = {"default": env.db("DATABASE_URL", default=f"sqlite:///{BASE_DIR / 'db.sqlite3'}")}

INSTALLED_APPS = [
    "realtime",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "channels",
    *(["hopeflow_site"] if DEBUG else []),  # the demo's template and files
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]

ROOT_URLCONF = "hopeflow_site.urls"
ASGI_APPLICATION = "hopeflow_site.asgi.application"
STATIC_URL = "static/"
WHITENOISE_USE_FINDERS = True  # the admin's files as they are installed: no collectstatic
# WhiteNoise's files are read in a thread. They are few and small.
warnings.filterwarnings("ignore", message="StreamingHttpResponse must consume synchronous iterators")
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
TIME_ZONE = "UTC"
USE_TZ = True

AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in ("UserAttributeSimilarityValidator", "MinimumLengthValidator", "CommonPasswordValidator")
]


def _in_a_line(record: Any) -> bool:
    """What Django refuses, a host that is not in ALLOWED_HOSTS say, is the client's fault: any stranger could fill the
    log with tracebacks.
    """
    if getattr(record, "status_code", 500) < 500:
        record.exc_info = None
    return True


LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "%(asctime)s %(levelname)s %(name)s %(message)s"}},
    "filters": {"in a line": {"()": "django.utils.log.CallbackFilter", "callback": _in_a_line}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "line", "filters": ["in a line"]}},
    "root": {"handlers": ["console"], "level": "INFO"},
    "loggers": {"realtime": {"level": env.str("LOG_LEVEL", default="INFO")}},
}
