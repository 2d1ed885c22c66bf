"""HTTP connections with deadlines where uvicorn has none: for a request's head, and for what follows a refusal.

uvicorn waits for ever for the head of a connection's first request, and reads on for ever what a client still sends
after it was refused. `install` puts `Connection` in the place of uvicorn's own class; BentoML offers no setting for it.
"""

import asyncio
import json
from http import HTTPStatus

import h11
import uvicorn.config
from uvicorn.protocols.http.h11_impl import H11Protocol

from earshot.service.config import ServiceParams
from earshot.service.refusals import RefusedError, busy

MALFORMED = RefusedError(400, "malformed_request", "this is not a valid HTTP/1.1 request")


def install(params: ServiceParams) -> None:
    """Let uvicorn, which has not begun yet, make a `Connection` of every connection."""
    Connection.head_s = params.head_timeout_s
    Connection.linger_s = params.upload_idle_s
    Connection.max_connections = params.max_connections
    uvicorn.config.HTTP_PROTOCOLS["auto"] = f"{Connection.__module__}:{Connection.__name__}"


class Connection(H11Protocol):
    """uvicorn's connection, closed where its client keeps it waiting too long.

    Attributes:
        head_s: from a connection's beginning, or a later request's first byte, until the head must be there.
        linger_s: after an answer, for what the client still sends of its request; it is read and thrown away, since
            closing at once could destroy the answer on its way.
        max_connections: further ones get 503 and are closed.
    """

    head_s = 10.0
    linger_s = 30.0
    max_connections = 1000
    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A client came."""
        super().connection_made(transport)
        if len(self.connections) > self.max_connections:
            self._refuse(busy("too many connections are open", 2))
            return
        self._close_in(self.head_s)

    def data_received(self, data: bytes) -> None:
        """Bytes came."""
        awaited = self.conn.their_state is h11.IDLE
        super().data_received(data)
        if self.conn.their_state is h11.IDLE:
            if not awaited or self._deadline is None:
                self._close_in(self.head_s)
        elif awaited:
            self._no_deadline()

    def on_response_complete(self) -> None:
        """An answer went."""
        super().on_response_complete()
        if self.conn.our_state is h11.DONE and self.conn.their_state is h11.SEND_BODY:
            self._close_in(self.linger_s)

    def handle_websocket_upgrade(self, event: h11.Request) -> None:
        """Another class goes on with this connection."""
        self._no_deadline()
        super().handle_websocket_upgrade(event)

    def connection_lost(self, exc: Exception | None) -> None:
        """It is over."""
        self._no_deadline()
        super().connection_lost(exc)

    def send_400_response(self, msg: str) -> None:
        """What is no HTTP is refused in the shape of every other refusal, if no answer has begun."""
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            self._refuse(MALFORMED)
        else:
            self.transport.close()

    def _refuse(self, refusal: RefusedError) -> None:
        body = json.dumps(refusal.body()).encode()
        headers = {"content-type": "application/json", "content-length": str(len(body)), "connection": "close"}
        head = f"HTTP/1.1 {refusal.status} {HTTPStatus(refusal.status).phrase}\r\n"
        lines = "".join(f"{name}: {value}\r\n" for name, value in {**headers, **(refusal.headers or {})}.items())
        self.transport.write(f"{head}{lines}\r\n".encode() + body)
        self.transport.close()

    def _close_in(self, seconds: float) -> None:
        self._no_deadline()
        self._deadline = self.loop.call_later(seconds, self._close)

    def _no_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _close(self) -> None:
        if not self.transport.is_closing():
            self.transport.close()
