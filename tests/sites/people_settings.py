from hopeflow_site.settings import *  # noqa: F403

ROOT_URLCONF = "tests.sites.people"
