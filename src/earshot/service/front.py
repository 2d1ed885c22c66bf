"""What every request passes first and every answer last, whoever answers: BentoML or this project.

Request id, bearer token, one shape for every error, metrics and the access log. Only known paths pass, so that a
scanner's addresses reach no label of a metric.
"""

import asyncio
import hashlib
import hmac
import json
import random
import re
import time
from collections.abc import Callable, Mapping
from typing import Any

from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from earshot.service import logs
from earshot.service.metrics import Metrics
from earshot.service.refusals import ClientGoneError, RefusedError

REQUEST_ID = "x-request-id"
WEBSOCKET = "WEBSOCKET"  # stands for a method in `routes` where a WebSocket may be opened
_SANE_ID = re.compile(r"[A-Za-z0-9._:/+=-]{1,128}")
_SILENT = {"/livez", "/healthz", "/readyz", "/metrics"}  # asked every few seconds: counted, not logged


class Front:
    """ASGI application around `app`."""

    def __init__(
        self,
        app: ASGIApp,
        routes: Mapping[str, frozenset[str]],
        open_routes: frozenset[str],
        page: tuple[frozenset[str], str],
        token: str,
        metrics: Callable[[], Metrics | None],
        ready: Callable[[], bool],
    ) -> None:
        """Let the methods of `routes` through to `app`.

        Args:
            app: answers.
            routes: path to methods.
            open_routes: paths of `routes` that need no token.
            page: paths of the page's files, and which of `routes` stands for them all.
            token: bearer token; empty: none is needed.
            metrics: the counters, once there are any.
            ready: whether ``/readyz`` may say so.
        """
        self.app = app
        self._routes = routes
        self._open = open_routes
        self._page = page
        self._token = _digest(token.encode()) if token else b""
        self._metrics = metrics
        self._ready = ready

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer."""
        if scope["type"] == "websocket":
            await self._websocket(scope, receive, send)
            return
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        answer = _Answer(send, _request_id(scope))
        scope.setdefault("state", {})["answer"] = answer
        metrics = self._metrics()
        if metrics:
            metrics.begin()
        begun = time.perf_counter()
        route = self._route(scope["path"])
        try:
            refusal = self._refusal(scope, route, scope["method"])
            if refusal is not None:
                answer.reason = refusal.reason
                await refusal.response()(scope, receive, answer.send)
            else:
                await self.app(scope, receive, answer.send)
        except RefusedError as error:
            answer.reason = error.reason
            if not answer.status:
                await error.response()(scope, receive, answer.send)
        except Exception:
            answer.reason = "internal"
            logs.events.exception("a request failed", extra={"fields": {"request_id": answer.request_id}})
            if not answer.status:
                await internal().response()(scope, receive, answer.send)
        finally:
            seconds = time.perf_counter() - begun
            label = route or "other"
            method = scope["method"] if scope["method"] in _METHODS else "other"
            if metrics:
                metrics.end(label, method, answer.status, seconds)
                if answer.reason:
                    metrics.rejected(answer.reason)
            if label not in _SILENT or answer.status >= 400:
                _log(scope, label, method, answer, seconds)

    async def _websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The same checks before a WebSocket is accepted. What is refused gets the same answer as a request."""
        refusal = self._refusal(scope, self._route(scope["path"]), WEBSOCKET)
        if refusal is None:
            await self.app(scope, receive, send)
            return
        metrics = self._metrics()
        if metrics:
            metrics.rejected(refusal.reason)
        if "websocket.http.response" in scope.get("extensions", {}):
            await refusal.response()(scope, receive, send)
        else:
            await send({"type": "websocket.close", "code": 1008})  # the server makes a 403 of it

    def _route(self, path: str) -> str | None:
        if path in self._routes:
            return path
        return self._page[1] if path in self._page[0] else None

    def _refusal(self, scope: Scope, route: str | None, method: str) -> RefusedError | None:
        if route is None:
            return RefusedError(404, "not_found", "there is nothing here; GET /openapi.json lists what there is")
        if self._token and route not in self._open and not self._authorised(scope):
            return RefusedError(
                401,
                "unauthorised",
                "send the header 'Authorization: Bearer <token>'",
                {"WWW-Authenticate": 'Bearer realm="earshot"'},
            )
        methods = self._routes[route]
        if method not in methods:
            allowed = ", ".join(sorted(methods))
            return RefusedError(405, "method_not_allowed", f"{route} takes {allowed}", {"Allow": allowed})
        if route == "/readyz" and not self._ready():
            return RefusedError(503, "not_ready", "the model has not answered its first clip yet", {"Retry-After": "1"})
        return None

    def _authorised(self, scope: Scope) -> bool:
        for name, value in scope["headers"]:
            if name == b"authorization":
                scheme, _, token = value.partition(b" ")
                same = hmac.compare_digest(_digest(token.strip()), self._token)  # in a time that tells nothing
                return same and scheme.lower() == b"bearer"
        return False


