"""HTTP as Daphne speaks it, less what Twisted does with forms: the body is the application's to read."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

from daphne.http_protocol import HTTPFactory as DaphneHTTPFactory
from daphne.http_protocol import WebRequest as DaphneWebRequest

from . import files
from .transport import Transport


class WebRequest(DaphneWebRequest):
    """A request. While the server drains, its answer is the last on its connection."""

    def requestReceived(self, *request: Any) -> None:
        # Twisted parses the content type of each POST with the email package, to look for forms that nobody asks it
        # for, and answers one that it can't read with a bare 400 that the application never sees.
        self._parsePOSTFormSubmission = False
        super().requestReceived(*request)

    def process(self) -> Any:
        if not any(self._proxy_headers()):  # no proxy can have meant it, and it makes one path look like another
            self.requestHeaders.removeHeader(b"daphne-root-path")
        # Daphne decodes these as ASCII, and answers what is none with a traceback in the log.
        names = [b"sec-websocket-protocol", b"daphne-root-path", *map(str.encode, filter(None, self._proxy_headers()))]
        if not all(value.isascii() for name in names for value in self.requestHeaders.getRawHeaders(name, [])):
            return self.basic_error(400, b"Bad Request", "Invalid header value")
        channel = self.channel
        processed = super().process()
        if self.transport is None:  # It has become a socket. The channel would keep what came in behind the handshake.
            transport = channel.transport
            channel.rawDataReceived = getattr(transport, "wrappedProtocol", transport.protocol).dataReceived
            channel.requests.clear()  # else the two hold each other until the garbage collector finds them
        return processed

    def _proxy_headers(self) -> tuple[str | None, ...]:
        server = self.server
        return (
            server.proxy_forwarded_address_header,
            server.proxy_forwarded_port_header,
            server.proxy_forwarded_proto_header,
        )

    def handle_reply(self, message: dict[str, Any]) -> None:
        transport = getattr(self.channel, "transport", None)
        with transport.corked() if isinstance(transport, Transport) else nullcontext():
            try:
                super().handle_reply(message)
            except Exception as error:
                if not self.finished or not isinstance(transport, Transport):
                    raise
                transport.fail(error)  # of the request behind this one, which Twisted begins to read then
        if message["type"] == "http.response.start" and self.server.draining and self.channel is not None:
            self.setHeader(b"connection", b"close")
            self.channel.persistent = False


class HTTPFactory(DaphneHTTPFactory):
    def log(self, request: Any) -> None:
        """Nothing: Twisted would format a line for a file that Daphne does not give it. The access log is Daphne's."""

    def buildProtocol(self, addr: Any) -> Any:
        if files.are_short(files.FOR_OURSELVES):
            return None  # Twisted closes it
        protocol = super().buildProtocol(addr)
        protocol.requestFactory = WebRequest
        return protocol
