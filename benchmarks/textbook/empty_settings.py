"""The textbook's, for the empty view."""

from .settings import *  # noqa: F403

ROOT_URLCONF = "benchmarks.textbook.empty"
