"""``POST /timeline``: one JSON document, or JSON lines while events are found.

Lines are of four kinds: an event (it has a `label`), progress (`heard_s` alone), the end (`duration_s`), and an error
in the shape of every other one, where the damage lies deep in the file and events were sent already. A stream without
an end line is not complete.
"""

import json
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import Receive, Scope, Send

from earshot.service import answers, front
from earshot.service.engine import Engine
from earshot.service.refusals import RefusedError
from earshot.service.uploads import UploadLimits, receive_uploads
from earshot.stream.events import Event

LINES = "application/x-ndjson"
_ROUTE = "/timeline"


class TimelineRoute:
    """The handler, as an ASGI application: it writes its answer while it works."""

    def __init__(self, engine: Callable[[], Engine], limits: UploadLimits) -> None:
        """Answer with the engine that `engine` gives, for uploads within `limits`."""
        self._engine = engine
        self._limits = limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer."""
        request = Request(scope, receive)
        engine = self._engine()
        try:
            with engine.admission.recordings.held():
                async with receive_uploads(request, self._limits, engine.admission) as uploads:
                    items = engine.timeline(uploads.files[0].spool.open(), receive)
                    async with aclosing(_counted(items, scope, engine)) as counted:
                        if wants_lines(request):
                            await _send_lines(counted, engine, send)
                        else:
                            response = JSONResponse(await _whole(counted, engine))
                            await response(scope, receive, send)
        except RefusedError as error:
            await front.refused(scope, error)(scope, receive, send)


def wants_lines(request: Request) -> bool:
    """Whether the client asked for JSON lines, by query or by header."""
    asked = request.query_params.get("stream", "").lower() in ("1", "true")
    return asked or LINES in request.headers.get("accept", "").lower()


async def _counted(items: AsyncGenerator[Event | float], scope: Scope, engine: Engine) -> AsyncGenerator[Event | float]:
    heard_s, events = 0.0, 0
    try:
        async with aclosing(items):
            async for item in items:
                if isinstance(item, Event):
                    engine.metrics.event(item.label)
                    events += 1
                else:
                    heard_s = item
                yield item
    finally:
        engine.metrics.heard(_ROUTE, heard_s)
        front.note(scope, audio_s=round(heard_s, 3), events=events)


async def _whole(items: AsyncGenerator[Event | float], engine: Engine) -> dict[str, Any]:
    events, heard_s = [], 0.0
    async for item in items:
        if isinstance(item, Event):
            events.append(item)
        else:
            heard_s = item
    return answers.timeline(engine, events, heard_s)


async def _send_lines(items: AsyncGenerator[Event | float], engine: Engine, send: Send) -> None:
    begun, events, heard_s = False, 0, 0.0

    async def line(document: dict[str, Any], last: bool = False) -> None:
        nonlocal begun
        if not begun:  # only now: a file that cannot be heard at all gets its proper status
            begun = True
            headers = [(b"content-type", LINES.encode()), (b"cache-control", b"no-store")]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
        body = json.dumps(document, separators=(",", ":")).encode() + b"\n"
        await send({"type": "http.response.body", "body": body, "more_body": not last})

    try:
        async for item in items:
            if isinstance(item, Event):
                events += 1
                await line(item.as_dict())
            else:
                heard_s = item
                await line({"heard_s": round(heard_s, 3)})
    except RefusedError as error:
        if not begun:
            raise
        await line(error.body(), last=True)
        raise
    whole = answers.timeline(engine, [], heard_s)
    await line({**whole, "events": events}, last=True)
