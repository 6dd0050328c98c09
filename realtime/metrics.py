"""What the process does, in numbers, for Prometheus. No user, type or token is in them: few series, whoever comes.

They are in the client library's own registry, so a product that serves that has them there too. Each process counts for
itself: each is scraped by its own address, not through the proxy in front of them.
"""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

from .protocol import CloseCode

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)

SOCKETS = Gauge("realtime_sockets", "Open sockets.")
CONNECTS = Counter("realtime_connects", "Sockets that were let in.")
REFUSALS = Counter("realtime_handshakes_refused", "Sockets that were not let in, by reason.", ["reason"])
CUT_OFFS = Counter("realtime_cut_offs", "Sockets that the server closed, by the name of the close code.", ["reason"])

PUBLISHES = Counter("realtime_publishes", "Publishes that were delivered, or to nobody, or timed out.", ["outcome"])
PUBLISH_REFUSALS = Counter("realtime_publishes_refused", "Publishes that were refused, by status.", ["status"])
PUBLISHES_UNDER_WAY = Gauge("realtime_publishes_under_way", "HTTP publishes that are not answered yet.")
DELIVERY_SECONDS = Histogram("realtime_delivery_seconds", "From a publish to its answer.", buckets=SECONDS)
ACK_SECONDS = Histogram("realtime_ack_seconds", "From an envelope to its ack.", buckets=SECONDS)
ACKS_IGNORED = Counter("realtime_acks_ignored", "Acks that nobody awaited: late, a second one, an unknown id.")

LAYER_SECONDS = Gauge("realtime_layer_round_trip_seconds", "What the channel layer took to answer this scrape.")
LAYER_UP = Gauge("realtime_layer_up", "Whether the channel layer answered it.")
REDIS_LOSSES = Counter("realtime_redis_losses", "Connections to Redis that were lost.")
KEYRING_AGE = Gauge("realtime_keyring_age_seconds", "Since the secrets were last read from the database.")

DELIVERED, NOBODY, TIMED_OUT = map(PUBLISHES.labels, ("delivered", "nobody", "timed out"))


def cut_off(code: int) -> None:
    """Count a socket that the server closed. A product may close with thousands of codes, which are one here."""
    CUT_OFFS.labels(CloseCode(code).name if code in set(CloseCode) else CloseCode.DISCONNECTED.name).inc()