def _digest(token: bytes) -> bytes:
    """Of one length whatever the token's: comparing tokens themselves takes as long as they are."""
    return hashlib.sha256(token).digest()


_UNREAD_S = 60.0  # how long an answer may lie unread
_METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}
_JSON = b"application/json"
_REASONS = {404: "not_found", 405: "method_not_allowed", 500: "internal", 503: "not_ready"}


class _Answer:
    """The way out: adds headers, and puts errors that others worded into the one shape.

    Attributes:
        request_id: the caller's, or a new one.
        status: of the answer, 0 before it has begun.
        reason: of the refusal, empty if there is none.
        fields: for the log line.
    """

    def __init__(self, send: Send, request_id: str) -> None:
        self.request_id = request_id
        self.status = 0
        self.reason = ""
        self.fields: dict[str, Any] = {}
        self._send = send
        self._swallow = False

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = list(message.get("headers", []))
            headers.append((REQUEST_ID.encode(), self.request_id.encode()))
            if self.status >= 400 and not any(n.lower() == b"content-type" and v == _JSON for n, v in headers):
                self._swallow = True
                self.reason = self.reason or _REASONS.get(self.status, "error")
                await self._in_shape(headers)
                return
            await self._pass_on({**message, "headers": headers})
        elif not self._swallow:
            await self._pass_on(message)

    async def _pass_on(self, message: Message) -> None:
        """Send, and give up a client that takes nothing of its answer: it would hold what is taken for its request."""
        try:
            async with asyncio.timeout(_UNREAD_S):
                await self._send(message)
        except TimeoutError:
            raise ClientGoneError from None

    async def _in_shape(self, headers: list[tuple[bytes, bytes]]) -> None:
        words = internal().message if self.status >= 500 else f"the request was answered with status {self.status}"
        body = json.dumps(RefusedError(self.status, self.reason, words).body()).encode()
        kept = [(name, value) for name, value in headers if name.lower() not in (b"content-type", b"content-length")]
        kept += [(b"content-type", _JSON), (b"content-length", str(len(body)).encode())]
        await self._send({"type": "http.response.start", "status": self.status, "headers": kept})
        await self._send({"type": "http.response.body", "body": body})


def internal() -> RefusedError:
    """A defect of this project; the details are in the log, under the request id."""
    return RefusedError(500, "internal", "something went wrong here; the log names it under the request id")


def note(scope: Scope, reason: str = "", **fields: Any) -> None:
    """Add to the log line of the request at work: why it was refused, and plain figures."""
    answer: _Answer | None = scope.get("state", {}).get("answer")
    if answer is not None:
        answer.reason = reason or answer.reason
        answer.fields |= fields


def refused(scope: Scope, error: RefusedError) -> Response:
    """The answer for `error`, noted for log and metrics."""
    note(scope, error.reason)
    return error.response()


def _request_id(scope: Scope) -> str:
    for name, value in scope["headers"]:
        if name == REQUEST_ID.encode():
            given: str = value.decode("latin-1")
            if _SANE_ID.fullmatch(given):
                return given
    return f"{random.getrandbits(128):032x}"  # to be found in a log, not to be hard to guess


def _log(scope: Scope, route: str, method: str, answer: _Answer, seconds: float) -> None:
    fields: dict[str, Any] = {
        "request_id": answer.request_id,
        "method": method,
        "route": route,
        "status": answer.status,
        "duration_ms": round(seconds * 1e3, 1),
        **answer.fields,
    }
    if answer.reason:
        fields["reason"] = answer.reason
    logs.access.info("request", extra={"fields": fields})
