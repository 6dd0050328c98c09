"""One consumer a socket."""

from typing import Any

from channels.generic.websocket import AsyncJsonWebsocketConsumer
from jwt import InvalidTokenError

from .users import group_name, user_of


class SocketConsumer(AsyncJsonWebsocketConsumer):
    """Joins the group of its user, keeps its filters, reports every envelope to its publisher and passes acks on."""

    group: str | None = None

    async def connect(self) -> None:
        try:
            user = user_of(dict(self.scope["headers"]).get(b"authorization", b"").decode("latin-1"))
        except InvalidTokenError:
            await self.close()
            return
        self.filters: list[dict[str, str]] = []
        self.awaited: dict[str, str] = {}  # envelope id: reply channel
        self.group = group_name(user)
        await self.channel_layer.group_add(self.group, self.channel_name)
        await self.accept()

    async def disconnect(self, code: int) -> None:
        if self.group is not None:
            await self.channel_layer.group_discard(self.group, self.channel_name)

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None, **kwargs: Any) -> None:
        if text_data == "ping":
            await self.send(text_data="pong")
        else:
            await super().receive(text_data, bytes_data, **kwargs)

    async def receive_json(self, content: Any, **kwargs: Any) -> None:
        if content["type"] == "subscribe":
            self.filters += [wanted for wanted in content["filters"] if wanted not in self.filters]
        elif content["type"] == "unsubscribe":
            self.filters = [wanted for wanted in self.filters if wanted not in content["filters"]]
        elif content["type"] == "ack" and (reply := self.awaited.pop(content["envelopeId"], None)):
            await self.channel_layer.send(reply, {"type": "ack", "result": content.get("result")})

    async def envelope(self, event: dict[str, Any]) -> None:
        """Handle a `group_send`: report first, so that a publisher hears of a socket before it hears its ack."""
        envelope = event["envelope"]
        matched = any(matches(wanted, envelope) for wanted in self.filters)
        await self.channel_layer.send(event["reply"], {"type": "report", "matched": matched})
        if matched:
            self.awaited[envelope["envelopeId"]] = event["reply"]
            await self.send_json(envelope)


def matches(wanted: dict[str, str], envelope: dict[str, Any]) -> bool:
    payload = envelope.get("payload")
    return wanted["type"] == envelope["type"] and all(
        isinstance(payload, dict) and payload.get(key) == value for key, value in wanted.items() if key != "type"
    )
