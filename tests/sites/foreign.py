"""Settings: the site on a channel layer of another make, which TEST_LAYER names."""

import os

from hopeflow_site.settings import *  # noqa: F403

# redis-py gives a connection that waits a timeout of 5 seconds, of which the core layer's blocking pop dies.
HOSTS = [{"address": os.environ.get("REDIS_URL", ""), "socket_timeout": None}]

CHANNEL_LAYERS = {
    "default": {
        "inmemory": {"BACKEND": "channels.layers.InMemoryChannelLayer"},
        "core": {"BACKEND": "channels_redis.core.RedisChannelLayer", "CONFIG": {"hosts": HOSTS}},
        "pubsub": {"BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer", "CONFIG": {"hosts": HOSTS}},
    }[os.environ["TEST_LAYER"]]
}
