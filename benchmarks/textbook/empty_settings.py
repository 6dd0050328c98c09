"""The textbook's, for the empty view, with no more middleware than it takes to say how long the answer is."""

from .settings import *  # noqa: F403

MIDDLEWARE = ["django.middleware.common.CommonMiddleware"]
ROOT_URLCONF = "benchmarks.textbook.empty"
