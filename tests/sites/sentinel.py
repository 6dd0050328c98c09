"""Settings: the site with Redis found by the Sentinel that TEST_SENTINEL gives the port of."""

import os

from hopeflow_site.settings import *  # noqa: F403

CHANNEL_LAYERS = {
    "default": {
        "BACKEND": "realtime.layers.RedisChannelLayer",
        "CONFIG": {"hosts": [{"sentinels": [("127.0.0.1", int(os.environ["TEST_SENTINEL"]))], "master_name": "main"}]},
    }
}
