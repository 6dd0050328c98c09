"""Settings: the site on a channel layer of another make, which TEST_LAYER names."""

import os
from typing import Any

from hopeflow_site.settings import *  # noqa: F403

# redis-py gives a connection that waits a timeout of 5 seconds, of which the core layer's blocking pop dies.
_redis = {"hosts": [{"address": os.environ.get("REDIS_URL", ""), "socket_timeout": None}]}

_layers: dict[str, dict[str, Any]] = {
    "inmemory": {"BACKEND": "channels.layers.InMemoryChannelLayer"},
    "core": {"BACKEND": "channels_redis.core.RedisChannelLayer", "CONFIG": _redis},
    "forgetful": {"BACKEND": "channels_redis.core.RedisChannelLayer", "CONFIG": {**_redis, "group_expiry": 2}},
    "pubsub": {"BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer", "CONFIG": _redis},
}

CHANNEL_LAYERS = {"default": _layers[os.environ["TEST_LAYER"]]}
