"""What `startproject` writes, the Redis channel layer of the Channels docs, and nothing that the view does not use."""

import os

SECRET_KEY = os.environ["DJANGO_SECRET_KEY"]
DEBUG = False
ALLOWED_HOSTS = ["127.0.0.1"]

INSTALLED_APPS = [
    "daphne",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "channels",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]

ROOT_URLCONF = "benchmarks.textbook.views"
ASGI_APPLICATION = "benchmarks.textbook.asgi.application"
STATIC_URL = "static/"
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}  # never asked
USE_TZ = True

CHANNEL_LAYERS = {
    "default": {
        "BACKEND": "channels_redis.core.RedisChannelLayer",
        "CONFIG": {
            # redis-py 8 times every read out after 5 s, and this layer waits for its messages by reading; it refuses
            # the 101st connection, and this layer takes one for each command under way.
            "hosts": [{"address": os.environ["REDIS_URL"], "socket_timeout": None, "max_connections": 1000}],
            # Per process, not per socket: with the default of 100 a user of 200 sockets loses reports.
            "capacity": 10_000,
        },
    }
}

# Daphne says its port at INFO, which its quiet mode (-v 0) leaves out.
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "loggers": {"daphne.server": {"level": "INFO"}},
}
